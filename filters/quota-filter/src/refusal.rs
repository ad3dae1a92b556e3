//! Requests that do not go through, and what they are told.

use std::rc::Rc;

use host::{EncodedPairs, GrpcStatus};
use quota::config::Answer;
use quota::headers::{reset_s, retry_after_s};
use quota::meter::{Meter, Reading, Spec};
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
    headers: Rc<EncodedPairs>,
}

/// What the last client was told that was refused by a single meter. The next one is told the same,
/// most likely: whoever is refused comes again and again.
#[derive(Debug)]
pub(crate) struct Said {
    /// The meters of the request, by how they count.
    specs: Vec<Rc<Spec>>,
    what: What,
    headers: Rc<EncodedPairs>,
}

/// All that such an answer depends on, besides the meters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct What {
    place: usize,
    limit: Place,
    remaining: u64,
    reset_s: u64,
    retry_s: u64,
    /// The second of Redis's clock: the present window of a calendar depends on it.
    second: u64,
}

impl Said {
    fn fits(&self, meters: &[Meter], what: What) -> bool {
        let same = |(spec, meter): (&Rc<Spec>, &Meter)| Rc::ptr_eq(spec, &meter.spec);
        self.what == what
            && self.specs.len() == meters.len()
            && self.specs.iter().zip(meters).all(same)
    }
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
    let what = What {
        place,
        limit,
        remaining: reading.remaining,
        reset_s: reset_s(reading),
        retry_s: retry_after_s(reading.wait_ms),
        second: time.redis_ms / 1_000,
    };
    let mut said = desk.said.borrow_mut();
    if let Some(said) = said.as_ref().filter(|said| said.fits(meters, what)) {
        let headers = Rc::clone(&said.headers);
        return Refusal { desk: Rc::clone(desk), limit, why: Why::Limited, headers };
    }
    let extras = desk.extras(meters, |at| (at == place).then_some(reading), time.redis_ms);
    let refusal = Refusal::new(desk, limit, Why::Limited, Some(reading.wait_ms), &extras);
    let specs = meters.iter().map(|meter| Rc::clone(&meter.spec)).collect();
    *said = Some(Said { specs, what, headers: Rc::clone(&refusal.headers) });
    refusal
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
        let headers = Rc::new(headers.unwrap_or_default());
        Self { desk: Rc::clone(desk), limit, why, headers }
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
