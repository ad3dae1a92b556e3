//! The state of a worker's VM. It outlives every root: a push of new parameters makes a new root in
//! the same VM, and permits, throttles and those who wait are kept.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use core::time::Duration;

use host::ContextId;
pub(crate) use host::Level;
use identity::hashing::Named;
use link::{Clock, Moment, Patience, Release, Ticker};
use sale::books::{Books, Now};
use sale::config::{Redis, Sale, Settings, Via};
use sale::draw::Dice;
use sale::keyring::Keyring;
use sale::verified::VerifiedPasses;

use crate::counts::Counts;
use crate::desk::Desk;
use crate::errands::Scripts;
use crate::line::{Which, Wire};
use crate::request::{Ready, Undecided};

/// The tick period right after configuration: streams open on ticks.
pub(crate) const FIRST_TICK_MS: u32 = 1;
/// The tick period while nothing else is wanted: polls are due at its steps.
const CALM_TICK_MS: u32 = 20;
/// The tick period of a root that is not the newest: to notice when it has become that.
pub(crate) const OLDER_TICK_MS: u32 = 50;
/// The tick period while requests wait, so that each is answered close to its deadline.
const WAITING_TICK_MS: u32 = 5;
/// How long a route of replaced parameters is remembered, in microseconds: routes and filter
/// parameters reach the proxy one after the other.
const GRACE_US: u64 = 10_000_000;
/// Where one sale has all the routes, a request's route is asked for only this often: to notice a
/// proxy whose routes are older than its parameters, because it refused the newer ones.
const LOOK_EVERY: u32 = 64;
/// Books of sales that are gone, kept in case these come back.
const RETIRED_BOOKS: usize = 64;

/// A route that only replaced parameters know.
struct Former {
    sale: Box<str>,
    until_us: u64,
}

/// What a route leads to.
pub(crate) enum Found {
    Desk(Rc<Desk>),
    /// A sale that is gone: the route will be gone in a moment too.
    Gone,
    Unknown,
}

