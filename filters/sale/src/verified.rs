//! Passes that this worker has verified before.
//!
//! Somebody who holds a pass shows it with every request, and two keyed hashes each time are the
//! better part of what the filter itself computes. One short hash finds them again.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::pass::Claims;
use identity::UserKey;

/// The passes remembered: about 500 KB, taken with the first one.
const SLOTS: usize = 4_096;

/// A bounded memory of good passes, each under a print of the sale, the raw user id and the pass.
///
/// The print is keyed with a random number, so that nobody can make two that collide, and all of its
/// 128 bits are compared. No raw user id is kept.
#[derive(Debug)]
pub struct VerifiedPasses {
    key: [u8; 16],
    slots: Vec<Option<(u128, UserKey, Claims)>>,
}

impl VerifiedPasses {
    /// An empty memory, under a key that nobody else knows.
    pub fn new(key: [u8; 16]) -> Self {
        Self { key, slots: Vec::new() }
    }

    /// The print of a pass that is shown.
    pub(crate) fn print(&self, tag: &str, id: &[u8], pass: &[u8]) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        // Lengths keep the parts apart.
        hasher.write_usize(tag.len());
        hasher.write(tag.as_bytes());
        hasher.write_usize(id.len());
        hasher.write(id);
        hasher.write(pass);
        hasher.finish128().into()
    }

    /// Who showed this pass before, and what it claims.
    pub(crate) fn get(&self, print: u128) -> Option<(UserKey, Claims)> {
        let found = self.slots.get(slot(print)).and_then(Option::as_ref);
        found.filter(|(known, ..)| *known == print).map(|(_, user, claims)| (*user, *claims))
    }

    /// Remembers a good pass, in the place of another one if need be.
    pub(crate) fn insert(&mut self, print: u128, user: UserKey, claims: Claims) {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, None);
        }
        if let Some(place) = self.slots.get_mut(slot(print)) {
            *place = Some((print, user, claims));
        }
    }
}

fn slot(print: u128) -> usize {
    print as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLAIMS: Claims = Claims { key: 1, expiry_s: 9, generation: 1, number: 7 };

    #[test]
    fn a_pass_is_found_again_and_no_other() {
        let mut passes = VerifiedPasses::new([3; 16]);
        let print = passes.print("a/b/1", b"alice", b"pass");
        assert_eq!(passes.get(print), None);
        passes.insert(print, [1; 16], CLAIMS);
        assert_eq!(passes.get(print), Some(([1; 16], CLAIMS)));
        let others =
            [("a/b/2", "alice", "pass"), ("a/b/1", "alic", "epass"), ("a/b/1", "alice", "p")];
        for (tag, id, pass) in others {
            assert_eq!(passes.get(passes.print(tag, id.as_bytes(), pass.as_bytes())), None);
        }
    }

    proptest! {
        #[test]
        fn never_above_its_bound(prints: Vec<u128>) {
            let mut passes = VerifiedPasses::new([3; 16]);
            for print in prints {
                passes.insert(print, [1; 16], CLAIMS);
                prop_assert!(passes.get(print).is_some());
                prop_assert!(passes.slots.len() <= SLOTS);
            }
        }
    }
}
