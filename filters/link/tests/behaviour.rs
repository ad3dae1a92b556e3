//! What the link does, case by case.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod rig;

use core::time::Duration;

use link::{Command, Lane, Outcome, Refusal, Script, Settings, Value, Via};
use rig::{settings, Rig, ROOT};

const HELLO: &str = "*2\r\n+server\r\n+redis\r\n";

fn replied(number: i64) -> Outcome {
    Outcome::Reply(Value::Int(number))
}

fn script() -> Script {
    Script::new("return 1")
}

// === logging in ===

#[test]
fn a_stream_is_opened_on_a_tick_and_serves_after_its_greeting() {
    let mut rig = Rig::new();
    assert!(rig.opened.is_empty());
    rig.tick(1);
    assert_eq!(rig.opened, [(ROOT, 1)]);
    assert_eq!(rig.take_sent(), ["HELLO 2"]);
    assert!(!rig.link.is_ready());
    rig.reply(1, HELLO);
    assert!(rig.link.is_ready());
    assert_eq!((rig.greeted, rig.ready), (1, 1));
}

#[test]
fn a_login_and_a_database_go_with_the_greeting() {
    let login = Settings { password: "geheim".into(), database: 3, ..settings() };
    let mut rig = Rig::with(login.clone());
    rig.tick(1);
    assert_eq!(rig.take_sent(), ["HELLO 2 AUTH default geheim | SELECT 3"]);
    assert!(!format!("{login:?}").contains("geheim"));
    rig.reply(1, HELLO);
    assert!(!rig.link.is_ready());
    rig.reply(1, "+OK\r\n");
    assert!(rig.link.is_ready());
}

#[test]
fn a_server_without_hello_is_spoken_to_in_the_old_way() {
    let mut rig = Rig::with(Settings { password: "p".into(), database: 1, ..settings() });
    rig.tick(1);
    rig.take_sent();
    rig.reply(1, "-ERR unknown command 'HELLO'\r\n-NOAUTH Authentication required.\r\n");
    assert_eq!(rig.take_sent(), ["AUTH p | SELECT 1 | PING"]);
    rig.reply(1, "+OK\r\n+OK\r\n+PONG\r\n");
    assert!(rig.link.is_ready());
}

#[test]
fn behind_a_proxy_only_a_sign_of_life_is_asked() {
    let mut rig = Rig::with(Settings { via: Via::Proxy, password: "p".into(), ..settings() });
    rig.tick(1);
    assert_eq!(rig.take_sent(), ["PING"]);
    rig.reply(1, "+PONG\r\n");
    assert!(rig.link.is_ready());
}

#[test]
fn a_refused_login_is_a_state_of_its_own() {
    for refusal in
        ["-WRONGPASS invalid username-password pair", "-NOAUTH HELLO must be called with"]
    {
        let mut rig = Rig::with(Settings { password: "p".into(), ..settings() });
        rig.ask("A", 1);
        rig.tick(1);
        rig.reply(1, &format!("{refusal}\r\n"));
        assert_eq!(rig.outcome(1), Some(&Outcome::Refused(Refusal::AuthFailed)));
        assert_eq!(rig.link.refusal(), Some(Refusal::AuthFailed));
        assert_eq!(rig.said.len(), 1);
        assert!(rig.said[0].contains("password") && !rig.said[0].contains('\n'), "{:?}", rig.said);
        rig.pass(4_900);
        assert_eq!(rig.cancelled, [1]);
        assert_eq!(rig.opened.len(), 1, "no second try for long");
        while rig.opened.len() < 2 {
            rig.tick(10);
        }
        assert!(rig.milliseconds < 11_100);
        rig.reply(2, HELLO);
        assert!(rig.link.is_ready());
    }
}

#[test]
fn a_wrong_database_is_a_lasting_refusal() {
    let mut rig = Rig::with(Settings { database: 99, ..settings() });
    rig.tick(1);
    rig.reply(1, HELLO);
    rig.reply(1, "-ERR DB index is out of range\r\n");
    assert_eq!(rig.link.refusal(), Some(Refusal::Rejected));
    assert!(rig.said[0].contains("database"), "{:?}", rig.said);
}

