//! A link between a host and a server that do whatever they may, in any order.
//!
//! The bytes are a programme: each one is something that happens. Every command carries its ticket, and the server
//! answers with it, so that a reply that is matched wrongly shows. What must hold:
//! - each command gets exactly one outcome, never later than the first tick at its deadline;
//! - a reply is never that of another command;
//! - what is said not to have been sent was never executed; what must not be repeated was executed at most once;
//! - no more than the bound is outstanding, and only half of it while anything more is sent;
//! - streams are used only with their own root effective, and never after their end;
//! - once everything works again, the link serves again.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use link::drive::{run, Transport};
use link::{Command, Event, Lane, Link, Moment, Outcome, Owner, Script, Settings, Value};

const OUTSTANDING: usize = 8;
const ERRORS: [&str; 5] = [
    "-LOADING x\r\n",
    "-WRONGPASS x\r\n",
    "-BUSY x\r\n",
    "-ERR unknown command\r\n",
    "-READONLY x\r\n",
];

/// Runs a programme.
pub fn interleavings(programme: &[u8]) {
    let world = World::new();
    let mut steps = programme.iter().copied();
    while let Some(step) = steps.next() {
        world.step(step, || steps.next().unwrap_or(0));
        world.check();
    }
    world.recover();
}

struct Stream {
    root: u32,
    /// The far side has not ended it.
    open: bool,
    inbox: Vec<u8>,
    /// Replies on their way to the link.
    outbox: VecDeque<u8>,
    /// Of each message the replies that are due, and its weight.
    messages: VecDeque<(usize, usize)>,
}

struct Asked {
    deadline: u64,
    once: bool,
    outcome: Option<Outcome>,
}

struct World {
    link: RefCell<Link<u32>>,
    now: Cell<u64>,
    effective: Cell<u32>,
    receiving: Cell<bool>,
    roots: RefCell<Vec<u32>>,
    streams: RefCell<BTreeMap<u32, Stream>>,
    asked: RefCell<BTreeMap<u32, Asked>>,
    executed: RefCell<BTreeMap<u32, usize>>,
    queue: RefCell<VecDeque<(u32, u64)>>,
    weights: RefCell<BTreeMap<u32, usize>>,
    ready: Cell<usize>,
    loaded: Cell<bool>,
    error: Cell<Option<&'static str>>,
    open_fails: Cell<u8>,
    send_dies: Cell<bool>,
    next_root: Cell<u32>,
    next_ticket: Cell<u32>,
    settings: RefCell<Settings>,
}

impl Owner for World {
    type Ticket = u32;

    fn link<T>(&self, lend: impl FnOnce(&mut Link<u32>) -> T) -> T {
        lend(&mut self.link.borrow_mut())
    }

    fn settle(&self, now: Moment) {
        while let Some(event) = self.link(Link::next_event) {
            match event {
                Event::Greeted => self.submit(Lane::First, now, 150, false, 1),
                Event::Ready => self.ready.set(self.ready.get() + 1),
                Event::Down(text) => assert!(!text.is_empty() && !text.contains('\n')),
                Event::Outcome(ticket, outcome) => self.conclude(ticket, outcome),
            }
        }
        // the late composition of a batch
        let gathered = self.queue.borrow().len();
        let room = self.link(|link| link.room(gathered));
        assert!(room <= OUTSTANDING);
        for _ in 0..room {
            let Some((ticket, deadline)) = self.queue.borrow_mut().pop_front() else { break };
            self.submit_as(
                ticket,
                Lane::Normal,
                Moment::from_nanos(deadline * 1_000_000),
                false,
                1,
            );
        }
    }
}

impl Transport for World {
    fn now(&self) -> Moment {
        Moment::from_nanos(self.now.get() * 1_000_000)
    }

    fn set_effective_context(&self, context: u32) -> Result<(), host::Status> {
        self.effective.set(context);
        Ok(())
    }

