//! The link's state, and what leaves it: commands, actions, events.

use std::collections::VecDeque;

use host::{ContextId, Token};

use crate::backoff::Random;
use crate::command::{Command, Script};
use crate::connection::{Connection, Phase};
use crate::moment::Moment;
use crate::outcome::{Event, Lane, Outcome, Refusal};
use crate::settings::Settings;
use crate::stats::{Latencies, Stats};
use crate::waiting::{Pending, Waiting};

/// Buffers of finished commands that are kept for the next ones.
const SPARE: usize = 16;
/// A buffer that has grown beyond this is not kept.
const SPARE_BYTES: usize = 64 * 1024;

/// What the link wants done to the host. Each is to be reported back before the next is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a stream, then call [`Link::opened`].
    Open {
        /// The root that is to own it.
        root: ContextId,
        /// The cluster to open it to.
        cluster: String,
    },
    /// Drop a stream; nothing to report.
    Cancel {
        /// The root that owns it.
        root: ContextId,
        /// The stream.
        token: Token,
    },
    /// Send one message, then call [`Link::sent`].
    Send {
        /// The root that owns the stream.
        root: ContextId,
        /// The stream.
        token: Token,
        /// The message; give it back, its memory is used again.
        bytes: Vec<u8>,
    },
}

/// A root context and what it was configured with.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) id: ContextId,
    pub(crate) settings: Settings,
    /// Equal numbers: the same server and login.
    pub(crate) server: u32,
}

/// The link to Redis. `R` is the ticket that comes back with a command's outcome.
#[derive(Debug)]
pub struct Link<R> {
    /// The roots that are alive, the newest last.
    pub(crate) roots: Vec<Root>,
    pub(crate) servers: u32,
    /// The server of the newest root.
    pub(crate) server: u32,
    pub(crate) connections: Vec<Connection<R>>,
    /// The connection that serves.
    pub(crate) current: Option<Token>,
    pub(crate) waiting: Waiting<R>,
    pub(crate) events: VecDeque<Event<R>>,
    pub(crate) cancels: VecDeque<(ContextId, Token)>,
    /// A stream is to be opened.
    pub(crate) open_due: bool,
    /// A stream is being opened: by which root, and for which settings.
    pub(crate) opening: Option<(ContextId, u32)>,
    /// Streams that closed meanwhile.
    pub(crate) closed_early: Vec<Token>,
    /// Failures in a row.
    pub(crate) failures: u32,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) next_try: Moment,
    /// The latest time seen.
    pub(crate) now: Moment,
    /// This VM has served a request.
    pub(crate) seen: bool,
    /// This VM has reached a server.
    pub(crate) proven: bool,
    /// What was last said about a failure.
    pub(crate) last_down: String,
    pub(crate) random: Random,
    pub(crate) stats: Stats,
    pub(crate) latencies: Latencies,
    send_buffer: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

impl<R> Link<R> {
    /// A link without a root; it refuses everything until the first [`adopt`](Self::adopt). The seed is for jitter.
    pub fn new(seed: u64) -> Self {
        Self {
            roots: Vec::new(),
            servers: 0,
            server: 0,
            connections: Vec::new(),
            current: None,
            waiting: Waiting::default(),
            events: VecDeque::new(),
            cancels: VecDeque::new(),
            open_due: false,
            opening: None,
            closed_early: Vec::new(),
            failures: 0,
            refusal: None,
            next_try: Moment::default(),
            now: Moment::default(),
            seen: false,
            proven: false,
            last_down: String::new(),
            random: Random::new(seed),
            stats: Stats::default(),
            latencies: Latencies::default(),
            send_buffer: Vec::new(),
            spare: Vec::new(),
        }
    }

    // === what the filter asks ===

    /// This VM serves requests. Cheap; call it for each. Until the first, a VM that reaches no server is taken for that
    /// of the main thread, which never can: it tries seldom and says nothing.
    pub fn saw_request(&mut self) {
        if self.seen {
            return;
        }
        self.seen = true;
        if !self.proven && matches!(self.refusal, None | Some(Refusal::BreakerOpen)) {
            self.refusal = None;
            self.failures = 0;
            self.next_try = Moment::default();
        }
    }

