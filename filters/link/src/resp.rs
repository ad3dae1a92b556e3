//! RESP2 and RESP3, incrementally: bytes may be split anywhere.
//!
//! A reply is read where it lies when it is whole, and only what is left of a split one is kept. What has been read of a
//! long array stays read, so that a reply in many pieces costs no more than one in one piece. Everything that the other
//! side could make large is bounded.

use core::fmt;

use crate::value::{ReplyError, Value};

/// A line (a number, a status, an error) is never longer.
const MAX_LINE: usize = 16 * 1024;
/// Space set aside for an array before its items have come.
const MAX_RESERVE: usize = 1024;

/// Bounds of one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes on the wire.
    pub bytes: usize,
    /// Arrays in arrays.
    pub depth: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 4 * 1024 * 1024, depth: 8 }
    }
}

/// Bytes that are no reply, or one beyond the bounds. The connection is of no use after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// An unknown type byte.
    Type(u8),
    /// Not a number where one must be, or one out of range.
    Number,
    /// A line without its end, or a text without its own.
    Ending,
    /// More bytes than allowed.
    TooLong,
    /// More nesting than allowed.
    TooDeep,
    /// Streamed strings and arrays, which no Redis sends.
    Streamed,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(byte) => write!(f, "unknown reply type 0x{byte:02x}"),
            Self::Number => f.write_str("malformed number"),
            Self::Ending => f.write_str("missing line end"),
            Self::TooLong => f.write_str("reply too long"),
            Self::TooDeep => f.write_str("reply nested too deep"),
            Self::Streamed => f.write_str("streamed reply"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// Reads replies from bytes as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    bounds: Bounds,
    /// Bytes of a reply that is not whole yet.
    held: Vec<u8>,
    /// The arrays that are being filled.
    open: Vec<Open>,
    /// Bytes of the reply at hand that have been read.
    used: usize,
}

/// An array that is being filled.
#[derive(Debug)]
struct Open {
    kind: Kind,
    left: usize,
    items: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
    /// Pairs about the value that follows; nobody here asks for them, so they are dropped.
    Attribute,
}

/// The next thing in the bytes.
enum Item {
    Whole(Value),
    Open(Kind, usize),
}

impl Decoder {
    /// With bounds of your own.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// The next whole reply. Takes what it reads from the front of `input`; on `None` it has taken all of it, and waits for
    /// more.
    ///
    /// # Errors
    /// The bytes are not RESP or go beyond the bounds. The decoder is of no use afterwards.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Value>, ProtocolError> {
        if self.held.is_empty() {
            let (used, value) = self.read(input)?;
            let rest = input.get(used..).unwrap_or_default();
            if value.is_none() {
                self.held.extend_from_slice(rest);
                *input = &[];
            } else {
                *input = rest;
            }
            return Ok(value);
        }
        let mut held = core::mem::take(&mut self.held);
        held.extend_from_slice(input);
        *input = &[];
        let (used, value) = self.read(&held)?;
        held.drain(..used);
        self.held = held;
        Ok(value)
    }

    /// Whether the end of the last bytes was the end of a reply.
    pub fn is_at_rest(&self) -> bool {
        self.held.is_empty() && self.open.is_empty() && self.used == 0
    }

    /// Reads up to the end of one reply; tells the bytes used, also of one that is not whole.
    fn read(&mut self, bytes: &[u8]) -> Result<(usize, Option<Value>), ProtocolError> {
        let mut at = 0;
        loop {
            let room = self.bounds.bytes.saturating_sub(self.used);
            let Some((used, item)) = next_item(bytes.get(at..).unwrap_or_default(), room)? else {
                return Ok((at, None));
            };
            at += used;
            self.used += used;
            if self.used > self.bounds.bytes {
                return Err(ProtocolError::TooLong);
            }
            if let Some(value) = self.place(item)? {
                self.used = 0;
                return Ok((at, Some(value)));
            }
        }
    }

    /// Puts an item where it belongs; gives the reply that it has completed.
    fn place(&mut self, item: Item) -> Result<Option<Value>, ProtocolError> {
        let mut value = match item {
            Item::Whole(value) => value,
            Item::Open(kind, 0) => match close(kind, Vec::new()) {
                Some(value) => value,
                None => return Ok(None),
            },
            Item::Open(kind, left) => {
                if self.open.len() >= self.bounds.depth {
                    return Err(ProtocolError::TooDeep);
                }
                let items = Vec::with_capacity(left.min(MAX_RESERVE));
                self.open.push(Open { kind, left, items });
                return Ok(None);
            }
        };
        while let Some(open) = self.open.last_mut() {
            open.items.push(value);
            open.left -= 1;
            if open.left > 0 {
                return Ok(None);
            }
            let Some(full) = self.open.pop() else { return Ok(None) };
            match close(full.kind, full.items) {
                Some(array) => value = array,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }
}

fn close(kind: Kind, items: Vec<Value>) -> Option<Value> {
    match kind {
        Kind::Array => Some(Value::Array(items)),
        Kind::Set => Some(Value::Set(items)),
        Kind::Push => Some(Value::Push(items)),
        Kind::Map => {
            let mut pairs = Vec::with_capacity(items.len() / 2);
            let mut items = items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Some(Value::Map(pairs))
        }
        Kind::Attribute => None,
    }
}

/// The next item and its length; `None` when it is not whole.
fn next_item(bytes: &[u8], room: usize) -> Result<Option<(usize, Item)>, ProtocolError> {
    let Some((line, line_used)) = next_line(bytes)? else { return Ok(None) };
    let Some((kind, text)) = line.split_first() else { return Err(ProtocolError::Ending) };
    let whole = |value| Ok(Some((line_used, Item::Whole(value))));
    let open = |kind, each: usize| match length(text)? {
        None => Ok(Some((line_used, Item::Whole(Value::Nil)))),
        // an item has at least three bytes
        Some(count) if count > room / 3 / each => Err(ProtocolError::TooLong),
        Some(count) => Ok(Some((line_used, Item::Open(kind, count * each)))),
    };
    match kind {
        b'+' => whole(Value::Simple(text.to_vec())),
        b'-' => whole(Value::Error(ReplyError::parse(text))),
        b':' => whole(Value::Int(number(text)?)),
        b'_' if text.is_empty() => whole(Value::Nil),
        b'#' => match text {
            b"t" => whole(Value::Bool(true)),
            b"f" => whole(Value::Bool(false)),
            _ => Err(ProtocolError::Number),
        },
        b',' => whole(Value::Double(double(text)?)),
        b'(' => whole(Value::BigNumber(digits(text)?.to_vec())),
        b'$' | b'!' | b'=' => {
            let Some(length) = length(text)? else { return whole(Value::Nil) };
            if length > room {
                return Err(ProtocolError::TooLong);
            }
            let rest = bytes.get(line_used..).unwrap_or_default();
            let Some(text) = text_of(rest, length)? else { return Ok(None) };
            let value = match kind {
                b'!' => Value::Error(ReplyError::parse(text)),
                // the first four bytes tell a format, as in "txt:"
                b'=' => Value::Bulk(text.get(4..).ok_or(ProtocolError::Ending)?.to_vec()),
                _ => Value::Bulk(text.to_vec()),
            };
            Ok(Some((line_used + length + 2, Item::Whole(value))))
        }
        b'*' => open(Kind::Array, 1),
        b'~' => open(Kind::Set, 1),
        b'>' => open(Kind::Push, 1),
        b'%' => open(Kind::Map, 2),
        b'|' => open(Kind::Attribute, 2),
        other => Err(ProtocolError::Type(*other)),
    }
}

/// A line without its end, and its length with it.
fn next_line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let seen = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else {
        return if seen.len() == MAX_LINE { Err(ProtocolError::TooLong) } else { Ok(None) };
    };
    match seen.get(..end).and_then(<[u8]>::split_last) {
        Some((b'\r', line)) if !line.contains(&b'\r') => Ok(Some((line, end + 1))),
        _ => Err(ProtocolError::Ending),
    }
}

