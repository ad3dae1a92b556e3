use super::*;
use crate::config::tests::sale;
use crate::replies::Entry;
use identity::unhex;

const SECOND: u64 = 1_000;

fn at(ms: u64) -> Now {
    Now { us: ms * 1_000, redis_ms: ms }
}

fn user(n: u64) -> UserKey {
    unhex::<16>(format!("{n:032x}").as_bytes()).unwrap()
}

fn begun(status: Status, run: &str, incarnation: u64, generation: u64) -> Begun {
    Begun { status, time_us: 0, run: run.into(), incarnation, generation, heal_left_ms: 1_000 }
}

struct Log {
    status: Status,
    incarnation: u64,
    generation: u64,
    limit: u64,
    entries: Vec<String>,
}

impl Log {
    fn of(limit: u64, users: std::ops::RangeInclusive<u64>) -> Self {
        let entries = users.map(|n| format!("{n:032x}")).collect();
        Self { status: Status::Open, incarnation: 10, generation: 1, limit, entries }
    }

    /// What a poll would bring, at most two entries of it.
    fn poll(&self, errand: &Errand, ms: u64) -> Polled<'_> {
        let Errand::Poll { incarnation, generation, cursor } = errand else { panic!("{errand:?}") };
        let same = (*incarnation, *generation) == (self.incarnation, self.generation);
        let first = if same { *cursor } else { 0 };
        let entries = self.entries.iter().enumerate().skip(first as usize).take(2);
        let entry = |(at, user): (usize, &'_ String)| (at as u64 + 1, user.clone().leak());
        Polled {
            status: self.status,
            time_us: ms * 1_000,
            incarnation: self.incarnation,
            generation: self.generation,
            limit: self.limit,
            count: self.entries.len() as u64,
            suspended: self.status == Status::Suspended,
            ring: 1,
            heal_left_ms: if self.status == Status::Healing { 500 } else { 0 },
            log_length: self.entries.len() as u64,
            first,
            entries: entries
                .map(entry)
                .map(|(number, user)| Some(Entry { number: Some(number), user: user.as_bytes() }))
                .collect(),
        }
    }
}

/// Polls until nothing more is to be read.
fn catch_up(books: &mut Books, log: &Log, ms: u64) {
    for _ in 0..50 {
        books.poll.due_us = Some(0);
        let errand = books.errand(ms * 1_000).unwrap();
        books.polled(&log.poll(&errand, ms), true, &Reading::Hashed, at(ms));
        if !books.more {
            return;
        }
    }
    panic!("the log has no end");
}

fn open(log: &Log, ms: u64) -> Books {
    let mut books = Books::default();
    books.greet(ms * 1_000);
    assert_eq!(books.errand(ms * 1_000), Some(Errand::Begin));
    books.begun(&begun(Status::Open, "r1", log.incarnation, log.generation), at(ms));
    catch_up(&mut books, log, ms);
    books
}

fn admitted(limit: u64, count: u64) -> Admitted {
    Admitted { status: Status::Open, detail_ms: 0, generation: 1, limit, count, rulings: vec![] }
}

