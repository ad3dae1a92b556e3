//! Meters for tests.

use std::rc::Rc;

use crate::meter::{Kind, Meter, Span, Spec};
use crate::time::Now;

/// A hundred units a minute.
pub(crate) fn spec() -> Spec {
    let span = Span::Every(60_000);
    Spec { kind: Kind::Fixed, amount: 100, span, burst: 0, ttl_ms: 0, watch: false }
}

/// A meter with rules of its own.
pub(crate) fn counting(counter: &str, spec: Spec, charge: u64, hold: u64) -> Meter {
    let (limit, window, counter, spec) = ((0, 0), 0, counter.into(), Rc::new(spec));
    Meter { limit, window, counter, spec, charge, hold }
}

/// A meter with the usual rules.
pub(crate) fn meter(counter: &str, charge: u64, hold: u64) -> Meter {
    let ttl_ms = if hold > 0 { 600_000 } else { 0 };
    counting(counter, Spec { ttl_ms, ..spec() }, charge, hold)
}

/// A meter that only watches.
pub(crate) fn watching(counter: &str) -> Meter {
    counting(counter, Spec { watch: true, ..spec() }, 1, 0)
}

/// A moment by both clocks, in milliseconds.
pub(crate) fn at(us: u64, redis_ms: u64) -> Now {
    Now { us, redis_ms }
}