    /// Why a command would be refused now: answer the request at once, without queueing it.
    pub fn refusal(&self) -> Option<Refusal> {
        if self.roots.is_empty() {
            return Some(Refusal::BreakerOpen);
        }
        self.refusal
    }

    /// Whether a connection serves.
    pub fn is_ready(&self) -> bool {
        self.current.is_some() && self.refusal.is_none()
    }

    /// The newest root that is alive.
    pub fn root(&self) -> Option<ContextId> {
        self.roots.last().map(|root| root.id)
    }

    /// Whether the stream is one of this link's.
    pub fn owns(&self, token: Token) -> bool {
        self.connections.iter().any(|connection| connection.token == token)
    }

    /// How many requests' commands may leave now, when so many have gathered: compose them as late as this, so that a
    /// batch takes in whoever has come meanwhile. 0 while they had better wait, and while no connection serves.
    pub fn room(&self, gathered: usize) -> usize {
        let Some(connection) = self.current_connection().filter(|c| c.phase == Phase::Ready) else {
            return 0;
        };
        let waiting = self.waiting.weight();
        self.allowance(connection, waiting.saturating_add(gathered)).saturating_sub(waiting)
    }

    /// How many requests' commands may leave now on a connection, when so many wait.
    ///
    /// While a batch is under way the others gather: a message costs more than the commands in it. But half of what may
    /// be outstanding leaves behind the other half, so that neither side has to wait for the other: Redis works on one
    /// half while the worker reads the replies to the other, and what follows from them.
    fn allowance(&self, connection: &Connection<R>, waiting: usize) -> usize {
        let outstanding = self.settings().map_or(0, |settings| settings.outstanding);
        let (half, under_way) = (outstanding / 2, connection.under_way());
        if connection.is_idle() {
            outstanding
        } else if connection.phase == Phase::Ready && under_way <= half && waiting >= half {
            outstanding - under_way
        } else {
            0
        }
    }

    /// A command that runs a script, in memory that an earlier one has left: as [`Command::script`], without asking for
    /// memory.
    pub fn script<K: AsRef<[u8]>>(&mut self, script: &Script, keys: &[K]) -> Command {
        Command::reuse_script(self.spare.pop().unwrap_or_default(), script, keys)
    }

    /// Any other command, as [`Command::new`], likewise.
    pub fn command(&mut self, name: &str) -> Command {
        Command::reuse(self.spare.pop().unwrap_or_default(), name)
    }

    /// Takes a command. Its outcome comes as an event: at once when it is refused.
    pub fn submit(&mut self, lane: Lane, command: Command, ticket: R, deadline: Moment) {
        let (with_source, unknown) = (false, false);
        let pending = Pending { command, ticket, deadline, lane, with_source, unknown };
        // a connection that is opening takes its first commands whatever the breaker says: they are its probe
        let probes =
            lane == Lane::First && self.connections.iter().any(|c| c.phase == Phase::Opening);
        if let Some(refusal) = self.refusal().filter(|_| !probes) {
            return self.refuse(pending, refusal);
        }
        let full = self.settings().is_some_and(|s| {
            self.waiting.len() >= s.waiting
                || self.waiting.bytes().saturating_add(pending.command.size()) > s.waiting_bytes
        });
        if full {
            return self.refuse(pending, Refusal::QueueFull);
        }
        self.waiting.push_back(pending);
    }

    /// The next thing to know.
    pub fn next_event(&mut self) -> Option<Event<R>> {
        self.events.pop_front()
    }

    /// Whether there is something to know.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The time that a batch took, in microseconds from sending it to its last reply; the oldest of the latest 256 that
    /// has not been taken yet.
    pub fn next_latency(&mut self) -> Option<u32> {
        self.latencies.pop()
    }

    // === what is to be done ===

    /// The next thing to do. Streams are opened and dropped on ticks only: the host allows neither in every callback.
    pub fn next_action(&mut self, in_tick: bool, now: Moment) -> Option<Action> {
        self.now = now;
        if in_tick {
            if let Some((root, token)) = self.cancels.pop_front() {
                return Some(Action::Cancel { root, token });
            }
            if core::mem::take(&mut self.open_due) {
                if let Some(newest) = self.roots.last() {
                    self.opening = Some((newest.id, newest.server));
                    self.closed_early.clear();
                    return Some(Action::Open {
                        root: newest.id,
                        cluster: newest.settings.cluster.clone(),
                    });
                }
            }
        }
        for at in 0..self.connections.len() {
            let bytes = self.fill(at);
            let Some(connection) = self.connections.get_mut(at).filter(|_| !bytes.is_empty())
            else {
                self.send_buffer = bytes;
                continue;
            };
            connection.sends(now);
            self.stats.batches += 1;
            return Some(Action::Send { root: connection.root, token: connection.token, bytes });
        }
        None
    }