pub(crate) struct Vm {
    /// The newest last.
    roots: Vec<(ContextId, Rc<Settings>)>,
    pub(crate) settings: Rc<Settings>,
    desks: Vec<Rc<Desk>>,
    former: HashMap<Box<[u8]>, Former>,
    /// The sale that all routes lead to, if there is just one.
    sole: Option<Rc<Desk>>,
    /// Until when a request may have come by a route that the parameters do not have any more.
    strays_until_us: u64,
    /// How many requests may still come before one is looked at again.
    unlooked: u32,
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
    pub(crate) release: Release<Ready>,
    pub(crate) counts: Counts,
    /// Lines for the log, written when no borrow is held.
    pub(crate) notes: Vec<(Level, String)>,
    pub(crate) last_trouble: String,
    /// Requests that were answered at once, as Redis was away.
    pub(crate) turned_away: u64,
    ticker: Ticker,
    /// When a callback of a root last began: time enough for most requests.
    pub(crate) last: Option<Moment>,
    period_us: u64,
    patience: Patience,
}

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
        Self {
            roots: Vec::new(),
            settings: Rc::default(),
            desks: Vec::new(),
            former: HashMap::new(),
            sole: None,
            strays_until_us: 0,
            unlooked: 0,
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
            release: Release::default(),
            counts: Counts::default(),
            notes: Vec::new(),
            last_trouble: String::new(),
            turned_away: 0,
            ticker: Ticker::default(),
            last: None,
            period_us: 0,
            patience: Patience::default(),
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
        self.roots.retain(|(known, _)| *known != root);
        let link = link_settings(&settings.redis, password);
        let replicated = settings.sales.iter().any(|sale| sale.replicated());
        self.roots.push((root, Rc::new(settings)));
        self.activate(now);
        if replicated {
            // A Redis that waits for its replica is not away; it looks up from that only ten times a
            // second.
            let patient = link::Settings { deadline: link.deadline * 4, ..link.clone() };
            self.durable.link.adopt(root, patient, now);
        }
        self.main.link.adopt(root, link, now);
    }

    /// The roots but for one.
    pub(crate) fn other_roots(&self, than: ContextId) -> Vec<ContextId> {
        self.roots.iter().map(|(root, _)| *root).filter(|root| *root != than).collect()
    }

    /// The newest root.
    pub(crate) fn newest(&self) -> Option<ContextId> {
        self.roots.last().map(|(root, _)| *root)
    }

    /// A root is gone. When it was the newest, an older one is in force again.
    pub(crate) fn delete_root(&mut self, root: ContextId, now: Moment) {
        let newest = self.newest() == Some(root);
        self.roots.retain(|(known, _)| *known != root);
        if newest {
            self.activate(now);
        }
    }

    /// Puts the parameters of the newest root in force.
    fn activate(&mut self, now: Moment) {
        self.ticker.reset();
        let Some((_, settings)) = self.roots.last().cloned() else { return };
        let until_us = (now.as_nanos() / 1_000).saturating_add(GRACE_US);
        self.former.retain(|_, former| former.until_us > now.as_nanos() / 1_000);
        for (route, place) in self.settings.routes() {
            let Some(sale) = self.settings.sales.get(place) else { continue };
            let former = Former { sale: sale.name.as_str().into(), until_us };
            self.former.insert(route.into(), former);
        }
        let gone = core::mem::replace(&mut self.settings, Rc::clone(&settings));
        if gone.routes().any(|(route, _)| settings.route(route).is_none()) {
            self.strays_until_us = until_us;
        }
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
            let row = self.counts.row(&sale.name);
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
        if now_us < self.strays_until_us {
            self.unlooked = 0;
            return None;
        }
        let Some(left) = self.unlooked.checked_sub(1) else {
            self.unlooked = LOOK_EVERY;
            return None;
        };
        self.unlooked = left;
        self.sole.as_ref().map(Rc::clone)
    }

    /// The desk that a route leads to.
    pub(crate) fn find(&mut self, route: &[u8], now_us: u64) -> Found {
        if let Some(desk) = self.settings.route(route).and_then(|place| self.desks.get(place)) {
            return Found::Desk(Rc::clone(desk));
        }
        // One that the proxy should have dropped: there may be more of them.
        self.strays_until_us = now_us.saturating_add(GRACE_US);
        match self.former.get(route).filter(|former| former.until_us > now_us) {
            None => Found::Unknown,
            Some(former) => match self.settings.by_name(&former.sale) {
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
        let row = self.counts.row(&sale.name);
        Rc::new(Desk::new(Rc::clone(sale), row))
    }

    pub(crate) fn wire(&mut self, which: Which) -> &mut Wire {
        match which {
            Which::Main => &mut self.main,
            Which::Durable => &mut self.durable,
        }
    }

    /// The lines on which somebody waits to be asked about.
    pub(crate) fn gathered(&self) -> impl Iterator<Item = Which> {
        let waits = |wire: &Wire, which| (!wire.admissions.is_empty()).then_some(which);
        let both = [waits(&self.main, Which::Main), waits(&self.durable, Which::Durable)];
        both.into_iter().flatten()
    }

    // === ticks ===

    /// Sends what is due, and answers those whose deadline has passed. Tells whether deadlines may be
    /// judged in this tick.
    pub(crate) fn tick(&mut self, moment: Moment) -> bool {
        let now_us = moment.as_nanos() / 1_000;
        let deadline_us = self.settings.redis.deadline_ms.saturating_mul(1_000);
        let judge = self.patience.tick(now_us, self.period_us, deadline_us);
        for which in [Which::Main, Which::Durable] {
            self.run_errands(which, moment);
            if judge {
                self.expire(which, now_us);
            }
        }
        if !judge {
            return false;
        }
        let mut left = VecDeque::new();
        for request in core::mem::take(&mut self.undecided) {
            let away = self.wire(Which::of(&request.sale)).link.refusal().is_some();
            if away || request.deadline_us <= now_us {
                self.without_redis(request.request, &request.sale, None);
            } else {
                left.push_back(request);
            }
        }
        self.undecided = left;
        true
    }

    /// Answers those on a line whose deadline has passed, and all who wait while Redis is away.
    pub(crate) fn expire(&mut self, which: Which, now_us: u64) {
        let wire = self.wire(which);
        if wire.admissions.is_idle() {
            return;
        }
        let away = wire.link.refusal().is_some();
        for (request, verdict) in wire.admissions.expire(now_us, away) {
            self.release.push(Ready::Told(request, verdict));
        }
    }

    /// The undecided are looked at again: something has become known.
    pub(crate) fn look_again(&mut self) {
        for request in core::mem::take(&mut self.undecided) {
            self.release.push(Ready::Again(request));
        }
    }

    pub(crate) fn count_links(&mut self) {
        let both = [self.main.link.stats(), self.durable.link.stats()];
        let sum = |of: fn(&link::Stats) -> u64| both.iter().map(|stats| of(stats)).sum();
        let counted = [
            sum(|s| s.connects),
            sum(|s| s.disconnects),
            sum(|s| s.timeouts),
            sum(|s| s.breaker_refusals) + self.turned_away,
            sum(|s| s.unknown_outcomes),
        ];
        self.counts.link(counted);
        for wire in [&mut self.main, &mut self.durable] {
            while let Some(microseconds) = wire.link.next_latency() {
                self.counts.latency(microseconds);
            }
        }
    }

    /// The tick period to set now, and for which root.
    pub(crate) fn pace(&mut self, in_tick: bool, now: Moment) -> Option<(ContextId, u32)> {
        let root = self.newest()?;
        let links = [self.main.link.tick_period(), self.durable.link.tick_period()];
        let link = links.into_iter().filter(|period| *period > 0).min().unwrap_or(CALM_TICK_MS);
        let waiting = !self.undecided.is_empty()
            || !self.main.admissions.is_idle()
            || !self.durable.admissions.is_idle();
        let own = match (self.release.is_empty(), waiting) {
            (false, _) => Ticker::SOON,
            (true, true) => WAITING_TICK_MS,
            (true, false) => CALM_TICK_MS,
        };
        let period = self.ticker.adjust(own.min(link), in_tick)?;
        self.period_us = u64::from(period) * 1_000;
        self.patience.expect(now.as_nanos() / 1_000, self.period_us);
        Some((root, period))
    }

    pub(crate) fn note(&mut self, level: Level, line: String) {
        self.notes.push((level, line));
    }
}

/// 16 random bytes. Without a source of randomness, which no proxy lacks, the clock has to do.
fn random_key() -> [u8; 16] {
    let mut key = [0; 16];
    if host::random(&mut key).is_err() {
        key = u128::from(host::clock_nanos()).to_le_bytes();
    }
    key
}

fn link_settings(redis: &Redis, password: String) -> link::Settings {
    let deadline = Duration::from_millis(redis.deadline_ms);
    let mut settings = link::Settings::with_deadline(&*redis.cluster, deadline);
    settings.username.clone_from(&redis.username);
    settings.password = password;
    settings.database = redis.database;
    settings.via = match redis.via {
        Via::Direct => link::Via::Direct,
        Via::Proxy => link::Via::Proxy,
    };
    settings
}
