//! gRPC frames: a flag, a length in four bytes (big-endian), and so many bytes of message.

use core::fmt;

/// Length of a frame's head.
pub const HEAD: usize = 5;
/// No link sends longer messages; one that seems to is not speaking gRPC.
pub const LONGEST: usize = 64 * 1024 * 1024;

/// Bytes that are no frames of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A compressed message, or an unknown flag.
    Flag(u8),
    /// A message beyond [`LONGEST`].
    TooLong(usize),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => {
                write!(f, "a gRPC frame with flag {flag}; only plain ones are carried")
            }
            Self::TooLong(length) => {
                write!(f, "a gRPC frame of {length} bytes; at most {LONGEST} are carried")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// Where a stream of frames is, between two chunks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    have: usize,
    /// Bytes of the message that are to come.
    left: usize,
}

impl Frames {
    /// Bytes at the front of the next chunk that belong to a message and need no look.
    pub fn plain(&self) -> usize {
        self.left
    }

    /// Whether the next byte is the first of a head.
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.have == 0
    }

    /// Goes past so many bytes of a message; more than are left of it count as that many.
    pub fn skip(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Reads a chunk and appends what it holds of messages.
    ///
    /// # Errors
    /// The chunk holds a head that is not ours; the stream is of no use afterwards.
    pub fn strip(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.left > 0 {
                let (message, after) = rest.split_at(self.left.min(rest.len()));
                out.extend_from_slice(message);
                self.left -= message.len();
                rest = after;
            } else {
                rest = self.take_head(rest)?;
            }
        }
        Ok(())
    }

    /// Reads of a head what is there; gives what follows.
    ///
    /// # Errors
    /// The head is not ours; the stream is of no use afterwards.
    pub fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let (part, after) = bytes.split_at((HEAD - self.have).min(bytes.len()));
        for (place, byte) in self.head.iter_mut().skip(self.have).zip(part) {
            *place = *byte;
        }
        self.have += part.len();
        if self.have < HEAD {
            return Ok(after);
        }
        self.have = 0;
        let [flag, length @ ..] = self.head;
        let length = u32::from_be_bytes(length) as usize;
        if flag != 0 {
            return Err(FrameError::Flag(flag));
        }
        if length > LONGEST {
            return Err(FrameError::TooLong(length));
        }
        self.left = length;
        Ok(after)
    }
}

/// The head of a message of so many bytes.
pub fn head(length: usize) -> [u8; HEAD] {
    let [a, b, c, d] = (length as u32).to_be_bytes();
    [0, a, b, c, d]
}
