//! The flash-sale filter: decides at the edge who gets into a sale.
//!
//! What is decided is in the `sale` crate, how Redis is reached in `link`; here both are tied to the
//! proxy's callbacks, most of which are the same for every filter (see the `worker` crate). The rules:
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

mod desk;
mod errands;
mod line;
mod request;
mod vm;

use host::{Action, Buffer, ContextId, Level};
use worker::callbacks;

use crate::request::Arrival;
use crate::vm::{with, FlashSale};

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
    let (now, wall_us) = (callbacks::clock(), host::clock_nanos() / 1_000);
    with(|vm| vm.configure(root, settings, password, now, wall_us));
    host::log(Level::Info, &line);
    let _ = host::set_tick_period(worker::FIRST_TICK_MS);
    true
}

fn on_request_headers(request: ContextId, _count: usize, _end: bool) -> Action {
    match request::arrive(request) {
        Arrival::Answered(action) => action,
        Arrival::Waits => {
            let now = callbacks::clock();
            with(|vm| vm.arrived(request, now.as_nanos() / 1_000));
            callbacks::flush::<FlashSale>(request, now);
            callbacks::pace::<FlashSale>(request, now, false);
            Action::Pause
        }
    }
}

host::export!(
    on_vm_start => on_vm_start,
    on_configure => on_configure,
    on_tick => callbacks::on_tick::<FlashSale>,
    on_request_headers => on_request_headers,
    on_grpc_receive => callbacks::on_grpc_receive::<FlashSale>,
    on_grpc_close => callbacks::on_grpc_close::<FlashSale>,
);

#[cfg(test)]
mod tests;
