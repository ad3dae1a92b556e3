//! The limits of one worker on its own, while Redis is away.
//!
//! Each worker lets its share through: the limit divided by the workers there are, so that together
//! they stay near it. It starts afresh when Redis is lost and knows nothing of what was used before:
//! a guard against floods, not an account.

use crate::bounded::Bounded;
use crate::known::need;
use crate::meter::{Kind, Meter, Reading, Spec};
use crate::time::{Now, Window};

/// Counters that one worker keeps.
const MAX_COUNTERS: usize = 10_000;

/// What was used of a share.
#[derive(Clone, Copy, Debug)]
struct Used {
    /// When the window began, by Redis's clock in milliseconds; of a bucket: when it was looked at,
    /// by the monotonic clock in microseconds.
    since: u64,
    /// Units used; of a bucket: units times its span in microseconds, still to drain.
    amount: u128,
    /// When this is worth nothing any more, by the monotonic clock in microseconds.
    until_us: u64,
}

/// The counters of one worker.
#[derive(Debug)]
pub struct Local {
    counters: Bounded<Used>,
}

impl Local {
    /// Nothing is used yet. `secret` is random, as clients choose some of the keys.
    pub fn new(secret: [u8; 16]) -> Self {
        Self { counters: Bounded::new(secret, MAX_COUNTERS) }
    }

    /// Charges a request to all of these meters, or to none when one of them has too little left of
    /// its share: then tells which, the longest wait first, and what it says.
    ///
    /// `workers` share each limit. Reservations count as used, as nobody settles them here.
    ///
    /// # Errors
    /// The place of the meter that refuses, among those given, and its reading.
    pub fn take<'a>(
        &mut self,
        meters: impl Iterator<Item = &'a Meter> + Clone,
        workers: u64,
        now: Now,
    ) -> Result<(), (usize, Reading)> {
        let mut refused: Option<(usize, Reading)> = None;
        for (place, meter) in meters.clone().enumerate() {
            if let Err(reading) = self.look(meter, workers, now) {
                if refused.is_none_or(|(_, longest)| longest.wait_ms < reading.wait_ms) {
                    refused = Some((place, reading));
                }
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        for meter in meters {
            if let Ok(used) = self.look(meter, workers, now) {
                self.counters.insert(&meter.counter, used, |used| used.until_us <= now.us);
            }
        }
        Ok(())
    }

    /// What would be used after the request, or what the counter says when that is too much.
    fn look(&self, meter: &Meter, workers: u64, now: Now) -> Result<Used, Reading> {
        let known = self.counters.get(&meter.counter).filter(|known| known.until_us > now.us);
        let spec = &meter.spec;
        match spec.kind {
            Kind::Bucket => bucket(spec, need(meter), known, workers, now),
            Kind::Fixed | Kind::Sliding | Kind::Calendar => {
                window(spec, need(meter), known, workers, now)
            }
        }
    }
}

/// A worker's part of a limit: at least one unit, unless the limit lets nothing through.
fn share(amount: u64, workers: u64) -> u64 {
    (amount / workers.max(1)).max(amount.min(1))
}

/// What a request takes of a share. One that is larger than the share, but not than the limit, takes
/// it whole.
fn portion(need: u64, share: u64, limit: u64) -> u64 {
    if need > limit {
        need
    } else {
        need.min(share)
    }
}

fn window(
    spec: &Spec,
    need: u64,
    known: Option<&Used>,
    workers: u64,
    now: Now,
) -> Result<Used, Reading> {
    let present = Window::at(&spec.span, now.redis_ms);
    let used = known.filter(|known| known.since == present.start_ms).map_or(0, |k| k.amount);
    let share = share(spec.amount, workers);
    let after = used + u128::from(portion(need, share, spec.amount));
    let left_ms = present.left_ms(now.redis_ms);
    if after > u128::from(share) {
        let remaining = u64::try_from(u128::from(share).saturating_sub(used)).unwrap_or(0);
        return Err(Reading { remaining, reset_ms: left_ms, wait_ms: left_ms, slot: 0 });
    }
    let until_us = now.us.saturating_add(left_ms.saturating_mul(1_000));
    Ok(Used { since: present.start_ms, amount: after, until_us })
}

fn bucket(
    spec: &Spec,
    need: u64,
    known: Option<&Used>,
    workers: u64,
    now: Now,
) -> Result<Used, Reading> {
    let span_us = u128::from(Window::at(&spec.span, 0).length_ms()) * 1_000;
    let (rate, burst) = (u128::from(share(spec.amount, workers)), share(spec.burst, workers));
    let capacity = u128::from(burst) * span_us;
    let debt = known.map_or(0, |known| {
        let drained = u128::from(now.us.saturating_sub(known.since)) * rate;
        known.amount.saturating_sub(drained)
    });
    let after = debt + u128::from(portion(need, burst, spec.burst)) * span_us;
    let drain_us = |units: u128| {
        let slow = if rate == 0 { span_us } else { units.div_ceil(rate) };
        u64::try_from(slow).unwrap_or(u64::MAX)
    };
    if after > capacity {
        return Err(Reading {
            remaining: u64::try_from(capacity.saturating_sub(debt) / span_us).unwrap_or(0),
            reset_ms: drain_us(debt).div_ceil(1_000),
            wait_ms: drain_us(after - capacity).div_ceil(1_000).max(1),
            slot: 0,
        });
    }
    let until_us = now.us.saturating_add(drain_us(after));
    Ok(Used { since: now.us, amount: after, until_us })
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
