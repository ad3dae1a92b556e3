//! The permits that a worker knows: who was let in, and with which number.

use std::collections::HashMap;

use identity::hashing::Uniform;
use identity::UserKey;

/// The permits a set holds unless told otherwise: about 8 MB.
pub const DEFAULT_BOUND: usize = 200_000;

/// How a worker came to know a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the permit log.
    Log,
    /// Redis granted or confirmed it at this worker's asking, and the user was told: if Redis
    /// forgets, perhaps nobody else remembers.
    Own,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    number: u64,
    own: bool,
    /// The state of the books (see [`Permits::doubt`]) in which this permit was last seen on them.
    seen: u32,
}

/// A bounded set of permits.
#[derive(Debug)]
pub struct Permits {
    held: HashMap<UserKey, Held, Uniform>,
    /// For sales with plain identities: the text that Redis knows each user by.
    names: HashMap<UserKey, Box<str>, Uniform>,
    bound: usize,
    overflowed: bool,
    /// Counts how often the books came into doubt.
    doubts: u32,
}

impl Default for Permits {
    fn default() -> Self {
        Self::new(DEFAULT_BOUND)
    }
}

impl Permits {
    /// An empty set of at most `bound` permits, and a quarter more for own grants.
    pub fn new(bound: usize) -> Self {
        Self {
            held: HashMap::default(),
            names: HashMap::default(),
            bound,
            overflowed: false,
            doubts: 0,
        }
    }

    /// The number of a user's permit.
    pub fn number(&self, user: &UserKey) -> Option<u64> {
        self.held.get(user).map(|held| held.number)
    }

    /// How many permits are known.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether a permit was turned away for want of room, so that an unknown user may hold one.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Takes in a permit. `name` is given for sales with plain identities.
    pub fn insert(&mut self, user: UserKey, number: u64, source: Source, name: Option<&str>) {
        let own = source == Source::Own;
        if let Some(held) = self.held.get_mut(&user) {
            held.number = number;
            held.own |= own;
            held.seen = self.doubts;
            return;
        }
        let room = if own { self.bound.saturating_add(self.bound / 4) } else { self.bound };
        if self.held.len() >= room {
            self.overflowed = true;
            return;
        }
        self.held.insert(user, Held { number, own, seen: self.doubts });
        if let Some(name) = name {
            self.names.insert(user, name.into());
        }
    }

    /// Forgets one user.
    pub fn remove(&mut self, user: &UserKey) {
        self.held.remove(user);
        self.names.remove(user);
    }

    /// Forgets everybody: the books have begun a new generation.
    pub fn clear(&mut self) {
        self.held.clear();
        self.names.clear();
        self.overflowed = false;
    }

    /// The name of a user where identities are plain.
    pub fn name(&self, user: &UserKey) -> Option<&str> {
        self.names.get(user).map(AsRef::as_ref)
    }

    /// From now on every permit may be missing on the books, until it is seen on them again.
    pub fn doubt(&mut self) {
        self.doubts = self.doubts.wrapping_add(1);
    }

    /// The permits not seen on the books since they came into doubt: own ones only, or all others;
    /// the oldest first.
    pub fn unseen(&self, own: bool) -> Vec<(UserKey, u64)> {
        let mut found: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| held.own == own && held.seen != self.doubts)
            .map(|(user, held)| (*user, held.number))
            .collect();
        found.sort_unstable_by_key(|(_, number)| *number);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(n: u64) -> UserKey {
        let mut key = [0u8; 16];
        key[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        key
    }

    fn numbers(found: Vec<(UserKey, u64)>) -> Vec<u64> {
        found.into_iter().map(|(_, number)| number).collect()
    }

    #[test]
    fn what_the_books_show_need_not_be_taught() {
        let mut set = Permits::new(100);
        for n in 1..=4 {
            set.insert(user(n), n, if n % 2 == 0 { Source::Own } else { Source::Log }, None);
        }
        assert!(set.unseen(true).is_empty() && set.unseen(false).is_empty());
        set.doubt();
        set.insert(user(1), 1, Source::Log, None);
        set.insert(user(4), 4, Source::Log, None);
        assert_eq!(numbers(set.unseen(true)), [2]);
        assert_eq!(numbers(set.unseen(false)), [3]);
    }

    #[test]
    fn a_full_set_says_so_and_still_takes_own_grants() {
        let mut set = Permits::new(8);
        for n in 0..8 {
            set.insert(user(n), n, Source::Log, None);
        }
        assert!(!set.overflowed());
        set.insert(user(8), 8, Source::Own, None);
        assert!(!set.overflowed());
        assert_eq!(set.number(&user(8)), Some(8));
        set.insert(user(9), 9, Source::Log, None);
        assert!(set.overflowed());
        assert_eq!(set.number(&user(9)), None);
        set.clear();
        assert!(set.is_empty() && !set.overflowed());
    }

    #[test]
    fn names_go_with_their_users() {
        let mut set = Permits::new(8);
        set.insert(user(1), 1, Source::Log, Some("alice"));
        assert_eq!(set.name(&user(1)), Some("alice"));
        set.remove(&user(1));
        assert_eq!(set.name(&user(1)), None);
    }

    proptest! {
        #[test]
        fn never_above_its_bound(bound in 1usize..50, inserts in prop::collection::vec((0u64..200, any::<bool>()), 0..300)) {
            let mut set = Permits::new(bound);
            for (n, own) in inserts {
                set.insert(user(n), n, if own { Source::Own } else { Source::Log }, None);
                prop_assert!(set.len() <= bound + bound / 4);
            }
        }
    }
}
