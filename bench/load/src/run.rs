//! The run itself: one event loop over all connections.
//!
//! Closed loop: each connection sends its next request when it has the answer to the last one.
//! Open loop (a fixed rate): requests are due at fixed times, whether or not the server keeps up,
//! and a latency counts from when the request was due. So a server that stalls for a second shows
//! a second, and not one slow answer per connection ("coordinated omission").

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fd::OwnedFd;
use rustix::time::{
    clock_gettime, timerfd_create, timerfd_settime, ClockId, Itimerspec, TimerfdClockId,
    TimerfdFlags, TimerfdTimerFlags, Timespec,
};

use crate::connection::{Connection, Phase, Progress, Request};
use crate::record::{Ending, Entry, Failure, Recorder};
use crate::report::Counts;
use crate::response::Wanted;
use crate::template::{Template, Values};

/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_millis(5);
/// The first wait after a failure; it doubles with each further one in a row.
const BACK_OFF: Duration = Duration::from_millis(1);
/// The longest such wait.
const BACK_OFF_MAX: Duration = Duration::from_millis(200);
/// No use waking up more often than this for a fixed rate.
const SHORTEST_PERIOD: Duration = Duration::from_micros(20);

/// A server, and what to send to it.
pub struct Target {
    /// Where it is.
    pub address: SocketAddr,
    /// The whole request.
    pub request: Template,
}

/// What to do.
pub struct Plan {
    /// Connections are dealt out to these in turn.
    pub targets: Vec<Target>,
    /// Fill the holes of templates.
    pub values: Vec<Values>,
    /// Whom a request is for, in the record.
    pub user: Template,
    /// How many connections.
    pub connections: usize,
    /// No new request after this time.
    pub seconds: Option<Duration>,
    /// No more than this many requests.
    pub requests: Option<u64>,
    /// Requests a second; none: as fast as the answers come.
    pub rate: Option<f64>,
    /// Number of the first request.
    pub first: u64,
    /// How long one request may take, from when it is sent.
    pub timeout: Duration,
    /// A connection is given up after this many failures in a row.
    pub max_failures: u32,
    /// What to keep of each answer.
    pub wanted: Wanted,
}

/// Carries out the plan.
///
/// # Errors
/// The system refuses what every run needs (an event queue, a timer), or the record cannot be
/// written. Failing requests are no error: they are counted.
pub fn run(plan: &Plan, recorder: Option<&mut Recorder>) -> io::Result<Counts> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut run = Run::new(plan, recorder);
    let cpu = cpu_time();
    let timer = plan.rate.map(|rate| start_timer(&poll, rate, plan.connections)).transpose()?;
    let mut swept = None;
    loop {
        let now = Instant::now();
        if swept.is_none_or(|at| now.duration_since(at) >= SWEEP) {
            run.sweep(&poll, now)?;
            swept = Some(now);
        }
        run.issue(now)?;
        if run.finished(now) {
            break;
        }
        match poll.poll(&mut events, Some(SWEEP)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match &timer {
                Some(timer) if event.token() == Token(plan.connections) => rearm(timer),
                _ => run.event(&poll, event)?,
            }
        }
    }
    drop(timer);
    Ok(run.counts(cpu))
}

