//! Refusals that are known already, and cost no round trip.
//!
//! Redis said how long a counter would not let a request through. Until then the same request need
//! not be asked about again, nor one that needs more. It is believed for a second at most, so that
//! a reset or a raised limit reaches every worker that soon.

use crate::bounded::Bounded;
use crate::meter::{Meter, Reading};

/// Counters that are remembered.
const MAX_KNOWN: usize = 10_000;
/// How long a refusal is believed, in microseconds.
const BELIEVED_US: u64 = 1_000_000;

/// What Redis said.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// Units that were needed.
    need: u64,
    heard_us: u64,
    until_us: u64,
    reading: Reading,
}

/// Counters that are known to refuse.
#[derive(Debug)]
pub struct Known {
    refusals: Bounded<Refusal>,
}

impl Known {
    /// Knows of none. `secret` is random, as clients choose some of the keys.
    pub fn new(secret: [u8; 16]) -> Self {
        Self { refusals: Bounded::new(secret, MAX_KNOWN) }
    }

    /// Remembers which meters of a request refused it.
    pub fn learn(&mut self, meters: &[Meter], readings: &[Reading], now_us: u64) {
        for (meter, reading) in meters.iter().zip(readings) {
            if reading.wait_ms == 0 || meter.spec.watch {
                continue;
            }
            let need = need(meter);
            let spent = |known: &Refusal| known.until_us <= now_us;
            // Less was refused, and still is: that says more.
            let known = self.refusals.get(&meter.counter);
            if known.is_some_and(|known| known.need < need && !spent(known)) {
                continue;
            }
            let wait_us = reading.wait_ms.saturating_mul(1_000).min(BELIEVED_US);
            let until_us = now_us.saturating_add(wait_us);
            let refusal = Refusal { need, heard_us: now_us, until_us, reading: *reading };
            self.refusals.insert(&meter.counter, refusal, spent);
        }
    }

    /// Which of a request's meters is known to refuse it, the longest wait first, and what it would
    /// say now.
    pub fn find(&self, meters: &[Meter], now_us: u64) -> Option<(usize, Reading)> {
        if self.refusals.is_empty() {
            return None;
        }
        let mut found: Option<(usize, Reading)> = None;
        for (place, meter) in meters.iter().enumerate() {
            let Some(reading) = self.reading(meter, now_us) else { continue };
            if found.is_none_or(|(_, longest)| longest.wait_ms < reading.wait_ms) {
                found = Some((place, reading));
            }
        }
        found
    }

    fn reading(&self, meter: &Meter, now_us: u64) -> Option<Reading> {
        if meter.spec.watch {
            return None;
        }
        let known = self.refusals.get(&meter.counter)?;
        if known.until_us <= now_us || known.need > need(meter) {
            return None;
        }
        let passed_ms = now_us.saturating_sub(known.heard_us) / 1_000;
        Some(Reading {
            reset_ms: known.reading.reset_ms.saturating_sub(passed_ms),
            wait_ms: known.reading.wait_ms.saturating_sub(passed_ms).max(1),
            ..known.reading
        })
    }
}

