//! Requests that do not go through, and what they are told.

use std::rc::Rc;

use host::{EncodedPairs, GrpcStatus};
use quota::config::Answer;
use quota::meter::{Meter, Reading};
use quota::time::Now;

use crate::desk::{answer_headers, Desk, Extras, Place};
use crate::vm::Owner;

/// Which answer of a policy a refused request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Limited,
    Unidentified,
    Unavailable,
}

/// A refusal, ready to leave.
pub(crate) struct Refusal {
    desk: Owner,
    limit: Place,
    why: Why,
    headers: EncodedPairs,
}

/// A refusal by one meter, where no more is known.
pub(crate) fn limited_by(
    desk: &Owner,
    meters: &[Meter],
    place: usize,
    reading: &Reading,
    time: Now,
) -> Refusal {
    let limit = meters.get(place).map_or((0, 0), |meter| meter.limit);
    let extras = desk.extras(meters, |at| (at == place).then_some(reading), time.redis_ms);
    Refusal::new(desk, limit, Why::Limited, Some(reading.wait_ms), &extras)
}

impl Refusal {
    pub(crate) fn new(
        desk: &Owner,
        limit: Place,
        why: Why,
        wait_ms: Option<u64>,
        extras: &Extras,
    ) -> Self {
        let answer = why.answer(desk, limit);
        let headers = answer.map(|answer| answer_headers(answer, wait_ms, extras));
        Self { desk: Rc::clone(desk), limit, why, headers: headers.unwrap_or_default() }
    }
}

impl Refusal {
    /// Answers the effective request.
    pub(crate) fn answer(&self) {
        let Self { desk, limit, why, headers } = self;
        let (status, body) = match why.answer(desk, *limit) {
            Some(answer) => (answer.status, answer.body.as_bytes()),
            None => (503, &b""[..]),
        };
        let details = why.details();
        let _ = host::send_local_response(status, details, headers, body, why.grpc_status());
    }
}

impl Why {
    fn answer(self, desk: &Desk, limit: Place) -> Option<&Answer> {
        desk.policy(limit).map(|policy| match self {
            Self::Limited => &policy.limited,
            Self::Unidentified => &policy.unidentified,
            Self::Unavailable => &policy.unavailable,
        })
    }

    /// Its name in access logs, as the detail of the response code.
    fn details(self) -> &'static str {
        match self {
            Self::Limited => "sluice_limited",
            Self::Unidentified => "sluice_quota_unidentified",
            Self::Unavailable => "sluice_quota_unavailable",
        }
    }

    fn grpc_status(self) -> Option<GrpcStatus> {
        (self == Self::Limited).then_some(GrpcStatus::ResourceExhausted)
    }
}
