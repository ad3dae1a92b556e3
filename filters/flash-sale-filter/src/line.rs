//! A line to Redis: the link, and those who wait on it.
//!
//! There are two. Sales whose permits must reach a replica first have one of their own, since the
//! wait for that blocks everything behind it.

use std::rc::Rc;

use link::{Event, Link, Moment};
use sale::admission::Admissions;

use crate::vm::{with, Vm};

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
    pub(crate) inner: worker::Wire<Ticket>,
    pub(crate) admissions: Admissions,
}

impl Wire {
    pub(crate) fn new(seed: u64) -> Self {
        Self { inner: worker::Wire::new(seed), admissions: Admissions::default() }
    }

    pub(crate) fn link(&self) -> &Link<Ticket> {
        &self.inner.link
    }

    pub(crate) fn link_mut(&mut self) -> &mut Link<Ticket> {
        &mut self.inner.link
    }
}

impl link::Owner for Line {
    type Ticket = Ticket;

    fn link<T>(&self, lend: impl FnOnce(&mut Link<Ticket>) -> T) -> T {
        with(|vm| lend(vm.wire(self.0).link_mut()))
    }

    fn settle(&self, now: Moment) {
        with(|vm| vm.settle(self.0, now));
    }
}

impl Vm {
    /// Takes in what the link has to tell, and lets those who have gathered leave.
    fn settle(&mut self, which: Which, now: Moment) {
        let mut news = false;
        while let Some(event) = self.wire(which).link_mut().next_event() {
            news |= !matches!(event, Event::Outcome(Ticket::Admit(..), _));
            self.hear(which, event, now);
        }
        if news {
            self.run_errands(which, now);
            if self.wire(which).link().refusal().is_some() {
                self.expire(which, now.as_nanos() / 1_000);
            }
        }
        self.compose(which);
    }

    fn hear(&mut self, which: Which, event: Event<Ticket>, now: Moment) {
        let (wire, notes) = match which {
            Which::Main => (&mut self.main, &mut self.worker.notes),
            Which::Durable => (&mut self.durable, &mut self.worker.notes),
        };
        wire.inner.hear(&event, notes);
        match event {
            Event::Greeted => self.greet(which, now),
            Event::Ready => self.look_again(),
            Event::Down(_) => {}
            Event::Outcome(ticket, outcome) => self.conclude(which, ticket, outcome, now),
        }
    }
}
