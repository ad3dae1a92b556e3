//! Those who wait for Redis: from the question to the answer.
//!
//! Users gather while a batch is under way, and leave together in the next one, one question for
//! each sale. Each has a deadline of its own, and gets exactly one answer: by the reply, or by the
//! deadline. A reply that comes too late for its user still counts for what it says of the books.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::answers::{Outcome, Refusal};
use crate::books::{Books, Now};
use crate::config::{OnRedisFailure, Sale};
use crate::decide::{new_pass, next_round_ms, Decision, Refused, Visitor};
use crate::keyring::Keyring;
use crate::replies::{Admitted, Ruling, Status};
use identity::{hex_text, UserKey};

/// Requests that may wait in one worker. Those above it are answered at once.
pub const MAX_WAITING: usize = 10_000;

/// A request that waits for a decision of Redis.
#[derive(Debug)]
pub struct Guest {
    /// The proxy's number of the request.
    pub request: u32,
    /// What it wants into.
    pub sale: Rc<Sale>,
    /// Whose it is.
    pub visitor: Visitor,
    /// The outcome of the draw.
    pub won: bool,
    /// When it has to be answered, by the monotonic clock.
    pub deadline_us: u64,
}

/// What a request is told.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Go on to the origin.
    Pass {
        /// Through which sale.
        sale: Rc<Sale>,
        /// As whom; unknown only when nobody could be recognised.
        user: Option<UserKey>,
        /// With which permit, if with one.
        number: Option<u64>,
        /// A pass to hand out.
        cookie: Option<String>,
        /// How that came about.
        outcome: Outcome,
    },
    /// Do not.
    Refuse {
        /// By which sale.
        sale: Rc<Sale>,
        /// Why, and when to come back.
        refused: Refused,
    },
}

impl Verdict {
    /// The verdict where Redis is needed and cannot be asked: the sale's policy decides.
    pub fn without_redis(sale: &Rc<Sale>, user: Option<UserKey>, retry_ms: Option<u64>) -> Self {
        let sale = Rc::clone(sale);
        match sale.on_redis_failure {
            OnRedisFailure::Deny => Self::Refuse { sale, refused: Refused::unavailable(retry_ms) },
            OnRedisFailure::Allow => {
                let outcome = Outcome::FailedOpen;
                Self::Pass { sale, user, number: None, cookie: None, outcome }
            }
        }
    }

    /// A refusal; one for want of Redis goes by the sale's policy.
    pub fn refuse(sale: &Rc<Sale>, user: Option<UserKey>, refused: Refused) -> Self {
        match refused.why {
            Refusal::Unavailable => Self::without_redis(sale, user, refused.retry_ms),
            _ => Self::Refuse { sale: Rc::clone(sale), refused },
        }
    }

    /// The verdict of a decision, unless somebody has to be asked or waited for first.
    pub fn of(decision: Decision, sale: &Rc<Sale>, user: &UserKey) -> Option<Self> {
        match decision {
            Decision::Pass { number, by_pass, renewed } => Some(Self::Pass {
                sale: Rc::clone(sale),
                user: Some(*user),
                number: Some(number),
                cookie: renewed,
                outcome: if by_pass { Outcome::Pass } else { Outcome::Known },
            }),
            Decision::Refuse(refused) => Some(Self::refuse(sale, Some(*user), refused)),
            Decision::Ask { .. } | Decision::Wait => None,
        }
    }
}

/// One question to Redis: users of one sale.
#[derive(Debug)]
pub struct Batch {
    /// Under which number the answer is to be brought back.
    pub flight: u64,
    /// The sale.
    pub sale: Rc<Sale>,
    /// For each user, the outcome of the draw and the text that Redis knows the user by.
    pub users: Vec<(bool, Box<str>)>,
    /// The latest deadline among them.
    pub deadline_us: u64,
}

/// A batch under way. `None` where the deadline passed and the user has been answered.
#[derive(Debug)]
struct Flight {
    number: u64,
    sale: Rc<Sale>,
    seats: Vec<(bool, Guest)>,
}

/// All who wait on one link.
#[derive(Debug, Default)]
pub struct Admissions {
    waiting: VecDeque<Guest>,
    flights: Vec<Flight>,
    last: u64,
}

/// What a reply, or the lack of one, has brought.
#[derive(Debug)]
pub enum Word<'a> {
    /// A reply. `safe`: what it says may be told, as it is durable enough for this sale.
    Reply {
        /// The reply.
        reply: &'a Admitted,
        /// Whether it may be told.
        safe: bool,
    },
    /// None, or none that can be read.
    Nothing,
}

