//! What is put right once it is known what a request cost.
//!
//! A settlement gives a reservation back and charges what was really used. It is nothing that a
//! request waits for, so it may wait itself while Redis is away: until its reservation has expired
//! and there is nothing left to give back. One whose outcome is unknown is not sent again, since it
//! would charge twice; what it leaves behind expires as well.

use std::collections::VecDeque;
use std::rc::Rc;

use link::{ErrorKind, Outcome};

use crate::meter::{Meter, Reading, Spec};
use crate::time::Now;

/// Settlements that may wait in one worker. The oldest one is lost for each above it.
pub const MAX_SETTLEMENTS: usize = 10_000;
/// Settlements in one run of the script.
const PER_RUN: usize = 64;
/// How long one waits that has no reservation to give back, in milliseconds.
const UNRESERVED_MS: u64 = 60_000;
/// The pause after Redis refused some: what it answers then concerns requests too.
const RETRY_US: u64 = 1_000_000;
/// How often those are looked for that have waited too long.
const SWEEP_US: u64 = 1_000_000;

/// What is to be put right at one counter.
#[derive(Clone, Debug)]
pub struct Due {
    /// Which limit, as in [`Meter::limit`].
    pub limit: (usize, usize),
    /// Which window of it.
    pub window: usize,
    /// The counter's key in Redis.
    pub counter: Rc<str>,
    /// How it counts.
    pub spec: Rc<Spec>,
    /// Where the reservation was put; 0: there is none.
    pub slot: u64,
    /// Units that were reserved.
    pub held: u64,
    /// Units to charge instead; below 0 to give units back that were charged.
    pub charge: i64,
}

/// What is to be put right about one request. `O` is what the places in it refer to.
#[derive(Clone, Debug)]
pub struct Settlement<O> {
    /// What the places of the limits refer to.
    pub owner: O,
    /// At each counter; never empty.
    pub dues: Vec<Due>,
    /// Nothing is charged: the request came to nothing.
    pub released: bool,
    /// Until when it makes sense, by Redis's clock in milliseconds.
    pub until_ms: u64,
}

impl<O> Settlement<O> {
    /// Charges what `cost` tells for a meter and gives its reservation back; leaves meters alone of
    /// which it tells `None`, and those that only watch and would have refused, as the take did.
    /// `None` when nothing is to be done. A request that went through unasked has readings of 0.
    pub fn settle(
        owner: O,
        meters: &[Meter],
        readings: &[Reading],
        now: Now,
        cost: impl Fn(&Meter) -> Option<u64>,
    ) -> Option<Self> {
        // Never below 0: units that come back in a later window would be one too many there.
        let charge = |meter: &Meter| cost(meter).map(|c| i64::try_from(c).unwrap_or(i64::MAX));
        Self::new(owner, meters, readings, now, false, charge)
    }

    /// Gives all reservations back and charges nothing; `None` when there are none.
    pub fn release(owner: O, meters: &[Meter], readings: &[Reading], now: Now) -> Option<Self> {
        Self::new(owner, meters, readings, now, true, |_| Some(0))
    }

    fn new(
        owner: O,
        meters: &[Meter],
        readings: &[Reading],
        now: Now,
        released: bool,
        charge: impl Fn(&Meter) -> Option<i64>,
    ) -> Option<Self> {
        let due = |(meter, reading): (&Meter, &Reading)| {
            let charge = if reading.wait_ms > 0 { None } else { charge(meter) }?;
            let held = if reading.slot > 0 { meter.hold } else { 0 };
            (held > 0 || charge != 0).then(|| Due {
                limit: meter.limit,
                window: meter.window,
                counter: Rc::clone(&meter.counter),
                spec: Rc::clone(&meter.spec),
                slot: reading.slot,
                held,
                charge,
            })
        };
        let dues: Vec<Due> = meters.iter().zip(readings).filter_map(due).collect();
        // A slot is named after the moment at which it expires.
        let until_ms = match dues.iter().map(|due| due.slot).max()? {
            0 => now.redis_ms.saturating_add(UNRESERVED_MS),
            latest => latest,
        };
        Some(Self { owner, dues, released, until_ms })
    }
}

