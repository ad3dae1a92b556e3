//! What the host tells of streams: opened, sent, closed, bytes.

use core::time::Duration;

use host::{ContextId, Status, Token};

use crate::command::Command;
use crate::connection::{Answer, Connection, Phase};
use crate::handshake::{greeting, judge, old_greeting, Problem, Step, Verdict};
use crate::moment::Moment;
use crate::outcome::{Event, Outcome};
use crate::settings::Via;
use crate::state::Link;
use crate::value::{ErrorKind, Value};
use crate::waiting::Pending;

impl<R> Link<R> {
    /// What became of [`Action::Open`](crate::Action::Open).
    pub fn opened(&mut self, result: Result<Token, Status>, now: Moment) {
        self.now = now;
        let Some((root, server)) = self.opening.take() else { return };
        let problem = match result {
            Ok(token) if !self.closed_early.contains(&token) => {
                return self.greet(root, server, token, now);
            }
            Ok(_) => "the stream to Redis closed at once".to_owned(),
            Err(Status::PARSE_FAILURE) => {
                "Envoy does not know the cluster of the Redis bridge yet".to_owned()
            }
            Err(status) => format!("no stream to Redis: {status}"),
        };
        self.stats.connect_failures += 1;
        self.failed(&Problem::away(problem), now);
    }

    fn greet(&mut self, root: ContextId, server: u32, token: Token, now: Moment) {
        let Some(newest) = self.roots.iter().find(|known| known.id == root) else { return };
        let mut connection = Connection::new(root, token, server, newest.settings.reply, now);
        connection.say(greeting(&newest.settings));
        self.connections.push(connection);
    }

    /// What became of [`Action::Send`](crate::Action::Send).
    pub fn sent(&mut self, token: Token, buffer: Vec<u8>, result: Result<(), Status>, now: Moment) {
        self.now = now;
        self.give_back(buffer);
        let Err(status) = result else { return };
        let Some(mut connection) = self.take(token) else { return };
        let unsent = connection.take_unsent();
        self.lost(connection, &Problem::away(format!("cannot send to Redis: {status}")), now);
        self.requeue(unsent, now);
    }

    /// The message of [`Action::Send`](crate::Action::Send) could not leave, as its root is gone: not noticed before, as
    /// nobody tells. Its commands go to the newest root's stream, and nobody's deadline starts anew.
    pub fn orphaned(&mut self, root: ContextId, token: Token, buffer: Vec<u8>, now: Moment) {
        self.now = now;
        self.give_back(buffer);
        let connection = self.connections.iter_mut().find(|connection| connection.token == token);
        let unsent = connection.map(Connection::take_unsent).unwrap_or_default();
        self.delete_root(root, now);
        self.requeue(unsent, now);
    }

    /// A stream has ended by the other side.
    pub fn closed(&mut self, token: Token, status: u32, now: Moment) {
        self.now = now;
        self.cancels.retain(|(_, cancelled)| *cancelled != token);
        if let Some(connection) = self.take(token) {
            let text = match connection.phase {
                Phase::Greeting => format!("Redis cannot be reached (gRPC status {status})"),
                _ => format!("the connection to Redis was lost (gRPC status {status})"),
            };
            self.lost(connection, &Problem::away(text), now);
        } else if self.opening.is_some() {
            self.closed_early.push(token);
        }
    }

    /// Bytes have come.
    pub fn received(&mut self, token: Token, bytes: &[u8], now: Moment) {
        self.now = now;
        let Some(mut connection) = self.take(token) else { return };
        let mut input = bytes;
        let mut again = Vec::new();
        let problem = loop {
            match connection.decoder.decode(&mut input) {
                Ok(Some(value)) => {
                    if let Some(problem) = self.hear(&mut connection, value, &mut again, now) {
                        break Some(problem);
                    }
                }
                Ok(None) => break None,
                Err(error) => {
                    break Some(Problem::away(format!("Redis sends what is not RESP: {error}")))
                }
            }
        };
        connection.hears(now);
        for pending in again.into_iter().rev() {
            self.waiting.push_front(pending);
        }
        match problem {
            Some(problem) => self.give_up(connection, &problem, now),
            None => self.heard(connection, now),
        }
    }

