use super::*;
use crate::config::tests::sale;
use crate::keyring::tests::ring;
use crate::replies::Begun;

fn guest(request: u32, sale: &Rc<Sale>, deadline_us: u64) -> Guest {
    let visitor = Visitor { user: [request as u8; 16], name: None };
    Guest { request, sale: Rc::clone(sale), visitor, won: true, deadline_us }
}

fn gathered(sale: &Rc<Sale>, requests: std::ops::Range<u32>) -> Admissions {
    let mut all = Admissions::default();
    for request in requests {
        all.push(guest(request, sale, 1_000)).unwrap();
    }
    all
}

fn books() -> Books {
    let mut books = Books::default();
    let begun = Begun {
        status: Status::Open,
        time_us: 0,
        run: "r".into(),
        incarnation: 1,
        generation: 1,
        heal_left_ms: 0,
    };
    books.begun(&begun, Now::default());
    books
}

fn reply(status: Status, rulings: &[Ruling]) -> Admitted {
    Admitted {
        status,
        detail_ms: 700,
        generation: 1,
        limit: 9,
        count: 1,
        rulings: rulings.to_vec(),
    }
}

fn land(all: &mut Admissions, word: &Word<'_>, books: &mut Books) -> Vec<(u32, Verdict)> {
    let flight = all.flights[0].number;
    let now = Now { us: 500, redis_ms: 110_000 };
    let mut told = all.land(flight, word, books, Some(&ring(1)), now);
    told.sort_by_key(|(request, _)| *request);
    told
}

fn outcomes(told: &[(u32, Verdict)]) -> Vec<(u32, Outcome)> {
    let outcome = |verdict: &Verdict| match verdict {
        Verdict::Pass { outcome, .. } => *outcome,
        Verdict::Refuse { refused, .. } => Outcome::Refused(refused.why),
    };
    told.iter().map(|(request, verdict)| (*request, outcome(verdict))).collect()
}

#[test]
fn users_leave_in_order_as_one_question_for_each_sale() {
    let one = sale(&[]);
    let other = sale(&[("shop/laptop/1", "shop/laptop/2")]);
    let mut all = Admissions::default();
    for request in 0..5 {
        all.push(guest(request, if request == 1 { &other } else { &one }, 1_000)).unwrap();
    }
    let batches = all.compose(4);
    let sizes: Vec<_> = batches.iter().map(|b| (b.sale.tag.to_string(), b.users.len())).collect();
    assert_eq!(sizes, [("shop/laptop/1".to_owned(), 3), ("shop/laptop/2".to_owned(), 1)]);
    assert_ne!(batches[0].flight, batches[1].flight);
    assert_eq!(&*batches[0].users[1].1, "02".repeat(16));
    assert!(!all.is_empty());
    assert!(all.compose(0).is_empty());
}

#[test]
fn each_user_hears_the_own_ruling() {
    let sale = sale(&[]);
    let mut all = gathered(&sale, 0..5);
    all.compose(64);
    let rulings = [
        Ruling::Admitted(1),
        Ruling::Known(2),
        Ruling::SoldOut,
        Ruling::Blocked,
        Ruling::Throttled(2_000),
    ];
    let mut books = books();
    let reply = reply(Status::Open, &rulings);
    let told = land(&mut all, &Word::Reply { reply: &reply, safe: true }, &mut books);
    let expected = [
        Outcome::Admitted,
        Outcome::Known,
        Outcome::Refused(Refusal::SoldOut),
        Outcome::Refused(Refusal::Blocked),
        Outcome::Refused(Refusal::Throttled),
    ];
    assert_eq!(outcomes(&told), (0..).zip(expected).collect::<Vec<_>>());
    let Verdict::Refuse { refused, .. } = &told[3].1 else { panic!() };
    assert_eq!(refused.retry_ms, Some(50_000));
    assert_eq!(books.permits.len(), 2);
    assert!(all.is_idle());
}

#[test]
fn an_admitted_user_gets_a_pass() {
    let sale = sale(&[("\"pass\": null", "\"pass\": {\"cookie\": \"p\", \"ttlMs\": 100000}")]);
    let mut all = gathered(&sale, 0..1);
    all.compose(64);
    let reply = reply(Status::Open, &[Ruling::Admitted(1)]);
    let told = land(&mut all, &Word::Reply { reply: &reply, safe: true }, &mut books());
    let Verdict::Pass { cookie: Some(pass), .. } = &told[0].1 else { panic!("{told:?}") };
    assert!(pass.starts_with("1.1.210.1.1."), "{pass}");
}

#[test]
fn what_is_not_safe_is_not_told_and_not_learned() {
    let sale = sale(&[]);
    let mut all = gathered(&sale, 0..2);
    all.compose(64);
    let reply = reply(Status::Open, &[Ruling::Admitted(1), Ruling::SoldOut]);
    let mut books = books();
    let told = land(&mut all, &Word::Reply { reply: &reply, safe: false }, &mut books);
    let expected =
        [(0, Outcome::Refused(Refusal::Unavailable)), (1, Outcome::Refused(Refusal::SoldOut))];
    assert_eq!(outcomes(&told), expected);
    assert!(books.permits.is_empty());
}

