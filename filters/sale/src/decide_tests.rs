use super::*;
use crate::config::tests::sale;
use crate::keyring::tests::ring;
use crate::replies::{Begun, Entry, Polled, Ruling, Status};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::cell::RefCell;

/// A request that records what was read of it.
#[derive(Default)]
struct Asked {
    peer: &'static str,
    headers: Vec<(&'static str, String)>,
    read: RefCell<Vec<String>>,
}

impl Asked {
    fn with(headers: &[(&'static str, &str)]) -> Self {
        let headers = headers.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        Self { peer: "192.0.2.1:5", headers, read: RefCell::default() }
    }
}

impl Request for Asked {
    fn peer(&self) -> Option<Vec<u8>> {
        self.read.borrow_mut().push("peer".into());
        Some(self.peer.as_bytes().to_vec())
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.read.borrow_mut().push(name.into());
        let found = self.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone().into_bytes())
    }
}

const OPEN: u64 = 500_000;

fn refusal(sale: &Sale, now_ms: u64, request: &Asked) -> Option<Refusal> {
    examine(sale, false, now_ms, request).err().map(|refused| refused.why)
}

fn applicant(name: &str) -> Applicant {
    Applicant { id: name.into(), cookies: None }
}

fn hash(name: &str) -> UserKey {
    ring(1).identity.hash(name.as_bytes())
}

fn at(redis_ms: u64) -> Now {
    Now { us: redis_ms.saturating_mul(1_000), redis_ms }
}

/// Books that are open, with a log read to its end at `ms`, of `count` permits given out.
fn books(ms: u64, limit: u64, count: u64) -> Books {
    let mut books = Books::default();
    books.greet(0);
    books.errand(0);
    let begun = Begun {
        status: Status::Open,
        time_us: 0,
        run: "r".into(),
        incarnation: 1,
        generation: 1,
        heal_left_ms: 0,
    };
    books.begun(&begun, at(ms));
    for moment in [ms, ms + 1] {
        poll(&mut books, moment, limit, count);
    }
    books
}

fn poll(books: &mut Books, ms: u64, limit: u64, count: u64) {
    let polled = Polled {
        status: Status::Open,
        time_us: ms * 1_000,
        incarnation: 1,
        generation: 1,
        limit,
        count,
        suspended: false,
        ring: 1,
        heal_left_ms: 0,
        log_length: 0,
        first: 0,
        entries: Vec::<Option<Entry<'_>>>::new(),
    };
    books.polled(&polled, true, &crate::books::Reading::Hashed, at(ms));
}

fn ask(sale: &Sale, books: &mut Books, applicant: &Applicant, now_ms: u64) -> Decision {
    ruled(sale, books, applicant, now_ms, u64::MAX).1
}

fn ruled(
    sale: &Sale,
    books: &mut Books,
    applicant: &Applicant,
    now_ms: u64,
    bits: u64,
) -> (Visitor, Decision) {
    let mut passes = VerifiedPasses::new([1; 16]);
    let known = Known { books, keyring: &ring(1), passes: &mut passes };
    rule(sale, known, applicant.clone(), at(now_ms), || bits)
}

#[test]
fn the_steps_come_in_order_and_nothing_is_read_in_vain() {
    let all = sale(&[
        ("\"networks\": []", "\"networks\": [\"192.0.2.0/24\"]"),
        ("\"endMs\": null", "\"endMs\": 900000"),
    ]);
    let request = Asked::with(&[("authorization", "alice")]);
    assert_eq!(refusal(&all, 1, &request), Some(Refusal::Denied));
    assert_eq!(*request.read.borrow(), ["peer"]);

    let open = sale(&[("\"endMs\": null", "\"endMs\": 900000")]);
    let request = Asked::with(&[]);
    assert_eq!(refusal(&open, 99_999, &request), Some(Refusal::NotStarted));
    assert_eq!(refusal(&open, 900_000, &request), Some(Refusal::Ended));
    assert!(request.read.borrow().is_empty());
    assert_eq!(refusal(&open, 100_000, &request), Some(Refusal::Unidentified));
    assert_eq!(*request.read.borrow(), ["authorization"]);

    let suspended = sale(&[("\"suspended\": false}]", "\"suspended\": true}]")]);
    assert_eq!(refusal(&suspended, 1, &request), Some(Refusal::Suspended));
    let by_hand = examine(&open, true, 1, &request);
    assert_eq!(by_hand, Err(Refused::at_all(Refusal::Suspended)));
}

#[test]
fn not_started_tells_how_long_it_takes() {
    let refused = examine(&sale(&[]), false, 97_500, &Asked::with(&[]));
    assert_eq!(refused, Err(Refused::until(Refusal::NotStarted, 2_500)));
}

#[test]
fn denied_users_are_refused_without_any_keyring() {
    let hash = *Sha256::digest(b"shop/laptop/1\0mallory").first_chunk::<16>().unwrap();
    let denied = format!("\"users\": [\"{}\"]", identity::hex_text(&hash));
    let denied = sale(&[("\"users\": []", &denied)]);
    let alice = Asked::with(&[("authorization", "alice")]);
    assert!(examine(&denied, false, OPEN, &alice).is_ok());
    let mallory = Asked::with(&[("authorization", "mallory")]);
    assert_eq!(refusal(&denied, OPEN, &mallory), Some(Refusal::Denied));
}

#[test]
fn users_are_found_in_header_cookie_and_address() {
    let user = |sale: &Sale, request: &Asked| {
        let applicant = examine(sale, false, OPEN, request).ok()?;
        let (visitor, _) = ruled(sale, &mut Books::default(), &applicant, OPEN, 0);
        Some((visitor.user, visitor.name))
    };
    let request = Asked::with(&[("authorization", "alice"), ("cookie", "a=1; uid=bob")]);
    assert_eq!(user(&sale(&[]), &request), Some((hash("alice"), None)));
    let cookie = sale(&[("\"header\": \"Authorization\"", "\"cookie\": \"uid\"")]);
    assert_eq!(user(&cookie, &request), Some((hash("bob"), None)));
    let address = sale(&[("\"header\": \"Authorization\"", "\"clientAddress\": true")]);
    assert_eq!(user(&address, &request), Some((hash("192.0.2.1"), None)));
    let plain = sale(&[("\"plain\": false", "\"plain\": true")]);
    assert_eq!(user(&plain, &request), Some((hash("alice"), Some("alice".into()))));
}

#[test]
fn an_address_that_cannot_be_read_is_denied_where_networks_are() {
    let denied = sale(&[("\"networks\": []", "\"networks\": [\"203.0.113.0/24\"]")]);
    let mut request = Asked::with(&[("authorization", "alice")]);
    assert_eq!(refusal(&denied, OPEN, &request), None);
    request.peer = "/run/socket";
    assert_eq!(refusal(&denied, OPEN, &request), Some(Refusal::Denied));
}

#[test]
fn a_known_permit_passes_whatever_the_books_have_become() {
    let sale = sale(&[("\"minIntervalMs\": 0", "\"minIntervalMs\": 9000")]);
    let mut books = books(OPEN, 1, 1);
    let alice = applicant("alice");
    books.granted(hash("alice"), Ruling::Admitted(1), 1, None);
    for _ in 0..3 {
        let pass = Decision::Pass { number: 1, by_pass: false, renewed: None };
        assert_eq!(ask(&sale, &mut books, &alice, OPEN + 9_000), pass);
        books.granted(hash("alice"), Ruling::Known(1), 1, None);
    }
}

#[test]
fn a_pass_lets_its_user_through_without_any_books() {
    let sale = sale(&[("\"pass\": null", "\"pass\": {\"cookie\": \"p\", \"ttlMs\": 100000}")]);
    let mut alice = applicant("alice");
    let pass = pass::mint(&ring(1), &sale.tag, &hash("alice"), OPEN / 1_000 + 90, 1, 7).unwrap();
    alice.cookies = Some(format!("x=y; p={pass}").into_bytes());
    let through = Decision::Pass { number: 7, by_pass: true, renewed: None };
    assert_eq!(ask(&sale, &mut Books::default(), &alice, OPEN), through);

    let mut books = books(OPEN, 9, 1);
    assert_eq!(ask(&sale, &mut books, &alice, OPEN), through);
    let other = Applicant { cookies: alice.cookies.clone(), ..applicant("bob") };
    assert_eq!(
        ask(&sale, &mut books, &other, OPEN),
        ask(&sale, &mut books, &applicant("bob"), OPEN)
    );
}

#[test]
fn who_is_known_gets_a_pass_and_keeps_it_while_it_is_fresh() {
    let sale = sale(&[("\"pass\": null", "\"pass\": {\"cookie\": \"p\", \"ttlMs\": 100000}")]);
    let mut books = books(OPEN, 9, 1);
    let mut alice = applicant("alice");
    books.granted(hash("alice"), Ruling::Admitted(3), 1, None);
    let Decision::Pass { renewed: Some(pass), .. } = ask(&sale, &mut books, &alice, OPEN) else {
        panic!("no pass");
    };
    alice.cookies = Some(format!("p={pass}").into_bytes());
    let kept = Decision::Pass { number: 3, by_pass: false, renewed: None };
    assert_eq!(ask(&sale, &mut books, &alice, OPEN + 49_000), kept);
    assert_ne!(ask(&sale, &mut books, &alice, OPEN + 51_000), kept);
}

#[test]
fn the_throttle_comes_before_sold_out() {
    let sale = sale(&[("\"minIntervalMs\": 0", "\"minIntervalMs\": 9000")]);
    let mut books = books(OPEN, 1, 1);
    let sold_out = Decision::Refuse(Refused::at_all(Refusal::SoldOut));
    assert_eq!(ask(&sale, &mut books, &applicant("bob"), OPEN + 2_000), sold_out);
    let throttled = Decision::Refuse(Refused::until(Refusal::Throttled, 8_000));
    assert_eq!(ask(&sale, &mut books, &applicant("bob"), OPEN + 3_000), throttled);
}

#[test]
fn per_request_every_unknown_user_is_asked_about_with_the_outcome_of_the_draw() {
    let sale = sale(&[("PerUser", "PerRequest")]);
    let mut books = books(OPEN, 5, 1);
    let roll = |books: &mut Books, bits| ruled(&sale, books, &applicant("bob"), OPEN, bits).1;
    assert_eq!(roll(&mut books, 0), Decision::Ask { won: false });
    assert_eq!(roll(&mut books, u64::MAX), Decision::Ask { won: true });
}

/// Somebody whose draws of the first rounds have these outcomes.
fn somebody(sale: &Sale, outcomes: &[bool]) -> Applicant {
    let drawn = |who: &Applicant| {
        let user = ring(1).identity.hash(&who.id);
        (0..).zip(outcomes).all(|(round, won)| {
            draw::blocked(&ring(1).draw, &user, &sale.tag, round, sale.block_ratio) != *won
        })
    };
    (0..10_000).map(|n| applicant(&n.to_string())).find(drawn).unwrap()
}

#[test]
fn per_user_losers_are_refused_here_until_the_next_round() {
    let sale = sale(&[]);
    let loser = somebody(&sale, &[false, true]);
    let mut books = books(110_000, 5, 1);
    let refused = Decision::Refuse(Refused::until(Refusal::Blocked, 50_000));
    assert_eq!(ask(&sale, &mut books, &loser, 110_000), refused);
    assert_eq!(ask(&sale, &mut books, &loser, 160_000), Decision::Ask { won: true });
}

#[test]
fn who_may_have_won_a_moment_ago_elsewhere_is_asked_about() {
    let sale = sale(&[]);
    let loser = somebody(&sale, &[true, false]);
    let twice = somebody(&sale, &[false, false]);
    let mut early = books(159_000, 5, 1);
    assert_eq!(ask(&sale, &mut early, &loser, 160_100), Decision::Ask { won: false });
    assert!(matches!(ask(&sale, &mut early, &twice, 160_100), Decision::Refuse(_)));
    let mut later = books(161_000, 5, 1);
    assert!(matches!(ask(&sale, &mut later, &loser, 161_100), Decision::Refuse(_)));
    let mut unread = Books::default();
    assert_eq!(ask(&sale, &mut unread, &loser, 161_100), Decision::Wait);
}

#[test]
fn no_retry_is_promised_for_a_round_after_the_end() {
    let ends = sale(&[("\"endMs\": null", "\"endMs\": 160000")]);
    assert_eq!(next_round_ms(&ends, 110_000), None);
    let whole = sale(&[("\"redrawMs\": 60000", "\"redrawMs\": 0")]);
    assert_eq!(next_round_ms(&whole, 110_000), None);
}

#[test]
fn while_the_books_cannot_be_written_nobody_new_gets_in_and_no_try_is_counted() {
    let sale = sale(&[("\"minIntervalMs\": 0", "\"minIntervalMs\": 9000"), ("0.4", "0.0")]);
    let mut books = books(OPEN, 5, 1);
    let begun = |status| Begun {
        status,
        time_us: 0,
        run: "r".into(),
        incarnation: 1,
        generation: 1,
        heal_left_ms: 600,
    };
    for (status, retry_ms) in
        [(Status::Healing, 500), (Status::Missing, 1_000), (Status::Closed, 1_000)]
    {
        books.begun(&begun(status), at(OPEN - 100));
        let unavailable = Decision::Refuse(Refused::until(Refusal::Unavailable, retry_ms));
        assert_eq!(ask(&sale, &mut books, &applicant("bob"), OPEN), unavailable);
    }
    books.begun(&begun(Status::Healing), at(OPEN - 600));
    assert_eq!(ask(&sale, &mut books, &applicant("bob"), OPEN), Decision::Ask { won: true });
}

proptest! {
    #[test]
    fn retrying_within_a_round_never_helps(name in "[a-z]{1,8}", moments in prop::collection::vec(0u64..60_000, 2..20)) {
        let sale = sale(&[]);
        let mut books = books(101_000, 5, 1);
        let first = matches!(ask(&sale, &mut books, &applicant(&name), 100_000), Decision::Ask { won: true });
        for moment in moments {
            let again = matches!(ask(&sale, &mut books, &applicant(&name), 100_000 + moment), Decision::Ask { won: true });
            prop_assert_eq!(first, again);
        }
    }

    #[test]
    fn any_headers_are_looked_at_without_harm(header in "\\PC*", cookie in "\\PC*", now_ms: u64) {
        let sale = sale(&[("\"pass\": null", "\"pass\": {\"cookie\": \"p\", \"ttlMs\": 100000}")]);
        let request = Asked::with(&[("authorization", &header), ("cookie", &cookie)]);
        if let Ok(applicant) = examine(&sale, false, now_ms, &request) {
            let _ = ask(&sale, &mut Books::default(), &applicant, now_ms);
        }
    }
}
