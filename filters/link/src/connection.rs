//! One stream to Redis: what has been asked on it, in order, and what the replies belong to.

use std::collections::VecDeque;

use core::time::Duration;

use host::{ContextId, Token};

use crate::command::Command;
use crate::handshake::Step;
use crate::moment::Moment;
use crate::resp::{Bounds, Decoder};
use crate::value::Value;
use crate::waiting::Pending;

/// Turns of the worker's event loop (each has at most one tick) in which a message gets out and its reply in, through the
/// bridge both ways.
const TURNS: u32 = 6;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Logging in.
    Greeting,
    /// Logged in; only commands of the first lane leave.
    Opening,
    /// Serving.
    Ready,
    /// It served, and is silent for longer than a deadline. It serves again once all late replies have come and a `PING`
    /// was answered in time.
    Stalled,
}

#[derive(Debug)]
pub(crate) struct Connection<R> {
    pub(crate) root: ContextId,
    pub(crate) token: Token,
    /// Which settings it was made with; others have another number.
    pub(crate) server: u32,
    pub(crate) phase: Phase,
    /// Bytes of the link's own that are to leave.
    pub(crate) own: Vec<u8>,
    /// The server does not know `HELLO`.
    pub(crate) too_old: bool,
    pub(crate) decoder: Decoder,
    sent_at: Moment,
    heard_at: Moment,
    /// Ticks since the last message or reply.
    ticks: u32,
    slots: VecDeque<Slot<R>>,
    /// The messages that they left with, the oldest first.
    messages: VecDeque<Message>,
}

/// A message that has left.
#[derive(Debug)]
struct Message {
    left_at: Moment,
    /// Its commands whose replies have not come.
    due: usize,
    /// Requests that wait on its commands.
    weight: usize,
}

/// A command whose reply has not come.
#[derive(Debug)]
enum Slot<R> {
    Own(Step),
    Asked(Asked<R>),
}

#[derive(Debug)]
struct Asked<R> {
    /// None when the deadline has passed: the reply is then dropped.
    pending: Option<Pending<R>>,
    /// The command's own reply, while that of its `WAIT` is to come.
    reply: Option<Value>,
    confirmed: bool,
}

/// What a reply belongs to.
#[derive(Debug)]
pub(crate) enum Answer<R> {
    /// A command of the link's own.
    Own(Step, Value),
    /// A command, its reply, and that of its `WAIT`.
    Command(Pending<R>, Value, Option<Value>),
    /// A command that nobody waits for any more.
    Late,
    /// Only a part of what a command is answered.
    Part,
    /// Nothing: the server speaks out of turn.
    Unasked,
}

impl<R> Connection<R> {
    pub(crate) fn new(
        root: ContextId,
        token: Token,
        server: u32,
        bounds: Bounds,
        now: Moment,
    ) -> Self {
        Self {
            root,
            token,
            server,
            phase: Phase::Greeting,
            own: Vec::new(),
            too_old: false,
            decoder: Decoder::new(bounds),
            sent_at: now,
            heard_at: now,
            ticks: 0,
            slots: VecDeque::new(),
            messages: VecDeque::new(),
        }
    }

