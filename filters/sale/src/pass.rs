//! The pass: a signed cookie that proves a permit without any state.
//!
//! `1.<key number>.<expiry, unix s>.<generation>.<permit number>.<mac>`, where the mac covers the
//! sale, its epoch and the user as well, so that a pass is worth nothing to anybody else, nor
//! anywhere else.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::keyring::Keyring;
use identity::{hex, UserKey};

/// The longest cookie value that is looked at; a real one has at most about 130 bytes.
const MAX_LENGTH: usize = 200;
/// How many cookies of the same name are tried, since each costs a hash.
const MAX_TRIES: usize = 3;
/// The length of 32 bytes in base64 without padding.
const MAC_LENGTH: usize = 43;

/// What a pass claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The number of the key that signed it.
    pub key: u64,
    /// When it ends, in seconds since 1970.
    pub expiry_s: u64,
    /// The generation of the books that it was given under.
    pub generation: u64,
    /// The number of the permit.
    pub number: u64,
}

/// Signs a pass with the newest key. `None` without one, which a parsed keyring rules out.
pub fn mint(
    ring: &Keyring,
    tag: &str,
    user: &UserKey,
    expiry_s: u64,
    generation: u64,
    number: u64,
) -> Option<String> {
    let key = ring.pass_key(ring.version, tag)?;
    let claims = format!("{}.{expiry_s}.{generation}.{number}", ring.version);
    let mac = sign(key, user, claims.as_bytes());
    let mac = core::str::from_utf8(&mac).ok()?;
    Some(format!("1.{claims}.{mac}"))
}

/// The claims of the first pass that is good for this user of this sale, at `now_s`, among cookie
/// values of the right name. `generation` is that of the books, where it is known.
pub fn verify<'a>(
    ring: &Keyring,
    tag: &str,
    user: &UserKey,
    now_s: u64,
    generation: Option<u64>,
    candidates: impl Iterator<Item = &'a [u8]>,
) -> Option<Claims> {
    candidates.take(MAX_TRIES).find_map(|value| {
        let (claims, covered, mac) = read(value)?;
        if !current(&claims, now_s, generation) {
            return None;
        }
        let key = ring.pass_key(claims.key, tag)?;
        bool::from(sign(key, user, covered).ct_eq(mac)).then_some(claims)
    })
}

/// Whether a pass that was good once still is.
pub fn stands(claims: &Claims, ring: &Keyring, now_s: u64, generation: Option<u64>) -> bool {
    current(claims, now_s, generation) && ring.has(claims.key)
}

/// Whether a good pass needs no renewal: of the newest key, and good for at least half of its life.
pub fn fresh(claims: &Claims, ring: &Keyring, now_s: u64, ttl_s: u64) -> bool {
    claims.key == ring.version && claims.expiry_s.saturating_sub(now_s) >= ttl_s / 2
}

fn current(claims: &Claims, now_s: u64, generation: Option<u64>) -> bool {
    claims.expiry_s > now_s && generation.is_none_or(|current| claims.generation == current)
}

/// Splits a value into its claims, the bytes that the mac covers, and the mac.
fn read(value: &[u8]) -> Option<(Claims, &[u8], &[u8; MAC_LENGTH])> {
    if value.len() > MAX_LENGTH {
        return None;
    }
    let (rest, mac) = value.split_last_chunk::<MAC_LENGTH>()?;
    let covered = rest.strip_prefix(b"1.")?.strip_suffix(b".")?;
    let mut fields = covered.split(|byte| *byte == b'.').map(decimal);
    let claims = Claims {
        key: fields.next()??,
        expiry_s: fields.next()??,
        generation: fields.next()??,
        number: fields.next()??,
    };
    fields.next().is_none().then_some((claims, covered, mac))
}

/// A number of 1 to 16 digits: all that Redis counts exactly.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        Some(sum * 10 + u64::from(value))
    })
}