/// What became of settlements that left, where no reply tells that they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They were not made, and may be tried again.
    Unmade,
    /// They may have been made, or never will be.
    Unknown,
}

impl Fate {
    /// By the outcome of their run, whose reply cannot be read or is an error.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let unmade = match outcome {
            Outcome::TimedOut { sent } | Outcome::Lost { sent } => !sent,
            Outcome::Refused(_) => true,
            // Redis checks these before it runs a script, or at its first write. Others are the
            // script's own, and would be the same the next time.
            Outcome::Reply(reply) => reply.error().is_some_and(|error| {
                use ErrorKind as Kind;
                matches!(
                    error.kind,
                    Kind::Loading
                        | Kind::ReadOnly
                        | Kind::MasterDown
                        | Kind::Busy
                        | Kind::OutOfMemory
                        | Kind::CannotPersist
                        | Kind::NoReplicas
                        | Kind::ClusterDown
                        | Kind::Auth
                        | Kind::NoPermission
                )
            }),
            Outcome::Confirmed { .. } => false,
        };
        if unmade {
            Self::Unmade
        } else {
            Self::Unknown
        }
    }
}

/// All settlements that wait on one link.
#[derive(Debug)]
pub struct Settlements<O> {
    waiting: VecDeque<Settlement<O>>,
    /// When the next may leave.
    free_us: u64,
    swept_us: u64,
}

impl<O> Default for Settlements<O> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), free_us: 0, swept_us: 0 }
    }
}

impl<O> Settlements<O> {
    /// Puts a settlement behind the others. Gives the oldest one when too many wait: it is lost, and
    /// is to be counted.
    #[must_use]
    pub fn push(&mut self, settlement: Settlement<O>) -> Option<Settlement<O>> {
        self.waiting.push_back(settlement);
        if self.waiting.len() > MAX_SETTLEMENTS {
            return self.waiting.pop_front();
        }
        None
    }

    /// Whether some wait that may leave now.
    pub fn is_due(&self, now_us: u64) -> bool {
        !self.waiting.is_empty() && self.free_us <= now_us
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Settlements that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The next ones to leave, with at most `room` dues among them.
    pub(crate) fn depart(&mut self, mut room: usize, now: Now) -> Vec<Settlement<O>> {
        let mut leaving = Vec::new();
        if self.free_us > now.us {
            return leaving;
        }
        while leaving.len() < PER_RUN {
            let Some(left) =
                self.waiting.front().and_then(|next| room.checked_sub(next.dues.len()))
            else {
                break;
            };
            room = left;
            leaving.extend(self.waiting.pop_front());
        }
        leaving
    }

    /// Takes back those that were not made; the oldest are given back when too many wait now: they
    /// are lost, and are to be counted.
    pub(crate) fn again(&mut self, unmade: Vec<Settlement<O>>, now: Now) -> Vec<Settlement<O>> {
        self.free_us = now.us.saturating_add(RETRY_US);
        for settlement in unmade.into_iter().rev() {
            self.waiting.push_front(settlement);
        }
        let over = self.waiting.len().saturating_sub(MAX_SETTLEMENTS);
        self.waiting.drain(..over).collect()
    }

    /// Takes out those whose reservation has expired: they are lost, and are to be counted. Cheap to
    /// call in each tick.
    pub fn expire(&mut self, now: Now) -> Vec<Settlement<O>> {
        if self.waiting.is_empty() || now.us < self.swept_us.saturating_add(SWEEP_US) {
            return Vec::new();
        }
        self.swept_us = now.us;
        let (mut lost, mut left) = (Vec::new(), VecDeque::with_capacity(self.waiting.len()));
        for settlement in core::mem::take(&mut self.waiting) {
            if settlement.until_ms <= now.redis_ms {
                lost.push(settlement);
            } else {
                left.push_back(settlement);
            }
        }
        self.waiting = left;
        lost
    }
}

#[cfg(test)]
#[path = "settlement_tests.rs"]
mod tests;