#[test]
fn new_settings_are_tried_at_once() {
    let mut rig = Rig::with(Settings { password: "wrong".into(), ..settings() });
    rig.tick(1);
    rig.reply(1, "-WRONGPASS no\r\n");
    rig.adopt(2, Settings { password: "right".into(), ..settings() });
    assert_eq!(rig.link.refusal(), None);
    rig.tick(1);
    assert_eq!(rig.take_sent().last().unwrap(), "HELLO 2 AUTH default right");
    rig.reply(2, HELLO);
    assert!(rig.link.is_ready());
}

#[test]
fn a_greeting_without_answer_is_given_up() {
    let mut rig = Rig::new();
    rig.tick(1);
    rig.pass(290);
    assert!(rig.cancelled.is_empty());
    rig.pass(20);
    assert_eq!(rig.cancelled, [1]);
    rig.pass(40);
    assert_eq!(rig.opened.len(), 2);
}

// === opening ===

#[test]
fn first_commands_go_before_all_others() {
    let mut rig = Rig::new();
    rig.opening = vec!["BEGIN"];
    rig.ask("A", 1);
    rig.tick(1);
    rig.reply(1, HELLO);
    assert_eq!(rig.take_sent(), ["HELLO 2", "BEGIN"]);
    assert!(!rig.link.is_ready());
    // the reply makes the filter send more, before anything else
    let heal = Command::new("HEAL");
    let deadline = rig.now() + Duration::from_secs(1);
    rig.link.submit(Lane::First, heal, 7, deadline);
    rig.reply(1, ":0\r\n");
    assert_eq!(rig.take_sent(), ["HEAL"]);
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.take_sent(), ["A"]);
    assert!(rig.link.is_ready());
    rig.reply(1, ":5\r\n");
    assert_eq!(rig.outcome(1), Some(&replied(5)));
}

#[test]
fn first_commands_overtake_on_a_serving_connection() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.ask("B", 2);
    rig.submit(Lane::First, Command::new("HEAL"), 3, 100);
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.take_sent(), ["A", "HEAL | B"]);
}

// === batches ===

#[test]
fn commands_gather_while_a_batch_is_in_flight() {
    let mut rig = Rig::serving();
    assert_eq!(rig.link.room(1), 64);
    rig.ask("A", 1);
    assert_eq!(rig.link.room(1), 0);
    rig.ask("B", 2);
    rig.ask("C", 3);
    assert_eq!(rig.take_sent(), ["A"]);
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.take_sent(), ["B | C"]);
    rig.reply(1, ":2\r\n:");
    assert_eq!(rig.outcome(2), Some(&replied(2)));
    assert_eq!(rig.outcome(3), None);
    rig.reply(1, "3\r\n");
    assert_eq!(rig.outcome(3), Some(&replied(3)));
    assert_eq!(rig.link.room(1), 64);
    assert_eq!((rig.link.stats().batches, rig.link.stats().commands), (3, 3));
}

#[test]
fn half_of_the_bound_leaves_behind_a_batch() {
    let mut rig = Rig::serving();
    rig.ask("FIRST", 0);
    assert_eq!((rig.link.room(31), rig.link.room(32)), (0, 63));
    for ticket in 1..=31 {
        rig.ask("X", ticket);
    }
    assert_eq!(rig.take_sent(), ["FIRST"]);
    rig.ask("X", 32);
    assert_eq!(rig.take_sent()[0].matches('X').count(), 32);
    // more than half is under way
    assert_eq!(rig.link.room(64), 0);
    rig.ask("Y", 33);
    rig.reply(1, ":0\r\n");
    assert_eq!((rig.link.room(30), rig.link.room(31)), (0, 31));
    rig.reply(1, &":1\r\n".repeat(31));
    assert_eq!(rig.take_sent(), [] as [&str; 0]);
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.take_sent(), ["Y"]);
    rig.reply(1, ":2\r\n");
    assert_eq!((rig.outcome(32), rig.outcome(33)), (Some(&replied(1)), Some(&replied(2))));
}

