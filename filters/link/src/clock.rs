//! One clock for all edges: Redis's, as estimated from the round trips of polls.
//!
//! Windows and rounds are judged by it, so that every worker of every proxy opens a sale together,
//! whatever the clock of its machine shows. The request path reads one local clock, the monotonic
//! one, and adds an offset.

/// How fast two healthy clocks may drift apart: 100 microseconds a second.
const DRIFT_PER_SECOND_US: u64 = 100;

/// Maps the local monotonic clock (microseconds) to Redis's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Redis's time minus monotonic time, in microseconds.
    offset_us: i64,
    /// The sample in force; `None` while only the local wall clock is known.
    sample: Option<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_us: u64,
    uncertainty_us: u64,
}

impl Clock {
    /// Sets the clock by the local wall clock. Has no effect once Redis has been heard.
    pub fn anchor(&mut self, now_us: u64, wall_us: u64) {
        if self.sample.is_none() {
            self.offset_us = difference(wall_us, now_us);
        }
    }

    /// Takes in one reading of Redis's clock, `redis_us`, which was asked for at `sent_us` and came
    /// at `received_us`.
    ///
    /// The reading was made somewhere within the round trip, so a shorter one is better. A worse one
    /// is taken all the same when the two cannot both be true: then one of the clocks was set, or
    /// another server answers now.
    pub fn sample(&mut self, sent_us: u64, received_us: u64, redis_us: u64) {
        let round_trip_us = received_us.saturating_sub(sent_us);
        let uncertainty_us = round_trip_us / 2;
        let offset_us = difference(redis_us, sent_us.saturating_add(uncertainty_us));
        let take = self.sample.is_none_or(|held| {
            let age_s = received_us.saturating_sub(held.at_us) / 1_000_000;
            let grown =
                held.uncertainty_us.saturating_add(age_s.saturating_mul(DRIFT_PER_SECOND_US));
            uncertainty_us <= grown
                || offset_us.abs_diff(self.offset_us) > grown.saturating_add(uncertainty_us)
        });
        if take {
            self.offset_us = offset_us;
            self.sample = Some(Sample { at_us: received_us, uncertainty_us });
        }
    }

    /// Redis's time at the local monotonic time `now_us`, in milliseconds since 1970.
    #[must_use]
    pub fn redis_ms(&self, now_us: u64) -> u64 {
        now_us.saturating_add_signed(self.offset_us) / 1000
    }
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_wall_clock_serves_until_redis_is_heard() {
        let mut clock = Clock::default();
        clock.anchor(1_000, 5_000_000);
        assert_eq!(clock.redis_ms(2_000), 5_001);
        clock.sample(10_000, 10_200, 9_000_000);
        clock.anchor(20_000, 0);
        assert_eq!(clock.redis_ms(10_100), 9_000);
    }

    #[test]
    fn a_shorter_round_trip_wins_and_a_longer_one_does_not() {
        let mut clock = Clock::default();
        clock.sample(0, 10_000, 1_000_000);
        clock.sample(20_000, 20_100, 1_015_050);
        assert_eq!(clock.redis_ms(20_050), 1_015);
        clock.sample(30_000, 50_000, 1_030_000);
        assert_eq!(clock.redis_ms(30_000), 1_025);
    }

    #[test]
    fn a_clock_that_was_set_is_followed_at_once() {
        let mut clock = Clock::default();
        clock.sample(0, 100, 1_000_000_000);
        clock.sample(200_000, 210_000, 5_000_000_000);
        assert_eq!(clock.redis_ms(205_000), 5_000_000);
    }

    proptest! {
        #[test]
        fn never_off_by_more_than_the_shortest_round_trip(
            delays in prop::collection::vec((0u64..50_000, 0u64..50_000), 1..40),
            ahead in 0u64..10_000_000_000,
        ) {
            let mut clock = Clock::default();
            let mut now = 1_000_000u64;
            let mut best = u64::MAX;
            for (up, down) in delays {
                clock.sample(now, now + up + down, now + up + ahead);
                best = best.min(up + down);
                now += up + down + 100;
                let shown = clock.redis_ms(now);
                let right = (now + ahead) / 1000;
                prop_assert!(shown.abs_diff(right) <= best / 1000 + 2);
            }
        }
    }
}
