//! The line to Redis: what goes out, and what comes back.

use core::time::Duration;

use identity::keyring::{secret, IDENTITY, KEYRING};
use identity::IdentityKey;
use link::{Command, Event, Link, Moment};
use quota::settlement::Settlement;
use std::rc::Rc;

use crate::outcome::Outcome;
use crate::request::Ready;
use crate::vm::{with, Owner, Vm};

/// The pause before the key of identities is asked for again.
const RETRY_US: u64 = 1_000_000;
/// Commands that a new connection takes before it serves.
const ERRANDS: usize = 4;

/// The owner of the link, as the link's driver wants one.
pub(crate) struct Line;

/// Why something was sent; comes back with its outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ticket {
    Identity,
    Run(u64),
}

impl link::Owner for Line {
    type Ticket = Ticket;

    fn link<T>(&self, lend: impl FnOnce(&mut Link<Ticket>) -> T) -> T {
        with(|vm| lend(&mut vm.wire.link))
    }

    fn settle(&self, now: Moment) {
        with(|vm| vm.settle(now));
    }
}

impl Vm {
    /// Takes in what the link has to tell, and lets those who have gathered leave.
    fn settle(&mut self, now: Moment) {
        let mut news = false;
        while let Some(event) = self.wire.link.next_event() {
            news |= !matches!(event, Event::Outcome(Ticket::Run(_), _));
            self.hear(event, now);
        }
        if news {
            self.run_errands(now);
            if self.wire.link.refusal().is_some() {
                self.expire(now);
            }
        }
        self.compose(now);
    }

    fn hear(&mut self, event: Event<Ticket>, now: Moment) {
        self.wire.hear(&event, &mut self.worker.notes);
        match event {
            Event::Greeted => {
                self.wire.greet(ERRANDS);
                self.identity_due_us = Some(0);
            }
            Event::Ready => self.look_again(),
            Event::Down(_) => {}
            Event::Outcome(Ticket::Run(flight), outcome) => self.land(flight, &outcome, now),
            Event::Outcome(Ticket::Identity, outcome) => match outcome.into_reply() {
                Ok((value, _)) => self.identity_came(value.bytes()),
                Err(trouble) => self.worker.notes.trouble(&trouble),
            },
        }
    }

    /// Asks for the key of identities: once on each connection, and while it is missing.
    pub(crate) fn run_errands(&mut self, now: Moment) {
        let now_us = now.as_nanos() / 1_000;
        let due = self.identity_due_us.is_some_and(|due| due <= now_us);
        if !due || !self.wire.is_connected() {
            return;
        }
        let missing = self.identity.is_none();
        self.identity_due_us = missing.then(|| now_us.saturating_add(RETRY_US));
        let mut command = Command::new("HGET");
        command.arg(KEYRING).arg(IDENTITY);
        let deadline = now + Duration::from_micros(self.deadline_us().max(100_000));
        self.wire.send(false, command, Ticket::Identity, deadline);
    }

    fn identity_came(&mut self, value: Option<&[u8]>) {
        let notes = &mut self.worker.notes;
        match value.map(|value| secret(IDENTITY, value)) {
            Some(Ok(key)) => {
                self.identity = Some(Rc::new(IdentityKey::new(&key)));
                self.identity_due_us = None;
                self.look_again();
            }
            Some(Err(error)) => {
                notes.trouble(&format!("the keyring in Redis cannot be read: {error}"));
            }
            // Nor is one made before there is a policy.
            None if self.desk.settings.policies.is_empty() => {}
            None => notes.trouble("there is no keyring in Redis yet"),
        }
    }

    /// Lets as many leave as the line has room for, and what is to be settled with them.
    fn compose(&mut self, now: Moment) {
        if self.waiting.is_empty() && self.settlements.is_empty() {
            return;
        }
        let room = self.wire.link.room(self.waiting.len());
        if room == 0 {
            return;
        }
        let (time, wait_us, script) = (self.now(now), self.deadline_us(), self.script);
        let link = &mut self.wire.link;
        let begin = |keys: &[&str]| link.script(&script, keys);
        let settlements = &mut self.settlements;
        if let Some(run) = self.waiting.compose(room, settlements, time, wait_us, begin) {
            let deadline = Moment::from_nanos(run.deadline_us.saturating_mul(1_000));
            let (lane, ticket) = (link::Lane::Normal, Ticket::Run(run.flight));
            self.wire.link.submit(lane, run.command, ticket, deadline);
        }
    }

    fn land(&mut self, flight: u64, outcome: &link::Outcome, now: Moment) {
        let time = self.now(now);
        let landing = self.waiting.land(flight, outcome, &mut self.settlements, time);
        if let Some((sent_us, redis_us)) = landing.clock_us {
            self.clock.sample(sent_us, time.us, redis_us);
        }
        if let Some(trouble) = landing.trouble {
            self.worker.notes.trouble(&trouble);
        }
        for told in landing.told {
            self.worker.release.push(Ready::Told(told));
        }
        for settlement in &landing.settled {
            let made = if settlement.released { Outcome::Released } else { Outcome::Settled };
            self.count_settlement(settlement, made);
        }
        self.lose(&landing.lost);
    }

    /// Counts settlements that are lost.
    pub(crate) fn lose(&mut self, lost: &[Settlement<Owner>]) {
        for settlement in lost {
            self.count_settlement(settlement, Outcome::SettleLost);
        }
    }

    fn count_settlement(&mut self, settlement: &Settlement<Owner>, outcome: Outcome) {
        for due in settlement.dues.iter().filter(|due| due.window == 0) {
            self.count(&settlement.owner, due.limit, outcome);
        }
    }
}
