//! The driver on a recorded host: what it calls, in which order, with which context effective.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::cell::{Cell, RefCell};

use core::time::Duration;
use host::fake::{self, Call};
use host::Buffer;
use link::{Command, Event, Lane, Link, Moment, Outcome, Owner, Refusal, Settings, Value};

const ROOT: u32 = 1;
const REQUEST: u32 = 50;
const HELLO: &[u8] = b"*0\r\n";

struct Vm {
    link: RefCell<Link<u32>>,
    outcomes: RefCell<Vec<(u32, Outcome)>>,
    milliseconds: Cell<u64>,
}

impl Owner for Vm {
    type Ticket = u32;

    fn link<T>(&self, lend: impl FnOnce(&mut Link<u32>) -> T) -> T {
        lend(&mut self.link.borrow_mut())
    }

    fn settle(&self, _now: Moment) {
        while let Some(event) = self.link(Link::next_event) {
            if let Event::Outcome(ticket, outcome) = event {
                self.outcomes.borrow_mut().push((ticket, outcome));
            }
        }
    }
}

impl Vm {
    fn new() -> Self {
        fake::reset();
        let (link, outcomes) = (RefCell::new(Link::new(1)), RefCell::default());
        let vm = Self { link, outcomes, milliseconds: Cell::new(1000) };
        vm.link(Link::saw_request);
        vm.adopt(ROOT);
        vm
    }

    fn serving() -> Self {
        let vm = Self::new();
        vm.tick(ROOT, 1);
        vm.receive(1, HELLO);
        fake::take_calls();
        vm
    }

    fn now(&self) -> Moment {
        Moment::from_nanos(self.milliseconds.get() * 1_000_000)
    }

    fn adopt(&self, root: u32) {
        let now = self.now();
        self.link(|link| link.adopt(root, Settings::new("redis"), now));
    }

    fn enter(&self, context: u32) {
        fake::set_time(0, self.milliseconds.get() * 1_000_000);
        fake::enter(context);
    }

    fn tick(&self, root: u32, milliseconds: u64) {
        self.milliseconds.set(self.milliseconds.get() + milliseconds);
        self.enter(root);
        link::on_tick(self, root);
    }

    fn receive(&self, token: u32, bytes: &[u8]) -> bool {
        self.enter(ROOT);
        fake::put_buffer(Buffer::GrpcReceive, bytes);
        link::on_grpc_receive(self, ROOT, token, bytes.len())
    }

    fn ask(&self, name: &str, ticket: u32) {
        self.submit(Command::new(name), ticket);
    }

    /// One that may not leave twice.
    fn ask_once(&self, name: &str, ticket: u32) {
        let mut command = Command::new(name);
        command.once();
        self.submit(command, ticket);
    }

    fn submit(&self, command: Command, ticket: u32) {
        self.enter(REQUEST);
        let deadline = self.now() + Duration::from_millis(100);
        self.link(|link| link.submit(Lane::Normal, command, ticket, deadline));
        link::flush(self, REQUEST, self.now());
    }
}

#[test]
fn a_stream_is_opened_and_used_for_its_own_root() {
    let vm = Vm::new();
    vm.tick(ROOT, 1);
    let message = b"*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n".to_vec();
    let opened = Call::GrpcOpen { root: ROOT, cluster: "redis".into(), token: 1 };
    assert_eq!(fake::take_calls(), [opened, Call::GrpcSend { root: ROOT, token: 1, message }]);
    assert!(vm.receive(1, HELLO));
    vm.ask("GET", 1);
    assert!(matches!(fake::take_calls()[..], [Call::GrpcSend { root: ROOT, token: 1, .. }]));
    assert_eq!(fake::effective_context(), REQUEST, "the request's own context again");
    assert!(vm.receive(1, b":7\r\n"));
    assert_eq!(*vm.outcomes.borrow(), [(1, Outcome::Reply(Value::Int(7)))]);
}

#[test]
fn a_request_that_meets_a_batch_in_flight_costs_no_call() {
    let vm = Vm::serving();
    vm.ask("A", 1);
    fake::take_calls();
    vm.ask("B", 2);
    assert_eq!(fake::take_calls(), []);
}

