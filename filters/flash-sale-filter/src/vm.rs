//! The state of a worker's VM. It outlives every root: a push of new parameters makes a new root in
//! the same VM, and permits, throttles and those who wait are kept.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use host::ContextId;
use identity::hashing::Named;
use link::{Clock, Moment};
use sale::answers::Outcome;
use sale::books::{Books, Now};
use sale::config::{Sale, Settings};
use sale::draw::Dice;
use sale::keyring::Keyring;
use sale::verified::VerifiedPasses;
use worker::{random_key, Counts, Filter, Notes, Strays, Worker};

use crate::desk::Desk;
use crate::errands::Scripts;
use crate::line::{Line, Which, Wire};
use crate::request::{self, Ready, Undecided};

/// Of the single counters: requests whose route nobody knows.
pub(crate) const UNKNOWN_ROUTE: usize = 0;
/// Books of sales that are gone, kept in case these come back.
const RETIRED_BOOKS: usize = 64;

/// What a route leads to.
pub(crate) enum Found {
    Desk(Rc<Desk>),
    /// A sale that is gone: the route will be gone in a moment too.
    Gone,
    Unknown,
}

pub(crate) struct Vm {
    pub(crate) worker: Worker<Settings, Ready>,
    pub(crate) settings: Rc<Settings>,
    desks: Vec<Rc<Desk>>,
    /// The sale that all routes lead to, if there is just one.
    sole: Option<Rc<Desk>>,
    /// Routes of replaced parameters, with the names of their sales.
    strays: Strays<Box<str>>,
    pub(crate) books: HashMap<Rc<str>, Books, Named>,
    retired: VecDeque<Rc<str>>,
    pub(crate) keyring: Option<Rc<Keyring>>,
    pub(crate) keyring_wanted: bool,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) passes: VerifiedPasses,
    pub(crate) main: Wire,
    pub(crate) durable: Wire,
    pub(crate) scripts: Scripts,
    /// Requests that wait for the first word of Redis.
    pub(crate) undecided: VecDeque<Undecided>,
    /// Requests that were answered at once, as Redis was away.
    pub(crate) turned_away: u64,
}

/// The filter, as its callbacks see it.
pub(crate) struct FlashSale;

thread_local! {
    static VM: RefCell<Vm> = RefCell::new(Vm::new());
}

/// Borrows the state for as long as the closure runs, which makes no host call.
pub(crate) fn with<T>(use_it: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with(|vm| use_it(&mut vm.borrow_mut()))
}

impl Vm {
    fn new() -> Self {
        let mut dice = Dice::new(random_key());
        let (main, durable) = (Wire::new(dice.roll()), Wire::new(dice.roll()));
        let outcomes = Outcome::all().map(Outcome::name);
        let singles = ["sluice_sale.unknown_route"];
        let counts = Counts::new("sluice_sale", outcomes, "sluice_redis", &singles);
        Self {
            worker: Worker::new(Notes::new("flash-sale"), counts),
            settings: Rc::default(),
            desks: Vec::new(),
            sole: None,
            strays: Strays::default(),
            books: HashMap::default(),
            retired: VecDeque::new(),
            keyring: None,
            keyring_wanted: false,
            clock: Clock::default(),
            dice,
            passes: VerifiedPasses::new(random_key()),
            main,
            durable,
            scripts: Scripts::default(),
            undecided: VecDeque::new(),
            turned_away: 0,
        }
    }

    // === parameters ===

    /// New parameters, with a root of their own.
    pub(crate) fn configure(
        &mut self,
        root: ContextId,
        settings: Settings,
        password: String,
        now: Moment,
        wall_us: u64,
    ) {
        self.clock.anchor(now.as_nanos() / 1_000, wall_us);
        let link = settings.redis.settings(password);
        let replicated = settings.sales.iter().any(|sale| sale.replicated());
        self.worker.roots.adopt(root, Rc::new(settings));
        self.activate(now);
        if replicated {
            // A Redis that waits for its replica is not away; it looks up from that only ten times a
            // second.
            let patient = link::Settings { deadline: link.deadline * 4, ..link.clone() };
            self.durable.link_mut().adopt(root, patient, now);
        }
        self.main.link_mut().adopt(root, link, now);
    }