    fn open(&self, _cluster: &str) -> Result<u32, host::Status> {
        assert!(!self.receiving.get(), "opened in a receive callback");
        let root = self.effective.get();
        assert!(self.roots.borrow().contains(&root), "opened for a root that is gone");
        let token = self.streams.borrow().len() as u32 + 1;
        let (outbox, messages) = (VecDeque::new(), VecDeque::new());
        let stream = Stream { root, open: true, inbox: vec![], outbox, messages };
        self.streams.borrow_mut().insert(token, stream);
        match self.open_fails.get() {
            1 => {
                self.end(token);
                Err(host::Status::INTERNAL_FAILURE)
            }
            2 => {
                // it closes before it is known
                self.close(token);
                Ok(token)
            }
            _ => Ok(token),
        }
    }

    fn send(&self, token: u32, bytes: &[u8]) -> Result<(), host::Status> {
        {
            let mut streams = self.streams.borrow_mut();
            let stream = streams.get_mut(&token).expect("a stream that was opened");
            assert_eq!(stream.root, self.effective.get(), "sent with another root effective");
            let under_way: usize = stream.messages.iter().map(|(_, weight)| weight).sum();
            assert!(under_way <= OUTSTANDING / 2, "sent behind {under_way}");
            if !stream.open {
                return Err(host::Status::NOT_FOUND);
            }
            let commands = commands(bytes);
            let weights: Vec<usize> =
                commands.iter().map(|command| self.weight(command)).filter(|w| *w > 0).collect();
            let weight: usize = weights.iter().sum();
            let own = matches!(&*commands[0][0], "HELLO" | "SELECT" | "PING" | "AUTH");
            assert!(stream.messages.is_empty() || !own, "{commands:?} sent behind others");
            let alone = stream.messages.is_empty() && weights.len() == 1;
            assert!(under_way + weight <= OUTSTANDING || alone, "{weight} sent behind {under_way}");
            stream.messages.push_back((commands.len(), weight));
            stream.inbox.extend_from_slice(bytes);
        }
        if self.send_dies.get() {
            self.close(token);
        }
        Ok(())
    }

    fn cancel(&self, token: u32) {
        assert!(!self.receiving.get(), "cancelled in a receive callback");
        let (root, open) = self.streams.borrow().get(&token).map(|s| (s.root, s.open)).unwrap();
        assert_eq!(root, self.effective.get(), "cancelled with another root effective");
        assert!(open, "cancelled after its end");
        self.end(token);
    }
}

impl World {
    fn new() -> Self {
        let mut settings = Settings::new("redis");
        settings.outstanding = OUTSTANDING;
        settings.waiting = 32;
        let world = Self {
            link: RefCell::new(Link::new(42)),
            now: Cell::new(1000),
            effective: Cell::new(0),
            receiving: Cell::new(false),
            roots: RefCell::default(),
            streams: RefCell::default(),
            asked: RefCell::default(),
            executed: RefCell::default(),
            queue: RefCell::default(),
            weights: RefCell::default(),
            ready: Cell::new(0),
            loaded: Cell::new(false),
            error: Cell::new(None),
            open_fails: Cell::new(0),
            send_dies: Cell::new(false),
            next_root: Cell::new(1),
            next_ticket: Cell::new(1),
            settings: RefCell::new(settings),
        };
        world.push_config(false);
        world
    }

    // === what happens ===

