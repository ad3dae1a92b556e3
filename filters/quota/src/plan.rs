//! What is asked of Redis about one request: which limits apply to it, whom they count, and what it
//! costs.

use std::ops::Range;
use std::rc::Rc;

use identity::{IdentityKey, UserKey};
use sha2::Digest as _;

use crate::config::{Cost, Limit, Policy, Specs};
use crate::consumer::{is_among, write_id, Key, Request, Seen};
use crate::meter::Meter;
use crate::overrides::Digest;
use crate::usage;

/// The most units that a request costs, whatever it says of itself.
pub const MAX_UNITS: u64 = 1_000_000_000;
/// Bytes of each buffer that are kept from one request to the next.
const KEPT: usize = 16 << 10;

/// The policies that apply to a route.
#[derive(Debug, Default)]
pub struct Plan {
    /// The places of the policies in the parameters, and the policies: the gateway's first.
    pub policies: Vec<(usize, Rc<Policy>)>,
    /// Meters when all limits apply.
    most: usize,
}

/// What is asked of Redis about a request, and what else became known.
#[derive(Debug, Default)]
pub struct Planned {
    /// The counters that it is charged to, limit by limit; none when no limit applies.
    pub meters: Vec<Meter>,
    /// What is looked for in the response, each cost once: the limits hold the very same ones.
    pub usages: Vec<Rc<usage::Cost>>,
    /// Limits that miss a part which their key requires, and refuse nobody for it: they only watch,
    /// or not all consumers yet.
    pub unidentified: Vec<(usize, usize)>,
}

/// A request lacks a part that a key requires: it is refused with the policy's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unidentified {
    /// The limit: the places of its policy in the parameters, and of the limit in it.
    pub limit: (usize, usize),
}

impl Plan {
    /// The plan of these policies, each with its place in the parameters.
    pub fn new(policies: Vec<(usize, Rc<Policy>)>) -> Self {
        let limits = policies.iter().flat_map(|(_, policy)| &policy.limits);
        let most = limits.map(|limit| limit.windows.len()).sum();
        Self { policies, most }
    }

    /// Whether there is nothing to do for its routes.
    pub fn is_empty(&self) -> bool {
        self.most == 0
    }

    /// A policy by its place in the parameters.
    pub fn policy(&self, place: usize) -> Option<&Rc<Policy>> {
        self.policies.iter().find(|(at, _)| *at == place).map(|(_, policy)| policy)
    }

    /// A limit by the places that meters name it by.
    pub fn limit(&self, (policy, limit): (usize, usize)) -> Option<&Limit> {
        self.policy(policy)?.limits.get(limit)
    }
}

/// Makes out what to ask about requests, one after the other. What it allocates on the way is kept
/// for the next request; nothing of a request is.
#[derive(Debug, Default)]
pub struct Planner {
    seen: Seen,
    /// The keys read so far.
    keys: Vec<Known>,
    /// Their messages, one after the other.
    messages: Vec<u8>,
    consumer: String,
    counter: String,
}

/// What is known of a key and this request.
#[derive(Debug)]
struct Known {
    key: Rc<Key>,
    /// Where its message is, or the parts that are absent.
    message: Result<Range<usize>, u8>,
    hash: Option<UserKey>,
    /// The hash that overrides know the consumer by, for the policy at this place.
    digest: Option<(usize, Digest)>,
}

impl Planner {
    /// What to ask of Redis about a request. Its plan is given by its route, `identity` is the key
    /// that consumers are hashed with.
    ///
    /// # Errors
    /// The request lacks a part that a key requires.
    pub fn plan(
        &mut self,
        plan: &Plan,
        identity: &IdentityKey,
        request: &impl Request,
    ) -> Result<Planned, Unidentified> {
        let planned = self.all_limits(plan, identity, request);
        self.seen.clear();
        self.keys.clear();
        self.messages.clear();
        self.messages.shrink_to(KEPT);
        planned
    }

