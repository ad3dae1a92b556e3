//! Runs of the script as they are pinned for both languages. The Python tests send the very same
//! words to Redis and compare with the same replies.

use serde_json::Value as Json;

use super::tests::written;
use super::*;

const GOLDEN: &str = include_str!("../../../tests/contract/quota-script/golden.json");
/// Stands for every number that differs from run to run.
const SOME: i64 = 1_767_225_600_000_000;

/// A number as it is, or the one for a word in angle brackets.
fn number(value: &Json) -> i64 {
    match value.as_str() {
        Some(word) => {
            assert!(word.starts_with('<'), "{word}");
            SOME
        }
        None => value.as_i64().unwrap(),
    }
}

fn count(value: &Json) -> u64 {
    u64::try_from(number(value)).unwrap()
}

fn list(value: &Json) -> &[Json] {
    value.as_array().unwrap()
}

fn spec(case: &Json) -> Rc<Spec> {
    let borders: Vec<u64> = list(&case["borders"]).iter().map(count).collect();
    let span = if borders.is_empty() {
        Span::Every(count(&case["spanMs"]))
    } else {
        Span::Borders(borders.into())
    };
    let kind = match case["kind"].as_str().unwrap() {
        "f" => Kind::Fixed,
        "s" => Kind::Sliding,
        "b" => Kind::Bucket,
        "c" => Kind::Calendar,
        other => panic!("{other}"),
    };
    Rc::new(Spec {
        kind,
        amount: count(&case["amount"]),
        span,
        burst: count(&case["burst"]),
        ttl_ms: count(&case["ttlMs"]),
        watch: case["watch"].as_bool().unwrap(),
    })
}

/// What a pinned run is about: settlements, and requests behind them.
struct Run {
    takes: Vec<Vec<Meter>>,
    settlements: Vec<Vec<Due>>,
}

impl Run {
    fn new(case: &Json) -> Self {
        let specs: Vec<Rc<Spec>> = list(&case["specs"]).iter().map(spec).collect();
        let at = |row: &Json| {
            let place = |name: &str| usize::try_from(count(&row[name])).unwrap();
            let counter: Rc<str> = case["keys"][place("key")].as_str().unwrap().into();
            (counter, Rc::clone(&specs[place("spec")]))
        };
        let meter = |row: &Json| {
            let ((limit, window), (counter, spec)) = (((0, 0), 0), at(row));
            let (charge, hold) = (count(&row["charge"]), count(&row["hold"]));
            Meter { limit, window, counter, spec, charge, hold }
        };
        let due = |row: &Json| {
            let ((limit, window), (counter, spec)) = (((0, 0), 0), at(row));
            let (slot, held, charge) =
                (count(&row["slot"]), count(&row["held"]), number(&row["charge"]));
            Due { limit, window, counter, spec, slot, held, charge }
        };
        let items = list(&case["items"]);
        let takes = items.iter().filter_map(|item| item["take"].as_array());
        let settlements = items.iter().filter_map(|item| item["settle"].as_array());
        Self {
            takes: takes.map(|rows| rows.iter().map(meter).collect()).collect(),
            settlements: settlements.map(|rows| rows.iter().map(due).collect()).collect(),
        }
    }

    fn matter(&self) -> Matter<'_> {
        let takes = self.takes.iter().map(Vec::as_slice).collect();
        let settlements = self.settlements.iter().map(Vec::as_slice).collect();
        Matter { takes, settlements }
    }
}

fn each_run(check: impl Fn(&str, &Json, &Matter<'_>)) {
    let golden: Json = serde_json::from_str(GOLDEN).unwrap();
    assert!(!list(&golden["runs"]).is_empty());
    for case in list(&golden["runs"]) {
        check(case["name"].as_str().unwrap(), case, &Run::new(case).matter());
    }
}

#[test]
fn the_words_of_each_run() {
    each_run(|name, case, matter| {
        let (keys, arguments) = written(matter, None);
        assert_eq!(Json::from(keys), case["keys"], "{name}");
        let known = |word: &Json| match word.as_str().unwrap() {
            word if word.starts_with('<') => SOME.to_string(),
            word => word.to_owned(),
        };
        let expected: Vec<String> = list(&case["args"]).iter().map(known).collect();
        assert_eq!(arguments, expected, "{name}");
    });
}

#[test]
fn the_reply_to_each_run() {
    each_run(|name, case, matter| {
        let numbers: Vec<i64> = list(&case["reply"]).iter().map(number).collect();
        let reply = Value::Array(numbers.iter().copied().map(Value::Int).collect());
        let heard = decode(&reply, matter).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(heard.time_us, SOME as u64);
        let mut again = Vec::new();
        for (ruling, meters) in heard.rulings.iter().zip(&matter.takes) {
            let waits = ruling.readings.iter().any(|reading| reading.wait_ms > 0);
            again.push(match (ruling.allowed, waits) {
                (true, false) => 1,
                (true, true) => 2,
                (false, _) => 0,
            });
            for (reading, meter) in ruling.readings.iter().zip(*meters) {
                let Reading { remaining, reset_ms, wait_ms, slot } = *reading;
                again.extend([remaining, reset_ms].map(|n| n as i64));
                again.extend(waits.then_some(wait_ms as i64));
                again.extend((meter.hold > 0).then_some(slot as i64));
            }
        }
        // The time and the settlements come first.
        let settled: usize = matter.settlements.iter().map(|dues| 1 + dues.len()).sum();
        assert_eq!(again, numbers[1 + settled..], "{name}");
    });
}