    /// Puts the parameters of the newest root in force.
    fn activate(&mut self, now: Moment) {
        self.worker.pace.reset();
        let Some(settings) = self.worker.roots.settings().map(Rc::clone) else { return };
        let gone = core::mem::replace(&mut self.settings, Rc::clone(&settings));
        let named = |(route, place)| {
            let sale: &Rc<Sale> = gone.sales.get(place)?;
            Some((route, sale.name.as_str().into()))
        };
        let known = |route: &[u8]| settings.route(route).is_some();
        self.strays.replaced(gone.routes().filter_map(named), known, now.as_nanos() / 1_000);
        for sale in gone.sales.iter().filter(|sale| settings.by_tag(&sale.tag).is_none()) {
            self.retired.retain(|tag| *tag != sale.tag);
            self.retired.push_back(Rc::clone(&sale.tag));
        }
        self.retired.retain(|tag| settings.by_tag(tag).is_none());
        while self.retired.len() > RETIRED_BOOKS {
            if let Some(tag) = self.retired.pop_front() {
                self.books.remove(&tag);
            }
        }
        for sale in &settings.sales {
            self.books.entry(Rc::clone(&sale.tag)).or_default();
        }
        let desk = |sale: &Rc<Sale>| {
            let row = self.worker.counts.row(&sale.name);
            Rc::new(Desk::new(Rc::clone(sale), row))
        };
        self.desks = settings.sales.iter().map(desk).collect();
        let mut places = settings.routes().map(|(_, place)| place);
        let first = places.next().filter(|first| places.all(|place| place == *first));
        self.sole = first.and_then(|place| self.desks.get(place)).map(Rc::clone);
    }

    /// The sales on a line.
    pub(crate) fn sales_on(&self, which: Which) -> impl Iterator<Item = Rc<Sale>> {
        let settings = Rc::clone(&self.settings);
        (0..settings.sales.len())
            .filter_map(move |place| settings.sales.get(place).map(Rc::clone))
            .filter(move |sale| sale.replicated() == (which == Which::Durable))
    }

    // === time ===

    /// Local and shared time.
    pub(crate) fn now(&self, moment: Moment) -> Now {
        self.now_us(moment.as_nanos() / 1_000)
    }

    pub(crate) fn now_us(&self, us: u64) -> Now {
        Now { us, redis_ms: self.clock.redis_ms(us) }
    }

    /// A request that came now waits: its deadline counts from here.
    pub(crate) fn arrived(&mut self, request: ContextId, now_us: u64) {
        let wait_us = self.settings.redis.deadline_ms.saturating_mul(1_000);
        let deadline_us = now_us.saturating_add(wait_us);
        self.main.admissions.set_deadline(request, deadline_us);
        self.durable.admissions.set_deadline(request, deadline_us);
        if let Some(last) = self.undecided.back_mut().filter(|last| last.request == request) {
            last.deadline_us = deadline_us;
        }
    }

    // === look-ups ===

    /// The desk of every request that comes, where that is certain whatever its route.
    pub(crate) fn sole(&mut self, now_us: u64) -> Option<Rc<Desk>> {
        if self.strays.look(now_us) {
            return None;
        }
        self.sole.as_ref().map(Rc::clone)
    }

    /// The desk that a route leads to.
    pub(crate) fn find(&mut self, route: &[u8], now_us: u64) -> Found {
        if let Some(desk) = self.settings.route(route).and_then(|place| self.desks.get(place)) {
            return Found::Desk(Rc::clone(desk));
        }
        match self.strays.met(route, now_us) {
            None => Found::Unknown,
            Some(former) => match self.settings.by_name(former) {
                Some(sale) => {
                    self.desks.get(sale.place).map_or(Found::Gone, |d| Found::Desk(Rc::clone(d)))
                }
                None => Found::Gone,
            },
        }
    }

