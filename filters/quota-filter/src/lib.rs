//! The quota filter: charges requests to the counters of their consumers, and refuses what is above a
//! limit.
//!
//! What is decided is in the `quota` crate, how Redis is reached in `link`; here both are tied to the
//! proxy's callbacks, most of which are the same for every filter (see the `worker` crate). The rules:
//! - A paused request always gets an answer: by a reply, by its deadline, or when the link is lost.
//! - A body is never held: what a response cost is read while it passes.
//! - What is kept for a request goes in `on_log`, at the latest.
//! - Only callbacks that are needed are exported, as each one costs every request.
//!
//! Host calls of a request, besides the callbacks themselves; each part of a key and each condition
//! that is looked at is one more:
//!
//! | path | calls |
//! |---|---|
//! | no limit applies | none |
//! | known to be above a limit | local response |
//! | decided by Redis | clock; its context made effective, then local response or resume; a batch adds one message in each direction |
//! | response with `RateLimit` headers | one for each of them |
//! | response that tells its cost | its headers, and each piece of its body; at its end the clock and, if the line is free, one message |
//!
//! Where not all routes lead to the same policies, the property that names the route comes first.
#![forbid(unsafe_code)]

mod desk;
mod line;
mod outcome;
mod refusal;
mod request;
mod response;
mod verdict;
mod vm;

use std::rc::Rc;

use host::{Action, Buffer, ContextId, Level};
use quota::config::Settings;
use worker::callbacks;

use crate::desk::Desk;
use crate::request::Arrival;
use crate::vm::{with, Quota};

fn on_vm_start(_root: ContextId, _size: usize) -> bool {
    true
}

fn on_configure(root: ContextId, size: usize) -> bool {
    let document = host::get_buffer(Buffer::PluginConfiguration, 0, size).unwrap_or_default();
    let desk = match Settings::parse(&document) {
        Ok(settings) => with(|vm| Rc::new(Desk::new(settings, &mut vm.worker.counts))),
        Err(error) => {
            host::log(Level::Error, &format!("quota: parameters refused: {error}"));
            return false;
        }
    };
    let settings = &desk.settings;
    let line = format!(
        "quota {}: {} limit(s) of {} policies on {} route(s) of gateway {}",
        env!("CARGO_PKG_VERSION"),
        settings.policies.iter().map(|policy| policy.limits.len()).sum::<usize>(),
        settings.policies.len(),
        settings.routes().count(),
        settings.gateway,
    );
    let password = std::env::var(&settings.redis.password_env).unwrap_or_default();
    let (now, wall_us) = (callbacks::clock(), host::clock_nanos() / 1_000);
    with(|vm| vm.configure(root, desk, password, now, wall_us));
    host::log(Level::Info, &line);
    let _ = host::set_tick_period(worker::FIRST_TICK_MS);
    true
}

fn on_request_headers(request: ContextId, _count: usize, _end: bool) -> Action {
    match request::arrive(request) {
        Arrival::Answered(action) => action,
        Arrival::Waits => {
            let now = callbacks::clock();
            with(|vm| vm.arrived(request, now));
            callbacks::flush::<Quota>(request, now);
            callbacks::pace::<Quota>(request, now, false);
            Action::Pause
        }
    }
}

fn on_response_headers(request: ContextId, _count: usize, end: bool) -> Action {
    response::headers(request, end);
    Action::Continue
}

fn on_response_body(request: ContextId, size: usize, end: bool) -> Action {
    response::body(request, size, end);
    Action::Continue
}

fn on_log(request: ContextId) {
    response::over(request);
}

host::export!(
    on_vm_start => on_vm_start,
    on_configure => on_configure,
    on_tick => callbacks::on_tick::<Quota>,
    on_request_headers => on_request_headers,
    on_response_headers => on_response_headers,
    on_response_body => on_response_body,
    on_log => on_log,
    on_grpc_receive => callbacks::on_grpc_receive::<Quota>,
    on_grpc_close => callbacks::on_grpc_close::<Quota>,
);

#[cfg(test)]
mod tests;
