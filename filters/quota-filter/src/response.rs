//! The response to a request that went through: the headers that tell of its limits, and what it cost.

use std::rc::Rc;

use host::{Buffer, ContextId, Map};
use link::Moment;
use quota::meter::{Meter, Reading};
use quota::settlement::Settlement;
use quota::usage::{Cost, Reader, Usage};
use quota::waiting::Guest;
use worker::callbacks;

use crate::desk::Extras;
use crate::outcome::Outcome;
use crate::vm::{with, Owner, Quota, Vm};

/// A request that went through, and whose response something is to be done about.
pub(crate) struct Open {
    guest: Rc<Guest<Owner>>,
    readings: Vec<Reading>,
    /// It gets headers.
    told: bool,
    /// It tells what it cost.
    bill: Bill,
}

/// What is known of the cost of a response.
enum Bill {
    /// It costs nothing more.
    None,
    /// It has not begun.
    Due,
    /// It passes. `ok`: with a status of 2xx.
    Read { ok: bool, readers: Vec<(Rc<Cost>, Reader)> },
}

/// How a response ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is whole.
    Whole,
    /// It was cut off, or there never was one.
    Cut,
}

impl Open {
    /// What there is to do about the response; `None` for nothing.
    pub(crate) fn new(guest: &Rc<Guest<Owner>>, readings: Vec<Reading>) -> Option<Self> {
        let told = guest.owner.has_extras(&guest.meters);
        Self::of(guest, readings, told)
    }

    /// The same for a request that went through although Redis was not asked: of its limits nothing
    /// is known.
    pub(crate) fn unasked(guest: &Rc<Guest<Owner>>) -> Option<Self> {
        Self::of(guest, vec![Reading::default(); guest.meters.len()], false)
    }

    fn of(guest: &Rc<Guest<Owner>>, readings: Vec<Reading>, told: bool) -> Option<Self> {
        let due = guest.meters.iter().any(|meter| guest.owner.cost(meter.limit).is_some());
        let bill = if due { Bill::Due } else { Bill::None };
        (told || due).then(|| Self { guest: Rc::clone(guest), readings, told, bill })
    }

    fn extras(&self, redis_ms: u64) -> Extras {
        let reading = |place| self.readings.get(place);
        self.guest.owner.extras(&self.guest.meters, reading, redis_ms)
    }

    /// One reader for each way to read the cost, whatever the number of limits.
    fn readers(&self, content_type: Option<&[u8]>, encoding: Option<&[u8]>) -> Bill {
        let mut readers: Vec<(Rc<Cost>, Reader)> = Vec::new();
        for meter in &self.guest.meters {
            let Some(cost) = self.guest.owner.cost(meter.limit) else { continue };
            if !readers.iter().any(|(known, _)| Rc::ptr_eq(known, cost)) {
                readers.push((Rc::clone(cost), Reader::new(content_type, encoding, cost)));
            }
        }
        Bill::Read { ok: true, readers }
    }
}

/// The headers of a response have come: its own, or those of an answer in its place.
pub(crate) fn headers(request: ContextId, end: bool) {
    let now = callbacks::lately::<Quota>();
    let found = with(|vm| {
        let redis_ms = vm.now(now).redis_ms;
        let open = vm.open.get(&request)?;
        let extras = if open.told { open.extras(redis_ms) } else { Extras::new() };
        let due = matches!(open.bill, Bill::Due);
        if !due {
            vm.open.remove(&request);
        }
        Some((extras, due))
    });
    let Some((extras, due)) = found else { return };
    for (name, value) in &extras {
        let _ = host::add_header(Map::ResponseHeaders, name, value.as_bytes());
    }
    if due {
        begin(request, end);
    }
}

/// A response that tells what it cost has begun.
fn begin(request: ContextId, end: bool) {
    let list = host::get_header_list(Map::ResponseHeaders);
    let status = list.first(":status").and_then(|text| core::str::from_utf8(text).ok());
    let status: u16 = status.and_then(|text| text.parse().ok()).unwrap_or(0);
    with(|vm| {
        let Some(open) = vm.open.get_mut(&request) else { return };
        open.told = false;
        open.bill = open.readers(list.first("content-type"), list.first("content-encoding"));
        if let Bill::Read { ok, .. } = &mut open.bill {
            *ok = (200..300).contains(&status);
        }
    });
    // A failure of the origin, or of what stands before it, is nobody's cost.
    if status >= 500 {
        close(request, End::Cut);
    } else if end {
        close(request, End::Whole);
    }
}

