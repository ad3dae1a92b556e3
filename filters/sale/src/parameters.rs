//! The parameters that the control plane gives the filter, read and checked whole.
//!
//! A wrong document is refused as a whole, in one line that tells where it is wrong: the proxy then
//! rejects the update, keeps the last good one, and shows that line to whoever wrote the manifest.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde::Deserialize;

use crate::answers::{Answer, Refusal, REFUSALS};
use crate::config::{Durability, Keys, OnRedisFailure, PassRule, Sale, Settings, Source};
use crate::denied::DeniedUsers;
use crate::draw::Draw;
use crate::networks::Networks;
use document::{present, token, within, words};
use identity::unhex;

/// The version of the document that this code understands.
const VERSION: u32 = 1;
/// What would end the hash tag of a sale's keys.
const BARRED: &str = "{}";

/// Reads a document; the error is one line that names the place and what is wrong with it.
pub(crate) fn read(document: &[u8]) -> Result<Settings, String> {
    let parameters: Parameters = document::read(document, VERSION)?;
    parameters.redis.check().map_err(|error| format!("redis.{error}"))?;
    within("pollMs", parameters.poll_ms, 10, 600_000)?;
    let mut sales = Vec::with_capacity(parameters.sales.len());
    let mut tags = HashSet::new();
    for (index, sale) in parameters.sales.into_iter().enumerate() {
        let sale = sale.compile(index).map_err(|error| format!("sales[{index}].{error}"))?;
        if !tags.insert(Rc::clone(&sale.tag)) {
            return Err(format!("sales[{index}].books: {} is there twice", sale.tag));
        }
        sales.push(Rc::new(sale));
    }
    for (route, index) in &parameters.routes {
        if *index >= sales.len() {
            return Err(format!("routes.{route}: there is no sale {index}"));
        }
    }
    let routes =
        parameters.routes.into_iter().map(|(name, index)| (name.into_bytes().into(), index));
    Ok(Settings {
        gateway: parameters.gateway,
        redis: parameters.redis,
        poll_ms: parameters.poll_ms,
        sales,
        routes: routes.collect(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parameters {
    #[serde(rename = "version")]
    _version: u32,
    gateway: String,
    redis: link::Server,
    poll_ms: u64,
    sales: Vec<SaleParameters>,
    routes: HashMap<String, usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SaleParameters {
    sale: String,
    books: String,
    start_ms: u64,
    #[serde(deserialize_with = "present")]
    end_ms: Option<u64>,
    block_ratio: f64,
    draw: DrawKind,
    redraw_ms: u64,
    min_interval_ms: u64,
    identity: Identity,
    #[serde(deserialize_with = "present")]
    pass: Option<PassRule>,
    deny: Deny,
    responses: Responses,
    on_redis_failure: OnRedisFailure,
    durability: Durability,
    suspended: bool,
}

#[derive(Deserialize)]
enum DrawKind {
    PerUser,
    PerRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Identity {
    header: Option<String>,
    cookie: Option<String>,
    #[serde(default)]
    client_address: bool,
    #[serde(default)]
    plain: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deny {
    users: Vec<String>,
    networks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Responses {
    not_started: Answer,
    ended: Answer,
    sold_out: Answer,
    blocked: Answer,
    throttled: Answer,
    denied: Answer,
    unidentified: Answer,
    unavailable: Answer,
    suspended: Answer,
}

impl Responses {
    fn take(&mut self, refusal: Refusal) -> Answer {
        core::mem::take(match refusal {
            Refusal::NotStarted => &mut self.not_started,
            Refusal::Ended => &mut self.ended,
            Refusal::SoldOut => &mut self.sold_out,
            Refusal::Blocked => &mut self.blocked,
            Refusal::Throttled => &mut self.throttled,
            Refusal::Denied => &mut self.denied,
            Refusal::Unidentified => &mut self.unidentified,
            Refusal::Unavailable => &mut self.unavailable,
            Refusal::Suspended => &mut self.suspended,
        })
    }
}

impl SaleParameters {
    fn compile(mut self, place: usize) -> Result<Sale, String> {
        words("sale", &self.sale, 2, BARRED)?;
        words("books", &self.books, 3, BARRED)?;
        if self.end_ms.is_some_and(|end| end <= self.start_ms) {
            return Err("endMs: not after startMs".into());
        }
        if !(0.0..1.0).contains(&self.block_ratio) {
            return Err(format!("blockRatio: {} is not in 0 <= x < 1", self.block_ratio));
        }
        if let Some(pass) = &self.pass {
            token("pass.cookie", &pass.cookie)?;
            within("pass.ttlMs", pass.ttl_ms, 1_000, u64::from(u32::MAX) * 1_000)?;
        }
        let mut denied = Vec::with_capacity(self.deny.users.len());
        for (index, user) in self.deny.users.iter().enumerate() {
            let hash = unhex::<16>(user.as_bytes());
            denied.push(
                hash.ok_or_else(|| format!("deny.users[{index}]: not 32 hexadecimal digits"))?,
            );
        }
        let denied_networks = Networks::parse(self.deny.networks.iter().map(String::as_str))
            .map_err(|error| format!("deny.networks: {error}"))?;
        let mut answers = Vec::with_capacity(REFUSALS.len());
        for refusal in REFUSALS {
            let answer = self.responses.take(refusal);
            document::answer(answer.status, &answer.headers)
                .map_err(|error| format!("responses.{}: {error}", refusal.field()))?;
            answers.push(answer);
        }
        let draw = match self.draw {
            DrawKind::PerUser => Draw::PerUser { round_ms: self.redraw_ms },
            DrawKind::PerRequest => Draw::PerRequest,
        };
        Ok(Sale {
            place,
            source: self.identity.source()?,
            plain: self.identity.plain,
            keys: Keys::new(&self.books),
            denied_users: DeniedUsers::new(&self.books, denied),
            denied_networks,
            name: self.sale,
            tag: self.books.into(),
            start_ms: self.start_ms,
            end_ms: self.end_ms,
            block_ratio: self.block_ratio,
            draw,
            min_interval_ms: self.min_interval_ms,
            pass: self.pass,
            on_redis_failure: self.on_redis_failure,
            durability: self.durability,
            suspended: self.suspended,
            answers,
        })
    }
}

impl Identity {
    fn source(&self) -> Result<Source, String> {
        match (&self.header, &self.cookie, self.client_address) {
            (Some(name), None, false) => {
                token("identity.header", name)?;
                Ok(Source::Header(name.to_ascii_lowercase()))
            }
            (None, Some(name), false) => {
                token("identity.cookie", name)?;
                Ok(Source::Cookie(name.clone()))
            }
            (None, None, true) => Ok(Source::ClientAddress),
            _ => Err("identity: needs exactly one of header, cookie, clientAddress".into()),
        }
    }
}
