//! One request, from its headers to its answer.

use std::cell::OnceCell;
use std::rc::Rc;

use host::{Action, ContextId, EncodedPairs, HeaderList, Map, Stream};
use identity::{hex, UserKey};
use link::Moment;
use sale::admission::{Guest, Verdict};
use sale::answers::Outcome;
use sale::config::Sale;
use sale::decide::{examine, rule, Decision, Known, Refused, Request};
use worker::callbacks::{clock, lately};

use crate::line::Which;
use crate::vm::{with, FlashSale, Found, UNKNOWN_ROUTE};

/// The name that Envoy's configuration knows the pass of a response by.
const COOKIE_PROPERTY: &[u8] = b"sluice.cookie";

/// A paused request that something can be done about.
pub(crate) enum Ready {
    /// It has its answer.
    Told(ContextId, Verdict),
    /// It can be decided now, perhaps.
    Again(Undecided),
}

/// A request that came before Redis was first heard.
pub(crate) struct Undecided {
    pub(crate) request: ContextId,
    pub(crate) sale: Rc<Sale>,
    pub(crate) deadline_us: u64,
}

impl Which {
    /// The line of a sale.
    pub(crate) fn of(sale: &Sale) -> Self {
        if sale.replicated() {
            Self::Durable
        } else {
            Self::Main
        }
    }
}

/// The effective request's headers: fetched one by one, or all at once where two are wanted.
struct Headers {
    all: Option<OnceCell<HeaderList>>,
}

impl Headers {
    fn of(sale: &Sale) -> Self {
        Self { all: sale.pass.is_some().then(OnceCell::new) }
    }
}

impl Request for Headers {
    fn peer(&self) -> Option<Vec<u8>> {
        host::get_property(b"source\0address")
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        match &self.all {
            None => host::get_header(Map::RequestHeaders, name),
            Some(all) => {
                let list = all.get_or_init(|| host::get_header_list(Map::RequestHeaders));
                list.first(name).map(<[u8]>::to_vec)
            }
        }
    }
}

/// Where a request stands after it was looked at.
enum Step {
    /// It has its answer.
    Told(Verdict),
    /// It goes on without any sale.
    Free,
    /// Nobody knows its route.
    Unknown,
    /// It waits.
    Waits,
}

/// What became of a request that has just come.
pub(crate) enum Arrival {
    /// It was let through or answered.
    Answered(Action),
    /// It is paused.
    Waits,
}

/// A request has come. Its route is the dearest thing to ask for, and not asked for where all routes
/// lead to one sale.
///
/// Its time is that of the last tick or reply, at most a tick ago, and the clock is not asked: unless
/// the sale is about to open or close, or the request is going to wait.
pub(crate) fn arrive(request: ContextId) -> Arrival {
    let now = lately::<FlashSale>();
    let now_us = now.as_nanos() / 1_000;
    let sole = with(|vm| {
        vm.main.link_mut().saw_request();
        vm.durable.link_mut().saw_request();
        vm.sole(now_us)
    });
    let found = if let Some(desk) = sole {
        Found::Desk(desk)
    } else {
        let route = host::get_property(b"xds\0route_name").unwrap_or_default();
        with(|vm| vm.find(&route, now_us))
    };
    let step = match found {
        Found::Desk(desk) => {
            let turns = with(|vm| desk.sale.turns_soon(vm.now(now).redis_ms));
            look(request, &desk.sale, if turns { clock() } else { now }, None)
        }
        Found::Gone => Step::Free,
        Found::Unknown => Step::Unknown,
    };
    let action = match step {
        Step::Waits => return Arrival::Waits,
        Step::Told(verdict) => tell(verdict),
        Step::Free => Action::Continue,
        Step::Unknown => {
            with(|vm| vm.worker.counts.add_single(UNKNOWN_ROUTE));
            let headers = EncodedPairs::new(&[("cache-control", "no-store"), ("retry-after", "1")]);
            let body = b"This route is not ready yet.\n";
            let _ = host::send_local_response(503, "sluice_unknown_route", &headers, body, None);
            Action::Pause
        }
    };
    Arrival::Answered(action)
}

/// A paused request has its answer, or can be looked at again. Its context is made effective, and
/// stays so.
pub(crate) fn conclude(ready: Ready, now: Moment) {
    let (request, step) = match ready {
        Ready::Told(request, verdict) => (request, Ok(verdict)),
        Ready::Again(undecided) => (undecided.request, Err(undecided)),
    };
    // A client that has left takes its context along.
    if host::set_effective_context(request).is_err() {
        return;
    }
    let step = match step {
        Ok(verdict) => Step::Told(verdict),
        Err(undecided) => look(request, &undecided.sale, now, Some(undecided.deadline_us)),
    };
    if let Step::Told(verdict) = step {
        if tell(verdict) == Action::Continue {
            let _ = host::resume(Stream::Request);
        }
    }
}

