//! What the filter is told: the policies of a gateway and the routes that they apply to, ready for use.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::consumer::Key;
pub use crate::failure::OnRedisFailure;
use crate::matcher::Matcher;
use crate::meter::Spec;
use crate::overrides::Overrides;
use crate::parameters;
use crate::plan::Plan;
use crate::usage;
use identity::hashing::Named;

/// All policies of one gateway, and the routes that they apply to.
#[derive(Debug, Default)]
pub struct Settings {
    /// `namespace/name` of the gateway.
    pub gateway: String,
    /// How Redis is reached.
    pub redis: link::Server,
    /// Workers that share the limits while Redis is away, at least 1.
    pub workers: u64,
    /// The policies.
    pub policies: Vec<Rc<Policy>>,
    /// Each list of policies that some route has, once.
    pub plans: Vec<Rc<Plan>>,
    pub(crate) routes: HashMap<Box<[u8]>, usize, Named>,
    pub(crate) otherwise: usize,
}

/// One policy.
#[derive(Debug)]
pub struct Policy {
    /// `namespace/name`.
    pub name: Rc<str>,
    /// Its limits, in the order of the manifest.
    pub limits: Vec<Limit>,
    /// The answer above a limit; Retry-After is the filter's to add.
    pub limited: Answer,
    /// The answer to a request that lacks a required part of a key.
    pub unidentified: Answer,
    /// The answer when Redis is away and a limit fails closed.
    pub unavailable: Answer,
    /// Whether responses carry `RateLimit-Policy` and `RateLimit`.
    pub rate_limit: bool,
    /// Whether responses carry `X-RateLimit-*`.
    pub x_rate_limit: bool,
    /// Has seen what the hashes of consumers with overrides begin with.
    pub(crate) salt: Sha256,
}

impl Policy {
    pub(crate) fn salt(name: &str) -> Sha256 {
        Sha256::new().chain_update(name).chain_update([0])
    }
}

/// One limit: one or several windows that count the same for each consumer.
#[derive(Debug)]
pub struct Limit {
    /// Its name, unique in the policy.
    pub name: Box<str>,
    /// Whom it counts.
    pub key: Rc<Key>,
    /// Whether Redis sees consumers as they are.
    pub plain: bool,
    /// Requests that it is about: any of these; none stands for all.
    pub when: Vec<Matcher>,
    /// Tokens or requests.
    pub counts: Counts,
    /// Its windows, one or more.
    pub windows: Vec<Window>,
    /// What a request costs.
    pub cost: Cost,
    /// It only watches, whoever asks.
    pub shadow: bool,
    /// The share of consumers that it is enforced for, in percent; the others are only watched.
    pub percent: u64,
    /// What to do without Redis.
    pub on_redis_failure: OnRedisFailure,
    /// Other numbers for single consumers.
    pub overrides: Overrides,
}

impl Limit {
    /// Whether it may refuse anybody.
    pub fn enforced(&self) -> bool {
        !self.shadow && self.percent > 0
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Counts {
    /// Requests, each with its cost.
    Requests,
    /// Tokens of a language model, or whatever else the cost stands for.
    Tokens,
}

/// One window of a limit.
#[derive(Clone, Debug)]
pub struct Window {
    /// The part of the counter's key that tells windows apart, such as `f60000`.
    pub id: Box<str>,
    /// How consumers without an override are counted.
    pub specs: Specs,
    /// The counter's key up to the consumer.
    pub(crate) prefix: Box<str>,
}

/// How one window counts a consumer; made once, so that a request only points at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specs {
    /// For consumers that the limit is enforced for.
    pub enforced: Rc<Spec>,
    /// For those that it only watches.
    pub watched: Rc<Spec>,
}

impl Specs {
    pub(crate) fn new(spec: Spec) -> Self {
        let watched = Rc::new(Spec { watch: true, ..spec.clone() });
        Self { enforced: Rc::new(Spec { watch: false, ..spec }), watched }
    }
}

/// What a request costs.
#[derive(Clone, Debug)]
pub enum Cost {
    /// Always the same.
    Number(u64),
    /// The number in a request header, or `otherwise` where that is none.
    Header {
        /// Lower case.
        name: Rc<str>,
        /// Units of a request without a number there.
        otherwise: u64,
    },
    /// Known when the response has come.
    Response(ResponseCost),
}

/// A cost that the response tells.
#[derive(Clone, Debug)]
pub struct ResponseCost {
    /// What it is in the response; limits whose terms are the same have the very same one.
    pub usage: Rc<usage::Cost>,
    /// Units held until then.
    pub reserve: u64,
    /// How long they are held if nobody settles, in milliseconds.
    pub ttl_ms: u64,
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
}

impl Settings {
    /// Reads the filter's parameters.
    ///
    /// # Errors
    /// One line that names the place and what is wrong with it.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        parameters::read(document)
    }

    /// The place among [`Settings::plans`] of the plan of a route, by the route's name in Envoy. A
    /// route that nobody named has the gateway's own policies.
    pub fn route(&self, name: &[u8]) -> usize {
        self.routes.get(name).copied().unwrap_or(self.otherwise)
    }

    /// Whether a route is named.
    pub fn knows(&self, name: &[u8]) -> bool {
        self.routes.contains_key(name)
    }

    /// All named routes, each with the place of its plan.
    pub fn routes(&self) -> impl Iterator<Item = (&[u8], usize)> {
        self.routes.iter().map(|(name, place)| (&**name, *place))
    }

    /// The one plan that all named routes have, if it is one: then a request's route need not be
    /// asked for.
    pub fn sole(&self) -> Option<usize> {
        let mut places = self.routes.values();
        let first = places.next()?;
        places.all(|place| place == first).then_some(*first)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
pub(crate) mod tests;
