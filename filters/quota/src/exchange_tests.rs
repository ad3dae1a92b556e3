use super::*;
use crate::sample::{counting, meter, spec, watching};
use link::{Script, Value};
use proptest::prelude::*;

impl Arguments for Vec<String> {
    fn number(&mut self, number: i64) {
        self.push(number.to_string());
    }

    fn text(&mut self, text: &[u8]) {
        self.push(String::from_utf8(text.to_vec()).unwrap());
    }
}

fn hashing() -> Keyed {
    Keyed::new([5; 16])
}

/// Keys and arguments, as the script gets them.
pub(crate) fn written(matter: &Matter<'_>, redis_ms: Option<u64>) -> (Vec<String>, Vec<String>) {
    let index = Index::new(matter, &hashing());
    let mut arguments = Vec::new();
    write(matter, &index, redis_ms, &mut arguments);
    (index.keys.iter().map(|key| (*key).to_owned()).collect(), arguments)
}

fn due(counter: &str, spec: &Rc<Spec>, charge: i64) -> Due {
    let (counter, spec) = (counter.into(), Rc::clone(spec));
    Due { limit: (0, 0), window: 0, counter, spec, slot: 900, held: 5, charge }
}

fn reply(numbers: &[i64]) -> Value {
    Value::Array(numbers.iter().copied().map(Value::Int).collect())
}

#[test]
fn each_counter_and_each_rule_is_named_once() {
    let minute = Rc::new(spec());
    let on =
        |counter: &str, charge| Meter { spec: Rc::clone(&minute), ..meter(counter, charge, 0) };
    let same = counting("k2", spec(), 1, 0);
    let held = meter("k1", 2, 30);
    let first = [on("k1", 1), held];
    let second = [same, watching("k3"), on("k1", 3)];
    let dues = [due("k3", &minute, -4), due("k9", &minute, 7)];
    let matter = Matter { takes: vec![&first, &second], settlements: vec![&dues] };
    let (keys, arguments) = written(&matter, None);
    assert_eq!(keys, ["k3", "k9", "k1", "k2"]);
    let expected = "3 f 100 60000 0 0 e f 100 60000 0 600000 e f 100 60000 0 0 w \
        2 2 1 1 0 2 2 30 3 1 1 0 3 1 0 1 3 0 \
        0 2 1 1 900 5 -4 1 2 900 5 7 \
        1 3 3 \
        2 4 1 3";
    assert_eq!(arguments.join(" "), expected);
}

#[test]
fn every_kind_is_told_with_its_numbers() {
    let bucket = Spec { kind: Kind::Bucket, burst: 20, ..spec() };
    let sliding = Spec { kind: Kind::Sliding, ..spec() };
    let borders = Rc::from((1..=9u64).map(|day| day * 86_400_000).collect::<Vec<_>>());
    let calendar = Spec { kind: Kind::Calendar, span: Span::Borders(borders), ..spec() };
    let meters =
        [counting("a", bucket, 1, 0), counting("b", sliding, 1, 0), counting("c", calendar, 1, 0)];
    let matter = Matter { takes: vec![&meters], settlements: vec![] };
    let (_, arguments) = written(&matter, Some(5 * 86_400_000 + 7_200_000));
    assert_eq!(
        arguments.join(" "),
        "3 b 100 60000 20 0 e s 100 60000 0 0 e c 100 432000000,518400000 0 0 e \
         1 3 1 1 0 2 1 0 3 1 0 1 1 2 3"
    );
    let (_, all) = written(&matter, None);
    assert_eq!(all[15].split(',').count(), 9, "{all:?}");
}

#[test]
fn a_run_weighs_its_requests_and_is_never_sent_twice() {
    let script = Script::new("return {}");
    let meters = [meter("k", 1, 0)];
    let takes = Matter { takes: vec![&meters; 3], settlements: vec![] };
    let command = encode(&takes, None, &hashing(), |keys| Command::script(&script, keys));
    let shown = format!("{command:?}");
    assert!(shown.contains("weight: 3") && shown.contains("resend: false"), "{shown}");
    let dues = [due("k", &meters[0].spec, 1)];
    let settling = Matter { takes: vec![], settlements: vec![&dues] };
    let command = encode(&settling, None, &hashing(), |keys| Command::script(&script, keys));
    assert!(format!("{command:?}").contains("weight: 1"));
}

#[test]
fn each_request_gets_its_ruling() {
    let (first, second) = ([meter("a", 1, 0), meter("b", 1, 9)], [meter("a", 1, 0), watching("c")]);
    let dues = [due("a", &first[0].spec, 1)];
    let matter = Matter { takes: vec![&first, &second], settlements: vec![&dues] };
    let answer = reply(&[77, 1, 40, 1, 39, 500, 90, 600, 8_000, 0, 0, 500, 500, 5, 600, 0]);
    let heard = decode(&answer, &matter).unwrap();
    assert_eq!(heard.time_us, 77);
    let reading =
        |remaining, reset_ms, wait_ms, slot| Reading { remaining, reset_ms, wait_ms, slot };
    let allowed = vec![reading(39, 500, 0, 0), reading(90, 600, 0, 8_000)];
    let refused = vec![reading(0, 500, 500, 0), reading(5, 600, 0, 0)];
    let expected =
        [Ruling { allowed: true, readings: allowed }, Ruling { allowed: false, readings: refused }];
    assert_eq!(heard.rulings, expected);
}

