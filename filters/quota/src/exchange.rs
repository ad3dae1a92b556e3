//! One run of the script: what is asked, and what comes back.
//!
//! A run carries the requests that gathered and the settlements that wait. Counters, the rules they
//! count by, and what requests cost are named once each, however many requests share them.

use std::collections::HashMap;
use std::rc::Rc;

use identity::hashing::Keyed;
use link::{Command, Value};

use crate::meter::{Kind, Meter, Reading, Span, Spec};
use crate::settlement::Due;
use crate::time::present;

/// Meters in one run, unless a single request has more: the run blocks Redis while it lasts, and Lua
/// takes no more than 8,000 keys.
pub const MAX_METERS: usize = 1_000;

/// What a run is about: the meters of each request, and the dues of each settlement.
#[derive(Clone, Debug, Default)]
pub struct Matter<'a> {
    /// Of each request, what it is to be charged to.
    pub takes: Vec<&'a [Meter]>,
    /// Of each settlement, what is to be put right.
    pub settlements: Vec<&'a [Due]>,
}

/// What Redis ruled on one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// It may pass, and was charged; otherwise no counter was touched.
    pub allowed: bool,
    /// What each of its meters says, in their order.
    pub readings: Vec<Reading>,
}

/// The reply of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Redis's clock, in microseconds since 1970.
    pub time_us: u64,
    /// One for each request, in their order.
    pub rulings: Vec<Ruling>,
}

/// What takes the arguments of the script.
trait Arguments {
    fn number(&mut self, number: i64);
    fn text(&mut self, text: &[u8]);
}

impl Arguments for Command {
    fn number(&mut self, number: i64) {
        self.int(number);
    }

    fn text(&mut self, text: &[u8]) {
        self.arg(text);
    }
}

/// The keys, rules and costs of a run, each once, and where those of each meter and request stand.
/// Places count from 1.
struct Index<'a> {
    keys: Vec<&'a str>,
    specs: Vec<&'a Rc<Spec>>,
    /// The meters of a request of each cost, and the rule of each of them.
    costs: Vec<&'a [Meter]>,
    rules: Vec<i64>,
    /// Rule and key of each due of the settlements.
    dues: Vec<(i64, i64)>,
    /// The cost of each request.
    takes: Vec<i64>,
    /// The key of each of their meters.
    meters: Vec<i64>,
}

impl<'a> Index<'a> {
    fn new(matter: &Matter<'a>, hashing: &Keyed) -> Self {
        let mut index = Self {
            keys: Vec::new(),
            specs: Vec::new(),
            costs: Vec::new(),
            rules: Vec::new(),
            dues: Vec::new(),
            takes: Vec::with_capacity(matter.takes.len()),
            meters: Vec::new(),
        };
        let mut known = HashMap::with_hasher(hashing.clone());
        for due in matter.settlements.iter().copied().flatten() {
            let places = (index.spec(&due.spec), index.key(&mut known, &due.counter));
            index.dues.push(places);
        }
        for meters in matter.takes.iter().copied() {
            let cost = index.cost(meters);
            index.takes.push(cost);
            for meter in meters {
                let key = index.key(&mut known, &meter.counter);
                index.meters.push(key);
            }
        }
        index
    }

    fn key(&mut self, known: &mut HashMap<&'a str, i64, Keyed>, counter: &'a str) -> i64 {
        let keys = &mut self.keys;
        *known.entry(counter).or_insert_with(|| {
            keys.push(counter);
            keys.len() as i64
        })
    }

    fn spec(&mut self, spec: &'a Rc<Spec>) -> i64 {
        // Rules come out of the parameters, where each stands once: only those of replaced
        // parameters are others and yet the same.
        let same = self.specs.iter().position(|seen| Rc::ptr_eq(seen, spec));
        let place = same.or_else(|| self.specs.iter().position(|seen| *seen == spec));
        let place = place.unwrap_or_else(|| {
            self.specs.push(spec);
            self.specs.len() - 1
        });
        place as i64 + 1
    }

    fn cost(&mut self, meters: &'a [Meter]) -> i64 {
        let place = self.costs.iter().position(|seen| costs_the_same(seen, meters));
        let place = place.unwrap_or_else(|| {
            self.costs.push(meters);
            for meter in meters {
                let rule = self.spec(&meter.spec);
                self.rules.push(rule);
            }
            self.costs.len() - 1
        });
        place as i64 + 1
    }
}

/// Whether two requests are charged the same by the same rules, whoever they are from.
fn costs_the_same(one: &[Meter], other: &[Meter]) -> bool {
    let alike = |(one, other): (&Meter, &Meter)| {
        Rc::ptr_eq(&one.spec, &other.spec) && (one.charge, one.hold) == (other.charge, other.hold)
    };
    one.len() == other.len() && one.iter().zip(other).all(alike)
}

/// Makes the command of a run out of the one that `begin` makes of its keys, with
/// [`Command::script`] or with the link's.
///
/// It is never sent twice, as it charges twice then. `redis_ms` is Redis's clock where it was heard
/// lately: of a calendar, only what matters around then is sent.
pub fn encode(
    matter: &Matter<'_>,
    redis_ms: Option<u64>,
    hashing: &Keyed,
    begin: impl FnOnce(&[&str]) -> Command,
) -> Command {
    let index = Index::new(matter, hashing);
    let mut command = begin(&index.keys);
    write(matter, &index, redis_ms, &mut command);
    command.weight(matter.takes.len().max(1)).once();
    command
}

