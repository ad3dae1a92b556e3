//! The flash-sale filter: decides at the edge who gets into a sale.
//!
//! What is decided is in the `sale` crate, how Redis is reached in `link`; here both are tied to the
//! proxy's callbacks. The rules of this file:
//! - The state is the VM's, not a context's: a push of new parameters makes a new root, and loses
//!   nothing.
//! - No borrow of the state is held across a host call, since some of them call back.
//! - A paused request always gets an answer: by a reply, by its deadline, or when the link is lost.
//! - Only callbacks that are needed are exported, as each one costs every request.
//!
//! Host calls on the request path, besides the callback itself:
//!
//! | path | calls |
//! |---|---|
//! | not started, ended, suspended | local response |
//! | refused after identity (throttled, sold out, lottery lost) | the same and one header |
//! | let through by known permit or pass | one header, two headers added |
//! | decided by Redis | one header, clock; its context made effective, then local response, or two headers added and resume; a batch adds one message in each direction |
//!
//! Where there are several sales, the property that names the route comes first in each of them.
//! A sale with passes reads all headers at once, and one with denied networks the peer's address.
//! The clock is asked besides when a sale is about to open or close.
#![forbid(unsafe_code)]

mod counts;
mod desk;
mod errands;
mod line;
mod request;
mod vm;

use host::{Action, Buffer, ContextId, Level, Token};
use link::Moment;

use crate::line::{Line, Which};
use crate::request::Arrival;
use crate::vm::with;

fn on_vm_start(_root: ContextId, _size: usize) -> bool {
    true
}

fn on_configure(root: ContextId, size: usize) -> bool {
    let document = host::get_buffer(Buffer::PluginConfiguration, 0, size).unwrap_or_default();
    let settings = match sale::config::Settings::parse(&document) {
        Ok(settings) => settings,
        Err(error) => {
            host::log(Level::Error, &format!("flash-sale: parameters refused: {error}"));
            return false;
        }
    };
    let line = format!(
        "flash-sale {}: {} sale(s) on {} route(s) of gateway {}",
        env!("CARGO_PKG_VERSION"),
        settings.sales.len(),
        settings.routes().count(),
        settings.gateway,
    );
    let password = std::env::var(&settings.redis.password_env).unwrap_or_default();
    let (now, wall_us) = (clock(), host::clock_nanos() / 1_000);
    with(|vm| vm.configure(root, settings, password, now, wall_us));
    host::log(Level::Info, &line);
    let _ = host::set_tick_period(vm::FIRST_TICK_MS);
    true
}

fn on_tick(root: ContextId) {
    let now = begin();
    sweep(root, now);
    let (newest, judge) = with(|vm| {
        let newest = vm.newest() == Some(root);
        (newest, newest && vm.tick(now))
    });
    if judge {
        link::on_tick(&Line(Which::Main), root);
        link::on_tick(&Line(Which::Durable), root);
    } else if newest {
        // What is due leaves all the same; only nobody's silence is judged.
        link::flush(&Line(Which::Main), root, now);
        link::flush(&Line(Which::Durable), root, now);
    } else {
        // An older root: its streams end by themselves, with the link of the newest one's ticks.
        link::set_tick(root, vm::OLDER_TICK_MS, root);
    }
    if newest {
        counts::write(now);
    }
    finish(root, now, newest);
}

/// Forgets the roots that are gone. The host would tell, by a callback that it makes for every request
/// as well: looking costs less. When the newest one was gone, the next is in force from here on.
fn sweep(root: ContextId, now: Moment) {
    let others = with(|vm| vm.other_roots(root));
    if others.is_empty() {
        return;
    }
    let gone = |other: &ContextId| host::set_effective_context(*other).is_err();
    for other in others.into_iter().filter(gone) {
        link::delete_root(&Line(Which::Main), other, root, now);
        link::delete_root(&Line(Which::Durable), other, root, now);
        with(|vm| vm.delete_root(other, now));
    }
    let _ = host::set_effective_context(root);
}

fn on_request_headers(request: ContextId, _count: usize, _end: bool) -> Action {
    match request::arrive(request) {
        Arrival::Answered(action) => action,
        Arrival::Waits => {
            let now = clock();
            with(|vm| vm.arrived(request, now.as_nanos() / 1_000));
            flush(request, now);
            pace(request, now, false);
            Action::Pause
        }
    }
}

fn on_grpc_receive(root: ContextId, token: Token, size: usize) {
    let now = begin();
    if !link::on_grpc_receive(&Line(Which::Main), root, token, size) {
        link::on_grpc_receive(&Line(Which::Durable), root, token, size);
    }
    finish(root, now, false);
}

fn on_grpc_close(root: ContextId, token: Token, status: u32) {
    let now = begin();
    if !link::on_grpc_close(&Line(Which::Main), root, token, status) {
        link::on_grpc_close(&Line(Which::Durable), root, token, status);
    }
    finish(root, now, false);
}

host::export!(
    on_vm_start => on_vm_start,
    on_configure => on_configure,
    on_tick => on_tick,
    on_request_headers => on_request_headers,
    on_grpc_receive => on_grpc_receive,
    on_grpc_close => on_grpc_close,
);

fn clock() -> Moment {
    Moment::from_nanos(host::monotonic_nanos())
}

/// The beginning of every callback of a root.
fn begin() -> Moment {
    let now = clock();
    with(|vm| {
        vm.release.begin();
        vm.last = Some(now);
    });
    now
}

/// The end of every callback of a root: answers who is ready, as many as one callback may.
fn finish(root: ContextId, now: Moment, in_tick: bool) {
    for line in with(|vm| core::mem::take(&mut vm.notes)) {
        host::log(line.0, &line.1);
    }
    let mut touched = false;
    while let Some(ready) = with(|vm| vm.release.next()) {
        touched = true;
        request::conclude(ready, now);
    }
    if touched {
        let _ = host::set_effective_context(root);
        // Somebody who was looked at again may have something to ask.
        flush(root, now);
    }
    pace(root, now, in_tick);
}

/// Lets those who have gathered leave, where a line is free.
fn flush(context: ContextId, now: Moment) {
    for which in with(|vm| vm.gathered()) {
        link::flush(&Line(which), context, now);
    }
}

/// Sets the tick period, if another one is wanted now.
fn pace(context: ContextId, now: Moment, in_tick: bool) {
    if let Some((root, period)) = with(|vm| vm.pace(in_tick, now)) {
        link::set_tick(root, period, context);
    }
}

#[cfg(test)]
mod tests;
