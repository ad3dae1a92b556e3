//! Streams of server-sent events (the WHATWG HTML standard, section 9.2), whose data is JSON.
//!
//! Of each number counts what the last event says that has it: some origins send the sums with
//! every event, some once near the end, and some tell of the input first and of the output at last.
//! Events without any, such as `[DONE]`, are passed over.

use super::json::{Document, Found, Scanner};
use super::runs;

const DATA: &[u8] = b"data";

/// Reads a stream of events.
#[derive(Debug)]
pub(super) struct Events {
    /// Reads the data of the event at hand.
    scanner: Scanner,
    found: Found,
    line: Line,
    /// A line feed that comes now belongs to the line end before it.
    after_cr: bool,
    /// The event at hand has data.
    has_data: bool,
}

/// Where in a line.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// So many bytes of `data` have come, and nothing else.
    Name(usize),
    /// After the colon: one space is not part of the data.
    Space,
    Data,
    /// In a comment or a field of no interest.
    Other,
}

impl Events {
    pub(super) fn new(scanner: Scanner) -> Self {
        Self {
            scanner,
            found: Found::default(),
            line: Line::Name(0),
            after_cr: false,
            has_data: false,
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            let after_cr = core::mem::take(&mut self.after_cr);
            bytes = match (byte, self.line) {
                (b'\n', _) if after_cr => rest,
                (b'\r' | b'\n', _) => {
                    self.after_cr = byte == b'\r';
                    self.end_line();
                    rest
                }
                (b':', Line::Name(seen)) if seen == DATA.len() => {
                    self.begin_data();
                    self.line = Line::Space;
                    rest
                }
                (_, Line::Name(seen)) => {
                    let goes_on = DATA.get(seen) == Some(&byte);
                    self.line = if goes_on { Line::Name(seen + 1) } else { Line::Other };
                    rest
                }
                (_, Line::Space) => {
                    self.line = Line::Data;
                    if byte == b' ' {
                        rest
                    } else {
                        bytes
                    }
                }
                (_, Line::Data) => {
                    let (data, rest) = runs::cut(bytes, runs::line(bytes));
                    self.scanner.feed(data);
                    rest
                }
                (_, Line::Other) => runs::cut(bytes, runs::line(bytes)).1,
            };
        }
    }

    /// What all events together say. An event that no empty line ends counts too, if its data is
    /// whole: the standard drops it, but there are origins that leave the last line out, and its
    /// tokens were spent all the same.
    pub(super) fn finish(&mut self) -> &Found {
        self.end_event();
        &self.found
    }

    fn end_line(&mut self) {
        match self.line {
            Line::Name(0) => self.end_event(),
            // the name alone is a line of data that is empty
            Line::Name(seen) if seen == DATA.len() => self.begin_data(),
            _ => {}
        }
        self.line = Line::Name(0);
    }

    fn begin_data(&mut self) {
        if self.has_data {
            self.scanner.feed(b"\n");
        }
        self.has_data = true;
    }

    fn end_event(&mut self) {
        if !core::mem::take(&mut self.has_data) {
            return;
        }
        if self.scanner.finish() == Document::Whole {
            for (kept, new) in self.found.iter_mut().zip(self.scanner.found()) {
                *kept = new.or(*kept);
            }
        }
        self.scanner.reset();
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
