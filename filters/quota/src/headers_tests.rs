use super::*;
use crate::sample::{counting, meter, spec, watching};
use proptest::prelude::*;

/// One item of a list of strings with integer parameters.
type Item = (String, Vec<(String, i64)>);

/// Reads a structured field (RFC 8941) that is a list of strings, each with integers as parameters:
/// what both fields are here. `None` for whatever is not exactly that.
fn parse(field: &str) -> Option<Vec<Item>> {
    let mut rest = field;
    let mut items = Vec::new();
    loop {
        let mut name = String::new();
        rest = rest.strip_prefix('"')?;
        loop {
            let mut chars = rest.chars();
            let c = chars.next()?;
            rest = chars.as_str();
            match c {
                '"' => break,
                '\\' => {
                    let escaped = rest.chars().next().filter(|c| matches!(c, '"' | '\\'))?;
                    name.push(escaped);
                    rest = &rest[1..];
                }
                ' '..='~' => name.push(c),
                _ => return None,
            }
        }
        let mut parameters = Vec::new();
        while let Some(after) = rest.strip_prefix(';') {
            let (key, after) = after.split_once('=')?;
            let valid =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c);
            if !key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*')
                || !key.chars().all(valid)
            {
                return None;
            }
            let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            if end == 0 || end > 15 {
                return None;
            }
            parameters.push((key.to_owned(), after[..end].parse().ok()?));
            rest = &after[end..];
        }
        items.push((name, parameters));
        if rest.is_empty() {
            return Some(items);
        }
        rest = rest.trim_start_matches([' ', '\t']).strip_prefix(',')?;
        rest = rest.trim_start_matches([' ', '\t']);
    }
}

fn said(remaining: u64, reset_ms: u64, wait_ms: u64) -> Reading {
    Reading { remaining, reset_ms, wait_ms, slot: 0 }
}

fn rate_limit(limit: &str, meter: &Meter, reading: &Reading) -> String {
    let mut out = String::new();
    push_rate_limit(&mut out, limit, meter, reading);
    out
}

fn text(lines: &mut PolicyLines, meters: &[Meter], redis_ms: u64) -> Option<Rc<str>> {
    lines.text(meters.iter().map(|meter| ("per-key", meter)), redis_ms)
}

