//! What a refused user is told.

use serde::Deserialize;

/// Why a request is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// The sale has not begun.
    NotStarted,
    /// The sale is over.
    Ended,
    /// All permits are given out.
    SoldOut,
    /// The draw was lost.
    Blocked,
    /// One try per interval was exceeded.
    Throttled,
    /// The user or the network is on a list.
    Denied,
    /// The request carries no usable user id.
    Unidentified,
    /// The sale cannot be decided now.
    Unavailable,
    /// The operator has suspended the sale.
    Suspended,
}

/// All refusals, in the order of their numbers.
pub const REFUSALS: [Refusal; 9] = [
    Refusal::NotStarted,
    Refusal::Ended,
    Refusal::SoldOut,
    Refusal::Blocked,
    Refusal::Throttled,
    Refusal::Denied,
    Refusal::Unidentified,
    Refusal::Unavailable,
    Refusal::Suspended,
];

impl Refusal {
    /// The name of the field that words it.
    pub fn field(self) -> &'static str {
        match self {
            Self::NotStarted => "notStarted",
            Self::Ended => "ended",
            Self::SoldOut => "soldOut",
            Self::Blocked => "blocked",
            Self::Throttled => "throttled",
            Self::Denied => "denied",
            Self::Unidentified => "unidentified",
            Self::Unavailable => "unavailable",
            Self::Suspended => "suspended",
        }
    }

    /// Its name in access logs, as the detail of the response code.
    pub fn details(self) -> &'static str {
        match self {
            Self::NotStarted => "sluice_not_started",
            Self::Ended => "sluice_ended",
            Self::SoldOut => "sluice_sold_out",
            Self::Blocked => "sluice_blocked",
            Self::Throttled => "sluice_throttled",
            Self::Denied => "sluice_denied",
            Self::Unidentified => "sluice_unidentified",
            Self::Unavailable => "sluice_unavailable",
            Self::Suspended => "sluice_suspended",
        }
    }

    /// Its name in metrics.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Ended => "ended",
            Self::SoldOut => "sold_out",
            Self::Blocked => "blocked",
            Self::Throttled => "throttled",
            Self::Denied => "denied",
            Self::Unidentified => "unidentified",
            Self::Unavailable => "unavailable",
            Self::Suspended => "suspended",
        }
    }
}

/// What became of a request, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Let in now.
    Admitted,
    /// Let in before, and known.
    Known,
    /// Let in before, proved by a pass.
    Pass,
    /// Let through without a permit, as Redis could not be asked.
    FailedOpen,
    /// Not let through.
    Refused(Refusal),
}

impl Outcome {
    /// How many there are.
    pub const COUNT: usize = 4 + REFUSALS.len();

    /// All of them, each at the place of its number.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Admitted, Self::Known, Self::Pass, Self::FailedOpen]
            .into_iter()
            .chain(REFUSALS.into_iter().map(Self::Refused))
    }

    /// Its number, below [`Outcome::COUNT`].
    pub fn number(self) -> usize {
        match self {
            Self::Admitted => 0,
            Self::Known => 1,
            Self::Pass => 2,
            Self::FailedOpen => 3,
            Self::Refused(refusal) => 4 + refusal as usize,
        }
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Known => "known",
            Self::Pass => "pass",
            Self::FailedOpen => "failed_open",
            Self::Refused(refusal) => refusal.outcome(),
        }
    }
}

/// One response, complete as the control plane has made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Name and value of each header.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// Whether to say when a retry makes sense, where that can be known.
    pub retry_after: bool,
}

impl Answer {
    pub(crate) const EMPTY: Self =
        Self { status: 503, headers: Vec::new(), body: String::new(), retry_after: false };
}

/// A wait in milliseconds as Retry-After tells it: whole seconds, rounded up, at least one.
pub fn retry_after_s(wait_ms: u64) -> u64 {
    wait_ms.div_ceil(1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_never_sends_anybody_back_too_early() {
        assert_eq!(retry_after_s(0), 1);
        assert_eq!(retry_after_s(1), 1);
        assert_eq!(retry_after_s(1_000), 1);
        assert_eq!(retry_after_s(1_001), 2);
    }

    #[test]
    fn the_numbers_of_refusals_are_their_places() {
        for (index, refusal) in REFUSALS.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
        }
    }

    #[test]
    fn the_numbers_of_outcomes_are_their_places() {
        let numbers: Vec<_> = Outcome::all().map(Outcome::number).collect();
        assert_eq!(numbers, (0..Outcome::COUNT).collect::<Vec<_>>());
    }
}