#[test]
fn no_more_than_the_bound_is_outstanding() {
    let mut rig = Rig::serving();
    rig.ask("FIRST", 0);
    for ticket in 1..=100 {
        rig.ask("X", ticket);
    }
    let sent = |rig: &mut Rig| -> Vec<usize> {
        rig.take_sent().iter().map(|message| message.matches('X').count()).collect()
    };
    assert_eq!(sent(&mut rig), [0, 32]);
    rig.reply(1, ":0\r\n");
    assert_eq!(sent(&mut rig), [32]);
    rig.reply(1, &":1\r\n".repeat(64));
    assert_eq!(sent(&mut rig), [36]);
}

#[test]
fn a_command_counts_as_the_requests_that_wait_on_it() {
    let mut rig = Rig::serving();
    rig.ask("FIRST", 0);
    for (ticket, weight) in [(1, 24), (2, 40), (3, 1), (4, 500), (5, 1)] {
        let mut command = Command::new("X");
        command.int(i64::from(ticket)).weight(weight);
        rig.submit(Lane::Normal, command, ticket, 100);
    }
    // 64 wait then, and there is room for 63
    assert_eq!(rig.take_sent(), ["FIRST", "X 1"]);
    rig.reply(1, ":0\r\n");
    assert_eq!(rig.take_sent(), ["X 2"]);
    rig.reply(1, ":0\r\n:0\r\n");
    assert_eq!(rig.take_sent(), ["X 3"]);
    rig.reply(1, ":0\r\n");
    // heavier than the bound: alone
    assert_eq!(rig.take_sent(), ["X 4"]);
    rig.reply(1, ":0\r\n");
    assert_eq!(rig.take_sent(), ["X 5"]);
}

/// A batch of one command, and one of 32 behind it, the tickets of which begin with 1.
fn two_under_way() -> Rig {
    let mut rig = Rig::serving();
    rig.ask("FIRST", 0);
    rig.milliseconds += 2;
    for ticket in 1..=32 {
        let mut command = Command::new("X");
        command.once();
        rig.submit(Lane::Normal, command, ticket, 100);
    }
    assert_eq!(rig.take_sent().len(), 2);
    rig
}

#[test]
fn each_batch_is_timed_from_its_own_departure() {
    let mut rig = two_under_way();
    rig.milliseconds += 1;
    rig.reply(1, ":0\r\n:1\r\n");
    assert_eq!((rig.link.next_latency(), rig.link.next_latency()), (Some(3000), None));
    rig.milliseconds += 4;
    rig.reply(1, &":1\r\n".repeat(31));
    assert_eq!((rig.link.next_latency(), rig.link.next_latency()), (Some(5000), None));
}

#[test]
fn both_batches_are_lost_with_their_connection() {
    let mut rig = two_under_way();
    rig.close(1);
    for ticket in 1..=32 {
        assert_eq!(rig.outcome(ticket), Some(&Outcome::Lost { sent: true }));
    }
    rig.tick(21);
    rig.reply(2, HELLO);
    assert_eq!(rig.take_sent(), ["HELLO 2", "FIRST"]);
}

#[test]
fn deadlines_of_both_batches_are_kept() {
    let mut rig = two_under_way();
    rig.reply(1, ":0\r\n:1\r\n");
    rig.tick(99);
    assert_eq!(rig.outcome(2), None);
    rig.tick(1);
    for ticket in 2..=32 {
        assert_eq!(rig.outcome(ticket), Some(&Outcome::TimedOut { sent: true }));
    }
    // Replies that come late make room all the same.
    rig.reply(1, &":1\r\n".repeat(31));
    assert_eq!(rig.link.stats().late_replies, 31);
    assert_eq!(rig.link.room(1), 64);
}

