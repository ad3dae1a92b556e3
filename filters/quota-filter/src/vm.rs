//! The state of a worker's VM. It outlives every root: a push of new parameters makes a new root in
//! the same VM, and who waits, what is to be settled and what is known of counters are kept.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use host::ContextId;
use identity::hashing::Named;
use identity::IdentityKey;
use link::{Clock, Moment, Script};
use quota::failure::Reason;
use quota::known::Known;
use quota::local::Local;
use quota::plan::{Plan, Planner};
use quota::settlement::{Settlement, Settlements};
use quota::time::Now;
use quota::waiting::Waiting;
use worker::{random_key, Counts, Filter, Notes, Strays, Wire, Worker};

use crate::desk::{Desk, Place};
use crate::line::{Line, Ticket};
use crate::outcome::Outcome;
use crate::request::{self, Ready, Undecided};
use crate::response::Open;

/// What the places of limits in meters refer to.
pub(crate) type Owner = Rc<Desk>;

/// What a route leads to.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) desk: Owner,
    pub(crate) plan: Rc<Plan>,
}

pub(crate) struct Vm {
    pub(crate) worker: Worker<Desk, Ready>,
    pub(crate) desk: Owner,
    /// What all routes lead to, if that is one plan.
    sole: Option<Track>,
    strays: Strays<Track>,
    pub(crate) planner: Planner,
    /// Hashes consumers; none until Redis was heard.
    pub(crate) identity: Option<Rc<IdentityKey>>,
    /// When the key is asked for; `None`: it is there.
    pub(crate) identity_due_us: Option<u64>,
    /// Hashes consumers for this worker's own counters until then.
    pub(crate) stand_in: Rc<IdentityKey>,
    pub(crate) clock: Clock,
    pub(crate) wire: Wire<Ticket>,
    pub(crate) script: Script,
    pub(crate) waiting: Waiting<Owner>,
    pub(crate) settlements: Settlements<Owner>,
    pub(crate) known: Known,
    pub(crate) local: Local,
    /// Requests that are paused. The host knows a request for a moment longer than it lives.
    pub(crate) paused: HashSet<ContextId, Named>,
    /// Requests that wait for the first word of Redis.
    pub(crate) undecided: VecDeque<Undecided>,
    /// Requests that went through, and whose response something is to be done about.
    pub(crate) open: HashMap<ContextId, Open, Named>,
    /// Requests that were answered at once, as Redis was away.
    pub(crate) turned_away: u64,
}

/// The filter, as its callbacks see it.
pub(crate) struct Quota;

thread_local! {
    static VM: RefCell<Vm> = RefCell::new(Vm::new());
}

/// Borrows the state for as long as the closure runs, which makes no host call.
pub(crate) fn with<T>(use_it: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with(|vm| use_it(&mut vm.borrow_mut()))
}

impl Vm {
    pub(crate) fn new() -> Self {
        let counts = Counts::new("sluice_quota", Outcome::NAMES, "sluice_quota_redis", &[]);
        let (seed, [low, high]) = (random_key(), [random_key(), random_key()]);
        let seed = seed.first_chunk().map_or(0, |head| u64::from_le_bytes(*head));
        let mut secret = [0; 32];
        for (byte, random) in secret.iter_mut().zip(low.into_iter().chain(high)) {
            *byte = random;
        }
        Self {
            worker: Worker::new(Notes::new("quota"), counts),
            desk: Rc::default(),
            sole: None,
            strays: Strays::default(),
            planner: Planner::default(),
            identity: None,
            identity_due_us: None,
            stand_in: Rc::new(IdentityKey::new(&secret)),
            clock: Clock::default(),
            wire: Wire::new(seed),
            script: Script::new(include_str!("../../scripts/quota.lua")),
            waiting: Waiting::new(random_key()),
            settlements: Settlements::default(),
            known: Known::new(random_key()),
            local: Local::new(random_key()),
            paused: HashSet::default(),
            undecided: VecDeque::new(),
            open: HashMap::default(),
            turned_away: 0,
        }
    }

    // === parameters ===

    /// New parameters, with a root of their own.
    pub(crate) fn configure(
        &mut self,
        root: ContextId,
        desk: Owner,
        password: String,
        now: Moment,
        wall_us: u64,
    ) {
        self.clock.anchor(now.as_nanos() / 1_000, wall_us);
        let link = desk.settings.redis.settings(password);
        self.worker.roots.adopt(root, desk);
        self.activate(now);
        self.wire.link.adopt(root, link, now);
    }

    /// Puts the parameters of the newest root in force.
    fn activate(&mut self, now: Moment) {
        self.worker.pace.reset();
        let Some(desk) = self.worker.roots.settings().map(Rc::clone) else { return };
        let gone = core::mem::replace(&mut self.desk, Rc::clone(&desk));
        let led = |(route, plan)| Some((route, Track::new(&gone, plan)?));
        let known = |route: &[u8]| desk.settings.knows(route);
        self.strays.replaced(gone.settings.routes().filter_map(led), known, now.as_nanos() / 1_000);
        self.sole = desk.settings.sole().and_then(|plan| Track::new(&desk, plan));
    }

