//! The decision on one request, in the order in which its steps are taken:
//!
//! denied networks, suspended, window, identity, denied users ([`examine`]: needs the request);
//! known permit or valid pass, throttle, sold out, lottery ([`rule`]: needs the worker's view of the
//! books). Only who is left after all of that is asked about in Redis.

use std::net::IpAddr;

use crate::answers::Refusal;
use crate::books::{Books, Now, Standing};
use crate::config::{Durability, Sale, Source};
use crate::draw::{self, Draw, DrawKey};
use crate::keyring::Keyring;
use crate::pass::{self, Claims};
use crate::verified::VerifiedPasses;
use identity::{client_address, cookies, usable, UserKey};

/// How long after the end of a round permits of that round may still become known: an admission
/// under way, and the poll that brings it.
const ROUND_SETTLES_MS: u64 = 1_000;
/// What is said when nobody can tell how long Redis will be away.
const UNAVAILABLE_MS: u64 = 1_000;

/// What the steps read of a request. Each read is a call of the proxy, so none is made in vain.
pub trait Request {
    /// The client's address as Envoy sees it: `address:port`.
    fn peer(&self) -> Option<Vec<u8>>;
    /// The first value of a header.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
}

/// What a request says of who makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// The raw user id.
    pub id: Vec<u8>,
    /// The Cookie header, when the sale has passes.
    pub cookies: Option<Vec<u8>>,
}

/// Who makes a request, recognised by the keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// The hash of the user id.
    pub user: UserKey,
    /// The user id, where Redis gets it as it is.
    pub name: Option<Box<str>>,
}

/// A refusal, and in how many milliseconds another try makes sense, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// When to come back.
    pub retry_ms: Option<u64>,
}

impl Refused {
    fn at_all(why: Refusal) -> Self {
        Self { why, retry_ms: None }
    }

    fn until(why: Refusal, retry_ms: u64) -> Self {
        Self { why, retry_ms: Some(retry_ms) }
    }

    /// A refusal for want of Redis: for the policy of the sale to overrule.
    pub fn unavailable(retry_ms: Option<u64>) -> Self {
        Self::until(Refusal::Unavailable, retry_ms.unwrap_or(UNAVAILABLE_MS))
    }
}

/// The first half: networks, suspension, window, identity, denied users.
///
/// # Errors
/// The refusal.
pub fn examine(
    sale: &Sale,
    suspended: bool,
    now_ms: u64,
    request: &impl Request,
) -> Result<Applicant, Refused> {
    let mut address = None;
    if !sale.denied_networks.is_empty() {
        address = peer(request);
        // An address that cannot be read cannot be cleared either.
        if address.is_none_or(|ip| sale.denied_networks.contains(ip)) {
            return Err(Refused::at_all(Refusal::Denied));
        }
    }
    if sale.suspended || suspended {
        return Err(Refused::at_all(Refusal::Suspended));
    }
    if now_ms < sale.start_ms {
        return Err(Refused::until(Refusal::NotStarted, sale.start_ms - now_ms));
    }
    if sale.end_ms.is_some_and(|end| end <= now_ms) {
        return Err(Refused::at_all(Refusal::Ended));
    }
    let mut cookies = sale.pass.as_ref().and_then(|_| request.header("cookie"));
    let id = match &sale.source {
        Source::Header(name) => request.header(name),
        Source::Cookie(name) => {
            if sale.pass.is_none() {
                cookies = request.header("cookie");
            }
            first_cookie(cookies.as_deref(), name)
        }
        Source::ClientAddress => {
            address.or_else(|| peer(request)).map(|ip| ip.to_string().into_bytes())
        }
    };
    let id = id
        .filter(|id| usable(id, sale.plain))
        .ok_or_else(|| Refused::at_all(Refusal::Unidentified))?;
    if sale.denied_users.contains(&id) {
        return Err(Refused::at_all(Refusal::Denied));
    }
    Ok(Applicant { id, cookies: cookies.filter(|_| sale.pass.is_some()) })
}

fn peer(request: &impl Request) -> Option<IpAddr> {
    client_address(&request.peer()?)
}