#[test]
fn without_a_reply_the_policy_of_the_sale_decides() {
    for (policy, expected) in
        [("\"Deny\"", Outcome::Refused(Refusal::Unavailable)), ("\"Allow\"", Outcome::FailedOpen)]
    {
        let sale =
            sale(&[("\"onRedisFailure\": \"Deny\"", &format!("\"onRedisFailure\": {policy}"))]);
        let mut all = gathered(&sale, 0..1);
        all.compose(64);
        assert_eq!(outcomes(&land(&mut all, &Word::Nothing, &mut books())), [(0, expected)]);
        let mut all = gathered(&sale, 0..1);
        assert_eq!(outcomes(&all.expire(2_000, false)), [(0, expected)]);
        let mut all = gathered(&sale, 0..1);
        assert_eq!(outcomes(&all.expire(0, true)), [(0, expected)]);
        let mut all = gathered(&sale, 0..1);
        all.compose(64);
        let healing = reply(Status::Healing, &[]);
        let told = land(&mut all, &Word::Reply { reply: &healing, safe: true }, &mut books());
        assert_eq!(outcomes(&told), [(0, expected)]);
    }
}

#[test]
fn healing_books_tell_when_to_come_back() {
    let mut all = gathered(&sale(&[]), 0..1);
    all.compose(64);
    let healing = reply(Status::Healing, &[]);
    let told = land(&mut all, &Word::Reply { reply: &healing, safe: true }, &mut books());
    let Verdict::Refuse { refused, .. } = &told[0].1 else { panic!() };
    assert_eq!(*refused, Refused::unavailable(Some(700)));
}

#[test]
fn a_late_reply_is_told_to_nobody_and_learned() {
    let sale = sale(&[]);
    let mut all = gathered(&sale, 0..2);
    all.compose(64);
    assert_eq!(all.expire(1_000, false).len(), 2);
    assert!(all.expire(1_000, false).is_empty());
    assert!(!all.is_idle());
    let mut books = books();
    let reply = reply(Status::Open, &[Ruling::Admitted(1), Ruling::Admitted(2)]);
    assert!(land(&mut all, &Word::Reply { reply: &reply, safe: true }, &mut books).is_empty());
    assert_eq!(books.permits.len(), 2);
}

#[test]
fn who_was_asked_about_in_other_books_is_asked_about_again_in_time() {
    let sale = sale(&[]);
    let mut all = Admissions::default();
    for (request, deadline_us) in [(0, 1_000), (1, 400), (2, 1_000)] {
        all.push(guest(request, &sale, deadline_us)).unwrap();
    }
    all.compose(64);
    all.push(guest(3, &sale, 1_000)).unwrap();
    let stale = reply(Status::Stale, &[]);
    let told = land(&mut all, &Word::Reply { reply: &stale, safe: true }, &mut books());
    assert_eq!(outcomes(&told), [(1, Outcome::Refused(Refusal::Unavailable))]);
    let again: Vec<_> = all.waiting.iter().map(|guest| guest.request).collect();
    assert_eq!(again, [0, 2, 3]);
}

#[test]
fn a_try_that_came_to_nothing_is_not_counted_and_a_throttled_one_is_counted_as_redis_says() {
    let sale = sale(&[("\"minIntervalMs\": 0", "\"minIntervalMs\": 9000")]);
    let mut all = gathered(&sale, 0..1);
    all.compose(64);
    let mut books = books();
    books.throttle.pass(&[0; 16], 110_000, 9_000).unwrap();
    land(&mut all, &Word::Nothing, &mut books);
    assert_eq!(books.throttle.pass(&[0; 16], 110_000, 9_000), Ok(()));
    let mut all = gathered(&sale, 0..1);
    all.compose(64);
    let reply = reply(Status::Open, &[Ruling::Throttled(2_000)]);
    land(&mut all, &Word::Reply { reply: &reply, safe: true }, &mut books);
    assert_eq!(books.throttle.pass(&[0; 16], 111_000, 9_000), Err(1_000));
}

#[test]
fn a_reply_that_is_too_short_counts_as_none() {
    let mut all = gathered(&sale(&[]), 0..2);
    all.compose(64);
    let reply = reply(Status::Open, &[Ruling::SoldOut]);
    let told = land(&mut all, &Word::Reply { reply: &reply, safe: true }, &mut books());
    assert_eq!(outcomes(&told)[1].1, Outcome::Refused(Refusal::Unavailable));
}

#[test]
fn the_queue_has_an_end() {
    let sale = sale(&[]);
    let mut all = gathered(&sale, 0..MAX_WAITING as u32);
    assert_eq!(all.push(guest(77, &sale, 1_000)).unwrap_err().request, 77);
}