/// The mac, by the key of the sale: of the user's hash and the claims.
fn sign(mut mac: Hmac<Sha256>, user: &UserKey, claims: &[u8]) -> [u8; MAC_LENGTH] {
    mac.update(&hex(user));
    mac.update(b"\n");
    mac.update(claims);
    let mut out = [0u8; MAC_LENGTH];
    let written = URL_SAFE_NO_PAD.encode_slice(mac.finalize().into_bytes(), &mut out);
    debug_assert_eq!(written, Ok(MAC_LENGTH));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::tests::ring;
    use proptest::prelude::*;

    const TAG: &str = "shop/laptop/1";
    const USER: UserKey = [0xab; 16];

    fn good(value: &str, ring: &Keyring, now_s: u64, generation: Option<u64>) -> Option<Claims> {
        verify(ring, TAG, &USER, now_s, generation, [value.as_bytes()].into_iter())
    }

    #[test]
    fn a_pass_is_good_until_it_ends_and_in_its_generation() {
        let ring = ring(2);
        let pass = mint(&ring, TAG, &USER, 1_000, 3, 42).unwrap();
        let claims = Claims { key: 2, expiry_s: 1_000, generation: 3, number: 42 };
        assert_eq!(good(&pass, &ring, 999, Some(3)), Some(claims));
        assert_eq!(good(&pass, &ring, 999, None), Some(claims));
        assert_eq!(good(&pass, &ring, 1_000, Some(3)), None);
        assert_eq!(good(&pass, &ring, 999, Some(4)), None);
    }

    #[test]
    fn a_pass_is_bound_to_sale_and_user() {
        let ring = ring(1);
        let pass = mint(&ring, TAG, &USER, 1_000, 3, 42).unwrap();
        let check = |tag: &str, user: UserKey| {
            verify(&ring, tag, &user, 0, None, [pass.as_bytes()].into_iter())
        };
        assert!(check(TAG, USER).is_some());
        assert!(check("shop/laptop/2", USER).is_none());
        assert!(check(TAG, [0xac; 16]).is_none());
    }

    #[test]
    fn old_keys_verify_and_the_newest_signs() {
        let old = mint(&ring(1), TAG, &USER, 1_000, 1, 7).unwrap();
        assert!(good(&old, &ring(4), 0, None).is_some());
        assert!(good(&old, &ring(5), 0, None).is_none());
        assert!(mint(&ring(4), TAG, &USER, 1_000, 1, 7).unwrap().starts_with("1.4.1000.1.7."));
    }

    #[test]
    fn the_mac_is_made_as_written() {
        let pass = mint(&ring(1), TAG, &USER, 1_767_225_600, 1, 42).unwrap();
        assert_eq!(pass, "1.1.1767225600.1.42.ks3uaaF1BPTmdVl5GSHqQVFDjSZ1YVYjNCLaz-WTAqw");
    }

    #[test]
    fn a_pass_is_renewed_in_the_second_half_of_its_life_or_by_a_newer_key() {
        let one = ring(1);
        let pass = mint(&one, TAG, &USER, 1_000, 1, 7).unwrap();
        let left_alone = |ring: &Keyring, now| {
            let claims = good(&pass, ring, now, Some(1)).unwrap();
            assert!(stands(&claims, ring, now, Some(1)));
            fresh(&claims, ring, now, 100)
        };
        assert!(left_alone(&one, 950));
        assert!(!left_alone(&one, 951));
        assert!(!left_alone(&ring(2), 900));
    }

    #[test]
    fn a_stale_cookie_does_not_hide_a_good_one() {
        let ring = ring(1);
        let stale = mint(&ring, TAG, &USER, 10, 1, 7).unwrap();
        let pass = mint(&ring, TAG, &USER, 1_000, 1, 7).unwrap();
        let both = [stale.as_bytes(), pass.as_bytes()];
        assert!(verify(&ring, TAG, &USER, 500, None, both.into_iter()).is_some());
    }

    proptest! {
        #[test]
        fn any_change_of_any_byte_is_noticed(at in 0usize..70, to: u8) {
            let ring = ring(1);
            let mut pass = mint(&ring, TAG, &USER, 1_000, 3, 42).unwrap().into_bytes();
            let at = at % pass.len();
            prop_assume!(pass[at] != to);
            pass[at] = to;
            prop_assert!(verify(&ring, TAG, &USER, 1, None, [&pass[..]].into_iter()).is_none());
        }

        #[test]
        fn any_bytes_are_read_without_harm(value: Vec<u8>) {
            prop_assert!(verify(&ring(1), TAG, &USER, 1, None, [&value[..]].into_iter()).is_none());
        }

        #[test]
        fn what_is_minted_is_good(expiry in 2u64..9_999_999_999_999, generation in 0u64..1 << 53, number in 0u64..1 << 53, user: UserKey) {
            let ring = ring(1);
            let pass = mint(&ring, TAG, &user, expiry, generation, number).unwrap();
            let claims = verify(&ring, TAG, &user, 1, Some(generation), [pass.as_bytes()].into_iter());
            prop_assert_eq!(claims.map(|c| c.number), Some(number));
        }
    }
}