    fn step(&self, step: u8, mut more: impl FnMut() -> u8) {
        let detail = more();
        // what breaks things is rare, or nothing would ever work
        match step {
            0..=49 => self.tick(u64::from(detail % 16)),
            50..=99 => {
                let (within, weight) = (5 + u64::from(detail), usize::from(detail % 11));
                self.submit(Lane::Normal, self.now(), within, detail % 5 == 0, weight);
                self.flush();
            }
            100..=129 => {
                let deadline = self.now.get() + 100;
                let ticket = self.ticket(deadline, false, 1);
                self.queue.borrow_mut().push_back((ticket, deadline));
                self.flush();
            }
            130..=159 => self.serve(self.pick(detail)),
            160..=189 => self.deliver(self.pick(detail), usize::from(more())),
            190..=224 => self.serve_and_deliver(),
            225..=227 => self.close(self.pick(detail)),
            228..=231 => self.push_config(detail % 4 == 0),
            232..=233 => self.delete_root(usize::from(detail)),
            234..=236 => self.loaded.set(false),
            237 => self.error.set(ERRORS.get(usize::from(detail % 8)).copied()),
            238..=242 => self.error.set(None),
            243 => self.open_fails.set(1 + detail % 2),
            244 => self.send_dies.set(true),
            245..=249 => {
                self.open_fails.set(0);
                self.send_dies.set(false);
            }
            250 => self.tick(u64::from(detail) * 4),
            251..=253 => self.link(Link::saw_request),
            254 => self.say(self.pick(detail), b":77\r\n"),
            255 => self.say(self.pick(detail), b"nonsense\r\n"),
        }
    }

    fn tick(&self, milliseconds: u64) {
        self.now.set(self.now.get() + milliseconds);
        let now = self.now();
        let root = self.roots.borrow().last().copied().unwrap_or(0);
        self.effective.set(root);
        // the filter's own queue is the filter's to expire
        let due = |queue: &VecDeque<(u32, u64)>| {
            queue.front().is_some_and(|(_, at)| *at <= self.now.get())
        };
        while due(&self.queue.borrow()) {
            let expired = self.queue.borrow_mut().pop_front();
            if let Some((ticket, _)) = expired {
                self.conclude(ticket, Outcome::TimedOut { sent: false });
            }
        }
        self.link(|link| link.tick(now));
        run(self, self, root, true, now);
        for (ticket, asked) in self.asked.borrow().iter() {
            assert!(
                asked.outcome.is_some() || asked.deadline > self.now.get(),
                "{ticket} is overdue"
            );
        }
    }

    fn flush(&self) {
        run(self, self, 0, false, self.now());
    }

    fn push_config(&self, other_server: bool) {
        let root = self.next_root.get();
        self.next_root.set(root + 1);
        self.roots.borrow_mut().push(root);
        if other_server {
            self.settings.borrow_mut().database ^= 1;
        }
        let settings = self.settings.borrow().clone();
        let now = self.now();
        self.link(|link| link.adopt(root, settings, now));
    }

    fn delete_root(&self, which: usize) {
        let root = {
            let mut roots = self.roots.borrow_mut();
            if roots.is_empty() {
                return;
            }
            let at = which % roots.len();
            roots.remove(at)
        };
        for stream in self.streams.borrow_mut().values_mut().filter(|stream| stream.root == root) {
            stream.open = false;
        }
        let now = self.now();
        self.link(|link| link.delete_root(root, now));
        run(self, self, root, false, now);
    }

    /// The far side ends a stream.
    fn close(&self, token: u32) {
        if !self.end(token) {
            return;
        }
        let now = self.now();
        self.link(|link| link.closed(token, 14, now));
        let before = self.effective.get();
        run(self, self, before, false, now);
        self.effective.set(before);
    }

    fn end(&self, token: u32) -> bool {
        match self.streams.borrow_mut().get_mut(&token) {
            Some(stream) => core::mem::replace(&mut stream.open, false),
            None => false,
        }
    }

    // === the server ===

    /// The server takes what has come on a stream.
    fn serve(&self, token: u32) {
        let Some(bytes) = self
            .streams
            .borrow_mut()
            .get_mut(&token)
            .map(|stream| core::mem::take(&mut stream.inbox))
        else {
            return;
        };
        for command in commands(&bytes) {
            let reply = self.execute(&command);
            if let Some(stream) = self.streams.borrow_mut().get_mut(&token) {
                stream.outbox.extend(reply.into_bytes());
            }
        }
    }

