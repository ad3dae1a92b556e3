//! The lottery: which users may even try for a permit.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use identity::UserKey;

/// How a sale draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// One draw per user and round: whoever lost gains nothing by asking again in the same round.
    PerUser {
        /// Length of a round; 0 means that the whole sale is one round.
        round_ms: u64,
    },
    /// A new draw at every request.
    PerRequest,
}

/// The key of all draws of an identity key, so that no user can compute an own draw.
pub type DrawKey = [u8; 16];

/// The number of the round that `now_ms` falls into; the first one begins with the sale.
#[must_use]
pub fn round(round_ms: u64, start_ms: u64, now_ms: u64) -> u64 {
    now_ms.saturating_sub(start_ms).checked_div(round_ms).unwrap_or(0)
}

/// When `round` began, in milliseconds since 1970.
#[must_use]
pub fn round_start(round_ms: u64, start_ms: u64, round: u64) -> u64 {
    start_ms.saturating_add(round_ms.saturating_mul(round))
}

/// Whether the draw of this user in this round is a loss.
#[must_use]
pub fn blocked(key: &DrawKey, user: &UserKey, tag: &str, round: u64, block_ratio: f64) -> bool {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(user);
    hasher.write(tag.as_bytes());
    hasher.write(&round.to_le_bytes());
    loses(hasher.finish(), block_ratio)
}

/// Whether 64 random bits are a loss: their upper 53, as a fraction, lie below the ratio.
#[must_use]
#[allow(clippy::cast_precision_loss)] // 53 bits are exactly what an f64 holds
pub fn loses(bits: u64, block_ratio: f64) -> bool {
    const FRACTION: f64 = 1.0 / (1u64 << 53) as f64;
    ((bits >> 11) as f64) * FRACTION < block_ratio
}

/// Random numbers for draws per request: `SipHash` over a counter, under a key that is random.
#[derive(Clone, Debug)]
pub struct Dice {
    key: DrawKey,
    counter: u64,
}

impl Dice {
    #[must_use]
    /// Starts a sequence; nobody who does not know the key can foretell it.
    pub fn new(key: DrawKey) -> Self {
        Self { key, counter: 0 }
    }

    /// The next 64 random bits.
    pub fn roll(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u64(self.counter);
        hasher.finish()
    }

    /// A number within a tenth of `value` on either side: keeps workers from moving in step.
    pub fn jitter(&mut self, value: u64) -> u64 {
        let spread = value / 5;
        let offset = self.roll().checked_rem(spread.saturating_add(1)).unwrap_or(0);
        (value - spread / 2).saturating_add(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(n: u32) -> UserKey {
        let mut key = [7u8; 16];
        key[..4].copy_from_slice(&n.to_be_bytes());
        key
    }

    #[test]
    fn the_blocked_share_is_the_ratio_within_five_deviations() {
        for ratio in [0.4, 0.9, 0.999] {
            let lost = (0..100_000)
                .filter(|n| blocked(&[3; 16], &user(*n), "shop/laptop/1", 0, ratio))
                .count() as f64;
            let deviation = (100_000.0 * ratio * (1.0 - ratio)).sqrt();
            assert!((lost - 100_000.0 * ratio).abs() < 5.0 * deviation, "{ratio}: {lost}");
        }
    }

    #[test]
    fn rounds_are_drawn_independently() {
        let both = (0..100_000)
            .filter(|n| {
                blocked(&[3; 16], &user(*n), "t", 0, 0.5)
                    && blocked(&[3; 16], &user(*n), "t", 1, 0.5)
            })
            .count();
        assert!((24_000..26_000).contains(&both), "{both}");
    }

    #[test]
    fn the_ends_of_the_ratio() {
        assert!(!loses(0, 0.0));
        assert!(!loses(u64::MAX, 0.999_999));
        assert!(loses(0, 0.000_001));
    }

    #[test]
    fn one_round_for_the_whole_sale_when_there_is_no_interval() {
        assert_eq!(round(0, 1_000, 9_999_999), 0);
        assert_eq!(round(60_000, 1_000, 60_999), 0);
        assert_eq!(round(60_000, 1_000, 61_000), 1);
        assert_eq!(round(60_000, 1_000, 500), 0);
        assert_eq!(round_start(60_000, 1_000, 1), 61_000);
    }

    #[test]
    fn draws_match_the_written_rule() {
        // SipHash-2-4 with key 00..0f over 00..0e is the reference value of its paper.
        let key: DrawKey = core::array::from_fn(|i| i as u8);
        let mut hasher = SipHasher24::new_with_key(&key);
        hasher.write(&(0..15).collect::<Vec<u8>>());
        assert_eq!(hasher.finish(), 0xa129_ca61_49be_45e5);
    }

    proptest! {
        #[test]
        fn a_draw_is_a_function_of_its_inputs(n: u32, round: u64, ratio in 0.0f64..1.0) {
            let first = blocked(&[9; 16], &user(n), "a/b/1", round, ratio);
            prop_assert_eq!(first, blocked(&[9; 16], &user(n), "a/b/1", round, ratio));
        }

        #[test]
        fn jitter_stays_within_a_tenth(value in 10u64..1_000_000, seed: [u8; 16]) {
            let mut dice = Dice::new(seed);
            for _ in 0..20 {
                let v = dice.jitter(value);
                prop_assert!(v >= value - value / 10 - 1 && v <= value + value / 10 + 1);
            }
        }
    }
}
