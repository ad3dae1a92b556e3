//! The parameters that the control plane gives the filter, read and checked whole.
//!
//! A wrong document is refused as a whole, in one line that tells where it is wrong: the proxy then
//! rejects the update, keeps the last good one, and shows that line to whoever wrote the manifest.

mod limit;
mod request;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde::Deserialize;

use self::limit::LimitParameters;
use crate::config::{Answer, Policy, Settings};
use crate::consumer::Key;
use crate::plan::Plan;
use crate::usage::{self, PointerError};
use document::{within, words};

/// The version of the document that this code understands.
const VERSION: u32 = 1;
/// What would end the hash tag or a part of a counter's key.
const BARRED: &str = "{}:";

/// Reads a document; the error is one line that names the place and what is wrong with it.
pub(crate) fn read(document: &[u8]) -> Result<Settings, String> {
    // Names and texts of the document that are quoted may hold anything.
    settings(document).map_err(|error| error.replace(char::is_control, " "))
}

fn settings(document: &[u8]) -> Result<Settings, String> {
    let parameters: Parameters = document::read(document, VERSION)?;
    parameters.redis.check().map_err(|error| format!("redis.{error}"))?;
    within("workers", parameters.workers, 1, 1 << 20)?;
    let (mut shared, mut names) = (Shared::default(), HashSet::new());
    let mut policies = Vec::with_capacity(parameters.policies.len());
    for (index, policy) in parameters.policies.into_iter().enumerate() {
        let place = |error| format!("policies[{index}].{error}");
        let policy = policy.compile(&mut shared).map_err(place)?;
        if !names.insert(Rc::clone(&policy.name)) {
            return Err(place(format!("policy: {} is there twice", policy.name)));
        }
        policies.push(Rc::new(policy));
    }
    let mut plans = Plans { policies: &policies, lists: Vec::new() };
    let otherwise = plans.place("otherwise", parameters.otherwise)?;
    let mut routes = HashMap::default();
    for (name, list) in parameters.routes {
        let place = plans.place(&format!("routes.{name}"), list)?;
        routes.insert(name.into_bytes().into(), place);
    }
    let plans = plans.compile();
    let Parameters { gateway, redis, workers, .. } = parameters;
    Ok(Settings { gateway, redis, workers, policies, plans, routes, otherwise })
}

/// Compiles the elements of a list; an error tells which one it is about.
fn list<T, U>(
    field: &str,
    elements: Vec<T>,
    mut compile: impl FnMut(T) -> Result<U, String>,
) -> Result<Vec<U>, String> {
    let numbered = elements.into_iter().enumerate();
    numbered
        .map(|(index, element)| {
            compile(element).map_err(|error| format!("{field}[{index}].{error}"))
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parameters {
    #[serde(rename = "version")]
    _version: u32,
    gateway: String,
    redis: link::Server,
    workers: u64,
    policies: Vec<PolicyParameters>,
    routes: HashMap<String, Vec<usize>>,
    otherwise: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyParameters {
    policy: String,
    limits: Vec<LimitParameters>,
    responses: Responses,
    rate_limit: bool,
    x_rate_limit: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Responses {
    limited: Answer,
    unidentified: Answer,
    unavailable: Answer,
}

/// Pointers into a response, each with its weight in thousandths.
type Terms = Vec<(String, i64)>;

/// What limits have in common, each once: a key is read and hashed once for all limits that have it,
/// and a response is read once for all that it tells the same cost.
#[derive(Default)]
struct Shared {
    keys: Vec<Rc<Key>>,
    usages: Vec<(Terms, Rc<usage::Cost>)>,
}

impl Shared {
    fn key(&mut self, key: Key) -> Rc<Key> {
        if let Some(known) = self.keys.iter().find(|known| ***known == key) {
            return Rc::clone(known);
        }
        let key = Rc::new(key);
        self.keys.push(Rc::clone(&key));
        key
    }

    fn usage(&mut self, terms: Terms) -> Result<Rc<usage::Cost>, PointerError> {
        if let Some((_, known)) = self.usages.iter().find(|(known, _)| *known == terms) {
            return Ok(Rc::clone(known));
        }
        let borrowed: Vec<_> = terms.iter().map(|(text, milli)| (text.as_str(), *milli)).collect();
        let usage = Rc::new(usage::Cost::new(&borrowed)?);
        self.usages.push((terms, Rc::clone(&usage)));
        Ok(usage)
    }
}

/// The lists of policies that routes have, each once.
struct Plans<'a> {
    policies: &'a [Rc<Policy>],
    lists: Vec<Vec<usize>>,
}

impl Plans<'_> {
    fn place(&mut self, field: &str, list: Vec<usize>) -> Result<usize, String> {
        for (index, place) in list.iter().enumerate() {
            if *place >= self.policies.len() {
                return Err(format!("{field}: there is no policy {place}"));
            }
            if list.iter().take(index).any(|other| other == place) {
                return Err(format!("{field}: policy {place} is there twice"));
            }
        }
        if let Some(place) = self.lists.iter().position(|known| *known == list) {
            return Ok(place);
        }
        self.lists.push(list);
        Ok(self.lists.len() - 1)
    }

    fn compile(self) -> Vec<Rc<Plan>> {
        let policy = |place: usize| Some((place, Rc::clone(self.policies.get(place)?)));
        let plan = |list: Vec<usize>| Plan::new(list.into_iter().filter_map(policy).collect());
        self.lists.into_iter().map(|list| Rc::new(plan(list))).collect()
    }
}

impl PolicyParameters {
    fn compile(self, shared: &mut Shared) -> Result<Policy, String> {
        words("policy", &self.policy, 2, BARRED)?;
        let mut names = HashSet::new();
        let mut limits = Vec::with_capacity(self.limits.len());
        for (index, limit) in self.limits.into_iter().enumerate() {
            let place = |error| format!("limits[{index}].{error}");
            let limit = limit.compile(&self.policy, shared).map_err(place)?;
            if !names.insert(limit.name.clone()) {
                return Err(place(format!("name: {} is there twice", limit.name)));
            }
            limits.push(limit);
        }
        let Responses { limited, unidentified, unavailable } = self.responses;
        let answers =
            [("limited", &limited), ("unidentified", &unidentified), ("unavailable", &unavailable)];
        for (field, answer) in answers {
            document::answer(answer.status, &answer.headers)
                .map_err(|error| format!("responses.{field}: {error}"))?;
        }
        Ok(Policy {
            salt: Policy::salt(&self.policy),
            name: self.policy.into(),
            limits,
            limited,
            unidentified,
            unavailable,
            rate_limit: self.rate_limit,
            x_rate_limit: self.x_rate_limit,
        })
    }
}
