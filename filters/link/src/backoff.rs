//! Chance and patience.

use core::time::Duration;

/// Random numbers for jitter (`SplitMix64`); the seed is an input.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Somewhere in the upper half of the duration, so that workers that failed together do not come back together.
    pub(crate) fn jitter(&mut self, duration: Duration) -> Duration {
        let half = duration / 2;
        let part = (self.next() >> 40) as u32;
        // part / 2^24, without floating point
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(((u128::from(nanos) * u128::from(part)) >> 24) as u64)
    }
}

/// The wait after a number of failures in a row: doubled by each, up to a bound.
pub(crate) fn delay(first: Duration, max: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    first.saturating_mul(1 << doublings).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let wait =
            |failures| delay(Duration::from_millis(20), Duration::from_millis(400), failures);
        let waits: Vec<_> = (0..8).map(|failures| wait(failures).as_millis()).collect();
        assert_eq!(waits, [20, 20, 40, 80, 160, 320, 400, 400]);
        assert_eq!(wait(u32::MAX).as_millis(), 400);
    }

    #[test]
    fn jitter_stays_in_the_upper_half() {
        let mut random = Random::new(7);
        let whole = Duration::from_millis(100);
        let drawn: Vec<_> = (0..1000).map(|_| random.jitter(whole)).collect();
        assert!(drawn.iter().all(|wait| *wait >= whole / 2 && *wait < whole));
        assert!(drawn.iter().any(|wait| *wait < whole * 6 / 10));
        assert!(drawn.iter().any(|wait| *wait > whole * 9 / 10));
    }
}