fn first_cookie(header: Option<&[u8]>, name: &str) -> Option<Vec<u8>> {
    cookies(header?, name.as_bytes()).next().map(<[u8]>::to_vec)
}

/// The ruling on a visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go through.
    Pass {
        /// The number of the permit.
        number: u64,
        /// Whether a pass proved it; else it was known.
        by_pass: bool,
        /// A new pass for the visitor, for the Set-Cookie header.
        renewed: Option<String>,
    },
    /// Do not.
    Refuse(Refused),
    /// Ask Redis. `won` is the outcome of the draw.
    Ask {
        /// The outcome of the draw.
        won: bool,
    },
    /// The books have not been heard of yet: wait for them, as long as the deadline allows.
    Wait,
}

/// The second half: permit, pass, throttle, sold out, lottery.
///
/// `random` is drawn from at most once.
pub fn rule(
    sale: &Sale,
    state: Known<'_>,
    applicant: Applicant,
    now: Now,
    random: impl FnOnce() -> u64,
) -> (Visitor, Decision) {
    let Known { books, keyring, passes } = state;
    let shown = Shown::new(sale, keyring, passes, &applicant, books.generation(), now);
    let user = shown.user;
    let name = if sale.plain { String::from_utf8(applicant.id).ok() } else { None };
    let visitor = Visitor { user, name: name.map(Into::into) };
    let decision = match permitted(sale, books, keyring, &shown, now) {
        Some(pass) => pass,
        None => compete(sale, books, keyring, &user, now, random),
    };
    (visitor, decision)
}

/// What a worker knows when it rules.
pub struct Known<'a> {
    /// Its view of the books.
    pub books: &'a mut Books,
    /// The keys.
    pub keyring: &'a Keyring,
    /// The passes that it has verified before.
    pub passes: &'a mut VerifiedPasses,
}

/// An applicant who was recognised, and the pass that was shown, if it is good.
struct Shown {
    user: UserKey,
    claims: Option<Claims>,
}

impl Shown {
    fn new(
        sale: &Sale,
        keyring: &Keyring,
        passes: &mut VerifiedPasses,
        applicant: &Applicant,
        generation: Option<u64>,
        now: Now,
    ) -> Self {
        let hash = || keyring.identity.hash(&applicant.id);
        let (Some(rule), Some(header)) = (&sale.pass, &applicant.cookies) else {
            return Self { user: hash(), claims: None };
        };
        let now_s = now.redis_ms / 1_000;
        let mut candidates = cookies(header, rule.cookie.as_bytes()).peekable();
        let Some(first) = candidates.peek() else { return Self { user: hash(), claims: None } };
        let print = passes.print(&sale.tag, &applicant.id, first);
        let current = |claims: &Claims| pass::stands(claims, keyring, now_s, generation);
        if let Some((user, claims)) = passes.get(print).filter(|(_, claims)| current(claims)) {
            return Self { user, claims: Some(claims) };
        }
        let user = hash();
        let claims = pass::verify(keyring, &sale.tag, &user, now_s, generation, candidates);
        if let Some(claims) = claims {
            passes.insert(print, user, claims);
        }
        Self { user, claims }
    }
}

/// Known permits and valid passes go through whatever has become of Redis and the books.
fn permitted(
    sale: &Sale,
    books: &Books,
    keyring: &Keyring,
    shown: &Shown,
    now: Now,
) -> Option<Decision> {
    let known = books.permits.number(&shown.user);
    let number = known.or(shown.claims.map(|claims| claims.number))?;
    let (now_s, ttl_s) =
        (now.redis_ms / 1_000, sale.pass.as_ref().map_or(0, |rule| rule.ttl_ms) / 1_000);
    let fresh = shown.claims.is_some_and(|claims| pass::fresh(&claims, keyring, now_s, ttl_s));
    let renewed =
        if fresh { None } else { new_pass(sale, books, keyring, &shown.user, number, now) };
    Some(Decision::Pass { number, by_pass: known.is_none(), renewed })
}