    // === time ===

    pub(crate) fn deadline_us(&self) -> u64 {
        self.desk.settings.redis.deadline_ms.saturating_mul(1_000)
    }

    /// Local and Redis's time.
    pub(crate) fn now(&self, moment: Moment) -> Now {
        let us = moment.as_nanos() / 1_000;
        Now { us, redis_ms: self.clock.redis_ms(us) }
    }

    /// A request that came now waits: its deadline counts from here.
    pub(crate) fn arrived(&mut self, request: ContextId, now: Moment) {
        self.paused.insert(request);
        let deadline_us = (now.as_nanos() / 1_000).saturating_add(self.deadline_us());
        self.waiting.set_deadline(request, deadline_us);
        if let Some(last) = self.undecided.back_mut().filter(|last| last.request == request) {
            last.deadline_us = deadline_us;
        }
    }

    // === look-ups ===

    /// What every request's route leads to, where that is certain.
    pub(crate) fn sole(&mut self, now_us: u64) -> Option<Track> {
        if self.sole.is_none() || self.strays.look(now_us) {
            return None;
        }
        self.sole.clone()
    }

    /// What a route leads to. One that the parameters do not have any more goes on as before for a
    /// while; any other that they do not have is under the gateway's own policies.
    pub(crate) fn find(&mut self, route: &[u8], now_us: u64) -> Option<Track> {
        if !self.desk.settings.knows(route) {
            if let Some(former) = self.strays.met(route, now_us) {
                return Some(former.clone());
            }
        }
        Track::new(&self.desk, self.desk.settings.route(route))
    }

    /// Why Redis cannot be asked about a request now; `None` when it can.
    pub(crate) fn refusal(&self) -> Option<Reason> {
        self.wire.link.refusal().map(Reason::of_refusal)
    }

    pub(crate) fn count(&mut self, desk: &Desk, limit: Place, outcome: Outcome) {
        if let Some(row) = desk.row(limit) {
            self.worker.counts.add(row, outcome as usize);
        }
    }

    /// What is to be settled goes with the next run of the script.
    pub(crate) fn settle_later(&mut self, settlement: Option<Settlement<Owner>>) {
        let lost = settlement.and_then(|settlement| self.settlements.push(settlement));
        self.lose(lost.as_slice());
    }

    // === ticks ===

    /// Sends what is due and, when `judge`, answers those whose deadline has passed.
    fn tick(&mut self, now: Moment, judge: bool) {
        self.run_errands(now);
        let time = self.now(now);
        let lost = self.settlements.expire(time);
        self.lose(&lost);
        if !judge {
            return;
        }
        self.expire(now);
        let away = self.refusal();
        for request in core::mem::take(&mut self.undecided) {
            let late = (request.deadline_us <= time.us).then_some(Reason::Timeout);
            match late.or(away) {
                Some(reason) => self.worker.release.push(Ready::Without(request, reason)),
                None => self.undecided.push_back(request),
            }
        }
    }

    /// Answers those whose deadline has passed, and all who wait while Redis is away.
    pub(crate) fn expire(&mut self, now: Moment) {
        if self.waiting.is_idle() {
            return;
        }
        let away = self.wire.link.refusal().is_some();
        for told in self.waiting.expire(now.as_nanos() / 1_000, away) {
            self.worker.release.push(Ready::Told(told));
        }
    }

    /// The undecided are looked at again: something has become known.
    pub(crate) fn look_again(&mut self) {
        for request in core::mem::take(&mut self.undecided) {
            self.worker.release.push(Ready::Again(request));
        }
    }

    fn count_link(&mut self) {
        let links = core::iter::once(self.wire.link.stats());
        self.worker.counts.links(links, self.turned_away);
        while let Some(microseconds) = self.wire.link.next_latency() {
            self.worker.counts.latency(microseconds);
        }
    }
}

impl Track {
    fn new(desk: &Owner, plan: usize) -> Option<Self> {
        let plan = Rc::clone(desk.settings.plans.get(plan)?);
        Some(Self { desk: Rc::clone(desk), plan })
    }
}

impl Filter for Quota {
    type Settings = Desk;
    type Ready = Ready;
    type Line = Line;

    const LINES: &'static [Line] = &[Line];

    fn worker<T>(lend: impl FnOnce(&mut Worker<Desk, Ready>) -> T) -> T {
        with(|vm| lend(&mut vm.worker))
    }

    fn deadline_us() -> u64 {
        with(|vm| vm.deadline_us())
    }

    fn tick(now: Moment, judge: bool) {
        with(|vm| vm.tick(now, judge));
    }

    fn root_gone(now: Moment) {
        with(|vm| vm.activate(now));
    }

    fn gathers(_line: &Line) -> bool {
        with(|vm| !vm.waiting.is_empty() || !vm.settlements.is_empty())
    }

    fn waits() -> bool {
        with(|vm| !vm.undecided.is_empty() || !vm.waiting.is_idle())
    }

    fn conclude(ready: Ready, now: Moment) {
        request::conclude(ready, now);
    }

    fn count() {
        with(Vm::count_link);
    }
}