    /// What is to leave on a connection, if anything.
    fn fill(&mut self, at: usize) -> Vec<u8> {
        let mut out = core::mem::take(&mut self.send_buffer);
        out.clear();
        let Some(connection) = self.connections.get_mut(at) else { return out };
        if !connection.own.is_empty() {
            core::mem::swap(&mut connection.own, &mut out);
            return out;
        }
        // events first: the filter may have more to send before the connection serves
        let opened =
            connection.phase == Phase::Opening && connection.is_idle() && self.events.is_empty();
        if opened && !self.waiting.has_first() {
            let token = connection.token;
            self.serve(token);
        }
        let another_opens =
            self.connections.iter().any(|connection| connection.phase == Phase::Opening);
        let waiting = self.waiting.weight();
        let mut left = self.connections.get(at).map_or(0, |c| self.allowance(c, waiting));
        let Some(connection) = self.connections.get_mut(at) else { return out };
        let serves = self.current == Some(connection.token);
        let lanes: &[Lane] = match connection.phase {
            Phase::Opening => &[Lane::First],
            // first commands are for the connection that is opening
            Phase::Ready if serves && another_opens => &[Lane::Normal],
            Phase::Ready if serves => &[Lane::First, Lane::Normal],
            _ => return out,
        };
        while left > 0 {
            // a command that is heavier than the bound still leaves, alone
            let most = if connection.is_idle() { usize::MAX } else { left };
            let Some(pending) = self.waiting.pop(lanes, most) else { break };
            left = left.saturating_sub(pending.command.weight as usize);
            connection.ask(pending, &mut out);
            self.stats.commands += 1;
        }
        out
    }

    /// A connection has been opened for business.
    fn serve(&mut self, token: Token) {
        let Some(connection) = self.connections.iter_mut().find(|c| c.token == token) else {
            return;
        };
        connection.phase = Phase::Ready;
        self.current = Some(token);
        self.stats.connects += 1;
        self.back();
    }

    /// The server answers again.
    pub(crate) fn back(&mut self) {
        self.refusal = None;
        self.last_down.clear();
        self.events.push_back(Event::Ready);
    }

    // === outcomes ===

    pub(crate) fn finish(&mut self, pending: Pending<R>, outcome: Outcome) {
        if outcome.is_unknown() {
            self.stats.unknown_outcomes += 1;
        }
        let buffer = pending.command.into_buffer();
        if self.spare.len() < SPARE && buffer.capacity() <= SPARE_BYTES {
            self.spare.push(buffer);
        }
        self.events.push_back(Event::Outcome(pending.ticket, outcome));
    }

    pub(crate) fn time_out(&mut self, pending: Pending<R>, sent: bool) {
        self.stats.timeouts += 1;
        let sent = sent || pending.unknown;
        self.finish(pending, Outcome::TimedOut { sent });
    }

    pub(crate) fn lose(&mut self, pending: Pending<R>, sent: bool) {
        let sent = sent || pending.unknown;
        self.finish(pending, Outcome::Lost { sent });
    }

    pub(crate) fn refuse(&mut self, pending: Pending<R>, refusal: Refusal) {
        if pending.unknown {
            return self.lose(pending, true);
        }
        match refusal {
            Refusal::QueueFull => self.stats.queue_refusals += 1,
            _ => self.stats.breaker_refusals += 1,
        }
        self.finish(pending, Outcome::Refused(refusal));
    }

    // === small things ===

    pub(crate) fn settings(&self) -> Option<&Settings> {
        self.roots.last().map(|root| &root.settings)
    }

    pub(crate) fn current_connection(&self) -> Option<&Connection<R>> {
        let current = self.current?;
        self.connections.iter().find(|connection| connection.token == current)
    }

    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.send_buffer.capacity() < buffer.capacity() && buffer.capacity() <= SPARE_BYTES {
            self.send_buffer = buffer;
        }
    }
}