    /// Whether every reply has come.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.is_empty()
    }

    /// Requests that wait on the messages under way.
    pub(crate) fn under_way(&self) -> usize {
        self.messages.iter().map(|message| message.weight).sum()
    }

    /// A message leaves, with all that was asked and has not left before.
    pub(crate) fn sends(&mut self, now: Moment) {
        let before: usize = self.messages.iter().map(|message| message.due).sum();
        let fresh = self.slots.iter().skip(before);
        let (due, weight) = fresh.fold((0, 0), |(due, sum), slot| (due + 1, sum + slot.weight()));
        self.messages.push_back(Message { left_at: now, due, weight });
        self.sent_at = now;
        self.ticks = 0;
    }

    /// When a message left whose last reply has come; each is told once.
    pub(crate) fn answered(&mut self) -> Option<Moment> {
        let left_at = self.messages.front().filter(|message| message.due == 0)?.left_at;
        self.messages.pop_front();
        Some(left_at)
    }

    /// Bytes have come.
    pub(crate) fn hears(&mut self, now: Moment) {
        self.heard_at = now;
        self.ticks = 0;
    }

    /// A tick has come.
    pub(crate) fn ticks(&mut self) {
        self.ticks = self.ticks.saturating_add(1);
    }

    /// How long replies have been due without a byte from the server. Nothing, until the worker has had its turns to read:
    /// one that is busy with thousands of requests finds replies late that have long been lying in its sockets.
    pub(crate) fn silence(&self, now: Moment) -> Duration {
        if self.is_idle() || self.ticks < TURNS {
            return Duration::ZERO;
        }
        now.since(self.sent_at.max(self.heard_at))
    }

    /// Whether what comes now comes in time.
    pub(crate) fn is_prompt(&self, now: Moment, limit: Duration) -> bool {
        now.since(self.sent_at) < limit || self.ticks < TURNS
    }

    /// Queues commands of the link's own.
    pub(crate) fn say(&mut self, steps: Vec<(Step, Command)>) {
        for (step, command) in steps {
            command.write(false, &mut self.own);
            self.slots.push_back(Slot::Own(step));
        }
    }

    /// Writes a command and remembers that it was asked.
    pub(crate) fn ask(&mut self, pending: Pending<R>, out: &mut Vec<u8>) {
        pending.command.write(pending.with_source, out);
        let confirmed = pending.command.confirm.is_some();
        self.slots.push_back(Slot::Asked(Asked { pending: Some(pending), reply: None, confirmed }));
    }

    /// Matches a reply to the oldest command that has none.
    pub(crate) fn answer(&mut self, value: Value) -> Answer<R> {
        if matches!(value, Value::Push(_)) {
            return Answer::Part;
        }
        let Some(slot) = self.slots.pop_front() else { return Answer::Unasked };
        let mut asked = match slot {
            Slot::Own(step) => {
                self.one_less();
                return Answer::Own(step, value);
            }
            Slot::Asked(asked) => asked,
        };
        match (asked.confirmed, asked.reply.take()) {
            (true, None) => {
                asked.reply = Some(value);
                self.slots.push_front(Slot::Asked(asked));
                Answer::Part
            }
            (_, reply) => {
                self.one_less();
                let Some(pending) = asked.pending else { return Answer::Late };
                match reply {
                    Some(reply) => Answer::Command(pending, reply, Some(value)),
                    None => Answer::Command(pending, value, None),
                }
            }
        }
    }

    /// The last reply to a command has come, or to one of the link's own: replies come in the order of messages.
    fn one_less(&mut self) {
        if let Some(oldest) = self.messages.iter_mut().find(|message| message.due > 0) {
            oldest.due -= 1;
        }
    }

    /// Hands out the commands whose deadline has come. Their replies keep their places.
    pub(crate) fn expire(&mut self, now: Moment, mut expired: impl FnMut(Pending<R>)) {
        for slot in &mut self.slots {
            let Slot::Asked(asked) = slot else { continue };
            if asked.pending.as_ref().is_some_and(|pending| pending.deadline <= now) {
                if let Some(pending) = asked.pending.take() {
                    expired(pending);
                }
            }
        }
    }

    /// The commands of the latest message, which did not leave after all, the latest first. A message has either these or
    /// the link's own ones: where there is one of the link's own, none is handed out.
    pub(crate) fn take_unsent(&mut self) -> Vec<Pending<R>> {
        if self.slots.iter().any(|slot| matches!(slot, Slot::Own(_))) {
            return Vec::new();
        }
        let due = self.messages.pop_back().map_or(0, |message| message.due);
        let unsent = self.slots.split_off(self.slots.len().saturating_sub(due));
        unsent.into_iter().rev().filter_map(Slot::into_pending).collect()
    }

    /// The commands that wait for replies, the latest first.
    pub(crate) fn into_asked(self) -> impl Iterator<Item = Pending<R>> {
        self.slots.into_iter().rev().filter_map(Slot::into_pending)
    }
}

impl<R> Slot<R> {
    fn weight(&self) -> usize {
        match self {
            Self::Asked(Asked { pending: Some(pending), .. }) => pending.command.weight as usize,
            Self::Asked(_) | Self::Own(_) => 0,
        }
    }

    fn into_pending(self) -> Option<Pending<R>> {
        match self {
            Self::Asked(asked) => asked.pending,
            Self::Own(_) => None,
        }
    }
}
