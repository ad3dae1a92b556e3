//! What is asked of Redis about one counter, and what it says.

use std::rc::Rc;

/// How a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Windows that begin at multiples of their length.
    Fixed,
    /// The same, with the part of the last window that is still within one length from now.
    Sliding,
    /// A bucket that drains all the time.
    Bucket,
    /// Windows with given borders.
    Calendar,
}

/// The windows of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// All of one length, in milliseconds.
    Every(u64),
    /// From border to border: milliseconds since 1970, ascending, two or more.
    Borders(Rc<[u64]>),
}

/// What holds for a counter, whoever is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// How it counts.
    pub kind: Kind,
    /// Units in a window.
    pub amount: u64,
    /// Its windows.
    pub span: Span,
    /// Units that a full bucket holds; 0 for the other kinds.
    pub burst: u64,
    /// How long a reservation lives if nobody settles it, in milliseconds; 0: none are made.
    pub ttl_ms: u64,
    /// It only watches: it never refuses.
    pub watch: bool,
}

/// One counter that a request is charged to.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Which limit: the places of its policy in the parameters, and of the limit in it.
    pub limit: (usize, usize),
    /// Which window of the limit.
    pub window: usize,
    /// The counter's key in Redis.
    pub counter: Rc<str>,
    /// How it counts.
    pub spec: Rc<Spec>,
    /// Units to charge.
    pub charge: u64,
    /// Units to reserve until the response tells what it cost.
    pub hold: u64,
}

/// What a counter says after a request was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Units left.
    pub remaining: u64,
    /// In how many milliseconds the window ends, or the bucket is full.
    pub reset_ms: u64,
    /// In how many milliseconds this counter would let the request through; 0: it does.
    pub wait_ms: u64,
    /// Where the reservation was put; 0: there is none.
    pub slot: u64,
}
