//! What the filter counts. Added up in the VM and written on ticks, so that a request pays for no
//! host call.

use host::{Metric, MetricId};
use link::Moment;
use sale::answers::Outcome;

use crate::vm::with;

/// How often counts are written, in microseconds.
const EVERY_US: u64 = 100_000;

/// One counter of the proxy.
#[derive(Default)]
struct Counter {
    name: String,
    id: Option<MetricId>,
    /// Counted and not written yet.
    due: u64,
}

/// The counters of the link.
pub(crate) const LINK: [&str; 5] =
    ["connects", "disconnects", "timeouts", "breaker_refusals", "unknown_outcomes"];

/// All counts of a VM.
pub(crate) struct Counts {
    /// A run of counters for each sale.
    sales: Vec<(String, Vec<Counter>)>,
    link: Vec<Counter>,
    /// What the link had counted when it was last looked at.
    link_seen: [u64; LINK.len()],
    unknown_route: Counter,
    latency: Option<MetricId>,
    latencies: Vec<u32>,
    written_us: u64,
}

impl Default for Counts {
    fn default() -> Self {
        let counter =
            |name: &str| Counter { name: format!("sluice_redis.{name}"), ..Counter::default() };
        Self {
            sales: Vec::new(),
            link: LINK.map(counter).into(),
            link_seen: [0; LINK.len()],
            unknown_route: Counter {
                name: "sluice_sale.unknown_route".into(),
                ..Counter::default()
            },
            latency: None,
            latencies: Vec::new(),
            written_us: 0,
        }
    }
}

impl Counts {
    /// The row of a sale; a sale keeps its row, and so its counts, over pushes.
    pub(crate) fn row(&mut self, sale: &str) -> usize {
        if let Some(known) = self.sales.iter().position(|(name, _)| name == sale) {
            return known;
        }
        let metric = sale.replace('/', ".");
        let counters = Outcome::all().map(|outcome| Counter {
            name: format!("sluice_sale.{metric}.{}", outcome.name()),
            ..Counter::default()
        });
        self.sales.push((sale.to_owned(), counters.collect()));
        self.sales.len() - 1
    }

    pub(crate) fn add(&mut self, row: usize, outcome: Outcome) {
        let row = self.sales.get_mut(row);
        if let Some(counter) = row.and_then(|(_, counters)| counters.get_mut(outcome.number())) {
            counter.due += 1;
        }
    }

    pub(crate) fn unknown_route(&mut self) {
        self.unknown_route.due += 1;
    }

    /// Takes over what the links have counted, in the order of [`LINK`].
    pub(crate) fn link(&mut self, counted: [u64; LINK.len()]) {
        for ((counter, now), seen) in self.link.iter_mut().zip(counted).zip(&mut self.link_seen) {
            counter.due += now.saturating_sub(*seen);
            *seen = now;
        }
    }

    pub(crate) fn latency(&mut self, microseconds: u32) {
        self.latencies.push(microseconds);
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Counter> {
        self.sales
            .iter_mut()
            .flat_map(|(_, counters)| counters)
            .chain(&mut self.link)
            .chain(core::iter::once(&mut self.unknown_route))
    }

    /// The next counter to write: its id or, the first time, its name, and by how much.
    fn take(&mut self) -> Option<(Result<MetricId, String>, u64)> {
        let counter = self.each().find(|counter| counter.due > 0)?;
        let due = core::mem::take(&mut counter.due);
        Some((counter.id.ok_or_else(|| counter.name.clone()), due))
    }

    fn learn(&mut self, name: &str, id: MetricId) {
        if let Some(counter) = self.each().find(|counter| counter.name == name) {
            counter.id = Some(id);
        }
    }
}

/// Writes what is due, now and then. Called in ticks of the newest root.
pub(crate) fn write(now: Moment) {
    let now_us = now.as_nanos() / 1_000;
    let due = with(|vm| {
        let due = now_us.saturating_sub(vm.counts.written_us) >= EVERY_US;
        if due {
            vm.counts.written_us = now_us;
            vm.count_links();
        }
        due
    });
    if !due {
        return;
    }
    while let Some((counter, by)) = with(|vm| vm.counts.take()) {
        let id = match counter {
            Ok(id) => id,
            Err(name) => {
                let Ok(id) = host::define_metric(Metric::Counter, &name) else { continue };
                with(|vm| vm.counts.learn(&name, id));
                id
            }
        };
        let _ = host::increment_metric(id, i64::try_from(by).unwrap_or(i64::MAX));
    }
    write_latencies();
}

fn write_latencies() {
    let (latencies, mut id) =
        with(|vm| (core::mem::take(&mut vm.counts.latencies), vm.counts.latency));
    if latencies.is_empty() {
        return;
    }
    if id.is_none() {
        id = host::define_metric(Metric::Histogram, "sluice_redis.decision_us").ok();
        with(|vm| vm.counts.latency = id);
    }
    for microseconds in latencies {
        if let Some(id) = id {
            let _ = host::record_metric(id, u64::from(microseconds));
        }
    }
}
