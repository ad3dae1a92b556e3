//! One limit: its windows, its cost and its overrides.

use std::collections::HashSet;

use serde::Deserialize;

use document::{present, token, within, words};

use super::request::{key, MatcherParameters, PartParameters};
use super::Shared;
use super::{list, BARRED};
use crate::config::{Cost, Counts, Limit, OnRedisFailure, ResponseCost, Specs, Window};
use crate::meter::{Kind, Span, Spec};
use crate::overrides::{Override, Overrides, Pattern, Who};
use crate::plan::MAX_UNITS;
use identity::unhex;

/// What the keys of all counters begin with. One hash tag: a request's limits are one script.
const COUNTERS: &str = "sluice:{quota}:";
/// The longest window that is given by its length: 366 days.
const MAX_SPAN_MS: u64 = 366 * 86_400_000;
/// Milliseconds since 1970 that a double still holds exactly.
const MAX_BORDER_MS: u64 = 1 << 53;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LimitParameters {
    name: String,
    key: Vec<PartParameters>,
    plain: bool,
    when: Vec<MatcherParameters>,
    counts: Counts,
    windows: Vec<WindowParameters>,
    cost: CostParameters,
    shadow: bool,
    percent: u64,
    on_redis_failure: OnRedisFailure,
    overrides: Vec<OverrideParameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WindowParameters {
    id: String,
    kind: Letter,
    amount: u64,
    span_ms: u64,
    burst: u64,
    borders: Vec<u64>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Letter {
    F,
    S,
    B,
    C,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CostParameters {
    number: u64,
    #[serde(deserialize_with = "present")]
    header: Option<String>,
    #[serde(deserialize_with = "present")]
    response: Option<ResponseParameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResponseParameters {
    terms: Vec<TermParameters>,
    reserve: u64,
    ttl_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermParameters {
    pointer: String,
    milli: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideParameters {
    #[serde(deserialize_with = "present")]
    consumer: Option<String>,
    #[serde(deserialize_with = "present")]
    patterns: Option<Vec<String>>,
    unlimited: bool,
    amounts: Vec<u64>,
    bursts: Vec<u64>,
}

impl LimitParameters {
    pub(super) fn compile(self, policy: &str, shared: &mut Shared) -> Result<Limit, String> {
        words("name", &self.name, 1, BARRED)?;
        within("percent", self.percent, 0, 100)?;
        let key = shared.key(key(self.key)?);
        let when = list("when", self.when, MatcherParameters::compile)?;
        let cost = self.cost.compile(shared)?;
        if matches!(cost, Cost::Response(_)) && self.counts == Counts::Requests {
            return Err("cost.response: a limit of requests knows its cost at once".into());
        }
        let ttl_ms = match &cost {
            Cost::Response(cost) if cost.reserve > 0 => cost.ttl_ms,
            _ => 0,
        };
        if self.windows.is_empty() {
            return Err("windows: none".into());
        }
        let mut ids = HashSet::new();
        let windows = list("windows", self.windows, |window| {
            let prefix = format!("{COUNTERS}{policy}/{}:{}:", self.name, window.id);
            let window = window.compile(prefix, ttl_ms)?;
            if ids.insert(window.id.clone()) {
                Ok(window)
            } else {
                Err(format!("id: {} is there twice", window.id))
            }
        })?;
        let parts = key.parts.len();
        let overrides = list("overrides", self.overrides, |entry| entry.compile(parts, &windows))?;
        Ok(Limit {
            name: self.name.into(),
            key,
            plain: self.plain,
            when,
            counts: self.counts,
            windows,
            cost,
            shadow: self.shadow,
            percent: self.percent,
            on_redis_failure: self.on_redis_failure,
            overrides: Overrides::new(overrides),
        })
    }
}

impl WindowParameters {
    fn compile(self, prefix: String, ttl_ms: u64) -> Result<Window, String> {
        words("id", &self.id, self.id.split('/').count(), BARRED)?;
        within("amount", self.amount, 0, MAX_UNITS)?;
        within("burst", self.burst, 0, MAX_UNITS)?;
        let span = if self.kind == Letter::C {
            if self.borders.len() < 2 || !self.borders.is_sorted_by(|a, b| a < b) {
                return Err("borders: not two or more in ascending order".into());
            }
            within("borders", self.borders.last().copied().unwrap_or(0), 1, MAX_BORDER_MS)?;
            Span::Borders(self.borders.into())
        } else {
            if !self.borders.is_empty() {
                return Err("borders: only windows of kind c have them".into());
            }
            within("spanMs", self.span_ms, 1, MAX_SPAN_MS)?;
            Span::Every(self.span_ms)
        };
        let kind = match self.kind {
            Letter::F => Kind::Fixed,
            Letter::S => Kind::Sliding,
            Letter::B => Kind::Bucket,
            Letter::C => Kind::Calendar,
        };
        let (amount, burst) = (self.amount, self.burst);
        let spec = Spec { kind, amount, span, burst, ttl_ms, watch: false };
        Ok(Window { id: self.id.into(), specs: Specs::new(spec), prefix: prefix.into() })
    }
}

impl CostParameters {
    fn compile(self, shared: &mut Shared) -> Result<Cost, String> {
        within("cost.number", self.number, 0, MAX_UNITS)?;
        match (self.header, self.response) {
            (None, None) => Ok(Cost::Number(self.number)),
            (Some(name), None) => {
                token("cost.header", &name)?;
                Ok(Cost::Header { name: name.to_ascii_lowercase().into(), otherwise: self.number })
            }
            (None, Some(response)) => {
                let ResponseParameters { terms, reserve, ttl_ms } = response;
                within("cost.response.reserve", reserve, 0, MAX_UNITS)?;
                within("cost.response.ttlMs", ttl_ms, 1_000, 86_400_000)?;
                let terms = list("cost.response.terms", terms, TermParameters::compile)?;
                let usage = shared.usage(terms);
                let usage = usage.map_err(|error| format!("cost.response.terms: {error}"))?;
                Ok(Cost::Response(ResponseCost { usage, reserve, ttl_ms }))
            }
            (Some(_), Some(_)) => Err("cost: header and response exclude each other".into()),
        }
    }
}

impl TermParameters {
    fn compile(self) -> Result<(String, i64), String> {
        within("milli", self.milli.unsigned_abs(), 0, 1_000_000)?;
        Ok((self.pointer, self.milli))
    }
}

impl OverrideParameters {
    /// For a limit with so many parts and these windows.
    fn compile(self, parts: usize, windows: &[Window]) -> Result<Override, String> {
        let who = match (self.consumer, self.patterns) {
            (Some(text), None) => {
                let digest = unhex(text.as_bytes());
                Who::Exact(digest.ok_or("consumer: not 32 hexadecimal digits")?)
            }
            (None, Some(patterns)) if patterns.len() == parts => {
                Who::Like(patterns.iter().map(|text| Pattern::new(text)).collect())
            }
            (None, Some(patterns)) => {
                return Err(format!("patterns: {} for {parts} parts", patterns.len()));
            }
            _ => return Err("consumer: needs exactly one of consumer, patterns".into()),
        };
        if self.unlimited {
            if !self.amounts.is_empty() || !self.bursts.is_empty() {
                return Err("amounts: none go with unlimited".into());
            }
            return Ok(Override { who, specs: None });
        }
        for (field, numbers) in [("amounts", &self.amounts), ("bursts", &self.bursts)] {
            if numbers.len() != windows.len() {
                return Err(format!("{field}: {} for {} windows", numbers.len(), windows.len()));
            }
            for number in numbers {
                within(field, *number, 0, MAX_UNITS)?;
            }
        }
        let numbers = self.amounts.into_iter().zip(self.bursts);
        let specs = numbers.zip(windows).map(|((amount, burst), window)| {
            Specs::new(Spec { amount, burst, ..(*window.specs.enforced).clone() })
        });
        Ok(Override { who, specs: Some(specs.collect()) })
    }
}
