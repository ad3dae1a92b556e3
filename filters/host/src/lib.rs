//! The proxy-wasm ABI 0.2.1 itself: exports, and host calls that return a [`Status`] and never panic.
//!
//! It stands in the place of the proxy-wasm crate, whose dispatcher keeps its maps borrowed while a callback runs. Envoy
//! calls back from inside a send on a dying stream, so that a borrow held there ends the VM and with it every request
//! that the worker holds. Here nothing is kept between calls: a filter exports just the callbacks that it needs (each one
//! costs every request) with [`export!`], holds its own state, and never holds a borrow of it across a host call.
//!
//! Built for another target than WebAssembly, the calls go to [`fake`], a host that records them and answers from what a
//! test has set.

mod calls;
mod export;
mod pairs;
mod types;

#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
use fake as imp;
#[cfg(target_arch = "wasm32")]
use wasm as imp;

pub use calls::*;
pub use pairs::{decode_pairs, EncodedPairs, HeaderList, Pair};
pub use types::{
    Action, Buffer, ContextId, GrpcStatus, Level, Map, Metric, MetricId, Result, Status, Stream,
    Token,
};