/// A timer that ticks once for each request that a rate calls for: the event queue itself waits in
/// whole milliseconds.
fn start_timer(poll: &Poll, rate: f64, token: usize) -> io::Result<OwnedFd> {
    let timer =
        timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let period = Duration::from_secs_f64(1.0 / rate).max(SHORTEST_PERIOD);
    let period = Timespec {
        tv_sec: i64::try_from(period.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: period.subsec_nanos().into(),
    };
    let ticks = Itimerspec { it_interval: period, it_value: period };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
    poll.registry().register(
        &mut SourceFd(&timer.as_raw_fd()),
        Token(token),
        Interest::READABLE,
    )?;
    Ok(timer)
}

/// A periodic timer only goes on when it is read.
fn rearm(timer: &OwnedFd) {
    // nothing to read is no error here: what is due is judged by the clock alone
    let _ = rustix::io::read(timer, &mut [0; 8]);
}

fn cpu_time() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

struct Run<'a> {
    plan: &'a Plan,
    recorder: Option<&'a mut Recorder>,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    buffer: Vec<u8>,
    user: Vec<u8>,
    start: Instant,
    end: Option<Instant>,
    last_answer: Instant,
    /// Requests issued so far.
    issued: u64,
    in_flight: usize,
    counts: Counts,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, recorder: Option<&'a mut Recorder>) -> Self {
        let start = Instant::now();
        let connections = (0..plan.connections)
            .filter_map(|i| {
                let target = i.checked_rem(plan.targets.len())?;
                Some(Connection::new(plan.targets.get(target)?.address, target, start))
            })
            .collect();
        Self {
            plan,
            recorder,
            connections,
            idle: VecDeque::with_capacity(plan.connections),
            buffer: vec![0; 64 * 1024],
            user: Vec::new(),
            start,
            end: plan.seconds.map(|s| start + s),
            last_answer: start,
            issued: 0,
            in_flight: 0,
            counts: Counts::default(),
        }
    }

    /// The next request, if one is due: when its latency begins.
    fn due(&self, now: Instant) -> Option<Instant> {
        if self.plan.requests.is_some_and(|limit| self.issued >= limit)
            || self.end.is_some_and(|end| now >= end)
        {
            return None;
        }
        let due = self.scheduled(self.issued).unwrap_or(now);
        (due <= now).then_some(due)
    }

    /// When the nth request of a fixed rate is due.
    fn scheduled(&self, n: u64) -> Option<Instant> {
        #[allow(clippy::cast_precision_loss)]
        self.plan.rate.map(|rate| self.start + Duration::from_secs_f64((n + 1) as f64 / rate))
    }

    /// Gives the idle connections what is due.
    fn issue(&mut self, now: Instant) -> io::Result<()> {
        while let Some(due) = self.due(now) {
            let Some(i) = self.idle.pop_front() else { break };
            if self.connections.get(i).is_some_and(|c| c.phase == Phase::Idle) {
                self.send(i, due, now)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, i: usize, due: Instant, now: Instant) -> io::Result<()> {
        let (Some(connection), plan) = (self.connections.get_mut(i), self.plan) else {
            return Ok(());
        };
        let number = plan.first + self.issued;
        connection.out.clear();
        connection.written = 0;
        if let Some(target) = plan.targets.get(connection.target) {
            target.request.fill(number, i, &plan.values, &mut connection.out);
        }
        connection.parser.reset();
        connection.request = Some(Request { number, due, deadline: now + plan.timeout });
        connection.phase = Phase::Busy;
        self.issued += 1;
        self.in_flight += 1;
        self.counts.sent += 1;
        self.counts.bytes_sent += connection.out.len() as u64;
        match connection.write() {
            Progress::Failed(failure) => self.failed(i, failure, now),
            _ => Ok(()),
        }
    }

    fn event(&mut self, poll: &Poll, event: &Event) -> io::Result<()> {
        let i = event.token().0;
        let Some(connection) = self.connections.get_mut(i) else { return Ok(()) };
        if matches!(connection.phase, Phase::Connecting(_)) {
            let now = Instant::now();
            return self.connecting(i, now);
        }
        if event.is_writable() {
            if let Progress::Failed(failure) = connection.write() {
                return self.failed(i, failure, Instant::now());
            }
        }
        if !(event.is_readable() || event.is_read_closed() || event.is_error()) {
            return Ok(());
        }
        let to_end = event.is_read_closed() || event.is_error();
        let (bytes, progress) = connection.read(&mut self.buffer, &self.plan.wanted, to_end);
        self.counts.bytes_received += bytes;
        match progress {
            Progress::Waiting => Ok(()),
            Progress::Answered => self.answered(poll, i),
            Progress::Failed(failure) => self.failed(i, failure, Instant::now()),
        }
    }

    /// A connection on its way got somewhere.
    fn connecting(&mut self, i: usize, now: Instant) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(i) else { return Ok(()) };
        let Some(stream) = &connection.stream else { return Ok(()) };
        let error = match (stream.take_error(), stream.peer_addr()) {
            (Ok(Some(error)) | Err(error), _) => Some(error),
            (Ok(None), Ok(_)) => None,
            (Ok(None), Err(error)) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
            (Ok(None), Err(error)) => Some(error),
        };
        match error {
            None => {
                self.counts.connects += 1;
                self.ready(i, now)
            }
            Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.failed(i, Failure::Refused, now)
            }
            Some(_) => self.failed(i, Failure::Unreachable, now),
        }
    }

    /// A connection can take a request.
    fn ready(&mut self, i: usize, now: Instant) -> io::Result<()> {
        if let Some(due) = self.due(now) {
            return self.send(i, due, now);
        }
        if let Some(connection) = self.connections.get_mut(i) {
            connection.phase = Phase::Idle;
        }
        self.idle.push_back(i);
        Ok(())
    }

    fn answered(&mut self, poll: &Poll, i: usize) -> io::Result<()> {
        let now = Instant::now();
        let Some(connection) = self.connections.get_mut(i) else { return Ok(()) };
        let Some(request) = connection.request.take() else { return Ok(()) };
        self.in_flight -= 1;
        self.last_answer = now;
        self.counts.latency.add(now.saturating_duration_since(request.due));
        *self.counts.statuses.entry(connection.parser.answer.status).or_default() += 1;
        connection.failures = 0;
        if self.recorder.is_some() {
            self.record(i, request, None, now)?;
        }
        let Some(connection) = self.connections.get_mut(i) else { return Ok(()) };
        if connection.parser.answer.close || connection.written < connection.out.len() {
            connection.stream = None;
            return self.connect(poll, i, now);
        }
        self.ready(i, now)
    }

    /// The connection is lost, and its request with it, if it has one.
    fn failed(&mut self, i: usize, failure: Failure, now: Instant) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(i) else { return Ok(()) };
        let request = connection.request.take();
        let idle = connection.phase == Phase::Idle;
        connection.stream = None;
        if let Some(request) = request {
            self.in_flight -= 1;
            self.counts.fail(failure);
            if self.recorder.is_some() {
                self.record(i, request, Some(failure), now)?;
            }
        } else if idle && matches!(failure, Failure::Closed | Failure::Reset) {
            connection.phase = Phase::Closed(now + BACK_OFF); // it may be closed at any time
            return Ok(());
        } else {
            self.counts.fail(failure);
        }
        let Some(connection) = self.connections.get_mut(i) else { return Ok(()) };
        connection.failures += 1;
        if connection.failures >= self.plan.max_failures {
            connection.phase = Phase::Dead;
            self.counts.given_up += 1;
            return Ok(());
        }
        let wait =
            BACK_OFF.saturating_mul(1 << (connection.failures - 1).min(16)).min(BACK_OFF_MAX);
        connection.phase = Phase::Closed(now + wait);
        Ok(())
    }

    fn connect(&mut self, poll: &Poll, i: usize, now: Instant) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(i) else { return Ok(()) };
        match TcpStream::connect(connection.address) {
            Ok(mut stream) => {
                stream.set_nodelay(true)?;
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(i), interest)?;
                connection.stream = Some(stream);
                connection.phase = Phase::Connecting(now + self.plan.timeout);
                Ok(())
            }
            Err(_) => self.failed(i, Failure::Unreachable, now),
        }
    }

    /// Looks at everything that waits for a time: timeouts, and connections to be tried again.
    fn sweep(&mut self, poll: &Poll, now: Instant) -> io::Result<()> {
        for i in 0..self.connections.len() {
            let Some(connection) = self.connections.get(i) else { break };
            match (connection.phase, connection.request) {
                (Phase::Busy, Some(request)) if now >= request.deadline => {
                    self.failed(i, Failure::Timeout, now)?;
                }
                (Phase::Connecting(until), _) if now >= until => {
                    self.failed(i, Failure::Unreachable, now)?;
                }
                (Phase::Closed(until), _) if now >= until => self.connect(poll, i, now)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn finished(&self, now: Instant) -> bool {
        let over = self.end.is_some_and(|end| now >= end)
            || self.plan.requests.is_some_and(|limit| self.issued >= limit)
            || self.counts.given_up == self.connections.len();
        over && self.in_flight == 0
    }

    fn record(
        &mut self,
        i: usize,
        request: Request,
        failure: Option<Failure>,
        now: Instant,
    ) -> io::Result<()> {
        let (Some(recorder), Some(connection)) = (&mut self.recorder, self.connections.get(i))
        else {
            return Ok(());
        };
        self.user.clear();
        self.plan.user.fill(request.number, i, &self.plan.values, &mut self.user);
        recorder.write(&Entry {
            number: request.number,
            target: connection.target,
            connection: i,
            user: &self.user,
            began_us: us(request.due.saturating_duration_since(self.start)),
            took_us: us(now.saturating_duration_since(request.due)),
            ending: failure.map_or(Ending::Answer(&connection.parser.answer), Ending::Failure),
        })
    }

    fn counts(mut self, cpu: Duration) -> Counts {
        self.counts.elapsed = self.last_answer.saturating_duration_since(self.start);
        self.counts.cpu = cpu_time().saturating_sub(cpu);
        if let (Some(rate), Some(seconds)) = (self.plan.rate, self.plan.seconds) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let called_for = (rate * seconds.as_secs_f64()) as u64;
            let called_for = self.plan.requests.map_or(called_for, |limit| limit.min(called_for));
            self.counts.unsent = called_for.saturating_sub(self.issued);
        }
        self.counts
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
