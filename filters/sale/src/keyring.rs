//! The keys of all sales: one for identities and draws, several for passes.
//!
//! They live in Redis, made and rotated by the control plane, and reach the filter over its own
//! link: no configuration, and so no configuration dump, ever holds them.

use std::cell::RefCell;
use std::collections::HashMap;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::draw::DrawKey;
use identity::hashing::Named;
use identity::keyring::{secret, IDENTITY};
use identity::IdentityKey;

/// The signing keys kept; the control plane keeps no more either.
const MAX_SIGNING_KEYS: usize = 4;

/// The sales whose keys for passes are kept ready; what is above is derived again when needed.
const MAX_SALES: usize = 1_024;

/// A key for passes, with its number, and what was derived of it for each sale.
#[derive(Clone)]
struct SigningKey {
    number: u64,
    keyed: Hmac<Sha256>,
    of_sales: RefCell<HashMap<Box<str>, Hmac<Sha256>, Named>>,
}

impl SigningKey {
    fn new(number: u64, secret: &[u8; 32]) -> Self {
        Self { number, keyed: keyed(secret), of_sales: RefCell::default() }
    }

    fn of_sale(&self, tag: &str) -> Hmac<Sha256> {
        if let Some(ready) = self.of_sales.borrow().get(tag) {
            return ready.clone();
        }
        let message = self.keyed.clone().chain_update(b"sluice-pass\n").chain_update(tag);
        let derived = keyed(&message.finalize().into_bytes().into());
        let mut of_sales = self.of_sales.borrow_mut();
        if of_sales.len() >= MAX_SALES {
            of_sales.clear();
        }
        of_sales.insert(tag.into(), derived.clone());
        derived
    }
}

/// All keys, ready for use.
#[derive(Clone)]
pub struct Keyring {
    /// Hashes user ids.
    pub identity: IdentityKey,
    /// Keys the draws; derived from the identity key.
    pub draw: DrawKey,
    /// The number of the key that signs.
    pub version: u64,
    signing: Vec<SigningKey>,
}

impl Keyring {
    /// Reads the fields and values of the keyring hash. Unknown fields are left for later versions.
    ///
    /// # Errors
    /// One sentence that names the field in question; `Ok(None)` when there is no keyring.
    pub fn parse<'a>(
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Option<Self>, String> {
        let (mut identity, mut version, mut signing) = (None, None, Vec::new());
        let mut empty = true;
        for (field, value) in fields {
            empty = false;
            let name = String::from_utf8_lossy(field);
            if field == IDENTITY.as_bytes() {
                identity = Some(secret(&name, value)?);
            } else if field == b"version" {
                version = Some(number(value).ok_or_else(|| format!("{name} is not a number"))?);
            } else if let Some(digits) = field.strip_prefix(b"key:") {
                let number =
                    number(digits).ok_or_else(|| format!("{name:?} is not a key number"))?;
                signing.push(SigningKey::new(number, &secret(&name, value)?));
            }
        }
        if empty {
            return Ok(None);
        }
        let identity = identity.ok_or("identity is missing")?;
        let version = version.ok_or("version is missing")?;
        signing.sort_unstable_by_key(|key| core::cmp::Reverse(key.number));
        signing.truncate(MAX_SIGNING_KEYS);
        if !signing.iter().any(|key| key.number == version) {
            return Err(format!("key:{version}, the newest one, is missing"));
        }
        let draw = keyed(&identity).chain_update(b"sluice draw").finalize().into_bytes();
        Ok(Some(Self {
            identity: IdentityKey::new(&identity),
            draw: draw.first_chunk().copied().unwrap_or_default(),
            version,
            signing,
        }))
    }

    /// Whether passes that this key signed are good.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.signing.iter().any(|key| key.number == number)
    }

    /// The key for passes of one sale, derived from the signing key of that number: so that what is
    /// signed for each pass is short.
    pub(crate) fn pass_key(&self, number: u64, tag: &str) -> Option<Hmac<Sha256>> {
        self.signing.iter().find(|key| key.number == number).map(|key| key.of_sale(tag))
    }
}

// Never shows a key, wherever it may be printed.
impl core::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Keyring").field("version", &self.version).finish_non_exhaustive()
    }
}

/// An HMAC-SHA256 that has taken in its key and no message.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // A key of 32 bytes is shorter than a block, so it is padded with zeros and never hashed itself.
    let mut block = [0u8; 64];
    if let Some(head) = block.get_mut(..32) {
        head.copy_from_slice(key);
    }
    <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block.into())
}

fn number(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use identity::hex;
    use proptest::prelude::*;

    pub(crate) fn ring(version: u64) -> Keyring {
        let keys: Vec<(Vec<u8>, Vec<u8>)> = (1..=version)
            .map(|n| (format!("key:{n}").into_bytes(), format!("{n:064x}").into_bytes()))
            .chain([
                (b"identity".to_vec(), b"0f".repeat(32)),
                (b"version".to_vec(), version.to_string().into_bytes()),
            ])
            .collect();
        Keyring::parse(keys.iter().map(|(k, v)| (&k[..], &v[..]))).unwrap().unwrap()
    }

    fn error(fields: &[(&str, &str)]) -> String {
        Keyring::parse(fields.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes()))).unwrap_err()
    }

    #[test]
    fn an_empty_hash_is_no_keyring() {
        assert!(Keyring::parse([]).unwrap().is_none());
    }

    #[test]
    fn the_newest_keys_are_kept_and_found() {
        let ring = ring(6);
        assert!(ring.has(6) && ring.has(3));
        assert!(!ring.has(2));
        assert_eq!(format!("{ring:?}"), "Keyring { version: 6, .. }");
    }

    #[test]
    fn the_draw_key_is_derived_as_written() {
        // Made by Python: hmac.new(b"\x0f" * 32, b"sluice draw", "sha256").hexdigest()[:32]
        assert_eq!(&hex(&ring(1).draw), b"3a63c3224a51f7cccdaa1907b26b3a06");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = "a".repeat(64);
        assert_eq!(error(&[("version", "1")]), "identity is missing");
        assert_eq!(error(&[("identity", "xyz")]), "identity is not 64 hexadecimal digits");
        assert_eq!(error(&[("identity", &good)]), "version is missing");
        assert_eq!(error(&[("identity", &good), ("version", "x")]), "version is not a number");
        let missing = error(&[("identity", &good), ("version", "2"), ("key:1", &good)]);
        assert_eq!(missing, "key:2, the newest one, is missing");
        assert!(error(&[("key:x", &good)]).contains("key:x"));
    }

    proptest! {
        #[test]
        fn any_fields_are_read_without_harm(fields: Vec<(Vec<u8>, Vec<u8>)>) {
            let _ = Keyring::parse(fields.iter().map(|(k, v)| (&k[..], &v[..])));
        }
    }
}
