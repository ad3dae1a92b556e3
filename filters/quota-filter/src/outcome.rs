//! What becomes of requests and settlements, as metrics count it.

use quota::failure::{Event, Reason};

/// What a limit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It let the request through.
    Allowed,
    /// It refused it, by Redis's word.
    Limited,
    /// It refused it, as was known already.
    LimitedKnown,
    /// It would have refused it, and only watches.
    ShadowLimited,
    /// The request lacked a part that its key requires.
    Unidentified,
    /// It refused it for want of Redis.
    Unavailable,
    /// It let it through for want of Redis: no answer in time,
    FailedOpenTimeout,
    /// Redis away,
    FailedOpenAway,
    /// an error of Redis,
    FailedOpenError,
    /// too many requests that waited.
    FailedOpenFull,
    /// It let it through by the worker's own counter.
    LocalAllowed,
    /// It refused it by the worker's own counter.
    LocalLimited,
    /// What the response cost was charged.
    Settled,
    /// A reservation was given back.
    Released,
    /// A response did not say what it cost: the reservation was charged.
    NoUsage,
    /// A response could not be read: likewise.
    Unreadable,
    /// A settlement was not made, or may not have been.
    SettleLost,
}

impl Outcome {
    /// The names of all, in their order.
    pub(crate) const NAMES: [&'static str; 17] = [
        "allowed",
        "limited",
        "limited_known",
        "shadow_limited",
        "unidentified",
        "unavailable",
        "failed_open_timeout",
        "failed_open_away",
        "failed_open_error",
        "failed_open_full",
        "local_allowed",
        "local_limited",
        "settled",
        "released",
        "no_usage",
        "unreadable",
        "settle_lost",
    ];
}

impl From<Event> for Outcome {
    fn from(event: Event) -> Self {
        match event {
            Event::Unavailable => Self::Unavailable,
            Event::FailedOpen(Reason::Timeout) => Self::FailedOpenTimeout,
            Event::FailedOpen(Reason::Away) => Self::FailedOpenAway,
            Event::FailedOpen(Reason::Error) => Self::FailedOpenError,
            Event::FailedOpen(Reason::Full) => Self::FailedOpenFull,
            Event::LocalAllowed => Self::LocalAllowed,
            Event::LocalLimited => Self::LocalLimited,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_names_of_their_outcomes() {
        let reasons = [Reason::Timeout, Reason::Away, Reason::Error, Reason::Full];
        let others = [Event::Unavailable, Event::LocalAllowed, Event::LocalLimited];
        for event in reasons.map(Event::FailedOpen).into_iter().chain(others) {
            assert_eq!(Outcome::NAMES[Outcome::from(event) as usize], event.name());
        }
        assert_eq!(Outcome::SettleLost as usize + 1, Outcome::NAMES.len());
    }
}
