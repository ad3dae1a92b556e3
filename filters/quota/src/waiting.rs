//! The requests that wait for Redis: from the question to the answer.
//!
//! Requests gather while a run of the script is under way and leave together in the next one, and
//! whatever waits to be settled leaves with them. Each request has a deadline of its own and gets
//! exactly one answer: by the reply, or for want of one. A request that was told before its reply
//! came gets its reservation back, which nothing would settle otherwise; what it was charged stays,
//! as units given back in a later window would be one too many there.

use std::collections::VecDeque;
use std::rc::Rc;

use identity::hashing::Keyed;
use link::{Command, Outcome};

use crate::exchange::{self, Matter, Reply, Ruling, MAX_METERS};
use crate::failure::Reason;
use crate::meter::Meter;
use crate::settlement::{Fate, Settlement, Settlements};
use crate::time::Now;

/// Requests that may wait in one worker. Those above it are answered at once.
pub const MAX_WAITING: usize = 10_000;
/// How long Redis's clock is trusted after it was heard, in microseconds.
const TRUST_US: u64 = 60_000_000;

/// A request that waits for a decision of Redis. `O` is what the places in its meters refer to.
#[derive(Debug)]
pub struct Guest<O> {
    /// The proxy's number of the request.
    pub request: u32,
    /// What the places of the limits refer to.
    pub owner: O,
    /// What it is to be charged to; never empty.
    pub meters: Vec<Meter>,
    /// When it has to be answered, by the monotonic clock.
    pub deadline_us: u64,
}

/// What is known when a request is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What Redis ruled.
    Ruled(Ruling),
    /// Redis could not be asked, or did not answer in time; see [`crate::failure`].
    Unasked(Reason),
}

/// The answer to one request.
#[derive(Clone, Debug)]
pub struct Told<O> {
    /// The request.
    pub guest: Rc<Guest<O>>,
    /// Its verdict.
    pub verdict: Verdict,
}

/// A run of the script that is to be sent.
#[derive(Debug)]
pub struct Departure {
    /// Under which number its outcome is to be brought back.
    pub flight: u64,
    /// What to send.
    pub command: Command,
    /// When the link is to give it up, by the monotonic clock.
    pub deadline_us: u64,
}

/// What an outcome has brought.
#[derive(Debug)]
pub struct Landing<O> {
    /// The requests that are to be answered now.
    pub told: Vec<Told<O>>,
    /// Settlements that were made.
    pub settled: Vec<Settlement<O>>,
    /// Settlements that are lost, and are to be counted.
    pub lost: Vec<Settlement<O>>,
    /// When the question left by the monotonic clock, and what Redis's clock showed, both in
    /// microseconds.
    pub clock_us: Option<(u64, u64)>,
    /// What is wrong with Redis or with its answer, in one line.
    pub trouble: Option<String>,
}

impl<O> Default for Landing<O> {
    fn default() -> Self {
        let (told, settled, lost) = (Vec::new(), Vec::new(), Vec::new());
        Self { told, settled, lost, clock_us: None, trouble: None }
    }
}

/// A request under way, and whether it still waits.
type Seat<O> = (bool, Rc<Guest<O>>);

/// A run under way.
#[derive(Debug)]
struct Flight<O> {
    number: u64,
    left_us: u64,
    seats: Vec<Seat<O>>,
    settlements: Vec<Settlement<O>>,
}

impl<O> Flight<O> {
    fn matter(&self) -> Matter<'_> {
        Matter {
            takes: self.seats.iter().map(|(_, guest)| &*guest.meters).collect(),
            settlements: self.settlements.iter().map(|settlement| &*settlement.dues).collect(),
        }
    }
}

/// All who wait on one link.
#[derive(Debug)]
pub struct Waiting<O> {
    queue: VecDeque<Guest<O>>,
    flights: Vec<Flight<O>>,
    last: u64,
    hashing: Keyed,
    /// When Redis's clock was last heard by the monotonic one, in microseconds, and what it showed,
    /// in milliseconds.
    heard: Option<(u64, u64)>,
}

impl<O: Clone> Waiting<O> {
    /// Nobody waits yet. `secret` is random, as clients choose some of the keys.
    pub fn new(secret: [u8; 16]) -> Self {
        let hashing = Keyed::new(secret);
        Self { queue: VecDeque::new(), flights: Vec::new(), last: 0, hashing, heard: None }
    }

    /// Puts a request behind the others; gives it back when too many wait.
    ///
    /// # Errors
    /// The request itself, to be answered with [`Reason::Full`].
    pub fn push(&mut self, guest: Guest<O>) -> Result<(), Guest<O>> {
        if self.queue.len() >= MAX_WAITING {
            return Err(guest);
        }
        self.queue.push_back(guest);
        Ok(())
    }

    /// Sets the deadline of the request that was put in last, if it is this one.
    pub fn set_deadline(&mut self, request: u32, deadline_us: u64) {
        if let Some(last) = self.queue.back_mut().filter(|last| last.request == request) {
            last.deadline_us = deadline_us;
        }
    }