    fn execute(&self, command: &[String]) -> String {
        if let Some(error) = self.error.get() {
            return error.to_owned();
        }
        let ticket = match command[0].as_str() {
            "HELLO" | "SELECT" | "PING" | "AUTH" => return "+OK\r\n".to_owned(),
            "EVALSHA" if !self.loaded.get() => return "-NOSCRIPT no\r\n".to_owned(),
            "WAIT" => return ":1\r\n".to_owned(),
            _ => command.last().and_then(|ticket| ticket.parse::<u32>().ok()).unwrap(),
        };
        if command[0] == "EVAL" {
            self.loaded.set(true);
        }
        *self.executed.borrow_mut().entry(ticket).or_default() += 1;
        format!(":{ticket}\r\n")
    }

    /// Brings so many bytes of replies to the link.
    fn deliver(&self, token: u32, bytes: usize) {
        let part: Vec<u8> = {
            let mut streams = self.streams.borrow_mut();
            let Some(stream) = streams.get_mut(&token).filter(|stream| stream.open) else { return };
            let bytes = bytes.min(stream.outbox.len());
            stream.outbox.drain(..bytes).collect()
        };
        self.receive(token, &part);
    }

    fn serve_and_deliver(&self) {
        let tokens: Vec<u32> = self.streams.borrow().keys().copied().collect();
        for token in tokens {
            self.serve(token);
            self.deliver(token, usize::MAX);
        }
    }

    /// The server speaks out of turn.
    fn say(&self, token: u32, bytes: &[u8]) {
        let Some(stream) = self.streams.borrow_mut().get_mut(&token).map(|stream| stream.open)
        else {
            return;
        };
        // only on a line of its own: anything else would be a reply to something
        if stream && self.streams.borrow()[&token].outbox.is_empty() && self.due(token) == 0 {
            self.receive(token, bytes);
        }
    }

    fn due(&self, token: u32) -> usize {
        self.streams.borrow()[&token].messages.iter().map(|(due, _)| due).sum()
    }

    fn receive(&self, token: u32, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(stream) = self.streams.borrow_mut().get_mut(&token) {
            for _ in bytes.iter().filter(|byte| **byte == b'\n') {
                let Some((due, _)) = stream.messages.front_mut() else { break };
                *due -= 1;
                if *due == 0 {
                    stream.messages.pop_front();
                }
            }
        }
        let now = self.now();
        self.receiving.set(true);
        self.link(|link| link.received(token, bytes, now));
        run(self, self, 0, false, now);
        self.receiving.set(false);
    }

    // === commands ===

    fn ticket(&self, deadline: u64, once: bool, weight: usize) -> u32 {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        self.asked.borrow_mut().insert(ticket, Asked { deadline, once, outcome: None });
        self.weights.borrow_mut().insert(ticket, weight);
        ticket
    }

    fn submit(&self, lane: Lane, now: Moment, within: u64, once: bool, weight: usize) {
        let ticket = self.ticket(self.now.get() + within, once, weight);
        self.submit_as(ticket, lane, now + Duration::from_millis(within), once, weight);
    }

    fn submit_as(&self, ticket: u32, lane: Lane, deadline: Moment, once: bool, weight: usize) {
        let mut command = match ticket % 3 {
            0 => Command::new("GET"),
            1 => Command::script(&Script::new("return 1"), &["key"]),
            _ => self.link(|link| link.script(&Script::new("return 2"), &["key"])),
        };
        command.int(i64::from(ticket)).weight(weight);
        if ticket % 7 == 0 {
            command.confirm(1, Duration::from_millis(5));
        }
        if once {
            command.once();
        }
        self.link(|link| link.submit(lane, command, ticket, deadline));
    }

    fn weight(&self, command: &[String]) -> usize {
        let ticket = command.last().and_then(|ticket| ticket.parse::<u32>().ok());
        let own = matches!(command[0].as_str(), "HELLO" | "SELECT" | "PING" | "WAIT");
        ticket.filter(|_| !own).map_or(0, |ticket| self.weights.borrow()[&ticket])
    }

