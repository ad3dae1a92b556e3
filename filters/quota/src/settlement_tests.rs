use super::*;
use crate::sample::{at, meter, watching};
use link::{Refusal, ReplyError, Value};

fn reading(slot: u64, wait_ms: u64) -> Reading {
    Reading { remaining: 1, reset_ms: 1_000, wait_ms, slot }
}

fn settlement(until_ms: u64) -> Settlement<u64> {
    let held = [meter("a", 0, 5)];
    Settlement::release(until_ms, &held, &[reading(until_ms, 0)], at(0, 0)).unwrap()
}

fn owners(settlements: &[Settlement<u64>]) -> Vec<u64> {
    settlements.iter().map(|settlement| settlement.owner).collect()
}

#[test]
fn the_reservation_goes_back_and_what_was_used_is_charged() {
    let meters = [meter("a", 0, 500), meter("b", 1, 0), meter("c", 0, 0)];
    let readings = [reading(9_000, 0), reading(0, 0), reading(0, 0)];
    let cost = |meter: &Meter| (&*meter.counter != "b").then_some(700);
    let settled = Settlement::settle((), &meters, &readings, at(0, 100), cost).unwrap();
    let dues: Vec<_> =
        settled.dues.iter().map(|due| (&*due.counter, due.slot, due.held, due.charge)).collect();
    assert_eq!(dues, [("a", 9_000, 500, 700), ("c", 0, 0, 700)]);
    assert_eq!((settled.until_ms, settled.released), (9_000, false));
}

#[test]
fn a_request_that_came_to_nothing_only_gives_back() {
    let meters = [meter("a", 0, 500), meter("b", 1, 0)];
    let readings = [reading(9_000, 0), reading(0, 0)];
    let released = Settlement::release((), &meters, &readings, at(0, 100)).unwrap();
    assert_eq!(released.dues.len(), 1);
    assert_eq!((released.dues[0].held, released.dues[0].charge), (500, 0));
    assert!(Settlement::release((), &meters[1..], &readings[1..], at(0, 100)).is_none());
}

#[test]
fn without_a_reservation_there_is_a_minute_to_charge() {
    let meters = [meter("a", 0, 500)];
    let settled =
        Settlement::settle((), &meters, &[Reading::default()], at(0, 100), |_| Some(7)).unwrap();
    assert_eq!((settled.dues[0].held, settled.dues[0].slot, settled.until_ms), (0, 0, 60_100));
    let nothing = Settlement::settle((), &meters, &[Reading::default()], at(0, 100), |_| Some(0));
    assert!(nothing.is_none());
}

#[test]
fn what_only_watched_and_would_have_refused_is_left_alone() {
    let settled =
        Settlement::settle((), &[watching("a")], &[reading(0, 40)], at(0, 0), |_| Some(7));
    assert!(settled.is_none());
}

#[test]
fn those_whose_reservation_has_expired_are_lost() {
    let mut all = Settlements::default();
    for until_ms in [500, 100, 300] {
        assert!(all.push(settlement(until_ms)).is_none());
    }
    assert_eq!(owners(&all.expire(at(5_000_000, 300))), [100, 300]);
    assert!(all.expire(at(5_999_999, 500)).is_empty());
    assert_eq!(owners(&all.expire(at(6_000_000, 500))), [500]);
    assert!(all.is_empty());
}

#[test]
fn too_many_push_the_oldest_out() {
    let mut all = Settlements::default();
    for n in 1..=MAX_SETTLEMENTS as u64 {
        assert!(all.push(settlement(n)).is_none());
    }
    assert_eq!(all.push(settlement(7)).map(|lost| lost.owner), Some(1));
    let leaving = all.depart(1_000, at(0, 0));
    for n in 1..=10 {
        let _ = all.push(settlement(n));
    }
    let lost = all.again(leaving, at(0, 0));
    assert_eq!((all.len(), lost.len()), (MAX_SETTLEMENTS, 10));
}

#[test]
fn they_leave_in_order_and_after_a_failure_not_at_once() {
    let mut all = Settlements::default();
    for n in 1..=100 {
        assert!(all.push(settlement(n)).is_none());
    }
    assert_eq!(owners(&all.depart(2, at(0, 0))), [1, 2]);
    let leaving = all.depart(1_000, at(0, 0));
    assert_eq!(owners(&leaving), (3..3 + PER_RUN as u64).collect::<Vec<_>>());
    assert!(all.again(leaving, at(0, 0)).is_empty());
    assert!(!all.is_due(999_999));
    assert!(all.depart(1_000, at(999_999, 0)).is_empty());
    assert!(all.is_due(1_000_000));
    assert_eq!(owners(&all.depart(1, at(1_000_000, 0))), [3]);
}

#[test]
fn only_what_was_certainly_not_made_is_tried_again() {
    let error = |text: &str| Outcome::Reply(Value::Error(ReplyError::parse(text.as_bytes())));
    let unmade = [
        Outcome::TimedOut { sent: false },
        Outcome::Lost { sent: false },
        Outcome::Refused(Refusal::BreakerOpen),
        error("READONLY You can't write against a read only replica."),
        error("OOM command not allowed"),
        error("LOADING Redis is loading the dataset in memory"),
    ];
    for outcome in unmade {
        assert_eq!(Fate::of(&outcome), Fate::Unmade, "{outcome:?}");
    }
    let unknown = [
        Outcome::TimedOut { sent: true },
        Outcome::Lost { sent: true },
        error("upstream failure"),
        error("ERR user_script:7: quota: there is no item"),
        Outcome::Reply(Value::Nil),
    ];
    for outcome in unknown {
        assert_eq!(Fate::of(&outcome), Fate::Unknown, "{outcome:?}");
    }
}
