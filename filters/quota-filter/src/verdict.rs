//! What becomes of requests, by the word of Redis or for want of it.

use std::rc::Rc;

use link::Moment;
use quota::exchange::Ruling;
use quota::failure::{self, Reason};
use quota::headers;
use quota::meter::{Meter, Reading};
use quota::settlement::Settlement;
use quota::time::Now;
use quota::waiting::{Guest, Told, Verdict};

use crate::desk::{Extras, Place};
use crate::outcome::Outcome;
use crate::refusal::{limited_by, Refusal, Why};
use crate::request::Step;
use crate::response::Open;
use crate::vm::{Owner, Vm};

impl Vm {
    /// Carries out the verdict on a request. `here`: its client has not left.
    pub(crate) fn tell(&mut self, told: Told<Owner>, here: bool, now: Moment) -> Step {
        let Told { guest, verdict } = told;
        match verdict {
            Verdict::Ruled(ruling) if ruling.allowed => self.allow(&guest, ruling, here, now),
            Verdict::Ruled(ruling) => self.limit(&guest, &ruling, now),
            Verdict::Unasked(_) if !here => Step::Waits,
            Verdict::Unasked(reason) => self.unasked(&guest, reason, now),
        }
    }

    fn allow(&mut self, guest: &Rc<Guest<Owner>>, ruling: Ruling, here: bool, now: Moment) -> Step {
        let (desk, meters) = (&guest.owner, &guest.meters);
        for (limit, refuses, _) in limits(meters, &ruling.readings) {
            let outcome = if refuses { Outcome::ShadowLimited } else { Outcome::Allowed };
            self.count(desk, limit, outcome);
        }
        if !here {
            let (owner, time) = (Rc::clone(desk), self.now(now));
            let release = Settlement::release(owner, meters, &ruling.readings, time);
            self.settle_later(release);
        } else if let Some(open) = Open::new(guest, ruling.readings) {
            self.open.insert(guest.request, open);
        }
        Step::Pass
    }

    fn limit(&mut self, guest: &Guest<Owner>, ruling: &Ruling, now: Moment) -> Step {
        let (desk, meters, time) = (&guest.owner, &guest.meters, self.now(now));
        self.known.learn(meters, &ruling.readings, time.us);
        for (limit, refuses, watches) in limits(meters, &ruling.readings) {
            if refuses && !watches {
                self.count(desk, limit, Outcome::Limited);
            }
        }
        let wait_ms = headers::wait_ms(meters, &ruling.readings);
        let tightest = headers::tightest(meters.iter().zip(&ruling.readings));
        let limit = tightest.map_or((0, 0), |(_, meter, _)| meter.limit);
        let extras = desk.extras(meters, |place| ruling.readings.get(place), time.redis_ms);
        Step::Refuse(Refusal::new(desk, limit, Why::Limited, Some(wait_ms), &extras))
    }

    pub(crate) fn known_refusal(
        &mut self,
        desk: &Owner,
        meters: &[Meter],
        place: usize,
        reading: &Reading,
        time: Now,
    ) -> Refusal {
        let limit = meters.get(place).map_or((0, 0), |meter| meter.limit);
        self.count(desk, limit, Outcome::LimitedKnown);
        limited_by(desk, meters, place, reading, time)
    }

    /// Decides about a request that Redis could not be asked about.
    pub(crate) fn unasked(
        &mut self,
        guest: &Rc<Guest<Owner>>,
        reason: Reason,
        now: Moment,
    ) -> Step {
        let (desk, meters, time) = (&guest.owner, &guest.meters, self.now(now));
        let mode = |meter: &Meter| desk.on_redis_failure(meter);
        let workers = desk.settings.workers;
        let answer = failure::Answer::without_redis(meters, mode, &mut self.local, workers, time);
        for (place, meter) in meters.iter().enumerate() {
            let event = answer.event(place, meter, mode(meter), reason);
            // A limit counts once, however many windows it has.
            let counts = |event: &failure::Event| {
                meter.window == 0 || *event == failure::Event::LocalLimited
            };
            if let Some(event) = event.filter(counts) {
                self.count(desk, meter.limit, event.into());
            }
        }
        match answer {
            failure::Answer::Pass => {
                // What it costs is charged all the same, when Redis is back soon enough.
                if let Some(open) = Open::unasked(guest) {
                    self.open.insert(guest.request, open);
                }
                Step::Pass
            }
            failure::Answer::Unavailable { meter } => {
                let limit = meters.get(meter).map_or((0, 0), |meter| meter.limit);
                let wait_ms = Some(failure::RETRY_MS);
                let none = Extras::new();
                Step::Refuse(Refusal::new(desk, limit, Why::Unavailable, wait_ms, &none))
            }
            failure::Answer::Limited { meter, reading } => {
                Step::Refuse(limited_by(desk, meters, meter, &reading, time))
            }
        }
    }
}

/// Each limit among the meters of a request: whether any of its windows refuses, and whether it only
/// watches.
fn limits<'a>(
    meters: &'a [Meter],
    readings: &'a [Reading],
) -> impl Iterator<Item = (Place, bool, bool)> + 'a {
    let mut rest = readings;
    meters.chunk_by(|one, next| one.limit == next.limit).filter_map(move |windows| {
        let (these, others) = rest.split_at_checked(windows.len())?;
        rest = others;
        let first = windows.first()?;
        Some((first.limit, these.iter().any(|reading| reading.wait_ms > 0), first.spec.watch))
    })
}
