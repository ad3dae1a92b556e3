//! What goes to Redis and what comes back.

use core::time::Duration;
use std::rc::Rc;

use identity::keyring::KEYRING;
use identity::UserKey;
use link::{Command, Lane, Moment, Outcome, Script, Value, Via};
use sale::admission::{Batch, Verdict, Word};
use sale::books::{Books, Errand, ErrandKind, Reading};
use sale::config::Sale;
use sale::keyring::Keyring;
use sale::replies::{self, Item};

use crate::line::{Ticket, Which};
use crate::request::Ready;
use crate::vm::Vm;

/// Entries of the log in one poll.
const LOG_CHUNK: i64 = 2_000;
/// The pause before an errand that failed is tried again.
const RETRY_US: u64 = 100_000;

/// The part of the deadline that a replica has to confirm what a poll shows.
const POLL_PART: u64 = 10;
/// The part of the deadline that a replica has to confirm an admission.
const ADMIT_PART: u64 = 4;

/// The scripts, hashed once.
pub(crate) struct Scripts {
    begin: Script,
    admit: Script,
    poll: Script,
    heal: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            begin: Script::new(include_str!("../../scripts/begin.lua")),
            admit: Script::new(include_str!("../../scripts/admit.lua")),
            poll: Script::new(include_str!("../../scripts/poll.lua")),
            heal: Script::new(include_str!("../../scripts/heal.lua")),
        }
    }
}

fn keys(sale: &Sale) -> [&str; 3] {
    [&sale.keys.meta, &sale.keys.permits, &sale.keys.log]
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn items(value: &Value) -> impl Iterator<Item = Item<'_>> {
    value.array().unwrap_or_default().iter().map(|item| match item.int() {
        Some(number) => Item::Int(number),
        None => item.bytes().map_or(Item::Other, Item::Bytes),
    })
}

impl Vm {
    /// A new connection: what must be said before anything else.
    pub(crate) fn greet(&mut self, which: Which, now: Moment) {
        let now = self.now(now);
        let sales: Vec<Rc<Sale>> = self.sales_on(which).collect();
        for sale in &sales {
            self.books.entry(Rc::clone(&sale.tag)).or_default().greet(now.us);
        }
        self.wire(which).inner.greet(16 + 4 * sales.len());
        if which == Which::Main {
            self.keyring_wanted = true;
        }
    }

    /// Sends what is due: the keyring, and the errands of every sale on this line.
    pub(crate) fn run_errands(&mut self, which: Which, moment: Moment) {
        if !self.wire(which).inner.is_connected() {
            return;
        }
        let now = self.now(moment);
        let deadline = moment + Duration::from_millis(self.settings.redis.deadline_ms.max(100));
        if which == Which::Main && core::mem::take(&mut self.keyring_wanted) {
            let mut command = Command::new("HGETALL");
            command.arg(KEYRING);
            self.send(which, command, Ticket::Keyring, deadline);
        }
        let poll_ms = self.settings.poll_ms;
        for sale in self.sales_on(which).collect::<Vec<_>>() {
            let Some(books) = self.books.get_mut(&sale.tag) else { continue };
            books.schedule(&sale, poll_ms, now, &mut self.dice);
            while let Some(errand) = self.books.get_mut(&sale.tag).and_then(|b| b.errand(now.us)) {
                let (command, ticket) = self.command(&sale, errand, now.us);
                self.send(which, command, ticket, deadline);
            }
        }
    }