/// Those without a permit: throttle, sold out, lottery.
fn compete(
    sale: &Sale,
    books: &mut Books,
    keyring: &Keyring,
    user: &UserKey,
    now: Now,
    random: impl FnOnce() -> u64,
) -> Decision {
    if books.standing() == Standing::Unknown {
        return Decision::Wait;
    }
    if sale.min_interval_ms > 0 {
        let tried = books.throttle.pass(user, now.redis_ms, sale.min_interval_ms);
        if let Err(left_ms) = tried {
            return Decision::Refuse(Refused::until(Refusal::Throttled, left_ms));
        }
    }
    if books.sold_out(now.redis_ms) {
        return Decision::Refuse(Refused::at_all(Refusal::SoldOut));
    }
    let won = match sale.draw {
        Draw::PerRequest => !draw::loses(random(), sale.block_ratio),
        Draw::PerUser { round_ms } => {
            let drawn = per_user(sale, books, &keyring.draw, user, round_ms, now.redis_ms);
            match drawn {
                Ok(won) => won,
                Err(refused) => return Decision::Refuse(refused),
            }
        }
    };
    if let Some(refused) = closed(books.standing(), now.redis_ms) {
        books.throttle.forgive(user);
        return Decision::Refuse(refused);
    }
    Decision::Ask { won }
}

/// The value of a pass for somebody who holds a permit. `None` when the sale has none, or when the
/// generation of the books is not known, without which a pass would be void or, worse, outlive them.
pub fn new_pass(
    sale: &Sale,
    books: &Books,
    keyring: &Keyring,
    user: &UserKey,
    number: u64,
    now: Now,
) -> Option<String> {
    let rule = sale.pass.as_ref()?;
    let expiry_s = now.redis_ms.saturating_add(rule.ttl_ms) / 1_000;
    pass::mint(keyring, &sale.tag, user, expiry_s, books.generation()?, number)
}

/// The draw of a user. A loser is refused here and now, unless there may be a permit from an earlier
/// round that this worker has not heard of yet: then Redis is asked whether there is one.
fn per_user(
    sale: &Sale,
    books: &Books,
    key: &DrawKey,
    user: &UserKey,
    round_ms: u64,
    now_ms: u64,
) -> Result<bool, Refused> {
    if sale.block_ratio <= 0.0 {
        return Ok(true);
    }
    let loses = |round| draw::blocked(key, user, &sale.tag, round, sale.block_ratio);
    let round = draw::round(round_ms, sale.start_ms, now_ms);
    if !loses(round) {
        return Ok(true);
    }
    let heard_since = |round: u64| {
        let settled =
            draw::round_start(round_ms, sale.start_ms, round).saturating_add(ROUND_SETTLES_MS);
        books.complete_ms().is_some_and(|complete| round == 0 || complete >= settled)
    };
    let nothing_unheard = heard_since(round)
        || round.checked_sub(1).is_some_and(|before| heard_since(before) && loses(before));
    if !nothing_unheard {
        return Ok(false);
    }
    Err(Refused { why: Refusal::Blocked, retry_ms: next_round_ms(sale, now_ms) })
}

/// In how many milliseconds a loser may draw again: with the next round, if there is one.
pub(crate) fn next_round_ms(sale: &Sale, now_ms: u64) -> Option<u64> {
    let Draw::PerUser { round_ms: round_ms @ 1.. } = sale.draw else { return None };
    let round = draw::round(round_ms, sale.start_ms, now_ms);
    let next_ms = draw::round_start(round_ms, sale.start_ms, round.saturating_add(1));
    sale.end_ms.is_none_or(|end| next_ms < end).then(|| next_ms.saturating_sub(now_ms))
}

fn closed(standing: Standing, now_ms: u64) -> Option<Refused> {
    match standing {
        Standing::Open | Standing::Unknown => None,
        Standing::Healing { until_ms } => {
            let left_ms = until_ms.saturating_sub(now_ms);
            (left_ms > 0).then(|| Refused::unavailable(Some(left_ms)))
        }
        Standing::Missing | Standing::Closed => Some(Refused::unavailable(None)),
    }
}

impl Sale {
    /// Whether permits of this sale count only when a replica has them.
    pub fn replicated(&self) -> bool {
        self.durability == Durability::Replicated
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
