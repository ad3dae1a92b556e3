//! How the callbacks of a filter go.

use host::{ContextId, Token};
use link::{Moment, Owner};

use crate::pace::OLDER_TICK_MS;
use crate::{counts, Filter};

/// The time now.
pub fn clock() -> Moment {
    Moment::from_nanos(host::monotonic_nanos())
}

/// The time of the last callback of a root, at most a tick ago: no host call, once there was one.
pub fn lately<F: Filter>() -> Moment {
    F::worker(|worker| worker.last).unwrap_or_else(clock)
}

/// In `on_tick`, of any root.
pub fn on_tick<F: Filter>(root: ContextId) {
    let now = begin::<F>();
    sweep::<F>(root, now);
    let newest = F::worker(|worker| worker.roots.newest() == Some(root));
    if newest {
        let deadline_us = F::deadline_us();
        let judge = F::worker(|worker| worker.pace.judges(now, deadline_us));
        F::tick(now, judge);
        for line in F::LINES {
            if judge {
                link::on_tick(line, root);
            } else {
                // What is due leaves all the same; only nobody's silence is judged.
                link::flush(line, root, now);
            }
        }
        counts::write::<F>(now);
    } else {
        // An older root: its streams end by themselves, with the link of the newest one's ticks.
        link::set_tick(root, OLDER_TICK_MS, root);
    }
    finish::<F>(root, now, newest);
}

/// Forgets the roots that are gone. The host would tell, by a callback that it makes for every request
/// as well: looking costs less. When the newest one was gone, the next is in force from here on.
fn sweep<F: Filter>(root: ContextId, now: Moment) {
    let others = F::worker(|worker| worker.roots.others(root));
    if others.is_empty() {
        return;
    }
    let gone = |other: &ContextId| host::set_effective_context(*other).is_err();
    for other in others.into_iter().filter(gone) {
        for line in F::LINES {
            link::delete_root(line, other, root, now);
        }
        if F::worker(|worker| worker.roots.remove(other)) {
            F::root_gone(now);
        }
    }
    let _ = host::set_effective_context(root);
}

/// In `on_request_headers`, after a request was made to wait; and wherever a request's callback has
/// something to send. `now` is asked of the clock for it.
pub fn flush<F: Filter>(context: ContextId, now: Moment) {
    for line in F::LINES.iter().filter(|line| F::gathers(line)) {
        link::flush(line, context, now);
    }
}

/// In `on_grpc_receive`.
pub fn on_grpc_receive<F: Filter>(root: ContextId, token: Token, size: usize) {
    let now = begin::<F>();
    let _ = F::LINES.iter().any(|line| link::on_grpc_receive(line, root, token, size));
    finish::<F>(root, now, false);
}

/// In `on_grpc_close`.
pub fn on_grpc_close<F: Filter>(root: ContextId, token: Token, status: u32) {
    let now = begin::<F>();
    let _ = F::LINES.iter().any(|line| link::on_grpc_close(line, root, token, status));
    finish::<F>(root, now, false);
}

/// The beginning of every callback of a root.
fn begin<F: Filter>() -> Moment {
    let now = clock();
    F::worker(|worker| {
        worker.release.begin();
        worker.last = Some(now);
    });
    now
}

/// The end of every callback of a root: answers who is ready, as many as one callback may.
fn finish<F: Filter>(root: ContextId, now: Moment, in_tick: bool) {
    for (level, line) in F::worker(|worker| worker.notes.take()) {
        host::log(level, &line);
    }
    let mut touched = false;
    while let Some(ready) = F::worker(|worker| worker.release.next()) {
        touched = true;
        F::conclude(ready, now);
    }
    if touched {
        let _ = host::set_effective_context(root);
        // Somebody who was looked at again may have something to ask.
        flush::<F>(root, now);
    }
    pace::<F>(root, now, in_tick);
}

/// Sets the tick period of the newest root, if another one is wanted now.
pub fn pace<F: Filter>(context: ContextId, now: Moment, in_tick: bool) {
    let periods = F::LINES.iter().map(|line| line.link(|link| link.tick_period()));
    let link_ms = periods.filter(|period| *period > 0).min();
    let waits = F::waits();
    let wanted = F::worker(|worker| {
        let root = worker.roots.newest()?;
        let ready = !worker.release.is_empty();
        let period = worker.pace.period(link_ms, ready, waits, in_tick, now)?;
        Some((root, period))
    });
    if let Some((root, period)) = wanted {
        link::set_tick(root, period, context);
    }
}
