//! What a request is told when Redis cannot be asked.
//!
//! Any limit that says `Deny` refuses. Else the limits that say `Local` decide by this worker's own
//! counters. Else the request goes through, and it is counted why. A limit that only watches has no
//! say.

use link::{Outcome, Refusal};

use crate::local::Local;
use crate::meter::{Meter, Reading};
use crate::time::Now;

/// What a limit does while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub enum OnRedisFailure {
    /// It lets requests through.
    #[default]
    Allow,
    /// It refuses them.
    Deny,
    /// It lets each worker's share through.
    Local,
}

/// Why Redis was not asked, or why its answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It did not answer in time.
    Timeout,
    /// It cannot be reached, or was lost.
    Away,
    /// It answered with an error, or with something that is no answer.
    Error,
    /// Too many requests wait for it already.
    Full,
}

impl Reason {
    /// Why there is no ruling, by what became of the question.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::TimedOut { .. } => Self::Timeout,
            Outcome::Lost { .. } => Self::Away,
            Outcome::Refused(refusal) => Self::of_refusal(*refusal),
            Outcome::Reply(_) | Outcome::Confirmed { .. } => Self::Error,
        }
    }

    /// Why there is no ruling, when the link takes no question.
    pub fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BreakerOpen => Self::Away,
            Refusal::AuthFailed | Refusal::Rejected => Self::Error,
            Refusal::QueueFull => Self::Full,
        }
    }
}

/// What a limit did without Redis, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It refused, as it was told to.
    Unavailable,
    /// It let the request through unseen.
    FailedOpen(Reason),
    /// It let the request through by this worker's own counter.
    LocalAllowed,
    /// It refused the request by this worker's own counter.
    LocalLimited,
}

impl Event {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::FailedOpen(Reason::Timeout) => "failed_open_timeout",
            Self::FailedOpen(Reason::Away) => "failed_open_away",
            Self::FailedOpen(Reason::Error) => "failed_open_error",
            Self::FailedOpen(Reason::Full) => "failed_open_full",
            Self::LocalAllowed => "local_allowed",
            Self::LocalLimited => "local_limited",
        }
    }
}

/// What a request is told without Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes through.
    Pass,
    /// It is told to come back in [`RETRY_MS`].
    Unavailable {
        /// The first meter whose limit denies.
        meter: usize,
    },
    /// It is told that it is over the limit.
    Limited {
        /// The meter that refuses it.
        meter: usize,
        /// What that one says.
        reading: Reading,
    },
}

/// When to come back to what is unavailable, in milliseconds.
pub const RETRY_MS: u64 = 1_000;

impl Answer {
    /// Decides about a request. `mode` tells what the limit of a meter does while Redis is away.
    pub fn without_redis(
        meters: &[Meter],
        mode: impl Fn(&Meter) -> OnRedisFailure,
        local: &mut Local,
        workers: u64,
        now: Now,
    ) -> Self {
        let says = |meter: &Meter, what| !meter.spec.watch && mode(meter) == what;
        if let Some(meter) = meters.iter().position(|m| says(m, OnRedisFailure::Deny)) {
            return Self::Unavailable { meter };
        }
        let here = |meter: &&Meter| says(meter, OnRedisFailure::Local);
        match local.take(meters.iter().filter(here), workers, now) {
            Ok(()) => Self::Pass,
            Err((place, reading)) => {
                let among = meters.iter().enumerate().filter(|(_, meter)| here(meter)).nth(place);
                Self::Limited { meter: among.map_or(0, |(meter, _)| meter), reading }
            }
        }
    }

    /// What to count for the meter at this place; `None` where its limit had no say.
    pub fn event(
        &self,
        place: usize,
        meter: &Meter,
        mode: OnRedisFailure,
        reason: Reason,
    ) -> Option<Event> {
        if meter.spec.watch {
            return None;
        }
        match (self, mode) {
            (Self::Unavailable { .. }, OnRedisFailure::Deny) => Some(Event::Unavailable),
            (Self::Limited { meter, .. }, _) => (*meter == place).then_some(Event::LocalLimited),
            (Self::Pass, OnRedisFailure::Local) => Some(Event::LocalAllowed),
            (Self::Pass, OnRedisFailure::Allow) => Some(Event::FailedOpen(reason)),
            (Self::Unavailable { .. } | Self::Pass, _) => None,
        }
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
