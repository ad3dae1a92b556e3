//! The state of a line to Redis, around its link.

use host::Level;
use link::{Command, Event, Lane, Link, Moment, Outcome};

use crate::notes::Notes;

/// A link, and what is known of its connection. `T` comes back with the outcome of what was sent.
#[derive(Debug)]
pub struct Wire<T> {
    /// The link.
    pub link: Link<T>,
    connected: bool,
    /// Nothing serves, as far as the log tells; so too at first.
    down: bool,
    /// How many more errands may go before everything else on a new connection.
    opening: usize,
}

impl<T> Wire<T> {
    /// A line without a connection. The seed is for jitter.
    pub fn new(seed: u64) -> Self {
        Self { link: Link::new(seed), connected: false, down: true, opening: 0 }
    }

    /// Whether a connection is there, so that errands have somewhere to go.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// A new connection takes up to `errands` commands before it serves.
    pub fn greet(&mut self, errands: usize) {
        (self.connected, self.opening) = (true, errands);
    }

    /// Takes note of an event of the link, before the filter acts on it.
    pub fn hear(&mut self, event: &Event<T>, notes: &mut Notes) {
        match event {
            // The filter answers it by what it has to say first: see `greet`.
            Event::Greeted => self.connected = true,
            Event::Ready => {
                self.connected = true;
                // A connection that takes over from one that served is no news.
                let first = core::mem::take(&mut self.down);
                notes.add(if first { Level::Info } else { Level::Debug }, "Redis serves");
            }
            Event::Down(reason) => {
                (self.connected, self.down) = (false, true);
                notes.add(Level::Warn, reason);
            }
            Event::Outcome(_, Outcome::Lost { .. } | Outcome::Refused(_)) => self.connected = false,
            Event::Outcome(..) => {}
        }
    }

    /// Sends an errand of the filter: while a connection opens, before it serves. `first`: before
    /// everything else in any case.
    pub fn send(&mut self, first: bool, command: Command, ticket: T, deadline: Moment) {
        let opens = first || !self.link.is_ready();
        let lane = match (opens, self.opening.checked_sub(1)) {
            (true, Some(left)) => {
                self.opening = left;
                Lane::First
            }
            _ if first => Lane::First,
            _ => Lane::Normal,
        };
        self.link.submit(lane, command, ticket, deadline);
    }
}
