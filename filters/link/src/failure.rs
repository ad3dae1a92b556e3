//! Time, and what goes wrong: deadlines, silence, lost connections, the breaker.

use core::time::Duration;

use host::Token;

use crate::backoff::delay;
use crate::connection::{Connection, Phase};
use crate::handshake::Problem;
use crate::moment::Moment;
use crate::outcome::{Event, Lane, Refusal};
use crate::state::{Link, Root};
use crate::waiting::Pending;

/// The first wait of a VM that serves nobody and reaches nobody.
const IDLE_BACKOFF: Duration = Duration::from_secs(1);

impl<R> Link<R> {
    /// Time has passed: deadlines, silence, the next attempt to connect. Call it on every tick. Deadlines are judged here
    /// only: who knows that the worker was too busy to read may leave a tick out.
    pub fn tick(&mut self, now: Moment) {
        self.now = now;
        let mut expired = Vec::new();
        self.waiting.expire(now, |pending| expired.push((pending, false)));
        for connection in &mut self.connections {
            connection.expire(now, |pending| expired.push((pending, true)));
        }
        for (pending, sent) in expired {
            self.time_out(pending, sent);
        }
        let tokens: Vec<Token> =
            self.connections.iter().map(|connection| connection.token).collect();
        for token in tokens {
            self.watch(token, now);
        }
        self.open_due = self.wants_connection() && now >= self.next_try;
    }

    /// Looks after one connection.
    fn watch(&mut self, token: Token, now: Moment) {
        let Some(settings) = self.settings() else { return };
        let (deadline, connect, stuck) = (settings.deadline, settings.connect, settings.stuck);
        let Some(mut connection) = self.take(token) else { return };
        connection.ticks();
        let silence = connection.silence(now);
        let silent =
            |limit: Duration| format!("Redis has not answered for {} ms", limit.as_millis());
        let serves = self.current == Some(token);
        let newest = self.is_newest(&connection);
        match connection.phase {
            Phase::Greeting | Phase::Opening if silence >= connect => {
                self.give_up(connection, &Problem::away(silent(connect)), now);
            }
            Phase::Ready | Phase::Stalled if silence >= stuck => {
                self.give_up(connection, &Problem::away(silent(stuck)), now);
            }
            Phase::Ready if serves && silence >= deadline => {
                connection.phase = Phase::Stalled;
                self.connections.push(connection);
                self.tell(&silent(deadline));
                self.go_away(Refusal::BreakerOpen);
            }
            // an older root's, and answered
            _ if !serves && !newest && connection.is_idle() => {
                self.cancels.push_back((connection.root, connection.token));
            }
            _ => self.connections.push(connection),
        }
    }

    fn wants_connection(&self) -> bool {
        let idle = self.opening.is_none() && !self.roots.is_empty();
        idle && !self.connections.iter().any(|connection| self.is_newest(connection))
    }

    /// Whether the connection is the newest root's own.
    fn is_newest(&self, connection: &Connection<R>) -> bool {
        let own = |root: &Root| root.id == connection.root && root.server == connection.server;
        self.roots.last().is_some_and(own)
    }

    /// The tick period in milliseconds that the link needs now; 0 for none.
    pub fn tick_period(&self) -> u32 {
        let Some(settings) = self.settings() else { return 0 };
        let tenth =
            u32::try_from(settings.deadline.as_millis() / 10).unwrap_or(u32::MAX).clamp(1, 10);
        let leftover = |c: &Connection<R>| Some(c.token) != self.current && c.phase == Phase::Ready;
        let busy = |c: &Connection<R>| !c.is_idle() || leftover(c);
        if !self.waiting.is_empty() || !self.cancels.is_empty() || self.connections.iter().any(busy)
        {
            return tenth;
        }
        if self.wants_connection() {
            let left = self.next_try.since(self.now).as_millis();
            return u32::try_from(left).unwrap_or(u32::MAX).clamp(1, 1000);
        }
        0
    }