#[test]
fn the_queue_is_bounded_in_number_and_bytes() {
    let mut rig = Rig::serving_with(Settings { waiting: 3, waiting_bytes: 200, ..settings() });
    rig.ask("A", 0);
    for ticket in 1..=4 {
        rig.ask("B", ticket);
    }
    assert_eq!(rig.outcome(3), None);
    assert_eq!(rig.outcome(4), Some(&Outcome::Refused(Refusal::QueueFull)));
    rig.reply(1, ":1\r\n");
    let mut long = Command::new("LONG");
    long.arg("x".repeat(300));
    rig.submit(Lane::Normal, long, 9, 100);
    assert_eq!(rig.outcome(9), Some(&Outcome::Refused(Refusal::QueueFull)));
    assert_eq!(rig.link.stats().queue_refusals, 2);
}

// === scripts ===

#[test]
fn an_unknown_script_is_sent_with_its_source_once() {
    let mut rig = Rig::serving();
    for ticket in [1, 2] {
        let mut command = Command::script(&script(), &["key"]);
        command.int(i64::from(ticket));
        rig.submit(Lane::Normal, command, ticket, 100);
    }
    rig.ask("A", 3);
    let sha = script().sha().to_owned();
    assert_eq!(sha, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    assert_eq!(rig.take_sent(), [format!("EVALSHA {sha} 1 key 1")]);
    rig.reply(1, "-NOSCRIPT No matching script.\r\n");
    assert_eq!(rig.take_sent(), [format!("EVAL return 1 1 key 1 | EVALSHA {sha} 1 key 2 | A")]);
    rig.reply(1, ":1\r\n:2\r\n:3\r\n");
    for ticket in 1..=3 {
        assert_eq!(rig.outcome(ticket), Some(&replied(i64::from(ticket))));
    }
    assert_eq!(rig.link.stats().script_loads, 1);
}

#[test]
fn scripts_of_one_batch_keep_their_order() {
    let mut rig = Rig::serving();
    rig.ask("A", 0);
    for ticket in [1, 2] {
        let mut command = Command::script(&script(), &["k"]);
        command.int(i64::from(ticket));
        rig.submit(Lane::Normal, command, ticket, 100);
    }
    rig.reply(1, ":0\r\n");
    rig.take_sent();
    rig.reply(1, "-NOSCRIPT a\r\n-NOSCRIPT b\r\n");
    assert_eq!(rig.take_sent(), ["EVAL return 1 1 k 1 | EVAL return 1 1 k 2"]);
    rig.reply(1, "-NOSCRIPT odd\r\n:2\r\n");
    assert!(matches!(rig.outcome(1), Some(Outcome::Reply(Value::Error(_)))));
}

// === confirmation by a replica ===

fn confirmed(ticket: i64) -> Command {
    let mut command = Command::script(&script(), &["k"]);
    command.int(ticket).confirm(1, Duration::from_millis(50));
    command
}

#[test]
fn a_confirmed_command_carries_both_replies() {
    let mut rig = Rig::serving();
    rig.submit(Lane::Normal, confirmed(1), 1, 100);
    assert!(rig.take_sent()[0].ends_with("1 k 1 | WAIT 1 50"));
    rig.reply(1, ":9\r\n");
    assert_eq!(rig.outcome(1), None);
    rig.reply(1, ":1\r\n");
    let (reply, replicas) = (Value::Int(9), Value::Int(1));
    assert_eq!(rig.outcome(1), Some(&Outcome::Confirmed { reply, replicas }));
}

#[test]
fn a_confirmed_command_that_failed_is_a_reply() {
    let mut rig = Rig::serving();
    rig.submit(Lane::Normal, confirmed(1), 1, 100);
    rig.reply(1, "-OOM no room\r\n:0\r\n");
    assert!(matches!(rig.outcome(1), Some(Outcome::Reply(Value::Error(_)))));
}

#[test]
fn a_confirmed_script_is_loaded_together_with_its_wait() {
    let mut rig = Rig::serving();
    rig.submit(Lane::Normal, confirmed(1), 1, 100);
    rig.take_sent();
    rig.reply(1, "-NOSCRIPT no\r\n");
    assert!(rig.take_sent().is_empty(), "the reply to WAIT is still to come");
    rig.reply(1, ":0\r\n");
    assert_eq!(rig.take_sent(), ["EVAL return 1 1 k 1 | WAIT 1 50"]);
    rig.reply(1, ":9\r\n:1\r\n");
    assert!(matches!(rig.outcome(1), Some(Outcome::Confirmed { .. })));
}

#[test]
fn a_confirmation_that_is_late_keeps_the_order() {
    let mut rig = Rig::serving();
    rig.submit(Lane::Normal, confirmed(1), 1, 50);
    rig.submit(Lane::Normal, confirmed(2), 2, 1000);
    rig.reply(1, ":9\r\n");
    rig.pass(60);
    assert_eq!(rig.outcome(1), Some(&Outcome::TimedOut { sent: true }));
    rig.reply(1, ":0\r\n");
    rig.reply(1, ":8\r\n:1\r\n");
    assert_eq!(
        rig.outcome(2),
        Some(&Outcome::Confirmed { reply: Value::Int(8), replicas: Value::Int(1) })
    );
    assert_eq!(rig.link.stats().late_replies, 1);
}

// === deadlines ===

#[test]
fn a_deadline_tells_whether_the_command_had_left() {
    let mut rig = Rig::serving();
    rig.submit(Lane::Normal, Command::new("A"), 1, 40);
    rig.submit(Lane::Normal, Command::new("B"), 2, 40);
    rig.pass(30);
    assert!(rig.outcomes.is_empty());
    rig.pass(10);
    assert_eq!(rig.outcome(1), Some(&Outcome::TimedOut { sent: true }));
    assert_eq!(rig.outcome(2), Some(&Outcome::TimedOut { sent: false }));
    let stats = rig.link.stats();
    assert_eq!((stats.timeouts, stats.unknown_outcomes), (2, 1));
}

#[test]
fn a_late_reply_answers_nobody_else() {
    let mut rig = Rig::serving();
    rig.submit(Lane::Normal, Command::new("A"), 1, 20);
    rig.pass(20);
    rig.ask("B", 2);
    assert_eq!(rig.take_sent(), ["A"]);
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.take_sent(), ["B"]);
    rig.reply(1, ":2\r\n");
    assert_eq!(rig.outcome(2), Some(&replied(2)));
    assert_eq!(rig.outcomes.len(), 2);
}

