use super::*;
use crate::meter::Reading;
use crate::sample::{at, meter};
use link::{Refusal, ReplyError, Script, Value};
use proptest::prelude::*;
use std::collections::HashMap;

const WAIT_US: u64 = 100;

fn guest(request: u32, hold: u64, deadline_us: u64) -> Guest<u32> {
    let meters = vec![meter(&format!("k{}", request % 3), 1, hold)];
    Guest { request, owner: request, meters, deadline_us }
}

fn gathered(requests: std::ops::Range<u32>, hold: u64) -> Waiting<u32> {
    let mut all = Waiting::new([1; 16]);
    for request in requests {
        all.push(guest(request, hold, 1_000)).unwrap();
    }
    all
}

fn compose(
    all: &mut Waiting<u32>,
    settlements: &mut Settlements<u32>,
    room: usize,
    now_us: u64,
) -> Option<Departure> {
    let script = Script::new("return {}");
    all.compose(room, settlements, at(now_us, 0), WAIT_US, |keys| Command::script(&script, keys))
}

/// What Redis says to a run: settlements first, then requests, of which those in `refused` are.
fn reply(all: &Waiting<u32>, flight: u64, refused: &[u32]) -> Outcome {
    let flight = all.flights.iter().find(|known| known.number == flight).unwrap();
    let mut numbers = vec![5_000_000];
    for settlement in &flight.settlements {
        numbers.push(1);
        numbers.extend(settlement.dues.iter().map(|_| 3));
    }
    for (_, guest) in &flight.seats {
        let allowed = !refused.contains(&guest.request);
        numbers.push(i64::from(allowed));
        for meter in &guest.meters {
            numbers.extend([4, 700]);
            numbers.extend((!allowed).then_some(700));
            numbers.extend((meter.hold > 0).then_some(if allowed { 9_000 } else { 0 }));
        }
    }
    Outcome::Reply(Value::Array(numbers.into_iter().map(Value::Int).collect()))
}

fn requests(told: &[Told<u32>]) -> Vec<(u32, &'static str)> {
    let short = |verdict: &Verdict| match verdict {
        Verdict::Ruled(Ruling { allowed: true, .. }) => "allowed",
        Verdict::Ruled(_) => "refused",
        Verdict::Unasked(Reason::Timeout) => "timeout",
        Verdict::Unasked(Reason::Away) => "away",
        Verdict::Unasked(Reason::Error) => "error",
        Verdict::Unasked(Reason::Full) => "full",
    };
    told.iter().map(|told| (told.guest.request, short(&told.verdict))).collect()
}

#[test]
fn requests_leave_together_as_many_as_there_is_room() {
    let (mut all, mut settlements) = (gathered(0..5, 0), Settlements::default());
    assert!(compose(&mut all, &mut settlements, 0, 0).is_none());
    let first = compose(&mut all, &mut settlements, 3, 0).unwrap();
    assert!(format!("{:?}", first.command).contains("weight: 3"));
    assert_eq!(first.deadline_us, 1_000);
    let landing =
        all.land(first.flight, &reply(&all, first.flight, &[1]), &mut settlements, at(7, 0));
    assert_eq!(requests(&landing.told), [(0, "allowed"), (1, "refused"), (2, "allowed")]);
    assert_eq!(landing.clock_us, Some((0, 5_000_000)));
    assert!(landing.trouble.is_none() && settlements.is_empty());
    let second = compose(&mut all, &mut settlements, 64, 8).unwrap();
    assert_ne!(first.flight, second.flight);
    assert!(all.is_empty() && !all.is_idle());
    let landing =
        all.land(second.flight, &reply(&all, second.flight, &[]), &mut settlements, at(9, 0));
    assert_eq!(requests(&landing.told), [(3, "allowed"), (4, "allowed")]);
    assert!(all.is_idle());
    assert!(compose(&mut all, &mut settlements, 64, 10).is_none());
}

#[test]
fn a_run_has_so_many_meters_but_one_request_always_leaves() {
    let mut all = Waiting::new([1; 16]);
    let many = |request, count: usize| Guest {
        meters: (0..count).map(|n| meter(&n.to_string(), 1, 0)).collect(),
        ..guest(request, 0, 1_000)
    };
    for (request, count) in [(0, MAX_METERS - 1), (1, 2), (2, MAX_METERS + 5), (3, 1)] {
        all.push(many(request, count)).unwrap();
    }
    let mut settlements = Settlements::default();
    let sizes: Vec<usize> = std::iter::from_fn(|| {
        let departure = compose(&mut all, &mut settlements, 64, 0)?;
        Some(all.flights.iter().find(|f| f.number == departure.flight).unwrap().seats.len())
    })
    .collect();
    assert_eq!(sizes, [1, 1, 1, 1]);
}

