//! Finds numbers in a JSON document (RFC 8259) that comes in pieces.
//!
//! Nothing of the document is kept but the kinds of the containers that are open. Names are
//! compared as they go by, escapes undone, with the pointers that led here. The whole document is
//! checked on the way, since half of a document, or something else that has numbers in it, tells
//! nothing. What is inside of strings need not be valid UTF-8, nor surrogates be paired: an origin
//! that cuts texts into events may cut there, and no number hangs on it.

use std::rc::Rc;

use super::number::{Decimal, Part};
use super::path::Path;
use super::pointer::{bits, Mask, Pointers, MAX_POINTERS};
use super::runs;

/// By pointer: the number found there, in thousandths.
pub(super) type Found = [Option<u64>; MAX_POINTERS];

/// What has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// Nothing, or blanks.
    Empty,
    /// One value, whole.
    Whole,
    /// No JSON, cut off, or beyond the bounds.
    Broken,
}

/// What comes next, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    /// A value, or the end of an array.
    FirstElement,
    /// A name, or the end of an object.
    FirstName,
    Name,
    Colon,
    /// What may follow a value.
    After,
    Text,
    Escape,
    /// So many hexadecimal digits.
    Hex(u8),
    /// The rest of `true`, `false` or `null`, its first byte lowest.
    Word(u32),
    Number(Part),
    Broken,
}

/// Reads one document.
#[derive(Debug)]
pub(super) struct Scanner {
    pointers: Rc<Pointers>,
    state: State,
    found: Found,
    path: Path,
    /// The pointers that lead to the value at hand, and perhaps further.
    here: Mask,
    text: Text,
    number: Decimal,
    /// The pointers that end at the number at hand.
    ending: Mask,
}

/// The string at hand.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    is_name: bool,
    /// The pointers that go on with what has come of this name.
    mask: Mask,
    /// Bytes that have come, escapes undone.
    size: usize,
    /// What has come of a \u escape.
    unit: u16,
    /// The first half of a surrogate pair; 0: none.
    high: u16,
}

impl Scanner {
    pub(super) fn new(pointers: &Rc<Pointers>) -> Self {
        Self {
            state: State::Value,
            found: Found::default(),
            path: Path::default(),
            here: pointers.mask(),
            text: Text::default(),
            number: Decimal::default(),
            ending: 0,
            pointers: Rc::clone(pointers),
        }
    }

    /// Begins with a new document.
    pub(super) fn reset(&mut self) {
        self.state = State::Value;
        self.found = Found::default();
        self.path.reset();
        self.here = self.pointers.mask();
    }

    /// What has been found so far; of use when the document turned out to be whole.
    pub(super) fn found(&self) -> &Found {
        &self.found
    }