    fn command(&self, sale: &Sale, errand: Errand, now_us: u64) -> (Command, Ticket) {
        let tag = Rc::clone(&sale.tag);
        match errand {
            Errand::Begin => {
                (Command::script(&self.scripts.begin, &keys(sale)), Ticket::Begin(tag, now_us))
            }
            Errand::Teach { generation, permits } => {
                let mut command = Command::script(&self.scripts.heal, &keys(sale));
                command.int(int(generation));
                for (number, user) in permits {
                    command.int(int(number)).arg(&*user);
                }
                (command, Ticket::Teach(tag))
            }
            Errand::Poll { incarnation, generation, cursor } => {
                let mut command = Command::script(&self.scripts.poll, &keys(sale));
                command.int(int(incarnation)).int(int(generation)).int(int(cursor)).int(LOG_CHUNK);
                command.int(i64::from(sale.replicated()));
                if sale.replicated() {
                    command.confirm(1, self.confirmation(POLL_PART));
                }
                (command, Ticket::Poll(tag, now_us))
            }
        }
    }

    /// How long a replica may take, as a part of the deadline. Everything behind waits for it too, so
    /// without a replica the parts must not add up to what counts as silence.
    fn confirmation(&self, part: u64) -> Duration {
        Duration::from_millis((self.settings.redis.deadline_ms / part).max(1))
    }

    fn send(&mut self, which: Which, command: Command, ticket: Ticket, deadline: Moment) {
        let first = matches!(ticket, Ticket::Begin(..));
        self.wire(which).inner.send(first, command, ticket, deadline);
    }

    /// Lets as many leave as the line has room for.
    pub(crate) fn compose(&mut self, which: Which) {
        let wire = self.wire(which);
        if wire.admissions.is_empty() {
            return;
        }
        let room = wire.link().room(wire.admissions.len());
        if room == 0 {
            return;
        }
        let through_proxy = self.settings.redis.via == Via::Proxy;
        for batch in self.wire(which).admissions.compose(room) {
            let Some((incarnation, run)) =
                self.books.get(&batch.sale.tag).and_then(Books::identity)
            else {
                self.land(which, &batch.sale.tag, batch.flight, &Word::Nothing, 0);
                continue;
            };
            let run = if through_proxy { "" } else { run };
            let (incarnation, run) = (int(incarnation), run.to_owned());
            self.ask(which, &batch, incarnation, &run);
        }
    }

    fn ask(&mut self, which: Which, batch: &Batch, incarnation: i64, run: &str) {
        let sale = &batch.sale;
        let (script, confirmation) = (self.scripts.admit, self.confirmation(ADMIT_PART));
        let wire = self.wire(which);
        let mut command = wire.link_mut().script(&script, &keys(sale));
        command.int(incarnation).arg(run).int(int(sale.min_interval_ms)).weight(batch.users.len());
        for (won, user) in &batch.users {
            command.arg(if *won { "1" } else { "0" }).arg(&**user);
        }
        if sale.replicated() {
            command.confirm(1, confirmation);
        }
        let deadline = Moment::from_nanos(batch.deadline_us.saturating_mul(1_000));
        wire.link_mut().submit(
            Lane::Normal,
            command,
            Ticket::Admit(Rc::clone(&sale.tag), batch.flight),
            deadline,
        );
    }

    /// Takes in what became of something that was sent.
    pub(crate) fn conclude(&mut self, which: Which, ticket: Ticket, outcome: Outcome, now: Moment) {
        let heard = outcome.into_reply();
        if let Err(trouble) = &heard {
            self.worker.notes.trouble(trouble);
        }
        let us = now.as_nanos() / 1_000;
        match ticket {
            Ticket::Keyring => self.keyring_came(heard.ok().map(|(value, _)| value)),
            Ticket::Begin(tag, sent_us) => {
                let begun = heard.ok().and_then(|(value, _)| replies::begun(items(&value)));
                if let Some(reply) = &begun {
                    self.clock.sample(sent_us, us, reply.time_us);
                }
                let now = self.now(now);
                let Some(books) = self.books.get_mut(&tag) else { return };
                match begun {
                    Some(reply) => books.begun(&reply, now),
                    None => books.failed(ErrandKind::Begin, us, RETRY_US),
                }
            }
            Ticket::Teach(tag) => {
                let status = heard.ok().and_then(|(value, _)| replies::healed(items(&value)));
                let Some(books) = self.books.get_mut(&tag) else { return };
                match status {
                    Some(status) => books.taught(status, us),
                    None => books.failed(ErrandKind::Teach, us, RETRY_US),
                }
            }
            Ticket::Poll(tag, sent_us) => self.poll_came(&tag, sent_us, heard.as_ref().ok(), now),
            Ticket::Admit(tag, flight) => {
                let heard = heard.ok();
                let users = self.wire(which).admissions.users(flight);
                let read =
                    heard.as_ref().and_then(|(value, _)| replies::admitted(items(value), users));
                let confirmed = heard.as_ref().is_some_and(|(_, confirmed)| *confirmed);
                let word = match &read {
                    Some(reply) => Word::Reply { reply, safe: confirmed || which == Which::Main },
                    None => Word::Nothing,
                };
                self.land(which, &tag, flight, &word, us);
            }
        }
    }

