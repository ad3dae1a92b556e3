//! The users that a sale refuses outright.

use std::collections::HashSet;

use identity::UserKey;
use sha2::{Digest, Sha256};

/// Users that are known by a hash that is bound to the sale, so that no parameter shows who they are.
#[derive(Clone, Debug, Default)]
pub struct DeniedUsers {
    users: HashSet<UserKey>,
    prefix: Sha256,
}

impl DeniedUsers {
    /// `users` are the first 16 bytes of SHA-256 of the books tag, a zero byte and the raw id.
    pub fn new(tag: &str, users: impl IntoIterator<Item = UserKey>) -> Self {
        let prefix = Sha256::new().chain_update(tag.as_bytes()).chain_update([0]);
        Self { users: users.into_iter().collect(), prefix }
    }

    /// Whether this raw id is denied. Costs nothing while nobody is.
    pub fn contains(&self, raw: &[u8]) -> bool {
        !self.users.is_empty() && {
            let hash = self.prefix.clone().chain_update(raw).finalize();
            hash.first_chunk::<16>().is_some_and(|half| self.users.contains(half))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_users_are_bound_to_the_sale() {
        let hash = Sha256::digest(b"shop/laptop/1\0mallory");
        let denied = DeniedUsers::new("shop/laptop/1", [*hash.first_chunk::<16>().unwrap()]);
        assert!(denied.contains(b"mallory"));
        assert!(!denied.contains(b"alice"));
        let other = DeniedUsers::new("shop/phone/1", [*hash.first_chunk::<16>().unwrap()]);
        assert!(!other.contains(b"mallory"));
    }
}
