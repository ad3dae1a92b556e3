//! What every filter keeps in a worker's VM around its decisions, and how its callbacks go.
//!
//! A filter's state is the VM's and not a context's: a push of new parameters makes a new root in the
//! same VM, and nothing is lost by it. The filter holds that state in a thread-local, with a
//! [`Worker`] in it, and implements [`Filter`]; its callbacks are then those in [`callbacks`]. They
//! keep to what the proxy asks for:
//! - No borrow of the state is held across a host call, since some of them call back.
//! - Streams open and close in ticks only.
//! - No more than a bounded number of requests is resumed or answered in one callback.
#![forbid(unsafe_code)]

pub mod callbacks;
mod counts;
mod notes;
mod pace;
mod roots;
mod strays;
mod wire;

use link::{Moment, Release};

pub use counts::Counts;
pub use notes::Notes;
pub use pace::{Pace, CALM_TICK_MS, FIRST_TICK_MS};
pub use roots::Roots;
pub use strays::Strays;
pub use wire::Wire;

/// The part of a filter's state that is the same in all filters. `S`: the parameters of a root; `R`: a
/// paused request that something can be done about.
#[derive(Debug)]
pub struct Worker<S, R> {
    /// The roots that are alive.
    pub roots: Roots<S>,
    /// Requests that are ready to be resumed or answered.
    pub release: Release<R>,
    /// What is to be logged.
    pub notes: Notes,
    /// What is to be counted.
    pub counts: Counts,
    /// When a callback of a root last began: time enough for most requests.
    pub last: Option<Moment>,
    /// When to tick.
    pub pace: Pace,
}

impl<S: Default, R> Worker<S, R> {
    /// A VM without a root.
    pub fn new(notes: Notes, counts: Counts) -> Self {
        Self {
            roots: Roots::default(),
            release: Release::default(),
            notes,
            counts,
            last: None,
            pace: Pace::default(),
        }
    }
}

/// A filter, as the callbacks need to know it. No function but [`conclude`](Filter::conclude) may make
/// a host call.
pub trait Filter {
    /// The parameters of a root.
    type Settings: 'static;
    /// A paused request that something can be done about.
    type Ready: 'static;
    /// A line to Redis.
    type Line: link::Owner + 'static;

    /// All its lines.
    const LINES: &'static [Self::Line];

    /// Lends the state, for as long as the closure runs.
    fn worker<T>(lend: impl FnOnce(&mut Worker<Self::Settings, Self::Ready>) -> T) -> T;

    /// How long a decision may take, in microseconds.
    fn deadline_us() -> u64;

    /// In each tick of the newest root: sends what is due and, when `judge`, answers those whose
    /// deadline has passed.
    fn tick(now: Moment, judge: bool);

    /// A root other than the newest may have become that one, since a root is gone.
    fn root_gone(now: Moment);

    /// Whether something waits on a line until it may leave.
    fn gathers(line: &Self::Line) -> bool;

    /// Whether requests wait for an answer of Redis.
    fn waits() -> bool;

    /// Resumes or answers a paused request, or lets it wait again. It may leave any context effective.
    fn conclude(ready: Self::Ready, now: Moment);

    /// Counts what was not counted when it happened: before counts are written.
    fn count();
}

/// 16 random bytes. Without a source of randomness, which no proxy lacks, the clock has to do.
pub fn random_key() -> [u8; 16] {
    let mut key = [0; 16];
    if host::random(&mut key).is_err() {
        key = u128::from(host::clock_nanos()).to_le_bytes();
    }
    key
}
