//! What the link has counted.

use std::collections::VecDeque;

/// Counters since the link was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that began to serve.
    pub connects: u64,
    /// Connections that were lost, or given up, after they had logged in.
    pub disconnects: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Commands whose deadline passed.
    pub timeouts: u64,
    /// Commands refused while Redis was away, or refused the login.
    pub breaker_refusals: u64,
    /// Commands refused because too many waited.
    pub queue_refusals: u64,
    /// Commands that may have been executed, and whose answer nobody knows.
    pub unknown_outcomes: u64,
    /// Replies that came after the deadline, and were dropped.
    pub late_replies: u64,
    /// Commands sent again on another connection.
    pub resends: u64,
    /// Scripts that the server did not know.
    pub script_loads: u64,
    /// Messages sent.
    pub batches: u64,
    /// Commands in them.
    pub commands: u64,
}

/// Times of the latest batches in microseconds, from sending to the last reply.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(VecDeque<u32>);

impl Latencies {
    const KEPT: usize = 256;

    pub(crate) fn push(&mut self, micros: u32) {
        if self.0.len() >= Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(micros);
    }

    pub(crate) fn pop(&mut self) -> Option<u32> {
        self.0.pop_front()
    }
}
