//! The loop that performs a link's actions on the host.
//!
//! Its rules, each from what Envoy does:
//! - No borrow of the state is held across a host call: a send on a dying stream delivers its end before it returns.
//! - A stream belongs to the root that opened it, and the calls that use it act on the root of the effective context: so
//!   that one is made effective before, and the callback's own afterwards.
//! - A stream that the other side has closed is cancelled inside `on_grpc_close`, and never used again: the host keeps a
//!   pointer to it otherwise. Inside `on_grpc_receive` none is cancelled, as the host goes on reading from it.

use host::{Buffer, ContextId, Status, Token};

use crate::moment::Moment;
use crate::state::{Action, Link};

/// Actions of one callback; a bound for the case that the host answers nonsense for ever.
const MOST_STEPS: usize = 64;
const SERVICE: &str = "sluice.Redis";
const METHOD: &str = "Pipe";

/// Who holds a link: a filter's state in a thread-local, reached anew for each step.
pub trait Owner {
    /// What comes back with an outcome.
    type Ticket;

    /// Lends the link, with the state borrowed for as long as the closure runs.
    fn link<T>(&self, lend: impl FnOnce(&mut Link<Self::Ticket>) -> T) -> T;

    /// Takes the link's events, and submits commands: with [`Link::room`] above 0, those of the requests that have
    /// gathered. Called with no borrow held, before actions are performed and again after each, and from callbacks that
    /// the host runs inside one.
    fn settle(&self, now: Moment);
}

/// What the link wants of the host.
pub trait Transport {
    /// The monotonic clock.
    fn now(&self) -> Moment;
    /// Makes a context effective.
    ///
    /// # Errors
    /// It is gone.
    fn set_effective_context(&self, context: ContextId) -> Result<(), Status>;
    /// Opens a stream.
    ///
    /// # Errors
    /// The host's status.
    fn open(&self, cluster: &str) -> Result<Token, Status>;
    /// Sends a message.
    ///
    /// # Errors
    /// The host's status.
    fn send(&self, token: Token, bytes: &[u8]) -> Result<(), Status>;
    /// Drops a stream.
    fn cancel(&self, token: Token);
}

/// The host that the filter runs in.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl Transport for Host {
    fn now(&self) -> Moment {
        Moment::from_nanos(host::monotonic_nanos())
    }

    fn set_effective_context(&self, context: ContextId) -> Result<(), Status> {
        host::set_effective_context(context)
    }

    fn open(&self, cluster: &str) -> Result<Token, Status> {
        host::grpc_open(cluster, SERVICE, METHOD)
    }

    fn send(&self, token: Token, bytes: &[u8]) -> Result<(), Status> {
        host::grpc_send(token, bytes)
    }

    fn cancel(&self, token: Token) {
        // "not found" is as good: nothing is left of it then
        let _ = host::grpc_cancel(token);
    }
}

/// In `on_tick`, of any root.
pub fn on_tick<O: Owner>(owner: &O, root: ContextId) {
    let now = Host.now();
    owner.link(|link| link.tick(now));
    run(owner, &Host, root, true, now);
}

/// In a request's callback, after something was queued: sends it, when the line is free.
pub fn flush<O: Owner>(owner: &O, context: ContextId, now: Moment) {
    run(owner, &Host, context, false, now);
}

/// In `on_grpc_receive`; tells whether the stream is this link's.
pub fn on_grpc_receive<O: Owner>(owner: &O, root: ContextId, token: Token, size: usize) -> bool {
    if !owner.link(|link| link.owns(token)) {
        return false;
    }
    let now = Host.now();
    if let Ok(bytes) = host::get_buffer(Buffer::GrpcReceive, 0, size) {
        owner.link(|link| link.received(token, &bytes, now));
    }
    run(owner, &Host, root, false, now);
    true
}

/// In `on_grpc_close`; tells whether the stream was this link's. With several links, call it for each.
pub fn on_grpc_close<O: Owner>(owner: &O, root: ContextId, token: Token, status: u32) -> bool {
    Host.cancel(token);
    let now = Host.now();
    let ours = owner.link(|link| {
        let ours = link.owns(token);
        link.closed(token, status, now);
        ours
    });
    if ours {
        run(owner, &Host, root, false, now);
    }
    ours
}

/// A root is gone, with its streams: noticed in a callback of `context`.
pub fn delete_root<O: Owner>(owner: &O, root: ContextId, context: ContextId, now: Moment) {
    owner.link(|link| link.delete_root(root, now));
    run(owner, &Host, context, false, now);
}

/// Sets the tick period of a root, and makes the callback's own context effective again.
pub fn set_tick(root: ContextId, milliseconds: u32, context: ContextId) {
    if host::set_effective_context(root).is_ok() {
        let _ = host::set_tick_period(milliseconds);
    }
    let _ = host::set_effective_context(context);
}

/// Performs what the link wants done, until it wants nothing more. `context` is the callback's own.
pub fn run<O: Owner, T: Transport>(
    owner: &O,
    transport: &T,
    context: ContextId,
    in_tick: bool,
    now: Moment,
) {
    let mut moved = false;
    for _ in 0..MOST_STEPS {
        owner.settle(now);
        let (action, more) = owner.link(|link| {
            let action = link.next_action(in_tick, now);
            (action, link.has_events())
        });
        let Some(action) = action else {
            if more {
                continue;
            }
            break;
        };
        moved = true;
        perform(owner, transport, action, now);
    }
    if moved {
        let _ = transport.set_effective_context(context);
    }
}

fn perform<O: Owner, T: Transport>(owner: &O, transport: &T, action: Action, now: Moment) {
    match action {
        Action::Open { root, cluster } => {
            let result =
                transport.set_effective_context(root).and_then(|()| transport.open(&cluster));
            owner.link(|link| link.opened(result, now));
        }
        Action::Send { root, token, bytes } => {
            if transport.set_effective_context(root).is_err() {
                return owner.link(|link| link.orphaned(root, token, bytes, now));
            }
            let result = transport.send(token, &bytes);
            owner.link(|link| link.sent(token, bytes, result, now));
        }
        Action::Cancel { root, token } => {
            if transport.set_effective_context(root).is_ok() {
                transport.cancel(token);
            }
        }
    }
}