    /// The desk of a sale; one is made for a sale whose parameters were replaced meanwhile.
    pub(crate) fn desk(&mut self, sale: &Rc<Sale>) -> Rc<Desk> {
        let current = self.desks.get(sale.place).filter(|desk| Rc::ptr_eq(&desk.sale, sale));
        if let Some(desk) = current {
            return Rc::clone(desk);
        }
        let row = self.worker.counts.row(&sale.name);
        Rc::new(Desk::new(Rc::clone(sale), row))
    }

    pub(crate) fn wire(&mut self, which: Which) -> &mut Wire {
        match which {
            Which::Main => &mut self.main,
            Which::Durable => &mut self.durable,
        }
    }

    pub(crate) fn wire_of(&self, which: Which) -> &Wire {
        match which {
            Which::Main => &self.main,
            Which::Durable => &self.durable,
        }
    }

    // === ticks ===

    /// Sends what is due and, when `judge`, answers those whose deadline has passed.
    fn tick(&mut self, moment: Moment, judge: bool) {
        let now_us = moment.as_nanos() / 1_000;
        for which in [Which::Main, Which::Durable] {
            self.run_errands(which, moment);
            if judge {
                self.expire(which, now_us);
            }
        }
        if !judge {
            return;
        }
        let mut left = VecDeque::new();
        for request in core::mem::take(&mut self.undecided) {
            let away = self.wire(Which::of(&request.sale)).link().refusal().is_some();
            if away || request.deadline_us <= now_us {
                self.without_redis(request.request, &request.sale, None);
            } else {
                left.push_back(request);
            }
        }
        self.undecided = left;
    }

    /// Answers those on a line whose deadline has passed, and all who wait while Redis is away.
    pub(crate) fn expire(&mut self, which: Which, now_us: u64) {
        let wire = self.wire(which);
        if wire.admissions.is_idle() {
            return;
        }
        let away = wire.link().refusal().is_some();
        for (request, verdict) in wire.admissions.expire(now_us, away) {
            self.worker.release.push(Ready::Told(request, verdict));
        }
    }

    /// The undecided are looked at again: something has become known.
    pub(crate) fn look_again(&mut self) {
        for request in core::mem::take(&mut self.undecided) {
            self.worker.release.push(Ready::Again(request));
        }
    }

    fn count_links(&mut self) {
        let links = [self.main.link().stats(), self.durable.link().stats()];
        self.worker.counts.links(links.into_iter(), self.turned_away);
        for wire in [&mut self.main, &mut self.durable] {
            while let Some(microseconds) = wire.link_mut().next_latency() {
                self.worker.counts.latency(microseconds);
            }
        }
    }
}

impl Filter for FlashSale {
    type Settings = Settings;
    type Ready = Ready;
    type Line = Line;

    const LINES: &'static [Line] = &[Line(Which::Main), Line(Which::Durable)];

    fn worker<T>(lend: impl FnOnce(&mut Worker<Settings, Ready>) -> T) -> T {
        with(|vm| lend(&mut vm.worker))
    }

    fn deadline_us() -> u64 {
        with(|vm| vm.settings.redis.deadline_ms.saturating_mul(1_000))
    }

    fn tick(now: Moment, judge: bool) {
        with(|vm| vm.tick(now, judge));
    }

    fn root_gone(now: Moment) {
        with(|vm| vm.activate(now));
    }

    fn gathers(line: &Line) -> bool {
        with(|vm| !vm.wire_of(line.0).admissions.is_empty())
    }

    fn waits() -> bool {
        let idle = |vm: &Vm| vm.main.admissions.is_idle() && vm.durable.admissions.is_idle();
        with(|vm| !vm.undecided.is_empty() || !idle(vm))
    }

    fn conclude(ready: Ready, now: Moment) {
        request::conclude(ready, now);
    }

    fn count() {
        with(Vm::count_links);
    }
}