/// Units that a counter must have left; even what costs nothing needs one.
pub(crate) fn need(meter: &Meter) -> u64 {
    meter.charge.saturating_add(meter.hold).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{meter, watching};
    use proptest::prelude::*;

    fn refusing(wait_ms: u64) -> Reading {
        Reading { remaining: 0, reset_ms: 30_000, wait_ms, slot: 0 }
    }

    #[test]
    fn a_refusal_is_known_for_as_long_as_it_lasts_and_a_second_at_most() {
        let mut known = Known::new([1; 16]);
        let meters = [meter("a", 1, 0), meter("b", 1, 0)];
        assert_eq!(known.find(&meters, 0), None);
        known.learn(&meters, &[Reading::default(), refusing(20_000)], 5_000_000);
        assert_eq!(known.find(&meters, 5_000_000), Some((1, refusing(20_000))));
        let later = Reading { reset_ms: 29_001, wait_ms: 19_001, ..refusing(0) };
        assert_eq!(known.find(&meters, 5_999_999), Some((1, later)));
        assert_eq!(known.find(&meters, 6_000_000), None);
        known.learn(&meters, &[refusing(200), Reading::default()], 7_000_000);
        assert_eq!(known.find(&meters, 7_199_999).map(|(place, _)| place), Some(0));
        assert_eq!(known.find(&meters, 7_200_000), None);
    }

    #[test]
    fn who_needs_less_is_asked_about() {
        let mut known = Known::new([1; 16]);
        known.learn(&[meter("a", 3, 2)], &[refusing(900)], 0);
        assert_eq!(known.find(&[meter("a", 4, 0)], 0), None);
        assert!(known.find(&[meter("a", 0, 5)], 0).is_some());
        known.learn(&[meter("a", 2, 0)], &[refusing(300)], 0);
        assert!(known.find(&[meter("a", 4, 0)], 0).is_some());
        // What is known of less is kept, as long as it lasts.
        known.learn(&[meter("a", 5, 0)], &[refusing(900)], 100_000);
        assert!(known.find(&[meter("a", 2, 0)], 100_000).is_some());
        known.learn(&[meter("a", 5, 0)], &[refusing(900)], 300_000);
        assert!(known.find(&[meter("a", 2, 0)], 300_000).is_none());
        assert!(known.find(&[meter("a", 5, 0)], 300_000).is_some());
    }

    #[test]
    fn what_costs_nothing_needs_one_unit_left() {
        let mut known = Known::new([1; 16]);
        known.learn(&[meter("a", 0, 0)], &[refusing(900)], 0);
        assert!(known.find(&[meter("a", 0, 0)], 0).is_some());
        assert!(known.find(&[meter("a", 1, 0)], 0).is_some());
    }

    #[test]
    fn the_longest_wait_is_told() {
        let mut known = Known::new([1; 16]);
        let meters = [meter("a", 1, 0), meter("b", 1, 0), meter("c", 1, 0)];
        known.learn(&meters, &[refusing(100), refusing(900), refusing(500)], 0);
        assert_eq!(known.find(&meters, 0), Some((1, refusing(900))));
    }

    #[test]
    fn counters_that_only_watch_refuse_nobody() {
        let mut known = Known::new([1; 16]);
        known.learn(&[watching("a")], &[refusing(900)], 0);
        assert_eq!(known.find(&[meter("a", 1, 0)], 0), None);
        known.learn(&[meter("a", 1, 0)], &[refusing(900)], 0);
        assert_eq!(known.find(&[watching("a")], 0), None);
    }

    #[test]
    fn never_more_than_its_bound() {
        let mut known = Known::new([1; 16]);
        for n in 0..3 * MAX_KNOWN {
            known.learn(&[meter(&n.to_string(), 1, 0)], &[refusing(900)], 0);
            assert!(known.refusals.len() <= MAX_KNOWN);
        }
    }

    proptest! {
        #[test]
        fn nobody_is_refused_of_whom_redis_did_not_say_so(
            steps in prop::collection::vec((0u32..4, 1u64..5, 0u64..1_500, 0u64..400), 1..100),
        ) {
            let mut known = Known::new([1; 16]);
            let mut said: Vec<(u32, u64, u64, u64)> = Vec::new();
            let mut now_us = 0;
            for (counter, need, wait_ms, later_ms) in steps {
                now_us += later_ms * 1_000;
                let meters = [meter(&counter.to_string(), need, 0)];
                if let Some((place, reading)) = known.find(&meters, now_us) {
                    prop_assert_eq!(place, 0);
                    prop_assert!(reading.wait_ms > 0);
                    let by_redis = said.iter().any(|(known, least, from, until)| {
                        let believed = now_us < *until && now_us < *from + 1_000_000;
                        *known == counter && *least <= need && *from <= now_us && believed
                    });
                    prop_assert!(by_redis);
                }
                known.learn(&meters, &[refusing(wait_ms)], now_us);
                said.push((counter, need, now_us, now_us + wait_ms * 1_000));
            }
        }
    }
}
