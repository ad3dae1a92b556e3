//! Hashers for tables whose keys nobody can choose so as to collide.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hasher};

/// For user keys: the output of a keyed hash, so eight of their bytes are a hash already.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

/// Builds [`KeyHasher`]s.
pub type Uniform = BuildHasherDefault<KeyHasher>;

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*head);
        }
    }

    // The length prefix of an array carries nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// For names out of the parameters, which the operator chooses: a multiplication for each eight bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameHasher(u64);

/// Builds [`NameHasher`]s.
pub type Named = BuildHasherDefault<NameHasher>;

impl NameHasher {
    fn mix(&mut self, word: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(ODD);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(word.try_into().map_or(0, u64::from_le_bytes));
        }
        let rest = words.remainder().iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.mix(rest ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, _: u8) {}

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        // The table takes its upper bits for one thing and its lower ones for another.
        self.0 ^ self.0 >> 32
    }
}

/// For texts that clients choose: behind a secret, so that nobody can find two that collide.
#[derive(Clone, Debug)]
pub struct Keyed(DefaultHasher);

impl Keyed {
    /// Hashes with a secret, to be drawn at random where the tables are made.
    pub fn new(secret: [u8; 16]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&secret);
        Self(hasher)
    }
}

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_that_differ_a_little_spread_well() {
        let hash = |n: u32| Named::default().hash_one(format!("httproute/shop/shop/{n}").as_str());
        let low: HashSet<u64> = (0..1_000).map(|n| hash(n) & 0xffff).collect();
        let high: HashSet<u64> = (0..1_000).map(|n| hash(n) >> 48).collect();
        assert!(low.len() > 950 && high.len() > 950, "{} {}", low.len(), high.len());
    }

    #[test]
    fn another_secret_gives_other_hashes() {
        let hash = |secret: u8| Keyed::new([secret; 16]).hash_one("sluice:{quota}:shop/api/key");
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }

    #[test]
    fn lengths_count() {
        let hash = |bytes: &[u8]| Named::default().hash_one(bytes);
        assert_ne!(hash(b"a"), hash(b"a\0"));
        assert_ne!(hash(b""), hash(b"\0"));
    }
}
