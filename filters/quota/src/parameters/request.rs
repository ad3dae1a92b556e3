//! What a limit reads of a request: the parts of its key, and its conditions.

use std::rc::Rc;

use serde::Deserialize;

use document::{present, token, within};

use super::list;
use crate::consumer::{Key, Part, MAX_PARTS};
use crate::matcher::{expression, Matcher, PathRule, ValueRule};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PartParameters {
    header: Option<String>,
    cookie: Option<String>,
    query: Option<String>,
    client_address: Option<Prefixes>,
    #[serde(default)]
    path: bool,
    #[serde(default)]
    route: bool,
    literal: Option<String>,
    required: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefixes {
    ipv4: u32,
    ipv6: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatcherParameters {
    methods: Vec<String>,
    #[serde(deserialize_with = "present")]
    path: Option<PathParameters>,
    headers: Vec<HeaderParameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum PathParameters {
    Exact(String),
    Prefix(String),
    Regex(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderParameters {
    name: String,
    exact: Option<String>,
    regex: Option<String>,
    #[serde(default)]
    present: bool,
}

pub(super) fn key(parts: Vec<PartParameters>) -> Result<Key, String> {
    if parts.len() > MAX_PARTS {
        return Err(format!("key: {} parts are more than {MAX_PARTS}", parts.len()));
    }
    let required = |mask, (place, part): (usize, &PartParameters)| {
        mask | u8::from(part.required).checked_shl(place as u32).unwrap_or(0)
    };
    let required = parts.iter().enumerate().fold(0, required);
    Ok(Key { parts: list("key", parts, PartParameters::compile)?, required })
}

impl PartParameters {
    fn compile(self) -> Result<Part, String> {
        let mut kinds = Vec::new();
        if let Some(name) = self.header {
            token("header", &name)?;
            kinds.push(Part::Header(name.to_ascii_lowercase().into()));
        }
        if let Some(name) = self.cookie {
            token("cookie", &name)?;
            kinds.push(Part::Cookie(name.into_bytes().into()));
        }
        kinds.extend(self.query.map(|name| Part::Query(name.into_bytes().into())));
        if let Some(Prefixes { ipv4, ipv6 }) = self.client_address {
            within("clientAddress.ipv4", ipv4.into(), 0, 32)?;
            within("clientAddress.ipv6", ipv6.into(), 0, 128)?;
            kinds.push(Part::ClientAddress { ipv4, ipv6 });
        }
        kinds.extend(self.path.then_some(Part::Path));
        kinds.extend(self.route.then_some(Part::Route));
        kinds.extend(self.literal.map(|text| Part::Literal(text.into_bytes().into())));
        let one = kinds.pop().filter(|_| kinds.is_empty());
        one.ok_or_else(|| {
            "header: needs exactly one of header, cookie, query, clientAddress, path, route, literal"
                .into()
        })
    }
}

impl MatcherParameters {
    pub(super) fn compile(self) -> Result<Matcher, String> {
        let path = match self.path {
            None => None,
            Some(PathParameters::Exact(path)) => Some(PathRule::Exact(path.into())),
            Some(PathParameters::Prefix(prefix)) => Some(PathRule::prefix(&prefix)),
            Some(PathParameters::Regex(text)) => {
                let regex = expression(&text).map_err(|error| format!("path: {error}"))?;
                Some(PathRule::Regex(regex))
            }
        };
        let methods = self.methods.into_iter().map(String::into_boxed_str).collect();
        let headers = list("headers", self.headers, HeaderParameters::compile)?;
        Ok(Matcher { methods, path, headers })
    }
}

impl HeaderParameters {
    fn compile(self) -> Result<(Rc<str>, ValueRule), String> {
        token("name", &self.name)?;
        let rule = match (self.exact, self.regex, self.present) {
            (Some(value), None, false) => ValueRule::Exact(value.into()),
            (None, Some(text), false) => {
                ValueRule::Regex(expression(&text).map_err(|error| format!("regex: {error}"))?)
            }
            (None, None, true) => ValueRule::Present,
            _ => return Err("exact: needs exactly one of exact, regex, present".into()),
        };
        Ok((self.name.to_ascii_lowercase().into(), rule))
    }
}