    /// Takes one reply. Commands to be sent again, as `EVAL`, end in `again`. Tells why the connection is of no use, if
    /// so.
    fn hear(
        &mut self,
        connection: &mut Connection<R>,
        value: Value,
        again: &mut Vec<Pending<R>>,
        now: Moment,
    ) -> Option<Problem> {
        let (mut pending, reply, replicas) = match connection.answer(value) {
            Answer::Part => return None,
            Answer::Late => {
                self.stats.late_replies += 1;
                return None;
            }
            Answer::Unasked => return Some(Problem::away("Redis sent a reply to nothing")),
            Answer::Own(step, reply) => return self.hear_own(connection, step, &reply, now),
            Answer::Command(pending, reply, replicas) => (pending, reply, replicas),
        };
        let problem = match reply.error() {
            Some(error)
                if error.kind == ErrorKind::NoScript
                    && pending.command.is_script()
                    && !pending.with_source =>
            {
                self.stats.script_loads += 1;
                pending.with_source = true;
                again.push(pending);
                return None;
            }
            Some(error) => self.is_fatal(error.kind).then(|| Problem::of(error)),
            None => None,
        };
        let outcome = match replicas {
            Some(replicas) if reply.error().is_none() => Outcome::Confirmed { reply, replicas },
            _ => Outcome::Reply(reply),
        };
        self.finish(pending, outcome);
        problem
    }

    /// Whether a reply says that the whole server is of no use. Behind a proxy it speaks for one node only.
    fn is_fatal(&self, kind: ErrorKind) -> bool {
        let direct = self.settings().is_some_and(|settings| settings.via == Via::Direct);
        direct && (kind.is_server_away() || kind == ErrorKind::Auth)
    }

    /// Takes the reply to a command of the link's own.
    fn hear_own(
        &mut self,
        connection: &mut Connection<R>,
        step: Step,
        reply: &Value,
        now: Moment,
    ) -> Option<Problem> {
        if let (Phase::Stalled, Some(error)) = (connection.phase, reply.error()) {
            return Some(Problem::of(error));
        }
        if connection.phase == Phase::Stalled {
            let limit = self.settings().map_or(Duration::ZERO, |settings| settings.deadline);
            if connection.is_prompt(now, limit) {
                connection.phase = Phase::Ready;
                if self.current == Some(connection.token) {
                    self.back();
                }
            }
            return None;
        }
        match judge(step, reply) {
            Verdict::Fine => None,
            Verdict::TooOld => {
                connection.too_old = true;
                None
            }
            // the answer to a SELECT that went together with the HELLO that the server does not know
            Verdict::Failed(_) if connection.too_old && step == Step::Select => None,
            Verdict::Failed(problem) => Some(problem),
        }
    }

    /// All bytes at hand have been read.
    fn heard(&mut self, mut connection: Connection<R>, now: Moment) {
        while let Some(left_at) = connection.answered() {
            if connection.phase == Phase::Ready {
                // served is what counts: a server that dies of the first command has not been reached
                self.failures = 0;
                let micros = now.since(left_at).as_micros();
                self.latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
            }
        }
        if connection.is_idle() {
            match connection.phase {
                Phase::Greeting if connection.too_old => {
                    connection.too_old = false;
                    let settings = self.roots.iter().find(|root| root.id == connection.root);
                    connection
                        .say(settings.map(|root| old_greeting(&root.settings)).unwrap_or_default());
                }
                Phase::Greeting => {
                    connection.phase = Phase::Opening;
                    self.proven = true;
                    self.events.push_back(Event::Greeted);
                }
                Phase::Stalled => connection.say(vec![(Step::Ping, Command::new("PING"))]),
                Phase::Ready | Phase::Opening => {}
            }
        }
        self.connections.push(connection);
        self.choose_current();
    }

    /// Takes a connection out of the table.
    pub(crate) fn take(&mut self, token: Token) -> Option<Connection<R>> {
        let at = self.connections.iter().position(|connection| connection.token == token)?;
        Some(self.connections.swap_remove(at))
    }
}