    pub(super) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        let mut state = self.state;
        while let Some((&byte, rest)) = bytes.split_first() {
            (state, bytes) = match state {
                State::Text => self.text(bytes),
                State::Number(part) => self.number(part, bytes),
                State::Broken => break,
                state => (self.step(state, byte), rest),
            };
        }
        self.state = state;
    }

    /// The document has no more bytes.
    pub(super) fn finish(&mut self) -> Document {
        match self.state {
            State::After if self.path.depth() == 0 => Document::Whole,
            State::Number(part) if self.path.depth() == 0 && part.is_whole() => {
                self.state = State::After;
                self.keep_number();
                Document::Whole
            }
            // elsewhere a value is awaited inside of a container
            State::Value if self.path.depth() == 0 => Document::Empty,
            _ => {
                self.state = State::Broken;
                Document::Broken
            }
        }
    }

    /// Where one byte leads that is not part of a run.
    fn step(&mut self, state: State, byte: u8) -> State {
        match (state, byte) {
            (State::Escape, _) => self.escape(byte),
            (State::Hex(left), _) => self.hex(left, byte),
            (State::Word(word), _) if word & 0xff != u32::from(byte) => State::Broken,
            (State::Word(word), _) => match word >> 8 {
                0 => State::After,
                rest => State::Word(rest),
            },
            (_, b' ' | b'\t' | b'\n' | b'\r') => state,
            (State::FirstElement, b']') | (State::FirstName, b'}') => {
                self.path.close();
                State::After
            }
            (State::Value | State::FirstElement, _) => self.value(byte),
            (State::FirstName | State::Name, b'"') => {
                self.text = Text { is_name: true, mask: self.path.mask(), ..Text::default() };
                State::Text
            }
            (State::Colon, b':') => State::Value,
            (State::After, _) => self.after(byte),
            _ => State::Broken,
        }
    }

    fn value(&mut self, byte: u8) -> State {
        match byte {
            b'"' => {
                self.text = Text::default();
                State::Text
            }
            b'{' | b'[' => self.open(byte == b'{'),
            b't' => State::Word(u32::from_le_bytes(*b"rue\0")),
            b'f' => State::Word(u32::from_le_bytes(*b"alse")),
            b'n' => State::Word(u32::from_le_bytes(*b"ull\0")),
            _ => match Part::first(byte) {
                Some(part) => {
                    self.ending = self.pointers.ending(self.here, self.path.depth());
                    self.number = Decimal::default();
                    self.number.push(part, byte);
                    State::Number(part)
                }
                None => State::Broken,
            },
        }
    }

    fn after(&mut self, byte: u8) -> State {
        match (self.path.in_object(), byte) {
            (Some(true), b',') => State::Name,
            (Some(false), b',') => {
                self.path.advance();
                self.here = self.path.element(&self.pointers);
                State::Value
            }
            (Some(true), b'}') | (Some(false), b']') => {
                self.path.close();
                State::After
            }
            _ => State::Broken,
        }
    }

    fn open(&mut self, object: bool) -> State {
        if self.path.open(object, self.here).is_none() {
            return State::Broken;
        }
        if object {
            return State::FirstName;
        }
        self.here = self.path.element(&self.pointers);
        State::FirstElement
    }

    fn number<'a>(&mut self, mut part: Part, bytes: &'a [u8]) -> (State, &'a [u8]) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            let Some(next) = part.next(byte) else {
                self.keep_number();
                return (if part.is_whole() { State::After } else { State::Broken }, rest);
            };
            if self.ending != 0 {
                self.number.push(next, byte);
            } else if next == part {
                // digits go on as they are
                rest = runs::cut(after, runs::digits(after)).1;
                continue;
            }
            part = next;
            rest = after;
        }
        (State::Number(part), rest)
    }

    fn keep_number(&mut self) {
        if self.ending != 0 {
            put(&mut self.found, self.ending, Some(self.number.milli()));
        }
    }

    fn text<'a>(&mut self, bytes: &'a [u8]) -> (State, &'a [u8]) {
        let (run, rest) = runs::cut(bytes, runs::plain(bytes));
        self.add(run);
        let Some((end, rest)) = rest.split_first() else { return (State::Text, rest) };
        let state = match end {
            b'\\' => State::Escape,
            b'"' if self.text.is_name => self.end_name(),
            b'"' => State::After,
            _ => State::Broken,
        };
        (state, rest)
    }

    fn escape(&mut self, byte: u8) -> State {
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.text.unit = 0;
                return State::Hex(4);
            }
            _ => return State::Broken,
        };
        self.add(&[plain]);
        State::Text
    }

    fn hex(&mut self, left: u8, byte: u8) -> State {
        let Some(digit) = char::from(byte).to_digit(16) else { return State::Broken };
        self.text.unit = self.text.unit << 4 | digit as u16;
        if left > 1 {
            return State::Hex(left - 1);
        }
        let (high, unit) = (core::mem::take(&mut self.text.high), self.text.unit);
        if high == 0 && (0xd800..0xdc00).contains(&unit) {
            self.text.high = unit;
            return State::Text;
        }
        let units = [high, unit];
        let units = if high == 0 { units.get(1..) } else { units.get(..) };
        match char::decode_utf16(units.unwrap_or_default().iter().copied()).next() {
            Some(Ok(character)) => self.add(character.encode_utf8(&mut [0; 4]).as_bytes()),
            // half a pair: no pointer has it in a name
            _ => self.text.mask = 0,
        }
        State::Text
    }

    /// Takes in what comes next of a string, escapes undone.
    fn add(&mut self, piece: &[u8]) {
        if self.text.mask == 0 || piece.is_empty() {
            return;
        }
        let Text { mask, size, high, .. } = self.text;
        let mask = if high == 0 { mask } else { 0 };
        self.text.mask = self.pointers.named(mask, self.path.step(), size, piece);
        self.text.size = size.saturating_add(piece.len());
    }

    fn end_name(&mut self) -> State {
        let Text { mask, size, high, .. } = self.text;
        let mask = if high == 0 { mask } else { 0 };
        self.here = self.pointers.sized(mask, self.path.step(), size);
        if self.here != 0 {
            // the name may have come before, and the last one counts
            put(&mut self.found, self.here, None);
        }
        State::Colon
    }
}

fn put(found: &mut Found, mask: Mask, number: Option<u64>) {
    for (place, bit) in found.iter_mut().zip(bits()) {
        if mask & bit != 0 {
            *place = number;
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
pub(super) mod tests;
