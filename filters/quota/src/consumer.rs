//! Whom a limit counts: the parts of its key, read from the request, and the consumer they make.
//!
//! The parts are joined to a message: the length of each as a big-endian `u32`, then its bytes, so
//! that no two lists of parts give the same message. Redis knows a consumer by the message's keyed
//! hash, or by the parts themselves where the manifest says `plain`.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use identity::{client_address, cookies, hex, usable, IdentityKey, UserKey};

/// The most parts of a key: a byte has a bit for each.
pub(crate) const MAX_PARTS: usize = 8;
/// The consumer of a limit without a key.
const EVERYBODY: &str = "all";
/// The longest plain consumer id; a longer one is hashed all the same.
const MAX_PLAIN: usize = 256;

/// What is read of a request. Each read is a call of the proxy: [`Seen`] makes each at most once.
pub trait Request {
    /// The client's address as Envoy sees it: `address:port`.
    fn peer(&self) -> Option<Vec<u8>>;
    /// The first value of a header, by its name in lower case.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    /// The path with its query.
    fn path(&self) -> Option<Vec<u8>>;
    /// The method.
    fn method(&self) -> Option<Vec<u8>>;
    /// The name of the route in Envoy.
    fn route(&self) -> Option<Vec<u8>>;
}

/// What was read of a request so far.
#[derive(Debug)]
pub struct Seen {
    /// The name of the header that cookies stand in.
    cookie: Rc<str>,
    headers: Vec<(Rc<str>, Option<Vec<u8>>)>,
    peer: OnceCell<Option<IpAddr>>,
    target: OnceCell<Option<Vec<u8>>>,
    method: OnceCell<Option<Vec<u8>>>,
    route: OnceCell<Option<Vec<u8>>>,
}

impl Default for Seen {
    fn default() -> Self {
        let [target, method, route] = [OnceCell::new(), OnceCell::new(), OnceCell::new()];
        let (headers, peer) = (Vec::new(), OnceCell::new());
        Self { cookie: "cookie".into(), headers, peer, target, method, route }
    }
}

impl Seen {
    /// A header, empty or not.
    pub(crate) fn header(&mut self, request: &impl Request, name: &Rc<str>) -> Option<&[u8]> {
        // A few names at most: looking at each beats a table.
        let known = self.headers.iter().position(|(known, _)| known == name);
        let place = known.unwrap_or_else(|| {
            self.headers.push((Rc::clone(name), request.header(name)));
            self.headers.len() - 1
        });
        self.headers.get(place)?.1.as_deref()
    }

    /// The path without its query.
    pub(crate) fn path(&self, request: &impl Request) -> Option<&[u8]> {
        self.target(request).map(|target| split_target(target).0)
    }

    /// The method.
    pub(crate) fn method(&self, request: &impl Request) -> Option<&[u8]> {
        self.method.get_or_init(|| request.method()).as_deref()
    }

    fn target(&self, request: &impl Request) -> Option<&[u8]> {
        self.target.get_or_init(|| request.path()).as_deref()
    }

    fn cookie<'a>(&'a mut self, request: &impl Request, name: &'a [u8]) -> Option<&'a [u8]> {
        let header = Rc::clone(&self.cookie);
        cookies(self.header(request, &header)?, name).next()
    }

    fn route(&self, request: &impl Request) -> Option<&[u8]> {
        self.route.get_or_init(|| request.route()).as_deref()
    }

    fn peer(&self, request: &impl Request) -> Option<IpAddr> {
        *self.peer.get_or_init(|| request.peer().as_deref().and_then(client_address))
    }

    /// Forgets the request, and keeps the memory for the next one.
    pub(crate) fn clear(&mut self) {
        self.headers.clear();
        self.peer.take();
        self.target.take();
        self.method.take();
        self.route.take();
    }
}

/// Path and query of a request's target.
fn split_target(target: &[u8]) -> (&[u8], &[u8]) {
    let target = target.split(|byte| *byte == b'#').next().unwrap_or_default();
    let mut halves = target.splitn(2, |byte| *byte == b'?');
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The value of a header, by its name in lower case.
    Header(Rc<str>),
    /// The value of a cookie.
    Cookie(Box<[u8]>),
    /// The value of a query parameter, percent-decoded, the first of several.
    Query(Box<[u8]>),
    /// The network of the client: the leading bits of its address.
    ClientAddress {
        /// Of an IPv4 address, at most 32.
        ipv4: u32,
        /// Of an IPv6 address, at most 128.
        ipv6: u32,
    },
    /// The path without its query.
    Path,
    /// The name of the route in Envoy.
    Route,
    /// This text.
    Literal(Box<[u8]>),
}

/// The parts of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// The parts.
    pub parts: Vec<Part>,
    /// A bit for each part that a request must have, the first part's lowest.
    pub required: u8,
}

