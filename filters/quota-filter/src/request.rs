//! One request, from its headers to its answer.

use std::rc::Rc;

use host::{Action, ContextId, Map, Stream};
use link::Moment;
use quota::consumer::Request;
use quota::failure::Reason;
use quota::meter::Meter;
use quota::plan::{Planned, Unidentified};
use quota::waiting::{Guest, Told, MAX_WAITING};
use worker::callbacks::lately;

use crate::desk::Extras;
use crate::outcome::Outcome;
use crate::refusal::{Refusal, Why};
use crate::vm::{with, Owner, Quota, Track, Vm};

const ROUTE: &[u8] = b"xds\0route_name";

/// A paused request that something can be done about.
pub(crate) enum Ready {
    /// It has its verdict.
    Told(Told<Owner>),
    /// It can be decided now, perhaps.
    Again(Undecided),
    /// It has waited in vain for the first word of Redis.
    Without(Undecided, Reason),
}

/// A request that came before Redis was first heard.
pub(crate) struct Undecided {
    pub(crate) request: ContextId,
    track: Track,
    pub(crate) deadline_us: u64,
}

/// The effective request, as its limits look at it.
#[derive(Default)]
struct Asked {
    /// The name of its route, where that was asked for already.
    route: Option<Vec<u8>>,
}

impl Request for Asked {
    fn peer(&self) -> Option<Vec<u8>> {
        host::get_property(b"source\0address")
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        host::get_header(Map::RequestHeaders, name)
    }

    fn path(&self) -> Option<Vec<u8>> {
        self.header(":path")
    }

    fn method(&self) -> Option<Vec<u8>> {
        self.header(":method")
    }

    fn route(&self) -> Option<Vec<u8>> {
        self.route.clone().or_else(|| host::get_property(ROUTE))
    }
}

