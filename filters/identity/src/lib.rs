//! Who a request comes from: a user id that is taken from the request, and the keyed hash of it.
//!
//! The raw id may be a secret (a bearer token, a session cookie), so neither Redis nor a log ever
//! sees it unless the manifest says `plain`; the hash cannot be reversed or guessed without the key.

#![forbid(unsafe_code)]

pub mod hashing;
pub mod keyring;

use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2::Blake2sMac;
use std::net::{IpAddr, SocketAddr};

/// The first 16 bytes of the keyed hash of a user id: what all tables in memory are keyed by.
pub type UserKey = [u8; 16];

/// The longest raw id that is hashed; a longer one counts as none, since each byte costs time.
const MAX_RAW: usize = 8192;
/// The longest raw id that is written to Redis as it is.
const MAX_PLAIN: usize = 256;

/// Hashes user ids: keyed BLAKE2s (RFC 7693) of 16 bytes, which for most ids is one run of its
/// compression function where HMAC-SHA256 takes two of a slower one. The work that depends on the
/// key alone is done once.
#[derive(Clone)]
pub struct IdentityKey {
    keyed: Blake2sMac<U16>,
}

impl IdentityKey {
    /// Prepares the key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self { keyed: KeyInit::new(&(*key).into()) }
    }

    /// The hash of a raw user id.
    pub fn hash(&self, raw: &[u8]) -> UserKey {
        self.keyed.clone().chain(raw).finalize_fixed().into()
    }
}

/// Whether a raw id can be used at all: present, of bounded length and, where it goes to Redis as
/// text, without control characters.
pub fn usable(raw: &[u8], plain: bool) -> bool {
    if plain {
        raw.len() <= MAX_PLAIN
            && !raw.is_empty()
            && core::str::from_utf8(raw).is_ok_and(|text| !text.chars().any(char::is_control))
    } else {
        !raw.is_empty() && raw.len() <= MAX_RAW
    }
}

/// The client's address out of Envoy's `address:port`; IPv6 is written in brackets there.
///
/// An IPv4 address that was mapped into IPv6 is given as the IPv4 address that it is.
pub fn client_address(peer: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(peer).ok()?;
    let address = match text.parse::<SocketAddr>() {
        Ok(peer) => peer.ip(),
        Err(_) => text.parse::<IpAddr>().ok()?,
    };
    Some(address.to_canonical())
}

/// The values of the cookies called `name`, in order, out of a Cookie header.
pub fn cookies<'a>(header: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    header.split(|byte| *byte == b';').filter_map(move |pair| {
        let (key, value) = split_once(pair, b'=')?;
        if key.trim_ascii() != name {
            return None;
        }
        let value = value.trim_ascii();
        let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        Some(unquoted.unwrap_or(value))
    })
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    let (head, tail) = bytes.split_at_checked(position)?;
    Some((head, tail.get(1..)?))
}

/// 32 lower-case hexadecimal digits.
pub fn hex(key: &UserKey) -> [u8; 32] {
    // By arithmetic, which is done for all bytes at once where a look-up is done for each.
    let digit = |nibble: u8| b'0' + nibble + u8::from(nibble > 9) * (b'a' - b'9' - 1);
    let mut out = [0u8; 32];
    for (pair, byte) in out.chunks_exact_mut(2).zip(key) {
        if let [high, low] = pair {
            *high = digit(byte >> 4);
            *low = digit(byte & 15);
        }
    }
    out
}

/// [`hex`] as text: how Redis knows a user.
pub fn hex_text(key: &UserKey) -> Box<str> {
    hex(key).into_iter().map(char::from).collect::<String>().into()
}

/// Reads `2 * N` hexadecimal digits of either case.
pub fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if text.len() != N.checked_mul(2)? {
        return None;
    }
    let mut out = [0u8; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_keyed_blake2s_of_16_bytes() {
        let key = IdentityKey::new(&[0x0b; 32]);
        // Made by Python: hashlib.blake2s(b"Hi There", key=b"\x0b" * 32, digest_size=16).hexdigest()
        assert_eq!(&hex(&key.hash(b"Hi There")), b"7eef348610790b07118453d8830d5192");
    }

    #[test]
    fn a_peer_is_read_with_and_without_port() {
        let read = |text: &str| client_address(text.as_bytes()).map(|ip| ip.to_string());
        assert_eq!(read("192.0.2.7:4711").as_deref(), Some("192.0.2.7"));
        assert_eq!(read("[2001:db8::1]:80").as_deref(), Some("2001:db8::1"));
        assert_eq!(read("[::ffff:192.0.2.7]:80").as_deref(), Some("192.0.2.7"));
        assert_eq!(read("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(read("/run/envoy.sock"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let header = b"a=1; uid=alice;uid2=x; uid = \"bob\" ; uid";
        let found: Vec<_> = cookies(header, b"uid").collect();
        assert_eq!(found, [&b"alice"[..], &b"bob"[..]]);
        assert_eq!(cookies(b"", b"uid").count(), 0);
    }

    #[test]
    fn ids_that_go_to_redis_as_text_are_clean_text() {
        assert!(usable(b"alice", true));
        assert!(!usable(b"al\nice", true));
        assert!(!usable(b"\xff", true));
        assert!(!usable(&[b'a'; 257], true));
        assert!(usable(b"\xff\n", false));
        assert!(!usable(b"", false) && !usable(b"", true));
        assert!(!usable(&[b'a'; 8193], false));
    }

    proptest! {
        #[test]
        fn hex_and_back(key: [u8; 16]) {
            prop_assert_eq!(unhex::<16>(&hex(&key)), Some(key));
        }

        #[test]
        fn any_bytes_are_parsed_without_harm(bytes: Vec<u8>, name: Vec<u8>) {
            let _ = client_address(&bytes);
            let _ = cookies(&bytes, &name).count();
            let _ = unhex::<16>(&bytes);
            let _ = usable(&bytes, true);
        }

        #[test]
        fn a_cookie_among_others_is_found(
            before in "[a-z]{1,5}=[a-z0-9]{0,9}", value in "[!#-+\\--:<-~]{1,40}", after in "[a-z]{1,5}=[a-z]{0,9}",
        ) {
            let header = format!("{before}; X-id={value};{after}");
            let found: Vec<_> = cookies(header.as_bytes(), b"X-id").collect();
            prop_assert_eq!(found, vec![value.as_bytes()]);
        }
    }
}
