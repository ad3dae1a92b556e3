//! A table of counters that never grows beyond a bound.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use identity::hashing::Keyed;

/// Entries looked at when one more is put in, to find some that have ended.
const SWEEP: usize = 2;

/// What is known of counters, by their keys. Entries that have ended go little by little, as others
/// are put in; where all are in use, one of the oldest makes room.
#[derive(Debug)]
pub(crate) struct Bounded<V> {
    entries: HashMap<Rc<str>, V, Keyed>,
    /// The keys of all entries, each once, in the order in which they are looked at.
    order: VecDeque<Rc<str>>,
    bound: usize,
}

impl<V> Bounded<V> {
    /// An empty table. `secret` is what nobody else knows: clients choose some of the keys.
    pub(crate) fn new(secret: [u8; 16], bound: usize) -> Self {
        let entries = HashMap::with_hasher(Keyed::new(secret));
        Self { entries, order: VecDeque::new(), bound }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.entries.get(key)
    }

    /// Puts in an entry, in the place of the one with the same key. `over` tells which have ended.
    pub(crate) fn insert(&mut self, key: &Rc<str>, value: V, over: impl Fn(&V) -> bool) {
        if let Some(known) = self.entries.get_mut(key) {
            *known = value;
            return;
        }
        for _ in 0..SWEEP {
            let Some(oldest) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_none_or(&over) {
                self.entries.remove(&oldest);
            } else {
                self.order.push_back(oldest);
            }
        }
        while self.entries.len() >= self.bound {
            let Some(oldest) = self.order.pop_front() else { return };
            self.entries.remove(&oldest);
        }
        self.order.push_back(Rc::clone(key));
        self.entries.insert(Rc::clone(key), value);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_above_its_bound_and_the_newest_is_always_there(
            puts in prop::collection::vec((0u32..60, 0u64..30), 1..300), bound in 1usize..20,
        ) {
            let mut table = Bounded::new([7; 16], bound);
            for (now, (key, life)) in puts.into_iter().enumerate() {
                let key: Rc<str> = key.to_string().into();
                let until = now as u64 + life;
                table.insert(&key, until, |until| *until < now as u64);
                prop_assert!(table.len() <= bound);
                prop_assert_eq!(table.get(&key), Some(&until));
            }
        }
    }

    #[test]
    fn entries_that_have_ended_make_room_for_others() {
        let mut table = Bounded::new([7; 16], 100);
        for now in 0..10_000u64 {
            table.insert(&now.to_string().into(), now + 10, |until| *until < now);
        }
        assert!(table.len() < 40, "{}", table.len());
    }
}
