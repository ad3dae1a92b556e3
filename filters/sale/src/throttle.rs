//! One try per user and interval, remembered in each worker.
//!
//! The table is only a first sieve: Redis judges exactly for those who get that far. So it may
//! forget early when it is full, and it never has to be swept.

use std::collections::HashMap;

use identity::hashing::Uniform;
use identity::UserKey;

/// The users remembered in each of the two generations.
const GENERATION: usize = 65_536;

/// When each user may try again.
///
/// Two generations: the younger one takes the new entries; when it is full, or older than an
/// interval, it becomes the older one, and what was the older one is dropped whole.
#[derive(Debug, Default)]
pub struct Throttle {
    young: HashMap<UserKey, u64, Uniform>,
    old: HashMap<UserKey, u64, Uniform>,
    /// When the young generation began, in milliseconds.
    since_ms: u64,
}

impl Throttle {
    /// Lets a user try, or tells how many milliseconds are left until that is allowed. A refused
    /// try does not move that moment.
    ///
    /// # Errors
    /// The milliseconds left, at least 1.
    pub fn pass(&mut self, user: &UserKey, now_ms: u64, interval_ms: u64) -> Result<(), u64> {
        let free_ms = self.young.get(user).or_else(|| self.old.get(user)).copied().unwrap_or(0);
        // A stored moment further ahead than an interval is one of a longer interval, or of a clock
        // that was set: the present interval holds.
        let left = free_ms.saturating_sub(now_ms).min(interval_ms);
        if left > 0 {
            return Err(left);
        }
        self.set(user, now_ms.saturating_add(interval_ms), now_ms, interval_ms);
        Ok(())
    }

    /// Redis knows better: the user may try again in `left_ms`.
    pub fn learn(&mut self, user: &UserKey, now_ms: u64, left_ms: u64) {
        self.set(user, now_ms.saturating_add(left_ms), now_ms, left_ms);
    }

    /// The try came to nothing through no fault of the user, and does not count.
    pub fn forgive(&mut self, user: &UserKey) {
        self.young.remove(user);
        self.old.remove(user);
    }

    fn set(&mut self, user: &UserKey, free_ms: u64, now_ms: u64, interval_ms: u64) {
        if self.young.len() >= GENERATION || now_ms.saturating_sub(self.since_ms) > interval_ms {
            self.old = core::mem::take(&mut self.young);
            self.since_ms = now_ms;
        }
        self.young.insert(*user, free_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(n: u32) -> UserKey {
        let mut key = [0u8; 16];
        key[..4].copy_from_slice(&n.to_le_bytes());
        key
    }

    #[test]
    fn one_try_an_interval_and_a_refusal_does_not_prolong_it() {
        let mut table = Throttle::default();
        assert_eq!(table.pass(&user(1), 1_000, 10_000), Ok(()));
        assert_eq!(table.pass(&user(1), 2_000, 10_000), Err(9_000));
        assert_eq!(table.pass(&user(1), 10_999, 10_000), Err(1));
        assert_eq!(table.pass(&user(1), 11_000, 10_000), Ok(()));
        assert_eq!(table.pass(&user(2), 11_000, 10_000), Ok(()));
    }

    #[test]
    fn what_redis_says_replaces_the_own_view_and_a_failed_try_is_forgiven() {
        let mut table = Throttle::default();
        table.learn(&user(1), 1_000, 300);
        assert_eq!(table.pass(&user(1), 1_100, 10_000), Err(200));
        assert_eq!(table.pass(&user(1), 1_300, 10_000), Ok(()));
        table.forgive(&user(1));
        assert_eq!(table.pass(&user(1), 1_301, 10_000), Ok(()));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = Throttle::default();
        for n in 0..400_000 {
            let _ = table.pass(&user(n), 5, 10_000);
        }
        assert!(table.young.len() + table.old.len() <= 2 * GENERATION);
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_list_of_moments(
            tries in prop::collection::vec((0u32..6, 0u64..400), 1..200), interval in 1u64..2_000,
        ) {
            let mut table = Throttle::default();
            let mut model = HashMap::new();
            let mut now = 10_000u64;
            for (who, later) in tries {
                now += later;
                let free = model.get(&who).copied().unwrap_or(0u64);
                let expected = if free > now { Err(free - now) } else { Ok(()) };
                prop_assert_eq!(table.pass(&user(who), now, interval), expected);
                if expected.is_ok() {
                    model.insert(who, now + interval);
                }
            }
        }
    }
}
