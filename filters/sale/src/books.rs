//! What a worker knows of the books of one sale, and what it wants to tell or ask them next.
//!
//! The books themselves are in Redis. This is the worker's view of them: it grows from every reply,
//! survives pushes of new parameters and the loss of the connection, and is never believed where it
//! could be wrong to a user's harm.

use crate::config::Sale;
use crate::draw::Dice;
use crate::errand::Step;
pub use crate::errand::{Errand, ErrandKind};
use crate::lesson::Lesson;
use crate::permits::{Permits, Source};
use crate::replies::{Admitted, Begun, Polled, Ruling, Status};
use crate::throttle::Throttle;
use identity::{hex_text, IdentityKey, UserKey};

/// For so long after learning that nothing is left, Redis is asked all the same: units that others
/// were granted and did not get would otherwise be invisible.
const SOLD_OUT_SETTLES_MS: u64 = 1_000;
/// How often the books are looked at while something is wrong with them.
const TROUBLE_POLL_MS: u64 = 100;

/// Local and shared time of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// The monotonic clock, in microseconds: for deadlines and pauses.
    pub us: u64,
    /// Redis's clock, in milliseconds since 1970: for all that users can see.
    pub redis_ms: u64,
}

/// The state of the books as last heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Not heard of yet.
    #[default]
    Unknown,
    /// Open.
    Open,
    /// Being taught; until when, by Redis's clock.
    Healing {
        /// The end of it.
        until_ms: u64,
    },
    /// There are none.
    Missing,
    /// Closed, as they may be incomplete.
    Closed,
}

/// A worker's view of the books of one sale.
#[derive(Debug, Default)]
pub struct Books {
    /// Who may pass without a question.
    pub permits: Permits,
    /// Who tried lately.
    pub throttle: Throttle,
    /// Whether an operator suspended the sale by hand.
    pub suspended: bool,
    standing: Standing,
    incarnation: Option<u64>,
    generation: u64,
    run: Option<Box<str>>,
    cursor: u64,
    /// Whether the log was read to its end since the cursor was last set back.
    caught_up: bool,
    /// Whether the log goes on behind what the last poll brought.
    more: bool,
    /// When the log was last read to its end, by Redis's clock.
    read_ms: Option<u64>,
    /// Since when nothing is left.
    full_since_ms: Option<u64>,
    lesson: Lesson,
    begin: Step,
    poll: Step,
}

impl Books {
    /// The state of the books as last heard.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The generation, once any books were heard of.
    pub fn generation(&self) -> Option<u64> {
        self.incarnation.map(|_| self.generation)
    }

    /// What an `admit` must name: the incarnation and the run of the server.
    pub fn identity(&self) -> Option<(u64, &str)> {
        Some((self.incarnation?, self.run.as_deref()?))
    }

    /// When all permits on the books were last known here, by Redis's clock. `None` while the log
    /// has not been read to its end, or does not fit.
    pub fn complete_ms(&self) -> Option<u64> {
        self.read_ms.filter(|_| self.caught_up && !self.permits.overflowed())
    }

    /// Whether an unknown user can be told "sold out" without asking: nothing was left a while ago,
    /// and all who hold a permit have become known since.
    pub fn sold_out(&self, now_ms: u64) -> bool {
        self.full_since_ms.is_some_and(|since| {
            since.saturating_add(SOLD_OUT_SETTLES_MS) <= now_ms
                && self.complete_ms().is_some_and(|complete| complete >= since)
        })
    }

    /// A new connection: `begin` is the first thing to be said on it, and a poll follows.
    pub fn greet(&mut self, now_us: u64) {
        self.begin.again(now_us);
        self.poll.again(now_us);
    }

    /// The books turned out to be others than those known: begin again.
    fn mistrust(&mut self, now_us: u64) {
        if !self.begin.in_flight {
            self.begin.again(now_us);
        }
    }