    /// Drops a stream by our own will.
    pub(crate) fn give_up(&mut self, connection: Connection<R>, problem: &Problem, now: Moment) {
        self.cancels.push_back((connection.root, connection.token));
        self.lost(connection, problem, now);
    }

    /// A stream is gone.
    pub(crate) fn lost(&mut self, connection: Connection<R>, problem: &Problem, now: Moment) {
        match connection.phase {
            Phase::Greeting | Phase::Opening => self.stats.connect_failures += 1,
            Phase::Ready | Phase::Stalled => self.stats.disconnects += 1,
        }
        let was_current = self.current == Some(connection.token);
        if was_current {
            self.current = None;
            self.choose_current();
        }
        if was_current || self.is_newest(&connection) {
            self.failed(problem, now);
        }
        self.salvage(connection, now);
    }

    /// Sends again what may be sent again, and tells the others that they are lost.
    pub(crate) fn salvage(&mut self, connection: Connection<R>, now: Moment) {
        let opens = |connection: &Connection<R>| connection.phase == Phase::Opening;
        if self.current.is_none() && !self.connections.iter().any(opens) {
            while let Some(pending) = self.waiting.pop_any(Lane::First) {
                self.lose(pending, false);
            }
        }
        let may_wait = self.refusal().is_none();
        for mut pending in connection.into_asked() {
            let again = pending.lane == Lane::Normal && pending.command.resend && !pending.unknown;
            if again && may_wait && pending.deadline > now {
                pending.unknown = true;
                self.stats.resends += 1;
                self.waiting.push_front(pending);
            } else {
                self.lose(pending, true);
            }
        }
    }

    /// Puts commands that never left before all others; `unsent` has the latest first. Those with which a connection
    /// begins are of no use on another one.
    pub(crate) fn requeue(&mut self, unsent: Vec<Pending<R>>, now: Moment) {
        for pending in unsent {
            match self.refusal() {
                Some(refusal) => self.refuse(pending, refusal),
                None if pending.lane == Lane::Normal && pending.deadline > now => {
                    self.waiting.push_front(pending);
                }
                None => self.lose(pending, false),
            }
        }
    }

    /// A connection could not be made, or was lost.
    pub(crate) fn failed(&mut self, problem: &Problem, now: Moment) {
        self.failures = self.failures.saturating_add(1);
        let Some(settings) = self.settings() else { return };
        let quiet = !self.seen && !self.proven;
        let wait = match problem.refusal {
            Refusal::BreakerOpen if quiet => {
                delay(IDLE_BACKOFF, settings.backoff_idle, self.failures)
            }
            Refusal::BreakerOpen => delay(settings.backoff, settings.backoff_max, self.failures),
            _ => settings.backoff_rejected,
        };
        let gives_up = self.failures >= settings.breaker || problem.refusal != Refusal::BreakerOpen;
        self.next_try = now + self.random.jitter(wait);
        if self.current.is_some() {
            return;
        }
        if !quiet {
            self.tell(&problem.text);
        }
        if gives_up {
            self.go_away(problem.refusal);
        }
    }

    fn tell(&mut self, text: &str) {
        if self.last_down != text {
            text.clone_into(&mut self.last_down);
            self.events.push_back(Event::Down(text.to_owned()));
        }
    }

    /// From now on commands are refused at once, until a connection serves.
    fn go_away(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
        self.refuse_waiting(refusal);
    }

    pub(crate) fn refuse_waiting(&mut self, refusal: Refusal) {
        // the first commands of a connection that is opening are its probe
        if !self.connections.iter().any(|connection| connection.phase == Phase::Opening) {
            while let Some(pending) = self.waiting.pop_any(Lane::First) {
                self.refuse(pending, refusal);
            }
        }
        while let Some(pending) = self.waiting.pop_any(Lane::Normal) {
            self.refuse(pending, refusal);
        }
    }
}