#[test]
fn a_closed_stream_is_cancelled_there_and_then() {
    let vm = Vm::serving();
    vm.enter(ROOT);
    assert!(link::on_grpc_close(&vm, ROOT, 1, 14));
    assert_eq!(fake::take_calls(), [Call::GrpcCancel { root: ROOT, token: 1 }]);
    // also one that nobody knows
    assert!(!link::on_grpc_close(&vm, ROOT, 9, 14));
    assert_eq!(fake::take_calls(), [Call::GrpcCancel { root: ROOT, token: 9 }]);
}

#[test]
fn a_useless_stream_is_cancelled_on_a_tick_for_its_own_root() {
    let vm = Vm::serving();
    vm.adopt(2);
    assert!(vm.receive(1, b"nonsense\r\n"));
    assert_eq!(fake::take_calls(), [], "never while it is read");
    vm.tick(2, 1);
    assert_eq!(fake::take_calls()[0], Call::GrpcCancel { root: ROOT, token: 1 });
}

#[test]
fn a_failed_send_loses_nothing() {
    let vm = Vm::serving();
    fake::fail_grpc_send(Some(host::Status::NOT_FOUND));
    vm.ask_once("A", 1);
    fake::fail_grpc_send(None);
    vm.tick(ROOT, 25);
    vm.receive(2, HELLO);
    vm.receive(2, b":1\r\n");
    assert_eq!(*vm.outcomes.borrow(), [(1, Outcome::Reply(Value::Int(1)))]);
}

#[test]
fn a_failed_send_behind_a_batch_loses_nothing() {
    let vm = Vm::serving();
    vm.ask("A", 0);
    fake::fail_grpc_send(Some(host::Status::NOT_FOUND));
    (1..=32).for_each(|ticket| vm.ask_once("B", ticket));
    fake::fail_grpc_send(None);
    vm.tick(ROOT, 25);
    vm.receive(2, HELLO);
    vm.receive(2, &b":1\r\n".repeat(33));
    let mut outcomes = vm.outcomes.take();
    outcomes.sort_by_key(|(ticket, _)| *ticket);
    let replied = (0..=32).map(|ticket| (ticket, Outcome::Reply(Value::Int(1))));
    assert_eq!(outcomes, replied.collect::<Vec<_>>());
}

#[test]
fn a_root_that_went_unnoticed_takes_nothing_along() {
    let vm = Vm::serving();
    vm.adopt(2);
    fake::forget_context(ROOT);
    vm.ask_once("A", 1);
    vm.ask_once("B", 2);
    assert_eq!(fake::take_calls(), []);
    vm.tick(2, 1);
    assert!(matches!(fake::take_calls()[0], Call::GrpcOpen { root: 2, token: 2, .. }), "at once");
    vm.receive(2, HELLO);
    let calls = fake::take_calls();
    let [Call::GrpcSend { root: 2, token: 2, message }] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(message, b"*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n");
    vm.receive(2, b":1\r\n:2\r\n");
    let wanted = [(1, Outcome::Reply(Value::Int(1))), (2, Outcome::Reply(Value::Int(2)))];
    assert_eq!(*vm.outcomes.borrow(), wanted);
}

#[test]
fn what_did_not_leave_with_the_last_root_is_refused() {
    let vm = Vm::serving();
    fake::forget_context(ROOT);
    vm.ask_once("A", 1);
    assert_eq!(*vm.outcomes.borrow(), [(1, Outcome::Refused(Refusal::BreakerOpen))]);
}

#[test]
fn other_streams_and_contexts_are_left_alone() {
    let vm = Vm::serving();
    assert!(!vm.receive(77, b":1\r\n"));
    link::delete_root(&vm, REQUEST, REQUEST, Moment::default());
    assert_eq!(fake::take_calls(), []);
    assert!(vm.link(|link| link.is_ready()));
    link::delete_root(&vm, ROOT, REQUEST, Moment::default());
    assert!(vm.link(|link| link.root().is_none()));
}

#[test]
fn a_tick_period_is_set_for_its_root() {
    fake::reset();
    fake::enter(REQUEST);
    link::set_tick(ROOT, 5, REQUEST);
    assert_eq!(fake::take_calls(), [Call::TickPeriod(ROOT, 5)]);
    assert_eq!(fake::effective_context(), REQUEST);
}