    /// The next errand, if one is due now.
    pub fn errand(&mut self, now_us: u64) -> Option<Errand> {
        if self.begin.take(now_us) {
            return Some(Errand::Begin);
        }
        if self.begin.in_flight || self.standing == Standing::Unknown {
            return None;
        }
        if self.standing != Standing::Missing {
            let permits = self.lesson.next(&self.permits, self.caught_up, now_us);
            if let Some(permits) = permits {
                return Some(Errand::Teach { generation: self.generation, permits });
            }
        }
        self.poll.take(now_us).then(|| Errand::Poll {
            incarnation: self.incarnation.unwrap_or(0),
            generation: self.generation,
            cursor: self.cursor,
        })
    }

    /// An errand came to nothing; it is tried again after `pause_us`.
    pub fn failed(&mut self, errand: ErrandKind, now_us: u64, pause_us: u64) {
        let due_us = now_us.saturating_add(pause_us);
        match errand {
            ErrandKind::Begin => self.begin.again(due_us),
            ErrandKind::Teach => self.lesson.failed(due_us),
            ErrandKind::Poll => self.poll.again(due_us),
        }
    }

    /// Takes in the reply of `begin`.
    pub fn begun(&mut self, reply: &Begun, now: Now) {
        self.begin = Step::default();
        let changed = self.run.replace(reply.run.clone()).is_some_and(|run| run != reply.run);
        if reply.status != Status::Missing {
            self.meet(reply.incarnation, reply.generation);
        }
        if changed {
            self.doubt();
        }
        self.stand(reply.status, reply.heal_left_ms, now);
        if self.standing == Standing::Open {
            self.suspended = reply.status == Status::Suspended;
        }
    }

    /// Takes in the reply of `poll`. `durable`: what it shows is safe from the loss of the server,
    /// so that users may be told.
    pub fn polled(&mut self, reply: &Polled<'_>, durable: bool, keys: &Reading<'_>, now: Now) {
        self.poll.in_flight = false;
        self.more = false;
        if reply.status == Status::Missing {
            self.stand(reply.status, 0, now);
            return;
        }
        self.meet(reply.incarnation, reply.generation);
        self.stand(reply.status, reply.heal_left_ms, now);
        self.suspended = reply.suspended;
        self.tally(reply.limit, reply.count, now);
        // Books of an older generation than ours lost a deletion: what they list may be what was
        // deleted, so nothing is learned until they have been told.
        if durable && reply.generation == self.generation {
            self.read(reply, keys);
        }
    }

    /// When the next poll goes out. Called after each one, so that nothing is ever asked twice.
    pub fn schedule(&mut self, sale: &Sale, poll_ms: u64, now: Now, dice: &mut Dice) {
        if self.poll.in_flight || self.poll.due_us.is_some() {
            return;
        }
        let pause = self.pause_ms(sale, poll_ms, now.redis_ms).saturating_mul(1_000);
        self.poll.again(now.us.saturating_add(dice.jitter(pause)));
    }

    fn pause_ms(&self, sale: &Sale, poll_ms: u64, now_ms: u64) -> u64 {
        let near_start = now_ms.saturating_add(1_000) >= sale.start_ms
            && now_ms < sale.start_ms.saturating_add(3_000);
        let long_over = sale.end_ms.is_some_and(|end| now_ms > end.saturating_add(10_000));
        match self.standing {
            Standing::Healing { .. } | Standing::Missing => poll_ms.min(TROUBLE_POLL_MS),
            _ if self.more => 0,
            _ if !self.caught_up => poll_ms.min(TROUBLE_POLL_MS),
            _ if near_start => poll_ms / 4,
            _ if long_over => poll_ms.saturating_mul(10),
            _ => poll_ms,
        }
    }

    /// Takes in the reply of `admit` as far as it concerns the books; the rulings of the users are
    /// taken in one by one by [`Books::granted`].
    pub fn admitted(&mut self, reply: &Admitted, now: Now) {
        match reply.status {
            Status::Open => {
                self.raise(reply.generation);
                self.tally(reply.limit, reply.count, now);
                self.standing = Standing::Open;
            }
            Status::Stale => self.mistrust(now.us),
            Status::Suspended => self.suspended = true,
            Status::Healing | Status::Missing | Status::Closed => {
                self.stand(reply.status, reply.detail_ms, now);
            }
        }
    }

