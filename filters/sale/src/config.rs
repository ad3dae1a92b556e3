//! What the filter is told: the sales of a gateway and the routes that they govern, ready for use.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Deserialize;

use crate::answers::{Answer, Refusal};
use crate::denied::DeniedUsers;
use crate::draw::Draw;
use crate::networks::Networks;
use crate::parameters;
use identity::hashing::Named;

/// All sales of one gateway, and the routes that they govern.
#[derive(Debug, Default)]
pub struct Settings {
    /// `namespace/name` of the gateway.
    pub gateway: String,
    /// How Redis is reached.
    pub redis: link::Server,
    /// How often the state of each sale is polled, in milliseconds.
    pub poll_ms: u64,
    /// The sales.
    pub sales: Vec<Rc<Sale>>,
    pub(crate) routes: HashMap<Box<[u8]>, usize, Named>,
}

/// What a sale does when Redis cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum OnRedisFailure {
    /// Refuses, so that nothing is ever sold twice.
    Deny,
    /// Lets pass, without a permit.
    Allow,
}

/// How safe a permit must be before its user is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Durability {
    /// On the Redis server.
    Local,
    /// On a replica as well.
    Replicated,
}

/// Where the user id of a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A request header.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// The client's address.
    ClientAddress,
}

/// The signed cookie of a sale.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PassRule {
    /// The cookie's name.
    pub cookie: String,
    /// How long a pass is good, in milliseconds.
    pub ttl_ms: u64,
}

/// The Redis keys of a sale; all in one hash slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What the books say of themselves.
    pub meta: String,
    /// User to number.
    pub permits: String,
    /// The permits in order.
    pub log: String,
}

impl Keys {
    /// The keys of the books called `tag`.
    pub fn new(tag: &str) -> Self {
        let key = |part: &str| format!("sluice:{{{tag}}}:{part}");
        Self { meta: key("meta"), permits: key("permits"), log: key("log") }
    }
}

/// One sale, ready to be decided on.
#[derive(Debug)]
pub struct Sale {
    /// Its position among the sales of its settings.
    pub place: usize,
    /// `namespace/name`.
    pub name: String,
    /// The tag of its books: name and epoch.
    pub tag: Rc<str>,
    /// Its keys in Redis.
    pub keys: Keys,
    /// When it opens, in milliseconds since 1970 by Redis's clock.
    pub start_ms: u64,
    /// When it closes, if ever.
    pub end_ms: Option<u64>,
    /// The share of draws that lose.
    pub block_ratio: f64,
    /// How it draws.
    pub draw: Draw,
    /// One try per user in so many milliseconds; 0 for any number.
    pub min_interval_ms: u64,
    /// Where user ids come from.
    pub source: Source,
    /// Whether Redis sees user ids as they are.
    pub plain: bool,
    /// The pass cookie, if there is one.
    pub pass: Option<PassRule>,
    /// Users refused outright.
    pub denied_users: DeniedUsers,
    /// Networks refused outright.
    pub denied_networks: Networks,
    /// What to do without Redis.
    pub on_redis_failure: OnRedisFailure,
    /// When a permit counts.
    pub durability: Durability,
    /// Whether the manifest suspends the sale.
    pub suspended: bool,
    pub(crate) answers: Vec<Answer>,
}

impl Sale {
    /// Whether the sale opens or closes within a second from `now_ms`: then time has to be exact.
    pub fn turns_soon(&self, now_ms: u64) -> bool {
        let soon = |at: u64| at.wrapping_sub(now_ms) < 1_000;
        soon(self.start_ms) || self.end_ms.is_some_and(soon)
    }

    /// How a refusal is worded.
    pub fn answer(&self, refusal: Refusal) -> &Answer {
        static NONE: Answer = Answer::EMPTY;
        self.answers.get(refusal as usize).unwrap_or(&NONE)
    }
}

impl Settings {
    /// Reads the filter's parameters.
    ///
    /// # Errors
    /// One line that names the place and what is wrong with it.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        parameters::read(document)
    }

    /// The position of the sale that governs a route, by the route's name in Envoy.
    pub fn route(&self, name: &[u8]) -> Option<usize> {
        self.routes.get(name).copied()
    }

    /// All routes, each with the position of its sale.
    pub fn routes(&self) -> impl Iterator<Item = (&[u8], usize)> {
        self.routes.iter().map(|(name, index)| (&**name, *index))
    }

    /// The sale of this name.
    pub fn by_name(&self, name: &str) -> Option<&Rc<Sale>> {
        self.sales.iter().find(|sale| sale.name == name)
    }

    /// The sale whose books have this tag.
    pub fn by_tag(&self, tag: &str) -> Option<&Rc<Sale>> {
        self.sales.iter().find(|sale| &*sale.tag == tag)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
pub(crate) mod tests;
