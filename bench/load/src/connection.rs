//! One connection: what it is doing, and what it will have to send.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;

use crate::record::Failure;
use crate::response::{AtEnd, Broken, Parser, Wanted};

/// A request that was sent, or is being sent.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Its number.
    pub number: u64,
    /// Its latency counts from here.
    pub due: Instant,
    /// It has failed if there is no complete answer by then.
    pub deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not connected; to be tried again then.
    Closed(Instant),
    /// On its way, until then.
    Connecting(Instant),
    /// Connected, with nothing to do.
    Idle,
    /// Waiting for an answer.
    Busy,
    /// Given up: too many failures in a row.
    Dead,
}

/// What a read or write led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The answer is not complete yet.
    Waiting,
    /// `parser.answer` is complete.
    Answered,
    /// The request failed, and with it the connection.
    Failed(Failure),
}

pub struct Connection {
    pub address: SocketAddr,
    pub target: usize,
    pub stream: Option<TcpStream>,
    pub phase: Phase,
    pub request: Option<Request>,
    pub parser: Parser,
    /// What to send, and how much of it was sent.
    pub out: Vec<u8>,
    pub written: usize,
    /// Failures since the last answer.
    pub failures: u32,
}

impl Connection {
    pub fn new(address: SocketAddr, target: usize, now: Instant) -> Self {
        Self {
            address,
            target,
            stream: None,
            phase: Phase::Closed(now),
            request: None,
            parser: Parser::default(),
            out: Vec::with_capacity(512),
            written: 0,
            failures: 0,
        }
    }

    /// Sends as much of `out` as goes.
    pub fn write(&mut self) -> Progress {
        let Some(stream) = &mut self.stream else { return Progress::Waiting };
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(0) => return Progress::Failed(Failure::Reset),
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Progress::Failed(Failure::Reset),
            }
        }
        Progress::Waiting
    }

    /// Reads until there is no more. `to_end` is set when the far side has said that it is done, so
    /// that a short read must not be taken for an empty socket. Returns the bytes read, too.
    pub fn read(&mut self, buffer: &mut [u8], wanted: &Wanted, to_end: bool) -> (u64, Progress) {
        let mut total = 0;
        let mut answered = false;
        while let Some(stream) = &mut self.stream {
            let n = match stream.read(buffer) {
                Ok(0) if answered => {
                    self.parser.answer.close = true;
                    break;
                }
                Ok(0) if self.request.is_none() => {
                    return (total, Progress::Failed(Failure::Closed))
                }
                Ok(0) => return (total, self.ended()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) if answered => {
                    self.parser.answer.close = true;
                    break;
                }
                Err(_) => return (total, Progress::Failed(Failure::Reset)),
            };
            total += n as u64;
            let bytes = buffer.get(..n).unwrap_or_default();
            if answered || self.request.is_none() {
                return (total, Progress::Failed(Failure::Malformed)); // an answer that nobody asked for
            }
            match self.parser.feed(bytes, wanted) {
                Ok((used, true)) if used == n => answered = true,
                Ok((_, false)) => {}
                Ok(_) | Err(Broken::Malformed) => {
                    return (total, Progress::Failed(Failure::Malformed))
                }
                Err(Broken::TooLong) => return (total, Progress::Failed(Failure::TooLong)),
            }
            if n < buffer.len() && !to_end {
                break; // a short read: the socket is empty, and the next bytes make an event
            }
        }
        (total, if answered { Progress::Answered } else { Progress::Waiting })
    }

    fn ended(&mut self) -> Progress {
        match self.parser.end() {
            AtEnd::Complete => {
                self.parser.answer.close = true;
                Progress::Answered
            }
            AtEnd::Nothing => Progress::Failed(Failure::Closed),
            AtEnd::Short => Progress::Failed(Failure::Short),
        }
    }
}