#[test]
fn without_a_reply_everybody_hears_why() {
    let outcomes = [
        (Outcome::TimedOut { sent: true }, "timeout"),
        (Outcome::Lost { sent: true }, "away"),
        (Outcome::Refused(Refusal::BreakerOpen), "away"),
        (Outcome::Refused(Refusal::AuthFailed), "error"),
        (Outcome::Refused(Refusal::QueueFull), "full"),
        (Outcome::Reply(Value::Nil), "error"),
        (Outcome::Reply(Value::Error(ReplyError::parse(b"OOM no"))), "error"),
    ];
    for (outcome, said) in outcomes {
        let (mut all, mut settlements) = (gathered(0..2, 5), Settlements::default());
        let flight = compose(&mut all, &mut settlements, 64, 0).unwrap().flight;
        let landing = all.land(flight, &outcome, &mut settlements, at(9, 0));
        assert_eq!(requests(&landing.told), [(0, said), (1, said)]);
        assert_eq!(landing.trouble.is_some(), matches!(outcome, Outcome::Reply(_)));
        assert!(all.land(flight, &outcome, &mut settlements, at(9, 0)).told.is_empty());
        assert!(settlements.is_empty());
    }
}

#[test]
fn who_was_told_before_the_reply_gets_the_reservation_back() {
    let (mut all, mut settlements) = (gathered(0..3, 5), Settlements::default());
    let flight = compose(&mut all, &mut settlements, 2, 0).unwrap().flight;
    assert_eq!(all.expire(999, false).len(), 0);
    let told = all.expire(1_000, false);
    let mut said = requests(&told);
    said.sort_unstable();
    assert_eq!(said, [(0, "timeout"), (1, "timeout"), (2, "timeout")]);
    assert!(all.expire(1_001, false).is_empty());
    let late = reply(&all, flight, &[1]);
    let landing = all.land(flight, &late, &mut settlements, at(1_002, 0));
    assert!(landing.told.is_empty());
    assert_eq!(settlements.len(), 1);
    let departure = compose(&mut all, &mut settlements, 64, 1_003).unwrap();
    assert_eq!(departure.deadline_us, 1_003 + WAIT_US);
    let released = &all.flights[0].settlements[0];
    assert_eq!((released.owner, released.dues[0].held, released.dues[0].charge), (0, 5, 0));
    let landing =
        all.land(departure.flight, &reply(&all, departure.flight, &[]), &mut settlements, at(9, 0));
    assert_eq!(landing.settled.len(), 1);
}

#[test]
fn while_redis_is_away_nobody_waits_to_be_asked_about() {
    let mut all = gathered(0..3, 0);
    compose(&mut all, &mut Settlements::default(), 1, 0).unwrap();
    assert_eq!(requests(&all.expire(5, true)), [(1, "away"), (2, "away")]);
    assert!(!all.is_idle());
}

#[test]
fn settlements_that_did_not_leave_wait_again_and_others_are_lost() {
    let waits = || {
        let mut settlements = Settlements::default();
        let readings = [Reading { slot: 9_000, ..Reading::default() }];
        let release = Settlement::release(7, &[meter("a", 1, 5)], &readings, at(0, 0)).unwrap();
        assert!(settlements.push(release).is_none());
        settlements
    };
    for (outcome, lost) in [(Outcome::Lost { sent: false }, 0), (Outcome::Lost { sent: true }, 1)] {
        let (mut all, mut settlements) = (gathered(0..1, 0), waits());
        let flight = compose(&mut all, &mut settlements, 64, 0).unwrap().flight;
        assert!(settlements.is_empty());
        let landing = all.land(flight, &outcome, &mut settlements, at(9, 0));
        assert_eq!((landing.lost.len(), settlements.len()), (lost, 1 - lost));
    }
}

#[test]
fn the_clock_of_redis_is_trusted_for_a_minute() {
    let (mut all, mut settlements) = (gathered(0..1, 0), Settlements::default());
    assert_eq!(all.redis_ms(0), None);
    let flight = compose(&mut all, &mut settlements, 64, 0).unwrap().flight;
    let heard = reply(&all, flight, &[]);
    all.land(flight, &heard, &mut settlements, at(1_000, 0));
    assert_eq!(all.redis_ms(3_000), Some(5_002));
    assert_eq!(all.redis_ms(1_000 + TRUST_US), Some(65_000));
    assert_eq!(all.redis_ms(1_001 + TRUST_US), None);
}

