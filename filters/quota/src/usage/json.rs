//! Finds numbers in a JSON document (RFC 8259) that comes in pieces.
//!
//! Nothing of the document is kept but the kinds of the containers that are open. Names are compared as they go by, escapes
//! undone, with the pointers that led here. The whole document is checked on the way, since half of a document, or
//! something else that has numbers in it, tells nothing. What is inside of strings need not be valid UTF-8, nor surrogates
//! be paired: an origin that cuts texts into events may cut there, and no number hangs on it.

use std::rc::Rc;

use super::number::{Decimal, Part};
use super::pointer::{bits, Mask, Pointers, MAX_POINTERS, MAX_SEGMENTS};
use super::runs;

/// Containers in containers; a document with more is not read.
pub const MAX_DEPTH: usize = 256;

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
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8]),
    Number(Part),
    Broken,
}

/// An open container that a pointer may lead into.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// The pointers that lead to it, and perhaps further.
    mask: Mask,
    /// Of an array: the place of the element at hand.
    index: u32,
}

/// Reads one document.
#[derive(Debug)]
pub(super) struct Scanner {
    pointers: Rc<Pointers>,
    state: State,
    found: Found,
    depth: usize,
    /// One bit for each open container, set for objects.
    objects: [u64; MAX_DEPTH / 64],
    levels: [Level; MAX_SEGMENTS],
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
            depth: 0,
            objects: Default::default(),
            levels: Default::default(),
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
        self.depth = 0;
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
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Text => self.text(bytes),
                State::Number(part) => self.number(part, bytes),
                State::Broken => return,
                state => {
                    self.state = self.step(state, byte);
                    rest
                }
            };
        }
    }

    /// The document has no more bytes.
    pub(super) fn finish(&mut self) -> Document {
        match self.state {
            State::After if self.depth == 0 => Document::Whole,
            State::Number(part) if self.depth == 0 && part.is_whole() => {
                self.state = State::After;
                self.keep_number();
                Document::Whole
            }
            // elsewhere a value is awaited inside of a container
            State::Value if self.depth == 0 => Document::Empty,
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
            (State::Word(word), _) => match word.split_first() {
                Some((due, [])) if *due == byte => State::After,
                Some((due, rest)) if *due == byte => State::Word(rest),
                _ => State::Broken,
            },
            (_, b' ' | b'\t' | b'\n' | b'\r') => state,
            (State::FirstElement, b']') | (State::FirstName, b'}') => self.close(),
            (State::Value | State::FirstElement, _) => self.value(byte),
            (State::FirstName | State::Name, b'"') => {
                self.text = Text { is_name: true, mask: self.level().mask, ..Text::default() };
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
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            _ => match Part::first(byte) {
                Some(part) => {
                    self.ending = self.pointers.ending(self.here, self.depth);
                    self.number = Decimal::default();
                    self.number.push(part, byte);
                    State::Number(part)
                }
                None => State::Broken,
            },
        }
    }

    fn after(&mut self, byte: u8) -> State {
        let Some(inner) = self.depth.checked_sub(1) else { return State::Broken };
        match (self.is_object(inner), byte) {
            (true, b',') => State::Name,
            (false, b',') => {
                if let Some(level) = self.levels.get_mut(inner) {
                    level.index = level.index.saturating_add(1);
                }
                self.here = self.element();
                State::Value
            }
            (true, b'}') | (false, b']') => self.close(),
            _ => State::Broken,
        }
    }

    fn open(&mut self, object: bool) -> State {
        let bit = 1 << (self.depth % 64);
        let Some(objects) = self.objects.get_mut(self.depth / 64) else { return State::Broken };
        *objects = if object { *objects | bit } else { *objects & !bit };
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { mask: self.here, index: 0 };
        }
        self.depth += 1;
        if object {
            return State::FirstName;
        }
        self.here = self.element();
        State::FirstElement
    }

    fn close(&mut self) -> State {
        self.depth = self.depth.saturating_sub(1);
        State::After
    }

    fn is_object(&self, depth: usize) -> bool {
        self.objects.get(depth / 64).is_some_and(|objects| objects >> (depth % 64) & 1 == 1)
    }

    /// The innermost container; where no pointer leads, one that none leads to.
    fn level(&self) -> Level {
        self.levels.get(self.depth.wrapping_sub(1)).copied().unwrap_or_default()
    }

    /// The pointers that lead to the element at hand.
    fn element(&self) -> Mask {
        let level = self.level();
        self.pointers.indexed(level.mask, self.depth.wrapping_sub(1), level.index)
    }

    fn number<'a>(&mut self, mut part: Part, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            let Some(next) = part.next(byte) else {
                self.state = if part.is_whole() { State::After } else { State::Broken };
                self.keep_number();
                return rest;
            };
            part = next;
            if self.ending != 0 {
                self.number.push(part, byte);
            }
            rest = after;
        }
        self.state = State::Number(part);
        rest
    }

    fn keep_number(&mut self) {
        if self.ending != 0 {
            put(&mut self.found, self.ending, Some(self.number.milli()));
        }
    }

    fn text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (run, rest) = runs::cut(bytes, runs::plain(bytes));
        self.add(run);
        let Some((end, rest)) = rest.split_first() else { return rest };
        self.state = match end {
            b'\\' => State::Escape,
            b'"' if self.text.is_name => self.end_name(),
            b'"' => State::After,
            _ => State::Broken,
        };
        rest
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
        self.text.mask = self.pointers.named(mask, self.depth.wrapping_sub(1), size, piece);
        self.text.size = size.saturating_add(piece.len());
    }

    fn end_name(&mut self) -> State {
        let Text { mask, size, high, .. } = self.text;
        let mask = if high == 0 { mask } else { 0 };
        self.here = self.pointers.sized(mask, self.depth.wrapping_sub(1), size);
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