#[test]
fn deadlines_are_judged_on_ticks_only() {
    let mut rig = Rig::serving();
    rig.submit(Lane::Normal, Command::new("A"), 1, 1000);
    rig.submit(Lane::Normal, Command::new("B"), 2, 15);
    rig.submit(Lane::Normal, Command::new("C"), 3, 15);
    rig.milliseconds += 20;
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.take_sent(), ["A", "B | C"]);
    rig.reply(1, ":2\r\n");
    assert_eq!(rig.outcome(2), Some(&replied(2)));
    rig.tick(1);
    assert_eq!(rig.outcome(3), Some(&Outcome::TimedOut { sent: true }));
}

// === a server that is away ===

#[test]
fn silence_opens_the_breaker_and_late_replies_with_a_prompt_ping_close_it() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.ask("B", 2);
    rig.pass(100);
    assert_eq!(rig.outcome(1), Some(&Outcome::TimedOut { sent: true }));
    assert_eq!(rig.link.refusal(), Some(Refusal::BreakerOpen));
    rig.ask("C", 3);
    assert_eq!(rig.outcome(3), Some(&Outcome::Refused(Refusal::BreakerOpen)));
    rig.take_sent();
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.take_sent(), ["PING"]);
    assert!(!rig.link.is_ready());
    rig.pass(150);
    rig.reply(1, "+PONG\r\n");
    assert_eq!(rig.take_sent(), ["PING"], "a slow answer is none");
    rig.reply(1, "+PONG\r\n");
    assert!(rig.link.is_ready());
    rig.ask("D", 4);
    rig.reply(1, ":4\r\n");
    assert_eq!(rig.outcome(4), Some(&replied(4)));
    assert_eq!(rig.opened.len(), 1);
}

