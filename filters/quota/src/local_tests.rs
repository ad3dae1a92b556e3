use super::*;
use crate::meter::Span;
use crate::sample::{at, counting, meter, spec};
use proptest::prelude::*;
use std::rc::Rc;

fn limited(meters: &[Meter], workers: u64, now: Now, local: &mut Local) -> Option<(usize, u64)> {
    local.take(meters.iter(), workers, now).err().map(|(place, said)| (place, said.wait_ms))
}

#[test]
fn each_worker_lets_its_share_through() {
    let mut local = Local::new([1; 16]);
    let meters = [counting("a", Spec { amount: 10, ..spec() }, 1, 0)];
    for _ in 0..2 {
        assert_eq!(limited(&meters, 4, at(0, 59_000), &mut local), None);
    }
    assert_eq!(limited(&meters, 4, at(0, 59_000), &mut local), Some((0, 1_000)));
    // Another window.
    assert_eq!(limited(&meters, 4, at(1_000_000, 60_000), &mut local), None);
}

#[test]
fn a_share_is_at_least_one_unit_unless_nothing_is_let_through() {
    let mut local = Local::new([1; 16]);
    let one = [counting("a", Spec { amount: 3, ..spec() }, 1, 0)];
    assert_eq!(limited(&one, 16, at(0, 0), &mut local), None);
    assert_eq!(limited(&one, 16, at(0, 0), &mut local), Some((0, 60_000)));
    let none = [counting("b", Spec { amount: 0, ..spec() }, 1, 0)];
    assert_eq!(limited(&none, 16, at(0, 0), &mut local), Some((0, 60_000)));
    let drained = Spec { kind: Kind::Bucket, amount: 0, burst: 0, ..spec() };
    assert!(limited(&[counting("c", drained, 1, 0)], 16, at(0, 0), &mut local).is_some());
}

#[test]
fn what_is_larger_than_the_share_takes_it_whole() {
    let mut local = Local::new([1; 16]);
    let large = [counting("a", Spec { ttl_ms: 9, ..spec() }, 0, 80)];
    assert_eq!(limited(&large, 4, at(0, 0), &mut local), None);
    assert_eq!(limited(&[meter("a", 1, 0)], 4, at(0, 0), &mut local), Some((0, 60_000)));
    // What no window would ever let through stays out.
    assert!(limited(&[meter("b", 101, 0)], 1, at(0, 0), &mut local).is_some());
}

#[test]
fn all_are_charged_or_none() {
    let mut local = Local::new([1; 16]);
    let narrow = counting("a", Spec { amount: 1, ..spec() }, 1, 0);
    let wide = counting("b", Spec { amount: 2, ..spec() }, 1, 0);
    assert_eq!(limited(&[wide.clone(), narrow.clone()], 1, at(0, 0), &mut local), None);
    for _ in 0..5 {
        let both = [wide.clone(), narrow.clone()];
        assert_eq!(limited(&both, 1, at(0, 0), &mut local), Some((1, 60_000)));
    }
    assert_eq!(limited(core::slice::from_ref(&wide), 1, at(0, 0), &mut local), None);
    assert_eq!(limited(&[wide], 1, at(0, 0), &mut local), Some((0, 60_000)));
}

#[test]
fn a_bucket_drains_all_the_time() {
    let mut local = Local::new([1; 16]);
    let rule = Spec { kind: Kind::Bucket, amount: 240, burst: 8, ..spec() };
    let meters = [counting("a", rule, 1, 0)];
    // A quarter of it: one a second, and two at once.
    assert_eq!(limited(&meters, 4, at(0, 0), &mut local), None);
    assert_eq!(limited(&meters, 4, at(0, 0), &mut local), None);
    assert_eq!(limited(&meters, 4, at(250_000, 0), &mut local), Some((0, 750)));
    assert_eq!(limited(&meters, 4, at(1_000_000, 0), &mut local), None);
    assert_eq!(limited(&meters, 4, at(1_000_000, 0), &mut local), Some((0, 1_000)));
    for _ in 0..2 {
        assert_eq!(limited(&meters, 4, at(900_000_000, 0), &mut local), None);
    }
    assert!(limited(&meters, 4, at(900_000_000, 0), &mut local).is_some());
}

#[test]
fn a_calendar_goes_by_its_borders() {
    let mut local = Local::new([1; 16]);
    let span = Span::Borders(Rc::from([1_000, 3_000, 8_000]));
    let rule = Spec { kind: Kind::Calendar, amount: 1, span, ..spec() };
    let meters = [counting("a", rule, 1, 0)];
    assert_eq!(limited(&meters, 1, at(0, 2_900), &mut local), None);
    assert_eq!(limited(&meters, 1, at(10_000, 2_910), &mut local), Some((0, 90)));
    assert_eq!(limited(&meters, 1, at(100_000, 3_000), &mut local), None);
    assert_eq!(limited(&meters, 1, at(100_000, 3_000), &mut local), Some((0, 5_000)));
}

#[test]
fn the_table_is_bounded() {
    let mut local = Local::new([1; 16]);
    for n in 0..3 * MAX_COUNTERS {
        let _ = limited(&[meter(&n.to_string(), 1, 0)], 1, at(0, 0), &mut local);
        assert!(local.counters.len() <= MAX_COUNTERS);
    }
}

proptest! {
    #[test]
    fn never_more_than_the_share_in_a_window(
        steps in prop::collection::vec((0u64..20, 0u64..20_000, 0u8..3), 1..120),
        amount in 0u64..60, workers in 1u64..8,
    ) {
        let mut local = Local::new([1; 16]);
        let share = (amount / workers).max(amount.min(1));
        let mut used: std::collections::HashMap<(u8, u64), u64> = std::collections::HashMap::new();
        let mut now_ms = 0;
        for (charge, later_ms, counter) in steps {
            now_ms += later_ms;
            let rule = Spec { amount, ..spec() };
            let meters = [counting(&counter.to_string(), rule, charge, 0)];
            let passed = limited(&meters, workers, at(now_ms * 1_000, now_ms), &mut local);
            let window = used.entry((counter, now_ms / 60_000)).or_default();
            if passed.is_none() {
                *window += charge.max(1).min(share);
            }
            prop_assert!(*window <= share);
        }
    }
}