    /// Requests that wait to be asked about.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no request waits to be asked about.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether no request waits at all, and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.flights.is_empty()
    }

    /// Lets the first `room` requests leave in one run of the script, and settlements with them;
    /// `None` when there is nothing to send. `begin` makes the command of the keys, and `wait_us` is
    /// how long the link may take over one in which no request waits.
    pub fn compose(
        &mut self,
        room: usize,
        settlements: &mut Settlements<O>,
        now: Now,
        wait_us: u64,
        begin: impl FnOnce(&[&str]) -> Command,
    ) -> Option<Departure> {
        if room == 0 {
            return None;
        }
        let (seats, meters) = self.depart(room);
        let settling = settlements.depart(MAX_METERS.saturating_sub(meters), now);
        if seats.is_empty() && settling.is_empty() {
            return None;
        }
        let mut deadline_us = seats.iter().map(|(_, guest)| guest.deadline_us).max().unwrap_or(0);
        if !settling.is_empty() {
            // The last requests may have hardly any time left.
            deadline_us = deadline_us.max(now.us.saturating_add(wait_us));
        }
        self.last = self.last.wrapping_add(1);
        let flight = Flight { number: self.last, left_us: now.us, seats, settlements: settling };
        let command =
            exchange::encode(&flight.matter(), self.redis_ms(now.us), &self.hashing, begin);
        self.flights.push(flight);
        Some(Departure { flight: self.last, command, deadline_us })
    }

    /// The first requests in the queue, and how many meters they have.
    fn depart(&mut self, room: usize) -> (Vec<Seat<O>>, usize) {
        let mut seats = Vec::with_capacity(room.min(self.queue.len()));
        let mut meters = 0;
        while seats.len() < room {
            let Some(next) = self.queue.front() else { break };
            let sum = meters + next.meters.len();
            if sum > MAX_METERS && !seats.is_empty() {
                break;
            }
            meters = sum;
            seats.extend(self.queue.pop_front().map(|guest| (true, Rc::new(guest))));
        }
        (seats, meters)
    }

    /// Redis's clock, where it was heard lately.
    fn redis_ms(&self, now_us: u64) -> Option<u64> {
        let (at_us, redis_ms) = self.heard?;
        let since_us = now_us.saturating_sub(at_us);
        (since_us <= TRUST_US).then(|| redis_ms.saturating_add(since_us / 1_000))
    }

    /// The answers to all whose deadline has passed, and to all who are still waiting to be asked
    /// about when `away`, since Redis cannot be asked now.
    pub fn expire(&mut self, now_us: u64, away: bool) -> Vec<Told<O>> {
        let mut told = Vec::new();
        // Almost in the order of their deadlines: deadlines differ only where settings changed.
        while self.queue.front().is_some_and(|guest| guest.deadline_us <= now_us || away) {
            if let Some(guest) = self.queue.pop_front() {
                let late = guest.deadline_us <= now_us;
                let reason = if late { Reason::Timeout } else { Reason::Away };
                told.push(Told { guest: Rc::new(guest), verdict: Verdict::Unasked(reason) });
            }
        }
        for (waits, guest) in self.flights.iter_mut().flat_map(|flight| &mut flight.seats) {
            if *waits && guest.deadline_us <= now_us {
                *waits = false;
                let verdict = Verdict::Unasked(Reason::Timeout);
                told.push(Told { guest: Rc::clone(guest), verdict });
            }
        }
        told
    }

    /// Brings the outcome of a run back to those who wait for it.
    pub fn land(
        &mut self,
        flight: u64,
        outcome: &Outcome,
        settlements: &mut Settlements<O>,
        now: Now,
    ) -> Landing<O> {
        let Some(at) = self.flights.iter().position(|known| known.number == flight) else {
            return Landing::default();
        };
        let flight = self.flights.swap_remove(at);
        let mut landing = Landing::default();
        let reply = match outcome {
            Outcome::Reply(value) => exchange::decode(value, &flight.matter())
                .map_err(|trouble| landing.trouble = Some(trouble))
                .ok(),
            _ => None,
        };
        if let Some(reply) = &reply {
            landing.clock_us = Some((flight.left_us, reply.time_us));
            self.heard = Some((now.us, reply.time_us / 1_000));
            landing.settled = flight.settlements;
        } else if Fate::of(outcome) == Fate::Unknown {
            landing.lost = flight.settlements;
        } else if !flight.settlements.is_empty() {
            landing.lost = settlements.again(flight.settlements, now);
        }
        tell(flight.seats, reply, Reason::of(outcome), settlements, now, &mut landing);
        landing
    }
}

/// Answers those who still wait, and gives the reservations of the others back.
fn tell<O: Clone>(
    seats: Vec<Seat<O>>,
    reply: Option<Reply>,
    reason: Reason,
    settlements: &mut Settlements<O>,
    now: Now,
    landing: &mut Landing<O>,
) {
    landing.told.reserve_exact(seats.len());
    let mut rulings = reply.map(|reply| reply.rulings.into_iter());
    for (waits, guest) in seats {
        let ruling = rulings.as_mut().and_then(Iterator::next);
        match (waits, ruling) {
            (true, ruling) => {
                let verdict = ruling.map_or(Verdict::Unasked(reason), Verdict::Ruled);
                landing.told.push(Told { guest, verdict });
            }
            (false, Some(Ruling { allowed: true, readings })) => {
                let owner = guest.owner.clone();
                let release = Settlement::release(owner, &guest.meters, &readings, now);
                landing.lost.extend(release.and_then(|release| settlements.push(release)));
            }
            (false, _) => {}
        }
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
