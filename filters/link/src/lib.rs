//! The link to Redis of one worker's VM, as a state machine without input or output.
//!
//! Events go in with the time at which they happened; what is to be done comes out one [`Action`] at a time, and what is
//! to be told one [`Event`] at a time. So that whoever performs an action holds no borrow of the state meanwhile: Envoy
//! calls back from inside some host calls (a send on a dying stream delivers its end before it returns). [`drive`] holds
//! the loop that does it right; a filter implements [`Owner`] and calls one function in each of its callbacks.
//!
//! What the link keeps to:
//! - Commands that arrive while a batch is in flight leave together as the next one: behind it when they are half of what
//!   may be outstanding, and after it otherwise.
//! - Every command gets exactly one [`Outcome`], at the latest one tick after its deadline. One that left and was not
//!   answered is told apart from one that never left.
//! - A reply is never matched to another command, however late it comes.
//! - While Redis is away, commands are refused at once; the link itself finds out when it is back.
//! - Every queue has a bound, every wait a deadline.
//!
//! Nothing here reads a clock, draws a random number or calls the host, except [`drive`].
#![forbid(unsafe_code)]

mod backoff;
mod clock;
mod command;
mod connection;
pub mod drive;
mod failure;
mod handshake;
mod moment;
mod outcome;
mod patience;
mod release;
mod replies;
pub mod resp;
mod roots;
mod server;
mod settings;
mod state;
mod stats;
mod value;
mod waiting;

pub use clock::Clock;
pub use command::{Command, Script};
pub use drive::{delete_root, flush, on_grpc_close, on_grpc_receive, on_tick, set_tick, Owner};
pub use moment::Moment;
pub use outcome::{Event, Lane, Outcome, Refusal};
pub use patience::Patience;
pub use release::{Release, Ticker};
pub use server::Server;
pub use settings::{Settings, Via};
pub use state::{Action, Link};
pub use stats::Stats;
pub use value::{ErrorKind, ReplyError, Value};
