//! Does nothing: the floor that benchmarks compare the other filters with.
#![forbid(unsafe_code)]

use host::{Action, ContextId};

fn on_request_headers(_request: ContextId, _count: usize, _end: bool) -> Action {
    Action::Continue
}

host::export!(on_request_headers => on_request_headers);