    fn land(&mut self, which: Which, tag: &Rc<str>, flight: u64, word: &Word<'_>, us: u64) {
        let now = self.now_us(us);
        let keyring = self.keyring.clone();
        let books = self.books.entry(Rc::clone(tag)).or_default();
        if let Word::Reply { reply, .. } = word {
            books.admitted(reply, now);
        }
        let wire = match which {
            Which::Main => &mut self.main,
            Which::Durable => &mut self.durable,
        };
        for (request, verdict) in wire.admissions.land(flight, word, books, keyring.as_deref(), now)
        {
            self.worker.release.push(Ready::Told(request, verdict));
        }
    }

    fn poll_came(
        &mut self,
        tag: &Rc<str>,
        sent_us: u64,
        heard: Option<&(Value, bool)>,
        at: Moment,
    ) {
        let us = at.as_nanos() / 1_000;
        let confirmed = heard.is_some_and(|(_, confirmed)| *confirmed);
        let polled = heard.and_then(|(value, _)| replies::polled(items(value)));
        if let Some(reply) = &polled {
            self.clock.sample(sent_us, us, reply.time_us);
            self.keyring_wanted |=
                self.keyring.as_ref().is_none_or(|ring| ring.version < reply.ring);
        }
        let now = self.now(at);
        let Some(sale) = self.settings.by_tag(tag).map(Rc::clone) else { return };
        let Some(books) = self.books.get_mut(tag) else { return };
        let Some(reply) = &polled else {
            books.failed(ErrandKind::Poll, us, RETRY_US);
            return;
        };
        let reading = match (sale.plain, &self.keyring) {
            (false, _) => Reading::Hashed,
            (true, Some(ring)) => Reading::Plain(&ring.identity),
            (true, None) => Reading::NotYet,
        };
        books.polled(reply, confirmed || !sale.replicated(), &reading, now);
        books.schedule(&sale, self.settings.poll_ms, now, &mut self.dice);
    }

    fn keyring_came(&mut self, heard: Option<Value>) {
        let Some(value) = heard else { return };
        let parts = value.array().unwrap_or_default();
        let fields = parts.chunks_exact(2).filter_map(|pair| match pair {
            [field, value] => Some((field.bytes()?, value.bytes()?)),
            _ => None,
        });
        match Keyring::parse(fields) {
            Ok(Some(ring)) => {
                self.keyring = Some(Rc::new(ring));
                self.look_again();
            }
            // Nor is one made before there is a sale.
            Ok(None) if self.settings.sales.is_empty() => {}
            Ok(None) => self.worker.notes.trouble("there is no keyring in Redis yet"),
            Err(error) => {
                let notes = &mut self.worker.notes;
                notes.trouble(&format!("the keyring in Redis cannot be read: {error}"));
            }
        }
    }

    /// Answers a request that waits for Redis in vain.
    pub(crate) fn without_redis(&mut self, request: u32, sale: &Rc<Sale>, user: Option<UserKey>) {
        let verdict = Verdict::without_redis(sale, user, None);
        self.worker.release.push(Ready::Told(request, verdict));
    }
}