#[test]
fn the_queue_is_bounded_and_deadlines_can_be_set_late() {
    let mut all = gathered(0..MAX_WAITING as u32, 0);
    assert_eq!(all.push(guest(77, 0, 1_000)).unwrap_err().request, 77);
    all.set_deadline(0, 5);
    all.set_deadline(MAX_WAITING as u32 - 1, 2_000);
    assert!(all.expire(5, false).is_empty());
    assert_eq!(all.expire(1_000, false).len(), MAX_WAITING - 1);
    assert_eq!(requests(&all.expire(2_000, false)), [(MAX_WAITING as u32 - 1, "timeout")]);
}

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Step {
    Come { hold: u64, patience_us: u64 },
    Compose { room: usize },
    Land { which: usize, how: u8 },
    Expire { away: bool },
    Pass { us: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..3, 0u64..300).prop_map(|(hold, patience_us)| Step::Come { hold, patience_us }),
        2 => (0usize..5).prop_map(|room| Step::Compose { room }),
        2 => (0usize..4, 0u8..6).prop_map(|(which, how)| Step::Land { which, how }),
        1 => any::<bool>().prop_map(|away| Step::Expire { away }),
        1 => (0u64..200).prop_map(|us| Step::Pass { us }),
    ]
}

proptest! {
    #[test]
    fn each_request_gets_one_answer_and_each_reservation_one_end(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut all: Waiting<u32> = Waiting::new([1; 16]);
        let mut settlements = Settlements::default();
        let (mut came, mut now_us, mut flying) = (0u32, 0u64, Vec::new());
        let mut answers: HashMap<u32, u32> = HashMap::new();
        // Reservations that Redis made, and what became of them.
        let (mut made, mut kept, mut released) = (0usize, 0usize, 0usize);
        let last = [
            Step::Compose { room: 200 },
            Step::Land { which: 0, how: 0 },
            Step::Pass { us: 1_000 },
            Step::Expire { away: true },
        ];
        let landings = std::iter::repeat_n(Step::Land { which: 0, how: 0 }, 200);
        let finish = [Step::Pass { us: 2_000_000 }, Step::Compose { room: 1 }];
        let finish = std::iter::repeat_n(finish, 4).flatten();
        let landed_at_last = landings.clone();
        let all_steps =
            steps.into_iter().chain(last).chain(landings).chain(finish).chain(landed_at_last);
        for step in all_steps {
            let told = match step {
                Step::Come { hold, patience_us } => {
                    all.push(guest(came, hold, now_us + patience_us)).unwrap();
                    came += 1;
                    Vec::new()
                }
                Step::Compose { room } => {
                    let departure = compose(&mut all, &mut settlements, room, now_us);
                    flying.extend(departure.map(|departure| departure.flight));
                    Vec::new()
                }
                Step::Land { which, how } => {
                    if flying.is_empty() {
                        continue;
                    }
                    let flight: u64 = flying.swap_remove(which % flying.len());
                    let outcome = match how {
                        0..3 => reply(&all, flight, &[came / 2]),
                        3 => Outcome::Lost { sent: false },
                        4 => Outcome::Refused(Refusal::BreakerOpen),
                        _ => Outcome::Reply(Value::Nil),
                    };
                    if how < 3 {
                        let known = all.flights.iter().find(|f| f.number == flight).unwrap();
                        made += known.seats.iter().filter(|(_, guest)| {
                            guest.request != came / 2 && guest.meters[0].hold > 0
                        }).count();
                    }
                    let landing = all.land(flight, &outcome, &mut settlements, at(now_us, 0));
                    prop_assert_eq!(landing.trouble.is_some(), how == 5);
                    released += landing.settled.len() + landing.lost.len();
                    kept += landing.told.iter().filter(|told| matches!(
                        &told.verdict,
                        Verdict::Ruled(ruling) if ruling.readings[0].slot > 0
                    )).count();
                    landing.told
                }
                Step::Expire { away } => all.expire(now_us, away),
                Step::Pass { us } => {
                    now_us += us;
                    Vec::new()
                }
            };
            for told in told {
                let due = told.guest.deadline_us <= now_us;
                prop_assert!(due || told.verdict != Verdict::Unasked(Reason::Timeout));
                *answers.entry(told.guest.request).or_default() += 1;
            }
        }
        prop_assert!(all.is_idle() && settlements.is_empty());
        prop_assert_eq!(answers.len(), came as usize);
        prop_assert!(answers.values().all(|count| *count == 1), "{:?}", answers);
        prop_assert_eq!(made, kept + released);
    }
}