    fn conclude(&self, ticket: u32, outcome: Outcome) {
        if let Outcome::Reply(Value::Int(number))
        | Outcome::Confirmed { reply: Value::Int(number), .. } = &outcome
        {
            assert_eq!(*number, i64::from(ticket), "a reply to another command");
        }
        let mut asked = self.asked.borrow_mut();
        let before = asked.get_mut(&ticket).expect("a known ticket").outcome.replace(outcome);
        assert_eq!(before, None, "{ticket} has two outcomes");
    }

    // === what must hold ===

    fn check(&self) {
        let (asked, executed) = (self.asked.borrow(), self.executed.borrow());
        for (ticket, times) in executed.iter() {
            let known = &asked[ticket];
            assert!(*times <= if known.once { 1 } else { 2 }, "{ticket} ran {times} times");
            let denied = match known.outcome {
                Some(Outcome::TimedOut { sent } | Outcome::Lost { sent }) => !sent,
                Some(Outcome::Refused(_)) => true,
                _ => false,
            };
            assert!(!denied, "{ticket} was executed: {:?}", known.outcome);
        }
    }

    /// Everything works again: so must the link.
    fn recover(&self) {
        self.error.set(None);
        self.open_fails.set(0);
        self.send_dies.set(false);
        let tokens: Vec<u32> = self.streams.borrow().keys().copied().collect();
        // what had been sent is executed late, as by a server that wakes up
        for token in tokens {
            self.serve(token);
        }
        self.check();
        if self.roots.borrow().is_empty() {
            self.push_config(false);
        }
        self.link(Link::saw_request);
        // the longest wait is that after a refused login
        for _ in 0..1_500 {
            self.tick(10);
            self.serve_and_deliver();
            let concluded = self.asked.borrow().values().all(|asked| asked.outcome.is_some());
            if concluded && self.link(|link| link.is_ready()) {
                break;
            }
        }
        assert!(self.link(|link| link.is_ready()), "it never serves again");
        let before = self.next_ticket.get();
        self.submit(Lane::Normal, self.now(), 100, false, 1);
        self.flush();
        for _ in 0..5 {
            self.serve_and_deliver();
        }
        let asked = self.asked.borrow();
        let answered =
            matches!(asked[&before].outcome, Some(Outcome::Reply(_) | Outcome::Confirmed { .. }));
        assert!(answered, "{:?}", asked[&before].outcome);
        let open: BTreeSet<u32> = asked
            .iter()
            .filter(|(_, asked)| asked.outcome.is_none())
            .map(|(ticket, _)| *ticket)
            .collect();
        assert!(open.is_empty(), "without an outcome: {open:?}");
        let unknown = asked
            .values()
            .filter(|asked| asked.outcome.as_ref().is_some_and(Outcome::is_unknown))
            .count();
        assert_eq!(self.link(|link| link.stats().unknown_outcomes), unknown as u64);
        drop(asked);
        self.check();
    }

    // === small things ===

    fn now(&self) -> Moment {
        Transport::now(self)
    }

    /// One of the streams, the latest most often.
    fn pick(&self, detail: u8) -> u32 {
        let count = self.streams.borrow().len() as u32;
        count.saturating_sub(u32::from(detail % 4) / 2 * u32::from(detail / 4))
    }
}

/// The commands in a message.
fn commands(bytes: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(bytes);
    let mut commands: Vec<Vec<String>> = Vec::new();
    let mut lines = text.split("\r\n");
    while let Some(line) = lines.next() {
        match line.as_bytes().first() {
            Some(b'*') => commands.push(Vec::new()),
            Some(b'$') => commands.last_mut().unwrap().push(lines.next().unwrap().to_owned()),
            _ => assert_eq!(line, ""),
        }
    }
    commands
}