/// A text of a known length, when it and its line end are there.
fn text_of(bytes: &[u8], length: usize) -> Result<Option<&[u8]>, ProtocolError> {
    match (bytes.get(..length), bytes.get(length..length + 2)) {
        (Some(text), Some(b"\r\n")) => Ok(Some(text)),
        (Some(_), Some(_)) => Err(ProtocolError::Ending),
        _ => Ok(None),
    }
}

/// A length; `None` for -1, which stands for nothing.
fn length(text: &[u8]) -> Result<Option<usize>, ProtocolError> {
    match text {
        b"?" => Err(ProtocolError::Streamed),
        b"-1" => Ok(None),
        _ => Ok(Some(usize::try_from(number(text)?).map_err(|_| ProtocolError::Number)?)),
    }
}

fn number(text: &[u8]) -> Result<i64, ProtocolError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(ProtocolError::Number);
    }
    // counted below zero, where there is room for one more
    let mut sum = 0i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return Err(ProtocolError::Number);
        }
        sum = sum
            .checked_mul(10)
            .and_then(|sum| sum.checked_sub(i64::from(digit)))
            .ok_or(ProtocolError::Number)?;
    }
    if negative {
        Ok(sum)
    } else {
        sum.checked_neg().ok_or(ProtocolError::Number)
    }
}

fn digits(text: &[u8]) -> Result<&[u8], ProtocolError> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if valid {
        Ok(text)
    } else {
        Err(ProtocolError::Number)
    }
}

fn double(text: &[u8]) -> Result<f64, ProtocolError> {
    let text = core::str::from_utf8(text).map_err(|_| ProtocolError::Number)?;
    text.parse().map_err(|_| ProtocolError::Number)
}

/// Writes a value as a server would: for tests that play the server.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    let mut line = |kind: u8, text: &[u8]| {
        out.push(kind);
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    };
    let count = |items: usize| items.to_string().into_bytes();
    match value {
        Value::Nil => line(b'$', b"-1"),
        Value::Int(number) => line(b':', number.to_string().as_bytes()),
        Value::Simple(text) => line(b'+', text),
        Value::Error(error) => line(b'-', error.text.as_bytes()),
        Value::Bool(is) => line(b'#', if *is { b"t" } else { b"f" }),
        Value::Double(number) => line(b',', number.to_string().as_bytes()),
        Value::BigNumber(text) => line(b'(', text),
        Value::Bulk(text) => {
            line(b'$', &count(text.len()));
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
        Value::Map(pairs) => {
            line(b'%', &count(pairs.len()));
            for (key, value) in pairs {
                encode(key, out);
                encode(value, out);
            }
        }
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            let kind = match value {
                Value::Set(_) => b'~',
                Value::Push(_) => b'>',
                _ => b'*',
            };
            line(kind, &count(items.len()));
            for item in items {
                encode(item, out);
            }
        }
    }
}