fn write(matter: &Matter<'_>, index: &Index<'_>, redis_ms: Option<u64>, into: &mut impl Arguments) {
    into.number(index.specs.len() as i64);
    for spec in &index.specs {
        write_spec(spec, redis_ms, into);
    }
    into.number(index.costs.len() as i64);
    let mut rules = index.rules.iter();
    for meters in &index.costs {
        into.number(meters.len() as i64);
        for (meter, rule) in meters.iter().zip(&mut rules) {
            into.number(*rule);
            into.number(int(meter.charge));
            into.number(int(meter.hold));
        }
    }
    let mut places = index.dues.iter();
    for dues in &matter.settlements {
        into.number(0);
        into.number(dues.len() as i64);
        for (due, (spec, key)) in dues.iter().zip(&mut places) {
            into.number(*spec);
            into.number(*key);
            into.number(int(due.slot));
            into.number(int(due.held));
            into.number(due.charge);
        }
    }
    let mut keys = index.meters.iter();
    for (meters, cost) in matter.takes.iter().zip(&index.takes) {
        into.number(*cost);
        for key in keys.by_ref().take(meters.len()) {
            into.number(*key);
        }
    }
}

fn write_spec(spec: &Spec, redis_ms: Option<u64>, into: &mut impl Arguments) {
    into.text(match spec.kind {
        Kind::Fixed => b"f",
        Kind::Sliding => b"s",
        Kind::Bucket => b"b",
        Kind::Calendar => b"c",
    });
    into.number(int(spec.amount));
    match &spec.span {
        Span::Every(length_ms) => into.number(int(*length_ms)),
        Span::Borders(borders) => {
            let borders = redis_ms.map_or(&**borders, |now_ms| present(borders, now_ms));
            let mut text = String::with_capacity(14 * borders.len());
            for border in borders {
                if !text.is_empty() {
                    text.push(',');
                }
                crate::headers::push_number(&mut text, *border);
            }
            into.text(text.as_bytes());
        }
    }
    into.number(int(spec.burst));
    into.number(int(spec.ttl_ms));
    into.text(if spec.watch { b"w" } else { b"e" });
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads the reply to a run about this matter.
///
/// # Errors
/// One line that tells what is wrong: Redis's own words for an error, or where the reply is not what
/// the script answers. Then nothing of it is to be relied on.
pub fn decode(reply: &Value, matter: &Matter<'_>) -> Result<Reply, String> {
    if let Some(error) = reply.error() {
        return Err(error.text.clone());
    }
    let items = reply.array().ok_or("the quota script's reply is no list")?;
    let mut from = Reader { items, at: 0 };
    let time_us = from.number()?;
    for dues in &matter.settlements {
        if from.number()? != 1 {
            return Err(from.wrong("is no settlement's 1"));
        }
        for _ in *dues {
            from.number()?;
        }
    }
    let mut rulings = Vec::with_capacity(matter.takes.len());
    for meters in &matter.takes {
        rulings.push(from.ruling(meters)?);
    }
    if from.at < items.len() {
        from.at += 1;
        return Err(from.wrong("is one too many"));
    }
    Ok(Reply { time_us, rulings })
}

struct Reader<'a> {
    items: &'a [Value],
    /// Items read.
    at: usize,
}

impl Reader<'_> {
    fn number(&mut self) -> Result<u64, String> {
        let item = self.items.get(self.at).and_then(Value::int);
        self.at += 1;
        match item.map(u64::try_from) {
            Some(Ok(number)) => Ok(number),
            _ => Err(self.wrong("is no whole number, or a negative one, or missing")),
        }
    }

    /// What is wrong with the item that was read last.
    fn wrong(&self, what: &str) -> String {
        format!("the quota script's reply cannot be read: item {} {what}", self.at)
    }

    fn ruling(&mut self, meters: &[Meter]) -> Result<Ruling, String> {
        let (allowed, by_all) = match self.number()? {
            0 => (false, false),
            1 => (true, true),
            2 => (true, false),
            _ => return Err(self.wrong("is none of 0 to 2, refused or allowed")),
        };
        let mut readings = Vec::with_capacity(meters.len());
        let (mut watched, mut refused) = (false, false);
        for meter in meters {
            let reading = Reading {
                remaining: self.number()?,
                reset_ms: self.number()?,
                wait_ms: if by_all { 0 } else { self.number()? },
                slot: if meter.hold > 0 { self.number()? } else { 0 },
            };
            let reserved = allowed && meter.hold > 0 && reading.wait_ms == 0;
            if reserved != (reading.slot > 0) {
                return Err(self.wrong("is a reservation that was not asked for, or lacks one"));
            }
            let waits = reading.wait_ms > 0;
            refused |= waits && !meter.spec.watch;
            watched |= waits && meter.spec.watch;
            readings.push(reading);
        }
        if allowed == refused || (allowed && by_all == watched) {
            return Err(self.wrong("ends a ruling that its counters contradict"));
        }
        Ok(Ruling { allowed, readings })
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "exchange_golden.rs"]
mod golden;