#[test]
fn a_busy_worker_is_not_a_silent_server() {
    let mut rig = Rig::serving();
    rig.submit(Lane::Normal, Command::new("A"), 1, 5000);
    // each turn of the event loop takes long, and the reply needs some of them
    for _ in 0..5 {
        rig.tick(90);
        assert!(rig.link.is_ready());
    }
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.outcome(1), Some(&replied(1)));
    rig.submit(Lane::Normal, Command::new("B"), 2, 5000);
    for _ in 0..6 {
        rig.tick(20);
    }
    assert!(!rig.link.is_ready());
}

#[test]
fn a_stuck_stream_is_dropped_on_a_tick() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.pass(490);
    assert!(rig.cancelled.is_empty());
    rig.pass(20);
    assert_eq!(rig.cancelled, [1]);
    rig.reply(1, ":1\r\n");
    rig.close(1);
    assert_eq!(rig.outcomes.len(), 1);
    rig.pass(100);
    assert_eq!(rig.opened.len(), 2);
    rig.reply(2, HELLO);
    assert!(rig.link.is_ready());
}

#[test]
fn two_failures_open_the_breaker_and_a_connection_closes_it() {
    let mut rig = Rig::serving();
    rig.close(1);
    assert_eq!(rig.link.refusal(), None, "the first loss may be a restart");
    rig.ask("A", 1);
    rig.pass(30);
    assert_eq!(rig.opened.len(), 2);
    assert_eq!(rig.outcome(1), None);
    rig.close(2);
    assert_eq!(rig.outcome(1), Some(&Outcome::Refused(Refusal::BreakerOpen)));
    assert_eq!(rig.link.refusal(), Some(Refusal::BreakerOpen));
    rig.pass(50);
    assert_eq!(rig.opened.len(), 3);
    rig.reply(3, HELLO);
    assert_eq!(rig.link.refusal(), None);
    assert_eq!(rig.said.len(), 2);
    let stats = rig.link.stats();
    assert_eq!((stats.connects, stats.disconnects, stats.connect_failures), (2, 1, 1));
}

#[test]
fn attempts_get_rarer_up_to_a_bound() {
    let mut rig = Rig::new();
    let mut gaps = Vec::new();
    let mut last = rig.milliseconds;
    while gaps.len() < 12 {
        rig.tick(1);
        if rig.opened.len() > gaps.len() {
            gaps.push(rig.milliseconds - last);
            last = rig.milliseconds;
            rig.close(rig.next_token);
        }
    }
    assert!(gaps[1] <= 21 && gaps[11] >= 200 && gaps.iter().all(|gap| *gap <= 401), "{gaps:?}");
    assert_eq!(rig.said.len(), 1, "said once: {:?}", rig.said);
}

#[test]
fn a_server_that_loads_or_only_reads_is_left() {
    for error in ["LOADING Redis is loading", "READONLY You can't write", "MASTERDOWN gone"] {
        let mut rig = Rig::serving();
        rig.ask("A", 1);
        rig.reply(1, &format!("-{error}\r\n"));
        assert!(matches!(rig.outcome(1), Some(Outcome::Reply(Value::Error(_)))));
        rig.pass(100);
        assert_eq!(rig.cancelled, [1]);
        assert_eq!(rig.opened.len(), 2);
    }
}

#[test]
fn behind_a_proxy_one_node_speaks_for_itself_only() {
    let mut rig = Rig::with(Settings { via: Via::Proxy, ..settings() });
    rig.tick(1);
    rig.reply(1, "+PONG\r\n");
    rig.ask("A", 1);
    rig.reply(1, "-LOADING Redis is loading\r\n");
    rig.pass(100);
    assert!(rig.link.is_ready());
}

#[test]
fn other_errors_are_answers() {
    let mut rig = Rig::serving();
    for (ticket, error) in (1..).zip(["BUSY x", "OOM x", "MOVED 1 h:1", "NOPERM x", "ERR x"]) {
        rig.ask("A", ticket);
        rig.reply(1, &format!("-{error}\r\n"));
        assert!(matches!(rig.outcome(ticket), Some(Outcome::Reply(Value::Error(_)))));
        assert!(rig.link.is_ready());
    }
}

