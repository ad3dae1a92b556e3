use super::*;
use crate::meter::Spec;
use crate::sample::{at, counting, meter, spec, watching};

/// The mode is the first letter of the counter.
fn mode(meter: &Meter) -> OnRedisFailure {
    match meter.counter.as_bytes()[0] {
        b'd' => OnRedisFailure::Deny,
        b'l' => OnRedisFailure::Local,
        _ => OnRedisFailure::Allow,
    }
}

fn decide(meters: &[Meter], local: &mut Local) -> (Answer, Vec<Option<&'static str>>) {
    let answer = Answer::without_redis(meters, mode, local, 1, at(0, 0));
    let event = |(place, meter): (usize, &Meter)| {
        answer.event(place, meter, mode(meter), Reason::Timeout).map(Event::name)
    };
    (answer, meters.iter().enumerate().map(event).collect())
}

#[test]
fn any_limit_that_denies_refuses() {
    let meters = [meter("a", 1, 0), meter("d", 1, 0), meter("l", 1, 0)];
    let (answer, counted) = decide(&meters, &mut Local::new([1; 16]));
    assert_eq!(answer, Answer::Unavailable { meter: 1 });
    assert_eq!(counted, [None, Some("unavailable"), None]);
}

#[test]
fn limits_with_a_share_decide_and_the_others_are_passed() {
    let mut local = Local::new([1; 16]);
    let share = counting("l", Spec { amount: 1, ..spec() }, 1, 0);
    let meters = [meter("a", 1, 0), meter("l2", 1, 0), share];
    let (answer, counted) = decide(&meters, &mut local);
    assert_eq!(answer, Answer::Pass);
    let passed = [Some("failed_open_timeout"), Some("local_allowed"), Some("local_allowed")];
    assert_eq!(counted, passed);
    let (answer, counted) = decide(&meters, &mut local);
    let Answer::Limited { meter, reading } = answer else { panic!("{answer:?}") };
    assert_eq!((meter, reading.wait_ms), (2, 60_000));
    assert_eq!(counted, [None, None, Some("local_limited")]);
}

#[test]
fn a_limit_that_only_watches_has_no_say() {
    let meters = [watching("d"), watching("l")];
    let (answer, counted) = decide(&meters, &mut Local::new([1; 16]));
    assert_eq!((answer, counted), (Answer::Pass, vec![None, None]));
}

#[test]
fn every_reason_has_a_name() {
    let reasons = [Reason::Timeout, Reason::Away, Reason::Error, Reason::Full];
    let names = reasons.map(|reason| Event::FailedOpen(reason).name());
    let expected =
        ["failed_open_timeout", "failed_open_away", "failed_open_error", "failed_open_full"];
    assert_eq!(names, expected);
}