    /// Remembers what a user is going to be told. `generation` is that of the reply.
    pub fn granted(&mut self, user: UserKey, ruling: Ruling, generation: u64, name: Option<&str>) {
        if let Ruling::Admitted(number) | Ruling::Known(number) = ruling {
            if generation == self.generation {
                self.permits.insert(user, number, Source::Own, name);
            }
        }
    }

    /// Takes in the reply of `heal`.
    pub fn taught(&mut self, status: Status, now_us: u64) {
        self.lesson.taken(status == Status::Open);
        if status == Status::Stale {
            // A newer generation than ours: the poll brings it.
            self.poll.due_us = self.poll.due_us.map(|_| now_us);
        }
    }

    /// Learns which books these are.
    fn meet(&mut self, incarnation: u64, generation: u64) {
        match self.incarnation.replace(incarnation) {
            None => self.generation = generation,
            Some(known) => {
                let raised = self.raise(generation);
                if known != incarnation && !raised {
                    self.doubt();
                } else if generation < self.generation {
                    self.lesson.adopt();
                }
            }
        }
    }

    /// Forgets everybody when users were taken off the books.
    fn raise(&mut self, generation: u64) -> bool {
        let raised = generation > self.generation;
        if raised {
            self.generation = generation;
            self.permits.clear();
            self.lesson = Lesson::default();
            self.reread();
        }
        raised
    }

    /// The books may lack what was known: teach them, and read all of them again.
    fn doubt(&mut self) {
        self.permits.doubt();
        self.lesson.begin();
        self.reread();
    }

    fn reread(&mut self) {
        self.cursor = 0;
        self.caught_up = false;
        self.full_since_ms = None;
    }

    fn stand(&mut self, status: Status, left_ms: u64, now: Now) {
        let before = self.standing;
        self.standing = match status {
            Status::Open | Status::Suspended => Standing::Open,
            Status::Healing => Standing::Healing { until_ms: now.redis_ms.saturating_add(left_ms) },
            Status::Missing => Standing::Missing,
            Status::Closed => Standing::Closed,
            Status::Stale => before,
        };
        let healing = matches!(self.standing, Standing::Healing { .. });
        let healed_before = matches!(before, Standing::Healing { .. });
        if (healing && !healed_before)
            || (self.standing == Standing::Closed && before != Standing::Closed)
        {
            self.doubt();
        }
    }

    fn tally(&mut self, limit: u64, count: u64, now: Now) {
        if count < limit {
            self.full_since_ms = None;
        } else if self.full_since_ms.is_none() {
            self.full_since_ms = Some(now.redis_ms);
        }
    }

    fn read(&mut self, reply: &Polled<'_>, keys: &Reading<'_>) {
        if reply.first != self.cursor && reply.first != 0 {
            return;
        }
        for entry in reply.entries.iter().flatten() {
            let (user, name) = match keys {
                Reading::Hashed => (entry.key(), None),
                Reading::Plain(key) => {
                    (Some(key.hash(entry.user)), core::str::from_utf8(entry.user).ok())
                }
                Reading::NotYet => return,
            };
            let Some(user) = user else { continue };
            match entry.number {
                Some(number) => self.permits.insert(user, number, Source::Log, name),
                None => self.permits.remove(&user),
            }
        }
        self.cursor = reply.first.saturating_add(reply.entries.len() as u64);
        if self.cursor >= reply.log_length {
            self.caught_up = true;
            self.read_ms = Some(reply.time_us / 1_000);
        } else {
            self.more = !reply.entries.is_empty();
        }
    }
}

/// The text by which Redis knows a user.
pub(crate) fn name(permits: &Permits, user: &UserKey) -> Box<str> {
    match permits.name(user) {
        Some(name) => name.into(),
        None => hex_text(user),
    }
}

/// How the users in the log are to be read.
#[derive(Clone, Copy)]
pub enum Reading<'a> {
    /// They are keyed hashes.
    Hashed,
    /// They are raw ids, to be hashed with this key.
    Plain(&'a IdentityKey),
    /// They are raw ids, and the key is not here yet.
    NotYet,
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