#[test]
fn nonsense_ends_the_connection() {
    for nonsense in ["HTTP/1.1 400 Bad Request\r\n", ":1\r\n:2\r\n"] {
        let mut rig = Rig::serving();
        rig.submit(Lane::Normal, Command::new("A"), 1, 30);
        rig.reply(1, nonsense);
        rig.pass(40);
        assert_eq!(rig.cancelled, [1]);
        assert_eq!(rig.outcomes.len(), 1);
    }
}

#[test]
fn push_messages_answer_no_command() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.reply(1, ">2\r\n+invalidate\r\n*0\r\n:1\r\n");
    assert_eq!(rig.outcome(1), Some(&replied(1)));
}

// === lost connections ===

#[test]
fn what_was_in_flight_is_sent_again_once() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.ask("B", 2);
    rig.close(1);
    rig.tick(21);
    assert_eq!(rig.opened.len(), 2);
    rig.reply(2, HELLO);
    assert_eq!(rig.take_sent().last().unwrap(), "A | B");
    rig.close(2);
    assert_eq!(rig.outcome(1), Some(&Outcome::Lost { sent: true }));
    assert_eq!(rig.link.stats().resends, 1);
}

#[test]
fn what_must_not_be_repeated_is_not() {
    let mut rig = Rig::serving();
    let mut command = Command::new("SPEND");
    command.once();
    rig.submit(Lane::Normal, command, 1, 100);
    rig.close(1);
    assert_eq!(rig.outcome(1), Some(&Outcome::Lost { sent: true }));
    assert_eq!(rig.link.stats().unknown_outcomes, 1);
}

#[test]
fn first_commands_die_with_their_connection() {
    let mut rig = Rig::new();
    rig.opening = vec!["BEGIN"];
    rig.tick(1);
    rig.reply(1, HELLO);
    rig.submit(Lane::First, Command::new("HEAL"), 1, 1000);
    rig.close(1);
    assert_eq!(rig.outcome(1), Some(&Outcome::Lost { sent: false }));
    rig.pass(50);
    rig.take_sent();
    rig.reply(2, HELLO);
    assert_eq!(rig.take_sent(), ["BEGIN"]);
}

// === config pushes ===

#[test]
fn a_new_root_takes_over_without_a_gap() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.adopt(2, settings());
    assert!(rig.link.is_ready());
    rig.tick(1);
    assert_eq!(rig.opened.last(), Some(&(2, 2)));
    rig.reply(1, ":1\r\n");
    rig.ask("B", 2);
    assert_eq!(rig.sent.last().unwrap(), &(1, "B".to_owned()), "the old stream serves on");
    rig.reply(2, HELLO);
    rig.ask("C", 3);
    assert_eq!(rig.sent.last().unwrap(), &(2, "C".to_owned()));
    rig.tick(10);
    assert!(rig.cancelled.is_empty(), "the old stream still owes a reply");
    rig.reply(1, ":2\r\n");
    assert_eq!(rig.outcome(2), Some(&replied(2)));
    rig.tick(10);
    assert_eq!(rig.cancelled, [1]);
    assert!(rig.said.is_empty());
}

#[test]
fn another_server_takes_over_at_once() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.adopt(2, Settings { database: 5, ..settings() });
    rig.ask("B", 2);
    assert!(!rig.link.is_ready());
    rig.tick(1);
    rig.reply(2, HELLO);
    rig.reply(2, "+OK\r\n");
    assert_eq!(rig.sent.last().unwrap(), &(2, "B".to_owned()));
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.outcome(1), Some(&replied(1)));
}

#[test]
fn what_waits_on_a_deleted_root_moves_to_the_newest() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.adopt(2, settings());
    rig.delete_root(ROOT);
    rig.tick(1);
    rig.reply(2, HELLO);
    assert_eq!(rig.sent.last().unwrap(), &(2, "A".to_owned()));
    rig.reply(2, ":1\r\n");
    assert_eq!(rig.outcome(1), Some(&replied(1)));
    assert!(rig.cancelled.is_empty(), "its streams went with the root");
}

