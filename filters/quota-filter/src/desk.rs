//! The parameters of a root, with where their limits are counted and what clients are told of them.

use std::cell::RefCell;
use std::rc::Rc;

use host::EncodedPairs;
use quota::config::{Answer, Cost, Limit, OnRedisFailure, Policy, Settings};
use quota::headers::{self, push_number, PolicyLines};
use quota::meter::{Meter, Reading};
use quota::usage;
use worker::Counts;

use crate::refusal::Said;

const RETRY_AFTER: &str = "retry-after";

/// A limit, by its places in the parameters.
pub(crate) type Place = (usize, usize);

/// Name and value of each header that is to be added to a response.
pub(crate) type Extras = Vec<(&'static str, String)>;

/// Parameters, ready for use.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) settings: Settings,
    /// The row of each limit of each policy in the table of counts.
    rows: Vec<Vec<usize>>,
    lines: RefCell<PolicyLines>,
    pub(crate) said: RefCell<Option<Said>>,
}

/// A meter with the name of its limit.
type Named<'a> = (&'a str, &'a Meter);

impl Desk {
    pub(crate) fn new(settings: Settings, counts: &mut Counts) -> Self {
        let rows = settings.policies.iter().map(|policy| {
            let row = |limit: &Limit| counts.row(&format!("{}/{}", policy.name, limit.name));
            policy.limits.iter().map(row).collect()
        });
        Self { rows: rows.collect(), lines: RefCell::default(), said: RefCell::default(), settings }
    }

    /// The row of a limit in the table of counts.
    pub(crate) fn row(&self, (policy, limit): Place) -> Option<usize> {
        self.rows.get(policy)?.get(limit).copied()
    }

    /// What reads the cost of a response for a limit.
    pub(crate) fn cost(&self, limit: Place) -> Option<&Rc<usage::Cost>> {
        match &self.limit(limit)?.cost {
            Cost::Response(cost) => Some(&cost.usage),
            Cost::Number(_) | Cost::Header { .. } => None,
        }
    }

    pub(crate) fn policy(&self, limit: Place) -> Option<&Policy> {
        self.settings.policies.get(limit.0).map(|policy| &**policy)
    }

    fn limit(&self, place: Place) -> Option<&Limit> {
        self.policy(place)?.limits.get(place.1)
    }

    /// What the limit of a meter does while Redis is away.
    pub(crate) fn on_redis_failure(&self, meter: &Meter) -> OnRedisFailure {
        self.limit(meter.limit).map_or(OnRedisFailure::Allow, |limit| limit.on_redis_failure)
    }

    /// Whether responses to a request with these meters get headers.
    pub(crate) fn has_extras(&self, meters: &[Meter]) -> bool {
        self.shown(meters, |policy| policy.rate_limit || policy.x_rate_limit).next().is_some()
    }

    /// The meters whose policy wants something, with the names of their limits; without those that
    /// only watch.
    fn shown<'a>(
        &'a self,
        meters: &'a [Meter],
        wants: impl Fn(&Policy) -> bool + Clone + 'a,
    ) -> impl Iterator<Item = Named<'a>> + Clone + 'a {
        meters.iter().filter(|meter| !meter.spec.watch).filter_map(move |meter| {
            let policy = self.policy(meter.limit).filter(|policy| wants(policy))?;
            Some((&*policy.limits.get(meter.limit.1)?.name, meter))
        })
    }

    /// The headers that tell of the limits of a request. `reading`: what is known of a meter, by its
    /// place.
    pub(crate) fn extras<'a>(
        &self,
        meters: &[Meter],
        reading: impl Fn(usize) -> Option<&'a Reading>,
        redis_ms: u64,
    ) -> Extras {
        let mut extras = Extras::new();
        let known = || meters.iter().enumerate().filter_map(|(at, m)| Some((m, reading(at)?)));
        let wants = |wants: fn(&Policy) -> bool| {
            let shown = known().filter(move |(m, _)| self.policy(m.limit).is_some_and(wants));
            headers::tightest(shown)
        };
        let line = self.shown(meters, |policy| policy.rate_limit);
        if let Some(policies) = self.lines.borrow_mut().text(line, redis_ms) {
            extras.push(("ratelimit-policy", (*policies).to_owned()));
        }
        if let Some((_, meter, reading)) = wants(|policy| policy.rate_limit) {
            let name = self.limit(meter.limit).map_or("", |limit| &*limit.name);
            let mut text = String::with_capacity(name.len() + 32);
            headers::push_rate_limit(&mut text, name, meter, reading);
            extras.push(("ratelimit", text));
        }
        if let Some((_, meter, reading)) = wants(|policy| policy.x_rate_limit) {
            let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
            for (name, number) in names.into_iter().zip(headers::x_rate_limit(meter, reading)) {
                let mut text = String::new();
                push_number(&mut text, number);
                extras.push((name, text));
            }
        }
        extras
    }
}

/// The headers of an answer, when to come back unless the manifest says it, and what else is told.
pub(crate) fn answer_headers(
    answer: &Answer,
    wait_ms: Option<u64>,
    extras: &Extras,
) -> EncodedPairs {
    let wait_ms = wait_ms.filter(|_| answer.headers.iter().all(|(name, _)| **name != *RETRY_AFTER));
    let mut retry_after = String::new();
    if let Some(wait_ms) = wait_ms {
        push_number(&mut retry_after, headers::retry_after_s(wait_ms));
    }
    let own = answer.headers.iter().map(|(name, value)| (&**name, &**value));
    let retry = wait_ms.map(|_| (RETRY_AFTER, &*retry_after));
    let extras = extras.iter().map(|(name, value)| (*name, &**value));
    let pairs: Vec<(&str, &str)> = own.chain(retry).chain(extras).collect();
    EncodedPairs::new(&pairs)
}