/// Decides, or lets the request wait for what is needed to decide.
fn look(request: ContextId, sale: &Rc<Sale>, now: Moment, deadline_us: Option<u64>) -> Step {
    let us = now.as_nanos() / 1_000;
    let (keyring, suspended, time) = with(|vm| {
        let suspended = vm.books.get(&sale.tag).is_some_and(|books| books.suspended);
        (vm.keyring.clone(), suspended, vm.now_us(us))
    });
    // Set when the request is known to wait.
    let deadline_us = deadline_us.unwrap_or(u64::MAX);
    let applicant = match examine(sale, suspended, time.redis_ms, &Headers::of(sale)) {
        Ok(applicant) => applicant,
        Err(refused) => return Step::Told(Verdict::refuse(sale, None, refused)),
    };
    with(|vm| {
        let Some(keyring) = keyring else {
            // Redis serves and has no keyring: waiting would not help.
            if vm.main.link().is_ready() {
                return Step::Told(Verdict::without_redis(sale, None, None));
            }
            return vm.wait(request, sale, None, deadline_us);
        };
        let dice = &mut vm.dice;
        let books = vm.books.entry(Rc::clone(&sale.tag)).or_default();
        let known = Known { books, keyring: &keyring, passes: &mut vm.passes };
        let (visitor, decision) = rule(sale, known, applicant, time, || dice.roll());
        match decision {
            Decision::Ask { won } => {
                vm.ask_about(Guest { request, sale: Rc::clone(sale), visitor, won, deadline_us })
            }
            Decision::Wait => vm.wait(request, sale, Some(visitor.user), deadline_us),
            told => Verdict::of(told, sale, &visitor.user).map_or(Step::Waits, Step::Told),
        }
    })
}

impl crate::vm::Vm {
    /// Puts a request behind those to be asked about, unless Redis is away.
    fn ask_about(&mut self, guest: Guest) -> Step {
        let wire = self.wire(Which::of(&guest.sale));
        let guest = match wire.link().refusal() {
            None => match wire.admissions.push(guest) {
                Ok(()) => return Step::Waits,
                Err(guest) => guest,
            },
            Some(_) => guest,
        };
        self.turned_away += 1;
        if let Some(books) = self.books.get_mut(&guest.sale.tag) {
            books.throttle.forgive(&guest.visitor.user);
        }
        Step::Told(Verdict::without_redis(&guest.sale, Some(guest.visitor.user), None))
    }

    /// Lets a request wait for the first word of Redis, unless Redis is known to be away.
    fn wait(
        &mut self,
        request: ContextId,
        sale: &Rc<Sale>,
        user: Option<UserKey>,
        deadline_us: u64,
    ) -> Step {
        let away = self.wire(Which::of(sale)).link().refusal().is_some();
        if away || self.undecided.len() >= sale::admission::MAX_WAITING {
            self.turned_away += 1;
            return Step::Told(Verdict::without_redis(sale, user, None));
        }
        self.undecided.push_back(Undecided { request, sale: Rc::clone(sale), deadline_us });
        Step::Waits
    }
}

/// Carries out a verdict on the effective request.
fn tell(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Pass { sale, user, number, cookie, outcome } => {
            with(|vm| {
                let row = vm.desk(&sale).row;
                vm.worker.counts.add(row, outcome.number());
            });
            // Added, which costs less than replaced: the connection manager has removed the client's.
            // The name of the sale comes from the route.
            let add = |name, value: &[u8]| {
                let _ = host::add_header(Map::RequestHeaders, name, value);
            };
            if let Some(user) = user {
                add("x-sluice-user", &hex(&user));
            }
            if let Some(number) = number {
                add("x-sluice-permit", number.to_string().as_bytes());
            }
            if let Some(pass) = cookie {
                hand_out(&sale, &pass);
            }
            Action::Continue
        }
        Verdict::Refuse { sale, refused } => {
            refuse(&sale, refused);
            Action::Pause
        }
    }
}

fn refuse(sale: &Rc<Sale>, refused: Refused) {
    let headers = with(|vm| {
        let desk = vm.desk(sale);
        vm.worker.counts.add(desk.row, Outcome::Refused(refused.why).number());
        desk.headers(refused.why, refused.retry_ms)
    });
    let answer = sale.answer(refused.why);
    let body = answer.body.as_bytes();
    let _ = host::send_local_response(answer.status, refused.why.details(), &headers, body, None);
}

/// Leaves the pass where the route's configuration takes it from for the response.
fn hand_out(sale: &Sale, pass: &str) {
    let Some(rule) = &sale.pass else { return };
    let secure = host::get_header(Map::RequestHeaders, ":scheme").as_deref() == Some(b"https");
    let cookie = format!(
        "{}={pass}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{}",
        rule.cookie,
        rule.ttl_ms / 1_000,
        if secure { "; Secure" } else { "" },
    );
    let _ = host::set_property(COOKIE_PROPERTY, cookie.as_bytes());
}