#[test]
fn an_older_root_serves_again_when_the_newest_is_deleted() {
    let mut rig = Rig::serving();
    rig.adopt(2, settings());
    rig.tick(1);
    rig.reply(2, HELLO);
    rig.tick(10);
    rig.delete_root(2);
    assert_eq!(rig.link.root(), Some(ROOT));
    rig.ask("A", 1);
    rig.tick(10);
    assert_eq!(rig.opened.last(), Some(&(ROOT, 3)));
    rig.reply(3, HELLO);
    rig.reply(3, ":1\r\n");
    assert_eq!(rig.outcome(1), Some(&replied(1)));
}

#[test]
fn the_connection_of_an_older_root_is_taken_up_again() {
    let mut rig = Rig::serving();
    rig.adopt(2, settings());
    rig.tick(1);
    rig.reply(2, HELLO);
    // before the tick that would drop the old stream
    rig.delete_root(2);
    assert!(rig.link.is_ready());
    rig.ask("A", 1);
    assert_eq!(rig.sent.last().unwrap(), &(1, "A".to_owned()));
    rig.tick(10);
    assert!(rig.cancelled.is_empty());
}

#[test]
fn a_stream_that_closed_before_it_was_known_is_not_used() {
    let mut link = link::Link::<u32>::new(3);
    let now = link::Moment::from_nanos(1);
    link.saw_request();
    link.adopt(ROOT, settings(), now);
    link.tick(now);
    assert!(matches!(link.next_action(true, now), Some(link::Action::Open { .. })));
    link.closed(7, 14, now);
    link.opened(Ok(7), now);
    assert!(!link.owns(7));
    assert_eq!(link.stats().connect_failures, 1);
    assert!(link.next_action(true, now).is_none());
}

#[test]
fn without_a_root_nothing_waits() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.ask("B", 2);
    rig.delete_root(ROOT);
    assert_eq!(rig.outcome(1), Some(&Outcome::Lost { sent: true }));
    assert_eq!(rig.outcome(2), Some(&Outcome::Refused(Refusal::BreakerOpen)));
    rig.ask("C", 3);
    assert_eq!(rig.outcome(3), Some(&Outcome::Refused(Refusal::BreakerOpen)));
    assert_eq!(rig.link.tick_period(), 0);
}

// === the main thread ===

#[test]
fn a_vm_that_serves_nobody_and_reaches_nobody_is_quiet() {
    let mut link = link::Link::<u32>::new(3);
    let at = |ms: u64| link::Moment::from_nanos(ms * 1_000_000);
    link.adopt(ROOT, settings(), at(0));
    let mut opened = 0;
    for ms in (0..120_000).step_by(10) {
        link.tick(at(ms));
        if let Some(link::Action::Open { .. }) = link.next_action(true, at(ms)) {
            opened += 1;
            link.opened(Ok(opened), at(ms));
            while link.next_action(true, at(ms)).is_some() {}
            link.closed(opened, 14, at(ms));
        }
        assert!(!link.has_events());
    }
    assert!((4..=12).contains(&opened), "{opened}");
    // the first request means that this is a worker after all
    link.saw_request();
    assert_eq!(link.refusal(), None);
    link.tick(at(120_001));
    assert!(matches!(link.next_action(true, at(120_001)), Some(link::Action::Open { .. })));
}

// === ticks and memory ===

#[test]
fn an_idle_link_needs_no_tick() {
    let mut rig = Rig::serving();
    assert_eq!(rig.link.tick_period(), 0);
    rig.ask("A", 1);
    assert_eq!(rig.link.tick_period(), 10);
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.link.tick_period(), 0);
    rig.close(1);
    assert!((1..=20).contains(&rig.link.tick_period()));
}

#[test]
fn latencies_are_those_of_batches() {
    let mut rig = Rig::serving();
    rig.ask("A", 1);
    rig.milliseconds += 3;
    rig.reply(1, ":1\r\n");
    assert_eq!(rig.link.next_latency(), Some(3000));
    assert_eq!(rig.link.next_latency(), None);
}