#[test]
fn the_policy_names_each_window_of_each_limit() {
    let other = Meter {
        window: 1,
        ..counting("b", Spec { amount: 1_000, span: Span::Every(86_400_000), ..spec() }, 1, 0)
    };
    let bucket =
        Spec { kind: Kind::Bucket, amount: 5, burst: 20, span: Span::Every(1_500), ..spec() };
    let third = Meter { limit: (0, 1), ..counting("c", bucket, 1, 0) };
    let meters = [meter("a", 1, 0), other, watching("w"), third];
    let names = ["per-key", "per-key", "watched", "everybody"];
    let mut lines = PolicyLines::default();
    let named = names.into_iter().zip(&meters);
    assert_eq!(
        lines.text(named, 0).as_deref(),
        Some(r#""per-key";q=100;w=60, "per-key.2";q=1000;w=86400, "everybody";q=5;w=2"#)
    );
    assert_eq!(text(&mut lines, &meters[2..3], 0), None);
    assert_eq!(text(&mut lines, &[], 0), None);
}

#[test]
fn the_policy_is_written_once_for_all_who_have_the_same() {
    let mut lines = PolicyLines::default();
    let meters = [meter("a", 1, 0)];
    let again = [Meter { counter: "another".into(), ..meters[0].clone() }];
    let first = text(&mut lines, &meters, 0).unwrap();
    let overridden = [counting("a", Spec { amount: 7, ..spec() }, 1, 0)];
    assert_eq!(&*text(&mut lines, &overridden, 0).unwrap(), r#""per-key";q=7;w=60"#);
    assert!(Rc::ptr_eq(&first, &text(&mut lines, &again, 5).unwrap()));
    for n in 0..100 {
        text(&mut lines, &[counting("a", Spec { amount: n, ..spec() }, 1, 0)], 0).unwrap();
    }
    assert_eq!(lines.lines.len(), MAX_LINES);
}

#[test]
fn a_calendar_tells_how_long_the_present_window_is() {
    let day = 86_400_000;
    let borders = Rc::from([0, 31 * day, 59 * day, 90 * day]);
    let rule = Spec { kind: Kind::Calendar, span: Span::Borders(borders), ..spec() };
    let meters = [counting("a", rule, 1, 0)];
    let mut lines = PolicyLines::default();
    let january = text(&mut lines, &meters, day).unwrap();
    assert_eq!(&*january, r#""per-key";q=100;w=2678400"#);
    assert!(Rc::ptr_eq(&january, &text(&mut lines, &meters, 31 * day - 1).unwrap()));
    assert_eq!(&*text(&mut lines, &meters, 31 * day).unwrap(), r#""per-key";q=100;w=2419200"#);
}

#[test]
fn the_tightest_meter_is_told_of() {
    let (wide, narrow) = (meter("a", 1, 0), counting("b", Spec { amount: 10, ..spec() }, 1, 0));
    let bucket = Spec { kind: Kind::Bucket, amount: 1, burst: 50, ..spec() };
    let (bucket, watch) = (counting("c", bucket, 1, 0), watching("d"));
    let place = |said: &[(&Meter, Reading)]| {
        tightest(said.iter().map(|(meter, reading)| (*meter, reading))).map(|(place, ..)| place)
    };
    assert_eq!(place(&[(&wide, said(19, 0, 0)), (&narrow, said(2, 0, 0))]), Some(0));
    assert_eq!(place(&[(&wide, said(21, 0, 0)), (&narrow, said(2, 0, 0))]), Some(1));
    assert_eq!(place(&[(&bucket, said(25, 0, 0)), (&narrow, said(6, 0, 0))]), Some(0));
    assert_eq!(place(&[(&wide, said(0, 9, 0)), (&narrow, said(3, 9, 5))]), Some(1));
    assert_eq!(place(&[(&wide, said(0, 9, 4)), (&narrow, said(0, 9, 5))]), Some(1));
    assert_eq!(place(&[(&watch, said(0, 9, 9)), (&wide, said(50, 9, 0))]), Some(1));
    assert_eq!(place(&[(&watch, said(0, 9, 9))]), None);
    assert_eq!(wait_ms(&[wide, watch], &[said(0, 9, 4), said(0, 9, 9)]), 4);
}

#[test]
fn the_limit_tells_what_is_left_and_until_when() {
    let meter = Meter { window: 1, ..meter("a", 1, 0) };
    assert_eq!(rate_limit("per-key", &meter, &said(42, 12_001, 0)), r#""per-key.2";r=42;t=13"#);
    assert_eq!(x_rate_limit(&meter, &said(42, 12_001, 0)), [100, 42, 13]);
    assert_eq!(
        rate_limit("a\"b\\cé", &meter, &said(u64::MAX, 0, 0)),
        "\"a\\\"b\\\\c.2\";r=999999999999999;t=0"
    );
}

#[test]
fn a_refused_client_is_not_sent_back_before_the_window_that_is_told() {
    for (reset_ms, wait_ms) in [(60_000, 60_000), (60_000, 200), (300, 5_000), (0, 1_000)] {
        let reading = said(0, reset_ms, wait_ms);
        assert!(reset_s(&reading) <= retry_after_s(wait_ms), "{reading:?}");
        assert!(reset_s(&reading) >= 1, "{reading:?}");
    }
    assert_eq!((retry_after_s(0), retry_after_s(1_000), retry_after_s(1_001)), (1, 1, 2));
}

#[test]
fn the_checker_knows_what_is_wrong() {
    for wrong in
        ["", "a;q=1", "\"a\";q", "\"a\";q=", "\"a\" ;q=1", "\"a\";Q=1", "\"a\",", "\"é\"", "\"a"]
    {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
    assert_eq!(parse("\"a\";q=1,\"b\"").map(|items| items.len()), Some(2));
}

proptest! {
    #[test]
    fn numbers_are_written_as_everybody_does(number: u64) {
        let mut out = String::from("x");
        push_number(&mut out, number);
        prop_assert_eq!(out, format!("x{number}"));
    }

    #[test]
    fn both_fields_are_structured_fields(
        rules in prop::collection::vec(
            (0u64..=1_000_000_000, 1u64..=31_622_400_000, 0usize..4, any::<u64>(), any::<u64>(), 0u64..9_000),
            1..6,
        ),
        name in any::<String>(), now_ms in 0u64..4_000_000_000_000,
    ) {
        let meters: Vec<Meter> = rules.iter().map(|(amount, span, window, ..)| Meter {
            window: *window,
            ..counting("a", Spec { amount: *amount, span: Span::Every(*span), ..spec() }, 1, 0)
        }).collect();
        let text = PolicyLines::default().text(meters.iter().map(|m| (&*name, m)), now_ms).unwrap();
        let items = parse(&text).unwrap();
        prop_assert_eq!(items.len(), rules.len());
        for ((_, parameters), (amount, span, ..)) in items.iter().zip(&rules) {
            let window = span.div_ceil(1_000) as i64;
            prop_assert_eq!(parameters, &[("q".to_owned(), *amount as i64), ("w".to_owned(), window)]);
        }
        for (meter, (_, _, _, remaining, reset_ms, wait_ms)) in meters.iter().zip(&rules) {
            let field = rate_limit(&name, meter, &said(*remaining, *reset_ms, *wait_ms));
            let items = parse(&field).unwrap();
            let names: Vec<_> = items[0].1.iter().map(|(name, _)| &**name).collect();
            prop_assert_eq!((items.len(), names), (1, vec!["r", "t"]));
        }
    }
}