impl Admissions {
    /// Puts a request behind the others; gives it back when too many wait.
    ///
    /// # Errors
    /// The request itself, which is then to be answered without Redis.
    pub fn push(&mut self, guest: Guest) -> Result<(), Guest> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(guest);
        }
        self.waiting.push_back(guest);
        Ok(())
    }

    /// Sets the deadline of the request that was put in last, if it is this one.
    pub fn set_deadline(&mut self, request: u32, deadline_us: u64) {
        if let Some(last) = self.waiting.back_mut().filter(|last| last.request == request) {
            last.deadline_us = deadline_us;
        }
    }

    /// Users who wait to be asked about.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether somebody waits to be asked about.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nobody waits at all.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.flights.is_empty()
    }

    /// Lets the first `room` users leave, as one question for each of their sales.
    pub fn compose(&mut self, room: usize) -> Vec<Batch> {
        let leaving = room.min(self.waiting.len());
        let mut batches: Vec<Batch> = Vec::new();
        for guest in self.waiting.drain(..leaving) {
            let user = match &guest.visitor.name {
                Some(name) => name.clone(),
                None => hex_text(&guest.visitor.user),
            };
            let mine = batches.iter().position(|batch| batch.sale.tag == guest.sale.tag);
            let at = mine.unwrap_or(batches.len());
            if mine.is_none() {
                self.last = self.last.wrapping_add(1);
                batches.push(Batch {
                    flight: self.last,
                    sale: Rc::clone(&guest.sale),
                    users: Vec::new(),
                    deadline_us: 0,
                });
                let (number, sale) = (self.last, Rc::clone(&guest.sale));
                self.flights.push(Flight { number, sale, seats: Vec::new() });
            }
            let flight =
                self.flights.iter_mut().rev().find(|flight| flight.sale.tag == guest.sale.tag);
            if let (Some(batch), Some(flight)) = (batches.get_mut(at), flight) {
                batch.users.push((guest.won, user));
                batch.deadline_us = batch.deadline_us.max(guest.deadline_us);
                flight.seats.push((true, guest));
            }
        }
        batches
    }

    /// How many users were asked about under this number.
    pub fn users(&self, flight: u64) -> usize {
        let found = self.flights.iter().find(|known| known.number == flight);
        found.map_or(0, |flight| flight.seats.len())
    }

    /// The verdicts on all whose deadline has passed, and on all who are still waiting to be asked
    /// about when `away`, since Redis cannot be asked now.
    pub fn expire(&mut self, now_us: u64, away: bool) -> Vec<(u32, Verdict)> {
        let mut told = Vec::new();
        // Almost in the order of their deadlines: deadlines differ only where settings changed.
        while let Some(guest) = self.waiting.front() {
            if guest.deadline_us > now_us && !away {
                break;
            }
            if let Some(guest) = self.waiting.pop_front() {
                told.push(guest.without_redis());
            }
        }
        for (waits, guest) in self.flights.iter_mut().flat_map(|flight| &mut flight.seats) {
            if *waits && guest.deadline_us <= now_us {
                *waits = false;
                told.push(guest.without_redis());
            }
        }
        told
    }

    /// Brings the answer to a question back to those who wait for it.
    pub fn land(
        &mut self,
        flight: u64,
        word: &Word<'_>,
        books: &mut Books,
        keyring: Option<&Keyring>,
        now: Now,
    ) -> Vec<(u32, Verdict)> {
        let Some(at) = self.flights.iter().position(|known| known.number == flight) else {
            return Vec::new();
        };
        let flight = self.flights.swap_remove(at);
        let mut told = Vec::with_capacity(flight.seats.len());
        let mut again = Vec::new();
        for (place, (waits, guest)) in flight.seats.into_iter().enumerate() {
            let verdict = match word {
                Word::Nothing => None,
                Word::Reply { reply, .. } if reply.status == Status::Stale => {
                    // The worker begins again, and then this is asked again, if there is time.
                    if waits && guest.deadline_us > now.us {
                        again.push(guest);
                        continue;
                    }
                    None
                }
                Word::Reply { reply, safe } => guest.hear(reply, place, *safe, books, keyring, now),
            };
            if verdict.is_none() {
                books.throttle.forgive(&guest.visitor.user);
            }
            if waits {
                told.push(verdict.map_or_else(|| guest.without_redis(), |v| (guest.request, v)));
            }
        }
        for guest in again.into_iter().rev() {
            self.waiting.push_front(guest);
        }
        told
    }
}

impl Guest {
    fn without_redis(&self) -> (u32, Verdict) {
        (self.request, Verdict::without_redis(&self.sale, Some(self.visitor.user), None))
    }

    fn refuse(&self, why: Refusal, retry_ms: Option<u64>) -> Verdict {
        Verdict::refuse(&self.sale, Some(self.visitor.user), Refused { why, retry_ms })
    }

    /// What the reply says of this user; `None` when that is nothing to rely on.
    fn hear(
        &self,
        reply: &Admitted,
        place: usize,
        safe: bool,
        books: &mut Books,
        keyring: Option<&Keyring>,
        now: Now,
    ) -> Option<Verdict> {
        match reply.status {
            Status::Open => {}
            Status::Suspended => return Some(self.refuse(Refusal::Suspended, None)),
            Status::Healing => {
                books.throttle.forgive(&self.visitor.user);
                return Some(self.refuse(Refusal::Unavailable, Some(reply.detail_ms)));
            }
            Status::Missing | Status::Closed | Status::Stale => return None,
        }
        match *reply.rulings.get(place)? {
            Ruling::SoldOut => Some(self.refuse(Refusal::SoldOut, None)),
            Ruling::Blocked => {
                Some(self.refuse(Refusal::Blocked, next_round_ms(&self.sale, now.redis_ms)))
            }
            Ruling::Throttled(left_ms) => {
                books.throttle.learn(&self.visitor.user, now.redis_ms, left_ms);
                Some(self.refuse(Refusal::Throttled, Some(left_ms)))
            }
            ruling @ (Ruling::Admitted(number) | Ruling::Known(number)) if safe => {
                let name = self.visitor.name.as_deref();
                books.granted(self.visitor.user, ruling, reply.generation, name);
                let outcome = match ruling {
                    Ruling::Admitted(_) => Outcome::Admitted,
                    _ => Outcome::Known,
                };
                let cookie = keyring.and_then(|keyring| {
                    new_pass(&self.sale, books, keyring, &self.visitor.user, number, now)
                });
                Some(Verdict::Pass {
                    sale: Rc::clone(&self.sale),
                    user: Some(self.visitor.user),
                    number: Some(number),
                    cookie,
                    outcome,
                })
            }
            Ruling::Admitted(_) | Ruling::Known(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