fn taught(errand: Option<Errand>) -> Vec<u64> {
    match errand {
        Some(Errand::Teach { permits, .. }) => permits.into_iter().map(|(n, _)| n).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn begin_is_the_first_thing_said_and_nothing_is_said_before_its_reply() {
    let mut books = Books::default();
    assert_eq!(books.errand(0), None);
    books.greet(0);
    assert_eq!(books.errand(0), Some(Errand::Begin));
    assert_eq!(books.errand(0), None);
    books.begun(&begun(Status::Open, "r1", 10, 1), at(0));
    assert_eq!(books.errand(0), Some(Errand::Poll { incarnation: 10, generation: 1, cursor: 0 }));
    assert_eq!(books.errand(0), None);
    assert_eq!(books.identity(), Some((10, "r1")));
}

#[test]
fn the_log_is_read_to_its_end_piece_by_piece() {
    let books = open(&Log::of(9, 1..=5), 7);
    assert_eq!(books.permits.len(), 5);
    assert_eq!(books.permits.number(&user(5)), Some(5));
    assert_eq!((books.cursor, books.complete_ms()), (5, Some(7)));
}

#[test]
fn sold_out_is_believed_after_a_second_and_when_all_permits_are_known() {
    let mut log = Log::of(3, 1..=3);
    let mut books = open(&log, 10 * SECOND);
    assert!(!books.sold_out(11 * SECOND - 1));
    catch_up(&mut books, &log, 10 * SECOND + 200);
    assert!(!books.sold_out(11 * SECOND - 1));
    assert!(books.sold_out(11 * SECOND));
    log.limit = 4;
    catch_up(&mut books, &log, 12 * SECOND);
    assert!(!books.sold_out(12 * SECOND));
}

#[test]
fn sold_out_by_an_admit_reply_needs_a_later_look_at_the_log() {
    let log = Log::of(3, 1..=2);
    let mut books = open(&log, 10 * SECOND);
    books.admitted(&admitted(3, 3), at(10 * SECOND + 10));
    assert!(!books.sold_out(20 * SECOND));
    catch_up(&mut books, &Log::of(3, 1..=3), 10 * SECOND + 200);
    assert!(books.sold_out(20 * SECOND));
}

#[test]
fn permits_that_do_not_fit_leave_sold_out_to_redis() {
    let log = Log::of(3, 1..=3);
    let mut books = Books { permits: Permits::new(2), ..Books::default() };
    books.greet(0);
    books.errand(0);
    books.begun(&begun(Status::Open, "r1", 10, 1), at(0));
    catch_up(&mut books, &log, 0);
    assert_eq!(books.complete_ms(), None);
    assert!(!books.sold_out(60 * SECOND));
}

#[test]
fn another_run_of_the_server_is_taught_own_grants_first_then_what_its_log_lacks() {
    let mut books = open(&Log::of(9, 1..=4), 0);
    books.granted(user(5), Ruling::Admitted(5), 1, None);
    books.greet(SECOND * 1_000);
    assert_eq!(books.errand(SECOND * 1_000), Some(Errand::Begin));
    books.begun(&begun(Status::Healing, "r2", 10, 1), at(SECOND));
    assert_eq!(books.standing(), Standing::Healing { until_ms: 2 * SECOND });
    assert_eq!(taught(books.errand(SECOND * 1_000)), [5]);
    // The new server has lost 4 as well as 5; the log is shorter than what was read before.
    let mut log = Log::of(9, 1..=3);
    log.status = Status::Healing;
    catch_up(&mut books, &log, SECOND + 1);
    books.taught(Status::Open, (SECOND + 2) * 1_000);
    assert_eq!(taught(books.errand((SECOND + 2) * 1_000)), [4]);
    books.taught(Status::Open, (SECOND + 3) * 1_000);
    books.poll = Step::default();
    assert_eq!(books.errand((SECOND + 3) * 1_000), None);
    assert_eq!(books.permits.len(), 5);
}

#[test]
fn books_opened_anew_are_taught_and_keep_what_was_known() {
    let mut books = open(&Log::of(9, 1..=2), 0);
    let empty =
        Log { status: Status::Healing, incarnation: 11, generation: 1, limit: 9, entries: vec![] };
    catch_up(&mut books, &empty, 100);
    assert_eq!(books.permits.len(), 2);
    assert_eq!(taught(books.errand(100_000)), [2, 1]);
}

#[test]
fn a_new_generation_drops_what_was_known_and_teaches_nothing() {
    let mut books = open(&Log::of(9, 1..=3), 0);
    let mut log = Log::of(9, 1..=1);
    (log.incarnation, log.generation) = (12, 2);
    catch_up(&mut books, &log, 100);
    assert_eq!((books.permits.len(), books.generation()), (1, Some(2)));
    books.poll = Step::default();
    assert_eq!(books.errand(100_000), None);
}

#[test]
fn a_grant_of_an_older_generation_is_not_remembered() {
    let mut books = open(&Log::of(9, 1..=1), 0);
    books.granted(user(7), Ruling::Admitted(7), 0, None);
    assert_eq!(books.permits.number(&user(7)), None);
    books.admitted(&Admitted { generation: 2, ..admitted(9, 1) }, at(1));
    assert!(books.permits.is_empty());
}

#[test]
fn books_that_lost_a_deletion_are_told_and_not_listened_to() {
    let mut log = Log::of(9, 1..=1);
    log.generation = 5;
    let mut books = open(&log, 0);
    let old = Log::of(9, 1..=3);
    catch_up(&mut books, &old, 100);
    assert_eq!((books.permits.len(), books.generation()), (1, Some(5)));
    let adopt = Errand::Teach { generation: 5, permits: vec![] };
    assert_eq!(books.errand(100_000), Some(adopt));
}

#[test]
fn missing_books_are_polled_for_and_not_taught() {
    let mut books = open(&Log::of(9, 1..=2), 0);
    books.greet(0);
    books.errand(0);
    books.begun(&begun(Status::Missing, "r2", 0, 0), at(100));
    assert_eq!(books.standing(), Standing::Missing);
    assert!(matches!(books.errand(100_000), Some(Errand::Poll { incarnation: 10, .. })));
    assert_eq!(books.errand(100_000), None);
}

#[test]
fn other_books_than_those_named_lead_to_begin() {
    let mut books = open(&Log::of(9, 1..=2), 0);
    books.admitted(&Admitted { status: Status::Stale, ..admitted(0, 0) }, at(50));
    assert_eq!(books.errand(50_000), Some(Errand::Begin));
}

#[test]
fn what_is_not_durable_is_not_learned() {
    let log = Log::of(2, 1..=2);
    let mut books = Books::default();
    books.greet(0);
    books.errand(0);
    books.begun(&begun(Status::Open, "r1", 10, 1), at(0));
    let errand = books.errand(0).unwrap();
    books.polled(&log.poll(&errand, 0), false, &Reading::Hashed, at(0));
    assert!(books.permits.is_empty());
    assert!(!books.sold_out(60 * SECOND));
}

#[test]
fn plain_users_are_read_by_their_hash_once_the_key_is_there() {
    let key = IdentityKey::new(&[1; 32]);
    let log = Log { entries: vec!["alice".into()], ..Log::of(2, 1..=1) };
    let mut books = Books::default();
    books.greet(0);
    books.errand(0);
    books.begun(&begun(Status::Open, "r1", 10, 1), at(0));
    let errand = books.errand(0).unwrap();
    books.polled(&log.poll(&errand, 0), true, &Reading::NotYet, at(0));
    assert_eq!((books.permits.len(), books.complete_ms()), (0, None));
    books.poll.due_us = Some(0);
    let errand = books.errand(0).unwrap();
    books.polled(&log.poll(&errand, 0), true, &Reading::Plain(&key), at(0));
    assert_eq!(books.permits.number(&key.hash(b"alice")), Some(1));
    books.doubt();
    books.caught_up = true;
    let named = Some(Errand::Teach { generation: 1, permits: vec![(1, "alice".into())] });
    assert_eq!(books.errand(0), named);
}

#[test]
fn polls_hurry_where_something_is_going_on() {
    let sale = sale(&[("\"endMs\": null", "\"endMs\": 200000")]);
    let books = open(&Log::of(9, 1..=2), 50 * SECOND);
    assert_eq!(books.pause_ms(&sale, 200, 50 * SECOND), 200);
    assert_eq!(books.pause_ms(&sale, 200, 99 * SECOND), 50);
    assert_eq!(books.pause_ms(&sale, 200, 102 * SECOND), 50);
    assert_eq!(books.pause_ms(&sale, 200, 103 * SECOND), 200);
    assert_eq!(books.pause_ms(&sale, 200, 300 * SECOND), 2_000);
    let behind = Books { more: true, ..open(&Log::of(9, 1..=2), 0) };
    assert_eq!(behind.pause_ms(&sale, 200, 0), 0);
    let missing = Books { standing: Standing::Missing, ..Books::default() };
    assert_eq!(missing.pause_ms(&sale, 2_000, 0), 100);
}

#[test]
fn a_poll_is_scheduled_once() {
    let sale = sale(&[]);
    let mut books = open(&Log::of(9, 1..=2), 0);
    let mut dice = Dice::new([1; 16]);
    books.schedule(&sale, 200, at(0), &mut dice);
    let due = books.poll.due_us.unwrap();
    assert!((180_000..=220_000).contains(&due));
    books.schedule(&sale, 200, at(100), &mut dice);
    assert_eq!(books.poll.due_us, Some(due));
    assert_eq!(books.errand(due - 1), None);
    assert!(matches!(books.errand(due), Some(Errand::Poll { .. })));
    books.schedule(&sale, 200, at(300), &mut dice);
    assert_eq!(books.errand(u64::MAX), None, "one at a time");
    books.failed(ErrandKind::Poll, 300_000, 50_000);
    assert!(matches!(books.errand(350_000), Some(Errand::Poll { .. })));
}
