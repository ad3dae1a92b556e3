//! A link on a bench: time moves by hand, and the test is both the host and the server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, dead_code, unreachable_pub)]

use core::time::Duration;

use link::{Action, Command, Event, Lane, Link, Moment, Outcome, Settings};

pub const ROOT: u32 = 1;

pub struct Rig {
    pub link: Link<u32>,
    pub milliseconds: u64,
    pub next_token: u32,
    /// Messages that left, with their streams.
    pub sent: Vec<(u32, String)>,
    pub cancelled: Vec<u32>,
    pub opened: Vec<(u32, u32)>,
    pub outcomes: Vec<(u32, Outcome)>,
    pub said: Vec<String>,
    pub greeted: usize,
    pub ready: usize,
    /// What is submitted first on each new connection.
    pub opening: Vec<&'static str>,
}

pub fn settings() -> Settings {
    Settings::new("sluice-redis")
}

impl Rig {
    /// A link with a root, nothing opened yet.
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        let mut rig = Self {
            link: Link::new(1),
            milliseconds: 1000,
            next_token: 0,
            sent: vec![],
            cancelled: vec![],
            opened: vec![],
            outcomes: vec![],
            said: vec![],
            greeted: 0,
            ready: 0,
            opening: vec![],
        };
        rig.link.saw_request();
        rig.adopt(ROOT, settings);
        rig
    }

    /// A link that serves, over stream 1.
    pub fn serving() -> Self {
        Self::serving_with(settings())
    }

    pub fn serving_with(settings: Settings) -> Self {
        let mut rig = Self::with(settings);
        rig.tick(1);
        rig.reply(1, "%1\r\n+server\r\n+redis\r\n");
        assert!(rig.link.is_ready(), "{:?}", rig.said);
        rig.sent.clear();
        rig
    }

    pub fn now(&self) -> Moment {
        Moment::from_nanos(self.milliseconds * 1_000_000)
    }

    pub fn adopt(&mut self, root: u32, settings: Settings) {
        let now = self.now();
        self.link.adopt(root, settings, now);
        self.run(false);
    }

    pub fn delete_root(&mut self, root: u32) {
        let now = self.now();
        self.link.delete_root(root, now);
        self.run(false);
    }

    /// Lets time pass, and ticks once at the end of it.
    pub fn tick(&mut self, milliseconds: u64) {
        self.milliseconds += milliseconds;
        let now = self.now();
        self.link.tick(now);
        self.run(true);
    }

    /// Lets time pass with a tick each 10 ms.
    pub fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 10 {
            self.tick(10);
        }
    }

    /// Submits a command whose deadline is 100 ms from now.
    pub fn ask(&mut self, name: &str, ticket: u32) {
        self.submit(Lane::Normal, Command::new(name), ticket, 100);
    }

    pub fn submit(&mut self, lane: Lane, command: Command, ticket: u32, within: u64) {
        let deadline = self.now() + Duration::from_millis(within);
        self.link.submit(lane, command, ticket, deadline);
        self.run(false);
    }

    pub fn reply(&mut self, token: u32, text: &str) {
        let now = self.now();
        self.link.received(token, text.as_bytes(), now);
        self.run(false);
    }

    pub fn close(&mut self, token: u32) {
        let now = self.now();
        self.link.closed(token, 14, now);
        self.run(false);
    }

    pub fn outcome(&self, ticket: u32) -> Option<&Outcome> {
        self.outcomes.iter().find(|(known, _)| *known == ticket).map(|(_, outcome)| outcome)
    }

    /// What left since the last time, without line ends.
    pub fn take_sent(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|(_, text)| text).collect()
    }

    fn settle(&mut self) {
        while let Some(event) = self.link.next_event() {
            match event {
                Event::Greeted => {
                    self.greeted += 1;
                    let deadline = self.now() + Duration::from_secs(1);
                    for name in self.opening.clone() {
                        self.link.submit(Lane::First, Command::new(name), 0, deadline);
                    }
                }
                Event::Ready => self.ready += 1,
                Event::Down(text) => self.said.push(text),
                Event::Outcome(ticket, outcome) => self.outcomes.push((ticket, outcome)),
            }
        }
    }

    fn run(&mut self, in_tick: bool) {
        loop {
            self.settle();
            let now = self.now();
            match self.link.next_action(in_tick, now) {
                None if self.link.has_events() => {}
                None => break,
                Some(Action::Open { root, cluster }) => {
                    assert_eq!(cluster, "sluice-redis");
                    self.next_token += 1;
                    self.opened.push((root, self.next_token));
                    self.link.opened(Ok(self.next_token), now);
                }
                Some(Action::Cancel { token, .. }) => self.cancelled.push(token),
                Some(Action::Send { token, bytes, .. }) => {
                    self.sent.push((token, shorten(&bytes)));
                    self.link.sent(token, bytes, Ok(()), now);
                }
            }
        }
    }
}

/// Commands as one reads them: arguments by blanks, commands by bars.
fn shorten(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut commands: Vec<Vec<&str>> = Vec::new();
    let mut lines = text.split("\r\n");
    while let Some(line) = lines.next() {
        match line.as_bytes().first() {
            Some(b'*') => commands.push(Vec::new()),
            Some(b'$') => commands.last_mut().unwrap().push(lines.next().unwrap()),
            _ => assert_eq!(line, ""),
        }
    }
    commands.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join(" | ")
}
