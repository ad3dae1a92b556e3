//! What a filter counts. Added up in the VM and written on ticks, so that a request pays for no host
//! call.

use host::{Metric, MetricId};
use link::{Moment, Stats};

use crate::Filter;

/// How often counts are written, in microseconds.
const EVERY_US: u64 = 100_000;

/// One counter of the proxy.
#[derive(Debug)]
struct Counter {
    name: String,
    id: Option<MetricId>,
    /// Counted and not written yet.
    due: u64,
}

/// The counters of the links.
const LINK: [&str; 5] =
    ["connects", "disconnects", "timeouts", "breaker_refusals", "unknown_outcomes"];

/// All counts of a VM: those of the links, single ones, and a row of them for each thing that is
/// counted, one counter for each outcome.
#[derive(Debug)]
pub struct Counts {
    prefix: &'static str,
    outcomes: Vec<&'static str>,
    /// The name of each row, and the place of its first counter.
    rows: Vec<(String, usize)>,
    /// Those of the links, then the single ones, then the rows.
    counters: Vec<Counter>,
    /// What the links had counted when they were last looked at.
    link_seen: [u64; LINK.len()],
    histogram: String,
    latency: Option<MetricId>,
    latencies: Vec<u32>,
    written_us: u64,
}

impl Counts {
    /// Counters named `<prefix>.<row>.<outcome>`, `<link>.<what>` and as `singles` say.
    pub fn new(
        prefix: &'static str,
        outcomes: impl IntoIterator<Item = &'static str>,
        link: &str,
        singles: &[&str],
    ) -> Self {
        let names = LINK.iter().map(|what| format!("{link}.{what}"));
        let names = names.chain(singles.iter().map(|&name| name.to_owned()));
        Self {
            prefix,
            outcomes: outcomes.into_iter().collect(),
            rows: Vec::new(),
            counters: names.map(Counter::new).collect(),
            link_seen: [0; LINK.len()],
            histogram: format!("{link}.decision_us"),
            latency: None,
            latencies: Vec::new(),
            written_us: 0,
        }
    }

    /// The row of a thing, whose name may have slashes; it keeps its row, and so its counts, over
    /// pushes.
    pub fn row(&mut self, thing: &str) -> usize {
        if let Some((_, known)) = self.rows.iter().find(|(name, _)| name == thing) {
            return *known;
        }
        let (prefix, metric) = (self.prefix, thing.replace('/', "."));
        let row = self.counters.len();
        let names = self.outcomes.iter().map(|outcome| format!("{prefix}.{metric}.{outcome}"));
        self.counters.extend(names.map(Counter::new));
        self.rows.push((thing.to_owned(), row));
        row
    }

    /// Counts an outcome, by its place among the outcomes.
    pub fn add(&mut self, row: usize, outcome: usize) {
        if outcome < self.outcomes.len() {
            self.increase(row + outcome, 1);
        }
    }

    /// Counts one of the single ones, by its place among them.
    pub fn add_single(&mut self, single: usize) {
        self.increase(LINK.len() + single, 1);
    }

    fn increase(&mut self, place: usize, by: u64) {
        if let Some(counter) = self.counters.get_mut(place) {
            counter.due += by;
        }
    }

    /// Takes over what the links have counted. `turned_away`: requests that were answered at once, as
    /// Redis was away.
    pub fn links<'a>(&mut self, links: impl Iterator<Item = &'a Stats>, turned_away: u64) {
        let mut counted = [0, 0, 0, turned_away, 0];
        for stats in links {
            let these = [
                stats.connects,
                stats.disconnects,
                stats.timeouts,
                stats.breaker_refusals,
                stats.unknown_outcomes,
            ];
            for (sum, this) in counted.iter_mut().zip(these) {
                *sum += this;
            }
        }
        for (place, now) in counted.into_iter().enumerate() {
            let seen = self.link_seen.get(place).copied().unwrap_or_default();
            self.increase(place, now.saturating_sub(seen));
        }
        self.link_seen = counted;
    }

    /// Takes over how long a question took.
    pub fn latency(&mut self, microseconds: u32) {
        self.latencies.push(microseconds);
    }

    /// Whether it is time to write.
    fn is_due(&mut self, now_us: u64) -> bool {
        let due = now_us.saturating_sub(self.written_us) >= EVERY_US;
        if due {
            self.written_us = now_us;
        }
        due
    }

    /// What is to be written: the place of each counter, its id or, the first time, its name, and by
    /// how much it goes up.
    fn take(&mut self) -> Vec<(usize, Result<MetricId, String>, u64)> {
        let due = self.counters.iter_mut().enumerate().filter(|(_, counter)| counter.due > 0);
        let take = |(place, counter): (usize, &mut Counter)| {
            let by = core::mem::take(&mut counter.due);
            (place, counter.id.ok_or_else(|| counter.name.clone()), by)
        };
        due.map(take).collect()
    }

    fn learn(&mut self, place: usize, id: MetricId) {
        if let Some(counter) = self.counters.get_mut(place) {
            counter.id = Some(id);
        }
    }
}

impl Counter {
    fn new(name: String) -> Self {
        Self { name, id: None, due: 0 }
    }
}

/// Writes what is due, now and then. Called in ticks of the newest root.
pub(crate) fn write<F: Filter>(now: Moment) {
    let now_us = now.as_nanos() / 1_000;
    if !F::worker(|worker| worker.counts.is_due(now_us)) {
        return;
    }
    F::count();
    for (place, counter, by) in F::worker(|worker| worker.counts.take()) {
        let id = match counter {
            Ok(id) => id,
            Err(name) => {
                let Ok(id) = host::define_metric(Metric::Counter, &name) else { continue };
                F::worker(|worker| worker.counts.learn(place, id));
                id
            }
        };
        let _ = host::increment_metric(id, i64::try_from(by).unwrap_or(i64::MAX));
    }
    write_latencies::<F>();
}

fn write_latencies<F: Filter>() {
    let (latencies, known) =
        F::worker(|worker| (core::mem::take(&mut worker.counts.latencies), worker.counts.latency));
    if latencies.is_empty() {
        return;
    }
    let id = known.or_else(|| {
        let name = F::worker(|worker| worker.counts.histogram.clone());
        let id = host::define_metric(Metric::Histogram, &name).ok();
        F::worker(|worker| worker.counts.latency = id);
        id
    });
    for microseconds in latencies {
        if let Some(id) = id {
            let _ = host::record_metric(id, u64::from(microseconds));
        }
    }
}
