//! What a response says that it cost.
//!
//! The body goes by in pieces and none of it is kept: a [`Reader`] is of one size, which is small,
//! whatever the origin sends. It reads JSON, and streams of events whose data is JSON.

mod cost;
mod events;
mod json;
mod number;
mod path;
mod pointer;
mod runs;

use std::rc::Rc;

pub use cost::{Cost, MAX_UNITS};
pub use path::MAX_DEPTH;
pub use pointer::{PointerError, MAX_POINTERS, MAX_POINTER_BYTES, MAX_SEGMENTS};

use events::Events;
use json::{Document, Scanner};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What a response cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// So many units.
    Units(u64),
    /// It does not say.
    Missing,
    /// It may say, but in a way that is not understood: it is encoded, cut off, or no JSON.
    Unreadable,
}

/// Reads one response's body for what it cost.
#[derive(Debug)]
pub struct Reader {
    cost: Rc<Cost>,
    body: Body,
    /// Bytes of a byte order mark seen at the very beginning; `None` when the beginning is over.
    mark: Option<usize>,
}

#[derive(Debug)]
enum Body {
    /// Of a type that tells no cost.
    Other,
    Encoded,
    Json(Scanner),
    Events(Events),
}

impl Reader {
    /// For a response with these headers. Values of a header that comes several times are joined by
    /// commas, as usual.
    pub fn new(
        content_type: Option<&[u8]>,
        content_encoding: Option<&[u8]>,
        cost: &Rc<Cost>,
    ) -> Self {
        let encoded = content_encoding.is_some_and(is_encoded);
        let body = match content_type.map_or(Type::Other, kind) {
            Type::Other => Body::Other,
            Type::Json | Type::Events if encoded => Body::Encoded,
            Type::Json => Body::Json(Scanner::new(cost.pointers())),
            Type::Events => Body::Events(Events::new(Scanner::new(cost.pointers()))),
        };
        Self { cost: Rc::clone(cost), body, mark: Some(0) }
    }

    /// Whether what is still to come can change anything. If not, the body need not be looked at.
    pub fn is_reading(&self) -> bool {
        match &self.body {
            Body::Other | Body::Encoded => false,
            Body::Json(scanner) => !scanner.is_broken(),
            Body::Events(_) => true,
        }
    }

    /// Takes in the next bytes of the body.
    pub fn feed(&mut self, chunk: &[u8]) {
        let rest = match self.mark {
            None => chunk,
            Some(seen) => self.begin(seen, chunk),
        };
        self.read(rest);
    }

    /// What was found, at the end of the body.
    pub fn finish(mut self) -> Usage {
        self.end_mark();
        let found = match &mut self.body {
            Body::Other => return Usage::Missing,
            Body::Encoded => return Usage::Unreadable,
            Body::Json(scanner) => match scanner.finish() {
                Document::Broken => return Usage::Unreadable,
                Document::Whole | Document::Empty => *scanner.found(),
            },
            Body::Events(events) => *events.finish(),
        };
        self.cost.units(&found).map_or(Usage::Missing, Usage::Units)
    }

    /// Drops a byte order mark from the beginning, which may come in pieces (RFC 8259 8.1 allows
    /// it, and the standard of event streams asks for it). Gives what follows it.
    fn begin<'a>(&mut self, seen: usize, chunk: &'a [u8]) -> &'a [u8] {
        let due = BOM.get(seen..).unwrap_or_default();
        let same = due.iter().zip(chunk).take_while(|(due, byte)| due == byte).count();
        let rest = chunk.get(same..).unwrap_or_default();
        if same == due.len() {
            self.mark = None;
        } else {
            self.mark = Some(seen + same);
            if !rest.is_empty() {
                self.end_mark();
            }
        }
        rest
    }

    /// What looked like a byte order mark was none.
    fn end_mark(&mut self) {
        if let Some(seen) = self.mark.take() {
            self.read(BOM.get(..seen).unwrap_or_default());
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        match &mut self.body {
            Body::Other | Body::Encoded => {}
            Body::Json(scanner) => scanner.feed(bytes),
            Body::Events(events) => events.feed(bytes),
        }
    }
}

enum Type {
    Json,
    Events,
    Other,
}

/// By the media type alone; its parameters change nothing, as both types are always UTF-8.
fn kind(content_type: &[u8]) -> Type {
    let media = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let suffix = media.len().checked_sub(b"+json".len()).and_then(|at| media.get(at..));
    if media.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
    {
        Type::Json
    } else if media.eq_ignore_ascii_case(b"text/event-stream") {
        Type::Events
    } else {
        Type::Other
    }
}

fn is_encoded(content_encoding: &[u8]) -> bool {
    let mut codings = content_encoding.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