impl Key {
    /// Appends the message of a request's parts.
    ///
    /// # Errors
    /// Parts that the request lacks, a bit each. Once one is absent only required ones are looked
    /// for.
    pub(crate) fn read(
        &self,
        seen: &mut Seen,
        request: &impl Request,
        out: &mut Vec<u8>,
    ) -> Result<(), u8> {
        let start = out.len();
        let mut absent = 0u8;
        for (place, part) in self.parts.iter().enumerate().take(MAX_PARTS) {
            let bit = 1u8 << place;
            if absent != 0 && self.required & bit == 0 {
                continue;
            }
            let length_at = out.len();
            out.extend([0; 4]);
            if part.read(seen, request, out).is_none() {
                absent |= bit;
            }
            let value_at = length_at + 4;
            let length = (out.len() - value_at) as u32;
            if let Some(field) = out.get_mut(length_at..value_at) {
                field.copy_from_slice(&length.to_be_bytes());
            }
        }
        if absent == 0 {
            Ok(())
        } else {
            out.truncate(start);
            Err(absent)
        }
    }
}

impl Part {
    /// Appends the part's value; `None` when the request has none. What may be a secret counts as
    /// none where it is empty or absurdly long, as for a sale.
    fn read(&self, seen: &mut Seen, request: &impl Request, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        match self {
            Self::Header(name) => out.extend_from_slice(seen.header(request, name)?),
            Self::Cookie(name) => out.extend_from_slice(seen.cookie(request, name)?),
            Self::Query(name) => query_value(split_target(seen.target(request)?).1, name, out)?,
            Self::ClientAddress { ipv4, ipv6 } => {
                write_network(seen.peer(request)?, *ipv4, *ipv6, out);
                return Some(());
            }
            Self::Path => {
                out.extend_from_slice(seen.path(request)?);
                return Some(());
            }
            Self::Route => {
                out.extend_from_slice(seen.route(request)?);
                return Some(());
            }
            Self::Literal(text) => {
                out.extend_from_slice(text);
                return Some(());
            }
        }
        out.get(start..).is_some_and(|value| usable(value, false)).then_some(())
    }
}

/// The parts of a message.
pub(crate) fn parts(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = message;
    core::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (part, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = tail;
        Some(part)
    })
}

/// Appends the id of the consumer with this message.
pub(crate) fn write_id(
    plain: bool,
    message: &[u8],
    hash: impl FnOnce() -> UserKey,
    out: &mut String,
) {
    if message.is_empty() {
        out.push_str(EVERYBODY);
        return;
    }
    if plain {
        let start = out.len();
        if write_plain(message, out) {
            return;
        }
        out.truncate(start);
    }
    out.push_str(core::str::from_utf8(&hex(&hash())).unwrap_or_default());
}

/// Appends the parts as text; false, and only a piece of them, when that is too long.
fn write_plain(message: &[u8], out: &mut String) -> bool {
    let start = out.len();
    for (place, part) in parts(message).enumerate() {
        if place > 0 {
            out.push(',');
        }
        for byte in part {
            if byte.is_ascii_alphanumeric() || b"-._~@:/".contains(byte) {
                out.push(char::from(*byte));
            } else {
                out.push('%');
                out.push(hex_digit(byte >> 4));
                out.push(hex_digit(byte & 15));
            }
            if out.len() - start > MAX_PLAIN {
                return false;
            }
        }
    }
    out.len() - start <= MAX_PLAIN
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

/// The id of a consumer with these parts, as counters are named by it.
pub fn consumer_id<'a>(
    identity: &IdentityKey,
    values: impl IntoIterator<Item = &'a [u8]>,
    plain: bool,
) -> String {
    let message = message(values);
    let mut id = String::new();
    write_id(plain, &message, || identity.hash(&message), &mut id);
    id
}

/// The message of a consumer with these parts.
pub fn message<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut message = Vec::new();
    for value in values {
        message.extend((value.len() as u32).to_be_bytes());
        message.extend_from_slice(value);
    }
    message
}

/// Whether a consumer is among the `percent` that a limit is enforced for: always the same ones.
pub fn is_among(hash: &UserKey, percent: u64) -> bool {
    let head = hash.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
    head % 10_000 < percent.saturating_mul(100)
}

/// Appends the first value of a query parameter, percent-decoded.
fn query_value(query: &[u8], name: &[u8], out: &mut Vec<u8>) -> Option<()> {
    for pair in query.split(|byte| *byte == b'&') {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        if percent_decoded(halves.next()?).eq(name.iter().copied()) {
            out.extend(percent_decoded(halves.next().unwrap_or_default()));
            return Some(());
        }
    }
    None
}

/// Bytes with `%XX` decoded (RFC 3986, section 2.1); a sign that begins no such triple stands for
/// itself, and so does `+`.
fn percent_decoded(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    core::iter::from_fn(move || {
        if let [b'%', high, low, tail @ ..] = rest {
            if let (Some(high), Some(low)) = (digit(*high), digit(*low)) {
                rest = tail;
                return Some(high << 4 | low);
            }
        }
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        Some(*byte)
    })
}

/// Appends the network of an address: `203.0.113.0/24`, or the address where all of it counts.
fn write_network(address: IpAddr, ipv4: u32, ipv6: u32, out: &mut Vec<u8>) {
    let (network, length, full) = match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(ipv4)).unwrap_or(0);
            (IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask)), ipv4, 32)
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(ipv6)).unwrap_or(0);
            (IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask)), ipv6, 128)
        }
    };
    let mut out = Bytes(out);
    let _ = write!(out, "{network}");
    if length < full {
        let _ = write!(out, "/{length}");
    }
}

/// Text that is written into bytes.
struct Bytes<'a>(&'a mut Vec<u8>);

impl core::fmt::Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
#[path = "consumer_tests.rs"]
pub(crate) mod tests;
