//! A line to Redis: the link, and those who wait on it.
//!
//! There are two. Sales whose permits must reach a replica first have one of their own, since the
//! wait for that blocks everything behind it.

use std::rc::Rc;

use link::{Event, Link, Moment, Outcome};
use sale::admission::Admissions;

use crate::vm::{with, Level, Vm};

/// Which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Main,
    Durable,
}

/// The owner of a line's link, as the link's driver wants one.
pub(crate) struct Line(pub(crate) Which);

/// Why something was sent; comes back with its outcome.
#[derive(Clone, Debug)]
pub(crate) enum Ticket {
    Keyring,
    Begin(Rc<str>, u64),
    Teach(Rc<str>),
    Poll(Rc<str>, u64),
    Admit(Rc<str>, u64),
}

/// The state of a line.
pub(crate) struct Wire {
    pub(crate) link: Link<Ticket>,
    pub(crate) admissions: Admissions,
    /// A connection is there, so that errands have somewhere to go.
    pub(crate) connected: bool,
    /// Nothing serves, as far as the log tells; so too at first.
    down: bool,
    /// How many more errands may go before everything else on a new connection.
    pub(crate) opening: usize,
}

impl Wire {
    pub(crate) fn new(seed: u64) -> Self {
        let admissions = Admissions::default();
        Self { link: Link::new(seed), admissions, connected: false, down: true, opening: 0 }
    }
}

impl link::Owner for Line {
    type Ticket = Ticket;

    fn link<T>(&self, lend: impl FnOnce(&mut Link<Ticket>) -> T) -> T {
        with(|vm| lend(&mut vm.wire(self.0).link))
    }

    fn settle(&self, now: Moment) {
        with(|vm| vm.settle(self.0, now));
    }
}

impl Vm {
    /// Takes in what the link has to tell, and lets those who have gathered leave.
    fn settle(&mut self, which: Which, now: Moment) {
        let mut news = false;
        while let Some(event) = self.wire(which).link.next_event() {
            news |= !matches!(event, Event::Outcome(Ticket::Admit(..), _));
            self.hear(which, event, now);
        }
        if news {
            self.run_errands(which, now);
            if self.wire(which).link.refusal().is_some() {
                self.expire(which, now.as_nanos() / 1_000);
            }
        }
        self.compose(which);
    }

    fn hear(&mut self, which: Which, event: Event<Ticket>, now: Moment) {
        match event {
            Event::Greeted => self.greet(which, now),
            Event::Ready => {
                let wire = self.wire(which);
                wire.connected = true;
                // A connection that takes over from one that served is no news.
                let level =
                    if core::mem::take(&mut wire.down) { Level::Info } else { Level::Debug };
                self.note(level, "flash-sale: Redis serves".into());
                self.look_again();
            }
            Event::Down(reason) => {
                let wire = self.wire(which);
                (wire.connected, wire.down) = (false, true);
                self.note(Level::Warn, format!("flash-sale: {reason}"));
            }
            Event::Outcome(ticket, outcome) => {
                if matches!(outcome, Outcome::Lost { .. } | Outcome::Refused(_)) {
                    self.wire(which).connected = false;
                }
                self.conclude(which, ticket, outcome, now);
            }
        }
    }
}
