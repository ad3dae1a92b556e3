//! Latencies, counted in buckets whose width grows with the value.
//!
//! Each power of two is cut into 128 buckets, so any quantile is right to within 0.8 %, in constant
//! memory, however long the run and whatever the values.

use std::time::Duration;

/// Buckets per power of two, as a power of two.
const PRECISION: u32 = 7;
/// Values of 2^41 ns (36 minutes) and more share the last bucket.
const MAX_BITS: u32 = 41;
const BUCKETS: usize = ((MAX_BITS - PRECISION + 1) << PRECISION) as usize;

/// Counts of latencies, by bucket.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn add(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(ns)) {
            *count += 1;
        }
        self.total += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency that a share `q` (0 to 1) of all does not exceed; zero when nothing was counted.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let rank = ((self.total as f64 * q).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (i, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(i).min(self.max_ns));
            }
        }
        Duration::ZERO
    }

    /// The greatest latency, exactly.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// The mean, exactly; zero when nothing was counted.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let ns = self.sum_ns.checked_div(u128::from(self.total)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// The bucket of a value: linear up to 2^PRECISION, then the leading PRECISION + 1 bits count.
fn bucket(ns: u64) -> usize {
    let bits = u64::BITS - ns.leading_zeros();
    let shift = bits.saturating_sub(PRECISION + 1);
    let index = (u64::from(shift) << PRECISION) + (ns >> shift);
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The greatest value that belongs to a bucket.
fn upper(bucket: usize) -> u64 {
    let linear = 1_usize << (PRECISION + 1);
    if bucket < linear {
        return bucket as u64;
    }
    let shift = (bucket >> PRECISION) - 1;
    let leading = (bucket - (shift << PRECISION)) as u64;
    ((leading + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_counted_is_zero() {
        let h = Histogram::default();
        assert_eq!((h.quantile(0.5), h.max(), h.mean(), h.total()), Default::default());
    }

    #[test]
    fn quantiles_of_a_known_row() {
        let mut h = Histogram::default();
        for ms in 1..=1000 {
            h.add(Duration::from_millis(ms));
        }
        for (q, ms) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0)] {
            let got = h.quantile(q).as_secs_f64() * 1e3;
            assert!((got - ms).abs() <= ms * 0.008, "{q}: {got} is not {ms}");
        }
        assert_eq!(h.max(), Duration::from_secs(1));
        assert_eq!(h.mean(), Duration::from_micros(500_500));
    }

    #[test]
    fn beyond_all_buckets() {
        let mut h = Histogram::default();
        h.add(Duration::from_secs(1_000_000));
        assert_eq!(h.total(), 1);
        assert_eq!(h.max(), Duration::from_secs(1_000_000));
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values(ns in 0_u64..(1 << MAX_BITS) - 1) {
            let b = bucket(ns);
            prop_assert!(ns <= upper(b));
            prop_assert!(b == 0 || ns > upper(b - 1));
            prop_assert!(upper(b) - ns <= ns / 128 + 1);
        }
    }
}