#[test]
fn what_only_watches_may_refuse_a_request_that_passes() {
    let meters = [meter("a", 1, 0), watching("b")];
    let matter = Matter { takes: vec![&meters], settlements: vec![] };
    let heard = decode(&reply(&[7, 2, 9, 500, 0, 0, 500, 500]), &matter).unwrap();
    assert!(heard.rulings[0].allowed);
}

#[test]
fn a_reply_that_is_not_what_was_agreed_is_an_error_in_one_line() {
    let meters = [meter("a", 1, 0)];
    let held = [meter("a", 1, 5)];
    let dues = [due("a", &meters[0].spec, 1)];
    let takes: Matter<'_> = Matter { takes: vec![&meters], settlements: vec![] };
    let holds = Matter { takes: vec![&held], settlements: vec![] };
    let settles = Matter { takes: vec![], settlements: vec![&dues] };
    let watched = [watching("a")];
    let watches = Matter { takes: vec![&watched], settlements: vec![] };
    let wrong: [(&Matter<'_>, Value, &str); 17] = [
        (&takes, Value::Nil, "no list"),
        (&takes, reply(&[]), "item 1 is no whole number"),
        (&takes, reply(&[7, 1, 9]), "item 4 is no whole number"),
        (&takes, reply(&[7, 0, 9, 500]), "item 5 is no whole number"),
        (&takes, reply(&[7, 1, 9, 500, 0]), "item 5 is one too many"),
        (&takes, reply(&[7, 3, 9, 500]), "item 2 is none of"),
        (&takes, reply(&[7, 1, -1, 500]), "item 3 is no whole number"),
        (&takes, reply(&[7, 2, 9, 500, 20]), "contradict"),
        (&takes, reply(&[7, 2, 9, 500, 0]), "contradict"),
        (&takes, reply(&[7, 0, 9, 500, 0]), "contradict"),
        (&watches, reply(&[7, 0, 9, 500, 20]), "contradict"),
        (&holds, reply(&[7, 1, 9, 500, 0]), "reservation"),
        (&holds, reply(&[7, 0, 9, 500, 20, 4]), "reservation"),
        (&holds, reply(&[7, 1, 9, 500]), "item 5 is no whole number"),
        (&settles, reply(&[7, 0, 9]), "no settlement's 1"),
        (&settles, reply(&[7, 1]), "item 3 is no whole number"),
        (&takes, Value::Array(vec![Value::Bulk(b"7".to_vec())]), "item 1 is no whole number"),
    ];
    for (matter, value, said) in wrong {
        let error = decode(&value, matter).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{value:?}: {error}");
    }
    let error = Value::Error(link::ReplyError::parse(b"OOM command not allowed"));
    assert_eq!(decode(&error, &takes).unwrap_err(), "OOM command not allowed");
}

proptest! {
    #[test]
    fn any_reply_is_read_without_harm(
        numbers in prop::collection::vec(prop_oneof![-1i64..3, any::<i64>()], 0..20),
        takes in 0usize..3, settles in 0usize..3,
    ) {
        let meters = [meter("a", 1, 0), meter("b", 0, 3)];
        let dues = [due("a", &meters[0].spec, 1)];
        let matter =
            Matter { takes: vec![&meters[..]; takes], settlements: vec![&dues[..]; settles] };
        if let Ok(reply) = decode(&reply(&numbers), &matter) {
            prop_assert_eq!(reply.rulings.len(), takes);
            let known = reply.rulings.iter().filter(|ruling| {
                ruling.allowed // none of these only watches
            });
            prop_assert_eq!(numbers.len(), 1 + takes * 8 - known.count() * 2 + settles * 2);
        }
    }

    #[test]
    fn places_lead_back_to_what_was_meant(
        requests in prop::collection::vec(prop::collection::vec((0u8..6, 0u8..4), 1..5), 1..8),
    ) {
        let rules: Vec<Rc<Spec>> =
            (0..4).map(|n| Rc::new(Spec { amount: n, ..spec() })).collect();
        let meters: Vec<Vec<Meter>> = requests
            .iter()
            .map(|parts| parts.iter().map(|(counter, rule)| Meter {
                spec: Rc::clone(&rules[usize::from(*rule)]),
                ..meter(&format!("k{counter}"), 1, 0)
            }).collect())
            .collect();
        let takes = meters.iter().map(|meters| &**meters).collect();
        let (keys, arguments) = written(&Matter { takes, settlements: vec![] }, None);
        let unique: std::collections::HashSet<_> = keys.iter().collect();
        prop_assert_eq!(unique.len(), keys.len());
        let specs: usize = arguments[0].parse().unwrap();
        let mut items =
            arguments[1 + 6 * specs..].iter().map(|word| word.parse::<usize>().unwrap());
        let mut next = || items.next().unwrap();
        let costs: Vec<Vec<[usize; 3]>> = (0..next())
            .map(|_| (0..next()).map(|_| [next(), next(), next()]).collect())
            .collect();
        for (place, cost) in costs.iter().enumerate() {
            prop_assert!(!costs[..place].contains(cost));
        }
        for request in &meters {
            let cost = &costs[next() - 1];
            prop_assert_eq!(cost.len(), request.len());
            for (meter, [spec, charge, hold]) in request.iter().zip(cost) {
                prop_assert_eq!(&arguments[1 + 6 * (spec - 1) + 1], &meter.spec.amount.to_string());
                prop_assert_eq!(&*keys[next() - 1], &*meter.counter);
                prop_assert_eq!((*charge, *hold), (1, 0));
            }
        }
        prop_assert_eq!(items.next(), None);
    }
}