/// Where a request stands after it was looked at.
pub(crate) enum Step {
    /// It goes on.
    Pass,
    /// It does not.
    Refuse(Refusal),
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
/// lead to the same policies. Its time is that of the last tick or reply, at most a tick ago.
pub(crate) fn arrive(request: ContextId) -> Arrival {
    let now = lately::<Quota>();
    let now_us = now.as_nanos() / 1_000;
    let sole = with(|vm| {
        vm.wire.link.saw_request();
        vm.sole(now_us)
    });
    let mut asked = Asked::default();
    let track = sole.or_else(|| {
        let route = asked.route.insert(host::get_property(ROUTE).unwrap_or_default());
        with(|vm| vm.find(route, now_us))
    });
    let Some(track) = track else { return Arrival::Answered(Action::Continue) };
    match look(request, &track, &asked, now, None) {
        Step::Waits => Arrival::Waits,
        Step::Pass => Arrival::Answered(Action::Continue),
        Step::Refuse(refusal) => {
            refusal.answer();
            Arrival::Answered(Action::Pause)
        }
    }
}

/// A paused request has its answer, or can be looked at again. Its context is made effective, and
/// stays so.
pub(crate) fn conclude(ready: Ready, now: Moment) {
    let request = match &ready {
        Ready::Told(told) => told.guest.request,
        Ready::Again(undecided) | Ready::Without(undecided, _) => undecided.request,
    };
    // A client that has left takes its context along.
    let here =
        with(|vm| vm.paused.remove(&request)) && host::set_effective_context(request).is_ok();
    let step = match ready {
        Ready::Told(told) => with(|vm| vm.tell(told, here, now)),
        _ if !here => return,
        Ready::Again(u) => look(request, &u.track, &Asked::default(), now, Some(u.deadline_us)),
        Ready::Without(u, reason) => {
            let planned = plan(&u.track, &Asked::default());
            with(|vm| vm.without(request, &u.track.desk, planned, reason, now))
        }
    };
    match step {
        Step::Pass if here => {
            let _ = host::resume(Stream::Request);
        }
        Step::Refuse(refusal) if here => refusal.answer(),
        Step::Waits if here => with(|vm| {
            vm.paused.insert(request);
        }),
        Step::Pass | Step::Refuse(_) | Step::Waits => {}
    }
}

/// What is to be asked of Redis about the effective request.
fn plan(track: &Track, asked: &Asked) -> Result<Planned, Unidentified> {
    // Taken out, as what is read of a request is read from the host.
    let (mut planner, identity) = with(|vm| {
        let identity = vm.identity.as_ref().unwrap_or(&vm.stand_in);
        (core::mem::take(&mut vm.planner), Rc::clone(identity))
    });
    let planned = planner.plan(&track.plan, &identity, asked);
    with(|vm| vm.planner = planner);
    planned
}

/// Decides, or lets the request wait for what is needed to decide.
fn look(
    request: ContextId,
    track: &Track,
    asked: &Asked,
    now: Moment,
    deadline_us: Option<u64>,
) -> Step {
    let planned = plan(track, asked);
    with(|vm| {
        let desk = &track.desk;
        // Consumers are not known by their right names yet.
        let nameless =
            vm.identity.is_none() && planned.as_ref().is_ok_and(|p| !p.meters.is_empty());
        if nameless {
            // Redis serves and has no keyring: waiting would not help.
            let ready = vm.wire.link.is_ready().then_some(Reason::Error);
            let full = vm.undecided.len() >= MAX_WAITING;
            let reason = ready.or(vm.refusal()).or(full.then_some(Reason::Full));
            if let Some(reason) = reason {
                vm.turned_away += 1;
                return vm.without(request, desk, planned, reason, now);
            }
            // Set when the request is known to wait.
            let deadline_us = deadline_us.unwrap_or(u64::MAX);
            let track = track.clone();
            vm.undecided.push_back(Undecided { request, track, deadline_us });
            return Step::Waits;
        }
        let meters = match vm.meters(desk, planned) {
            Ok(meters) if meters.is_empty() => return Step::Pass,
            Ok(meters) => meters,
            Err(refusal) => return Step::Refuse(refusal),
        };
        let time = vm.now(now);
        if let Some((place, reading)) = vm.known.find(&meters, time.us) {
            return Step::Refuse(vm.known_refusal(desk, &meters, place, &reading, time));
        }
        // Set when the request is known to wait.
        let deadline_us = deadline_us.unwrap_or(u64::MAX);
        vm.ask_about(Guest { request, owner: Rc::clone(desk), meters, deadline_us }, now)
    })
}

impl Vm {
    /// The meters of a request, once what lacked in it was counted.
    fn meters(
        &mut self,
        desk: &Owner,
        planned: Result<Planned, Unidentified>,
    ) -> Result<Vec<Meter>, Refusal> {
        match planned {
            Ok(planned) => {
                for limit in planned.unidentified {
                    self.count(desk, limit, Outcome::Unidentified);
                }
                Ok(planned.meters)
            }
            Err(Unidentified { limit }) => {
                self.count(desk, limit, Outcome::Unidentified);
                Err(Refusal::new(desk, limit, Why::Unidentified, None, &Extras::new()))
            }
        }
    }

    /// Puts a request behind those to be asked about, unless Redis is away.
    fn ask_about(&mut self, guest: Guest<Owner>, now: Moment) -> Step {
        let (guest, reason) = match self.refusal() {
            None => match self.waiting.push(guest) {
                Ok(()) => return Step::Waits,
                Err(guest) => (guest, Reason::Full),
            },
            Some(reason) => (guest, reason),
        };
        self.turned_away += 1;
        self.unasked(&Rc::new(guest), reason, now)
    }

    /// Decides about a request that waited for the first word of Redis in vain.
    fn without(
        &mut self,
        request: ContextId,
        desk: &Owner,
        planned: Result<Planned, Unidentified>,
        reason: Reason,
        now: Moment,
    ) -> Step {
        match self.meters(desk, planned) {
            Ok(meters) => {
                let guest = Guest { request, owner: Rc::clone(desk), meters, deadline_us: 0 };
                self.unasked(&Rc::new(guest), reason, now)
            }
            Err(refusal) => Step::Refuse(refusal),
        }
    }
}