    fn all_limits(
        &mut self,
        plan: &Plan,
        identity: &IdentityKey,
        request: &impl Request,
    ) -> Result<Planned, Unidentified> {
        let mut planned = Planned::default();
        for (place, policy) in &plan.policies {
            for (index, limit) in policy.limits.iter().enumerate() {
                let when = &limit.when;
                if !when.is_empty() && !when.iter().any(|m| m.accepts(&mut self.seen, request)) {
                    continue;
                }
                let at = (*place, index);
                let known = self.known(&limit.key, request);
                match self.keys.get(known).map(|known| &known.message) {
                    Some(Ok(_)) => {}
                    Some(Err(absent)) if absent & limit.key.required == 0 => continue,
                    _ if limit.shadow || limit.percent < 100 => {
                        planned.unidentified.push(at);
                        continue;
                    }
                    _ => return Err(Unidentified { limit: at }),
                }
                planned.meters.reserve(if planned.meters.is_empty() { plan.most } else { 0 });
                self.one_limit(&mut planned, at, (policy, limit), known, identity, request);
            }
        }
        Ok(planned)
    }

    /// The place of a key among those read.
    fn known(&mut self, key: &Rc<Key>, request: &impl Request) -> usize {
        // Limits with the same key share it (see the parameters): the pointer tells.
        if let Some(place) = self.keys.iter().position(|known| Rc::ptr_eq(&known.key, key)) {
            return place;
        }
        let start = self.messages.len();
        let read = key.read(&mut self.seen, request, &mut self.messages);
        let message = read.map(|()| start..self.messages.len());
        self.keys.push(Known { key: Rc::clone(key), message, hash: None, digest: None });
        self.keys.len() - 1
    }

    /// Adds the meters of a limit that applies to the consumer of a key.
    fn one_limit(
        &mut self,
        planned: &mut Planned,
        at: (usize, usize),
        (policy, limit): (&Policy, &Limit),
        known: usize,
        identity: &IdentityKey,
        request: &impl Request,
    ) -> Option<()> {
        let known = self.keys.get_mut(known)?;
        let message = self.messages.get(known.message.clone().ok()?)?;
        let changed = limit.overrides.find(message, || match known.digest {
            Some((place, digest)) if place == at.0 => digest,
            _ => {
                let digest = digest(policy, message);
                known.digest = Some((at.0, digest));
                digest
            }
        });
        // An override without numbers lifts the limit.
        let changed = match changed {
            Some(found) => Some(found.specs.as_deref()?),
            None => None,
        };
        let hash = &mut known.hash;
        let mut hash = || *hash.get_or_insert_with(|| identity.hash(message));
        let watched = limit.shadow
            || match limit.percent {
                0 => true,
                percent @ 1..100 => !is_among(&hash(), percent),
                _ => false,
            };
        self.consumer.clear();
        write_id(limit.plain, message, hash, &mut self.consumer);
        let (charge, hold) = match &limit.cost {
            Cost::Number(number) => (*number, 0),
            Cost::Header { name, otherwise } => {
                (self.seen.header(request, name).and_then(units).unwrap_or(*otherwise), 0)
            }
            Cost::Response(cost) => {
                if !planned.usages.iter().any(|known| Rc::ptr_eq(known, &cost.usage)) {
                    planned.usages.push(Rc::clone(&cost.usage));
                }
                (0, cost.reserve)
            }
        };
        for (place, window) in limit.windows.iter().enumerate() {
            let specs: &Specs = changed.and_then(|all| all.get(place)).unwrap_or(&window.specs);
            self.counter.clear();
            self.counter.push_str(&window.prefix);
            self.counter.push_str(&self.consumer);
            planned.meters.push(Meter {
                limit: at,
                window: place,
                counter: Rc::from(self.counter.as_str()),
                spec: Rc::clone(if watched { &specs.watched } else { &specs.enforced }),
                charge,
                hold,
            });
        }
        Some(())
    }
}

/// The hash by which overrides of a policy know the consumer with this message.
fn digest(policy: &Policy, message: &[u8]) -> Digest {
    let hash = policy.salt.clone().chain_update(message).finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

/// The whole number that a header holds, at most [`MAX_UNITS`].
fn units(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        Some(sum.saturating_mul(10).saturating_add(u64::from(digit)).min(MAX_UNITS))
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