/// A piece of a response has come.
pub(crate) fn body(request: ContextId, size: usize, end: bool) {
    let Some(reading) = with(|vm| vm.open.get(&request).map(Open::is_reading)) else { return };
    if reading && size > 0 {
        let chunk = host::get_buffer(Buffer::ResponseBody, 0, size).unwrap_or_default();
        with(|vm| {
            if let Some(open) = vm.open.get_mut(&request) {
                open.feed(&chunk);
            }
        });
    }
    if end {
        close(request, End::Whole);
    }
}

/// The request is over, whatever became of it.
pub(crate) fn over(request: ContextId) {
    let open = with(|vm| {
        vm.paused.remove(&request);
        vm.open.get(&request).map(Open::has_begun)
    });
    let Some(begun) = open else { return };
    // A response may end in trailers, of which nothing is told here.
    let whole = begun && is_unbroken();
    close(request, if whole { End::Whole } else { End::Cut });
}

/// Whether the proxy has nothing to say against how the stream ended.
fn is_unbroken() -> bool {
    host::get_property(b"response\0flags").is_some_and(|flags| flags.iter().all(|byte| *byte == 0))
}

/// Settles what a response cost.
fn close(request: ContextId, end: End) {
    let open = with(|vm| vm.open.remove(&request));
    let Some(open) = open.filter(|open| !matches!(open.bill, Bill::None)) else { return };
    let now = callbacks::clock();
    with(|vm| vm.close(open, end, now));
    callbacks::flush::<Quota>(request, now);
    callbacks::pace::<Quota>(request, now, false);
}

impl Open {
    fn is_reading(&self) -> bool {
        match &self.bill {
            Bill::Read { readers, .. } => readers.iter().any(|(_, reader)| reader.is_reading()),
            Bill::None | Bill::Due => false,
        }
    }

    fn has_begun(&self) -> bool {
        matches!(self.bill, Bill::Read { .. })
    }

    fn feed(&mut self, chunk: &[u8]) {
        if let Bill::Read { readers, .. } = &mut self.bill {
            for (_, reader) in readers {
                reader.feed(chunk);
            }
        }
    }
}

impl Vm {
    fn close(&mut self, open: Open, end: End, now: Moment) {
        let Open { guest, readings, bill, .. } = open;
        let (desk, meters, time) = (&guest.owner, &guest.meters, self.now(now));
        let (ok, found) = match bill {
            Bill::Read { ok, readers } => {
                let read = |(cost, reader): (Rc<Cost>, Reader)| (cost, reader.finish());
                (ok && end == End::Whole, readers.into_iter().map(read).collect())
            }
            Bill::None | Bill::Due => (false, Vec::new()),
        };
        let usage = |meter: &Meter| {
            let cost = desk.cost(meter.limit)?;
            let same = |(known, _): &&(Rc<Cost>, Usage)| Rc::ptr_eq(known, cost);
            Some(found.iter().find(same).map_or(Usage::Missing, |(_, usage)| *usage))
        };
        if !ok && !found.iter().any(|(_, usage)| matches!(usage, Usage::Units(_))) {
            let release = Settlement::release(Rc::clone(desk), meters, &readings, time);
            return self.settle_later(release);
        }
        for meter in meters.iter().filter(|meter| ok && meter.window == 0) {
            match usage(meter) {
                Some(Usage::Missing) => self.count(desk, meter.limit, Outcome::NoUsage),
                Some(Usage::Unreadable) => self.count(desk, meter.limit, Outcome::Unreadable),
                Some(Usage::Units(_)) | None => {}
            }
        }
        let units = |meter: &Meter| match usage(meter)? {
            Usage::Units(units) => Some(units),
            Usage::Missing | Usage::Unreadable => Some(if ok { meter.hold } else { 0 }),
        };
        let settlement = Settlement::settle(Rc::clone(desk), meters, &readings, time, units);
        self.settle_later(settlement);
    }
}
