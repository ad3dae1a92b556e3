use super::*;
use crate::meter::{Kind, Span};

/// A document with one policy; each pair replaces a piece of it.
pub(crate) fn document(changes: &[(&str, &str)]) -> String {
    let answer = |status: u16| {
        format!(
            r#"{{"status": {status}, "headers": [["cache-control", "no-store"]], "body": "x\n"}}"#
        )
    };
    let mut text = format!(
        r#"{{"version": 1, "gateway": "shop/edge",
 "redis": {{"cluster": "sluice-redis", "deadlineMs": 100, "username": "", "passwordEnv": "P", "database": 0, "via": "Direct"}},
 "workers": 4,
 "policies": [{{"policy": "shop/model-api",
  "limits": [{{"name": "per-key",
    "key": [{{"header": "X-Api-Key", "required": false}}, {{"clientAddress": {{"ipv4": 24, "ipv6": 64}}, "required": true}}],
    "plain": false,
    "when": [{{"methods": ["POST"], "path": {{"prefix": "/v1/"}}, "headers": [{{"name": "X-Tier", "exact": "free"}}]}}],
    "counts": "tokens",
    "windows": [{{"id": "f60000", "kind": "f", "amount": 100, "spanMs": 60000, "burst": 0, "borders": []}},
     {{"id": "cDay@UTC", "kind": "c", "amount": 1000, "spanMs": 0, "burst": 0, "borders": [1, 2, 3]}}],
    "cost": {{"number": 1, "header": null, "response": null}},
    "shadow": false, "percent": 100, "onRedisFailure": "Allow",
    "overrides": [{{"consumer": "000102030405060708090a0b0c0d0e0f", "patterns": null, "unlimited": false, "amounts": [7, 8], "bursts": [0, 0]}},
     {{"consumer": null, "patterns": ["gold-*", "*"], "unlimited": true, "amounts": [], "bursts": []}}]}}],
  "responses": {{"limited": {a429}, "unidentified": {a400}, "unavailable": {a503}}},
  "rateLimit": true, "xRateLimit": false}}],
 "routes": {{"httproute/shop/models/0": [0]}},
 "otherwise": []}}"#,
        a429 = answer(429),
        a400 = answer(400),
        a503 = answer(503),
    );
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in the document");
        text = text.replacen(from, to, 1);
    }
    text
}

fn error(changes: &[(&str, &str)]) -> String {
    let error = Settings::parse(document(changes).as_bytes()).unwrap_err();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn a_good_document_is_ready_for_use() {
    let settings = Settings::parse(document(&[]).as_bytes()).unwrap();
    assert_eq!(settings.redis.cluster, "sluice-redis");
    let plan = &settings.plans[settings.route(b"httproute/shop/models/0")];
    assert!(settings.knows(b"httproute/shop/models/0") && !plan.is_empty());
    let limit = plan.limit((0, 0)).unwrap();
    assert_eq!((&*plan.policy(0).unwrap().name, &*limit.name), ("shop/model-api", "per-key"));
    assert!(plan.limit((0, 1)).is_none() && plan.limit((1, 0)).is_none());
    assert_eq!(limit.key.required, 0b10);
    let specs: Vec<_> = limit.windows.iter().map(|window| &window.specs).collect();
    assert_eq!(specs[0].enforced.kind, Kind::Fixed);
    assert_eq!(specs[0].enforced.span, Span::Every(60_000));
    assert_eq!(specs[1].enforced.span, Span::Borders([1, 2, 3].into()));
    assert!(!specs[1].enforced.watch && specs[1].watched.watch);
    assert_eq!(&*limit.windows[1].prefix, "sluice:{quota}:shop/model-api/per-key:cDay@UTC:");
    assert_eq!(settings.policies[0].unidentified.status, 400);
    let Cost::Number(1) = limit.cost else { panic!("{:?}", limit.cost) };
}

#[test]
fn a_reservation_lives_where_one_is_made() {
    let ttl = |reserve: u64| {
        let response = format!(
            r#""response": {{"terms": [{{"pointer": "/usage/total_tokens", "milli": 1000}}], "reserve": {reserve}, "ttlMs": 600000}}"#
        );
        let text = document(&[(r#""response": null"#, &response)]);
        let settings = Settings::parse(text.as_bytes()).unwrap();
        settings.policies[0].limits[0].windows[1].specs.enforced.ttl_ms
    };
    assert_eq!((ttl(0), ttl(50)), (0, 600_000));
}

#[test]
fn routes_with_the_same_policies_have_the_same_plan() {
    let one = Settings::parse(document(&[]).as_bytes()).unwrap();
    assert_eq!(one.sole(), Some(one.route(b"httproute/shop/models/0")));
    assert!(one.plans[one.route(b"elsewhere")].is_empty() && !one.knows(b"elsewhere"));
    let with = |routes: &str| {
        let text = document(&[(r#"{"httproute/shop/models/0": [0]}"#, routes)]);
        Settings::parse(text.as_bytes()).unwrap()
    };
    let two = with(r#"{"a": [0], "b": [0]}"#);
    assert_eq!(two.sole(), Some(two.route(b"b")));
    assert_eq!(two.route(b"a"), two.route(b"b"));
    assert_eq!(with(r#"{"a": [0], "b": []}"#).sole(), None);
    assert_eq!(with("{}").sole(), None);
    assert_eq!(with("{}").plans.len(), 1);
    assert_eq!(Settings::default().sole(), None);
}

#[test]
fn another_version_is_told_by_its_number_whatever_else_it_holds() {
    let wanted = "version: 2 is not 1, the one this filter reads";
    assert_eq!(Settings::parse(br#"{"version": 2, "news": []}"#).unwrap_err(), wanted);
    assert_eq!(Settings::parse(b"{}").unwrap_err(), "missing field `version`");
    assert!(!Settings::parse(b"").unwrap_err().is_empty());
    assert!(Settings::parse(b"[1]").is_err());
    assert!(Settings::parse(b"\xff\xfe").is_err());
}

#[test]
fn wrong_fields_are_named_with_their_place() {
    let unknown = error(&[("\"counts\"", "\"count\": 1, \"counts\"")]);
    assert!(unknown.starts_with("policies[0].limits[0].count: unknown field `count`"), "{unknown}");
    let missing = error(&[("\"header\": null, ", "")]);
    assert_eq!(missing, "policies[0].limits[0].cost: missing field `header`");
    let kind = error(&[("\"Allow\"", "\"Perhaps\"")]);
    let place = "policies[0].limits[0].onRedisFailure: unknown variant `Perhaps`";
    assert!(kind.starts_with(place), "{kind}");
    let path = error(&[("\"prefix\"", "\"suffix\"")]);
    assert!(path.contains("when[0].path") && path.contains("unknown variant `suffix`"), "{path}");
    let number = error(&[("\"amount\": 100,", "\"amount\": -5,")]);
    assert!(number.contains("windows[0].amount: invalid value"), "{number}");
    error(&[("\"counts\"", "\"a\\nb\": 1, \"counts\"")]);
}

#[test]
fn wrong_values_are_named_with_their_place() {
    let response = |terms: &str| {
        format!(r#""response": {{"terms": [{terms}], "reserve": 0, "ttlMs": 600000}}"#)
    };
    let none = response("");
    let pointer = response(r#"{"pointer": "usage", "milli": 1000}"#);
    let good = response(r#"{"pointer": "/usage", "milli": 1000}"#);
    let heavy = response(r#"{"pointer": "/usage", "milli": 1000001}"#);
    for (from, to, wanted) in [
        ("\"workers\": 4", "\"workers\": 0", "workers: 0 is not in 1 to 1048576"),
        ("\"deadlineMs\": 100", "\"deadlineMs\": 0", "redis.deadlineMs: 0 is not in 1 to 60000"),
        ("\"sluice-redis\"", "\"\"", "redis.cluster: empty"),
        ("shop/model-api", "model-api", "policies[0].policy: \"model-api\" is not 2 words with / between them"),
        ("per-key", "per:key", "limits[0].name: \"per:key\" is not 1 words with / between them"),
        ("X-Api-Key", "a b", "key[0].header: \"a b\" is no name of a header or cookie"),
        (
            "\"header\": \"X-Api-Key\", ",
            "",
            "key[0].header: needs exactly one of header, cookie, query, clientAddress, path, route, literal",
        ),
        ("\"ipv4\": 24", "\"ipv4\": 33", "key[1].clientAddress.ipv4: 33 is not in 0 to 32"),
        ("X-Tier", "", "when[0].headers[0].name: \"\" is no name of a header or cookie"),
        ("\"exact\"", "\"present\": true, \"exact\"", "headers[0].exact: needs exactly one of exact, regex, present"),
        ("\"exact\": \"free\"", "\"regex\": \"(\"", "headers[0].regex: \"(\" is no regular expression: found open group without closing ')'"),
        ("\"percent\": 100", "\"percent\": 101", "percent: 101 is not in 0 to 100"),
        ("\"amount\": 100,", "\"amount\": 1000000001,", "windows[0].amount: 1000000001 is not in 0 to 1000000000"),
        ("\"spanMs\": 60000", "\"spanMs\": 0", "windows[0].spanMs: 0 is not in 1 to 31622400000"),
        ("[1, 2, 3]", "[1]", "windows[1].borders: not two or more in ascending order"),
        ("[1, 2, 3]", "[1, 1]", "windows[1].borders: not two or more in ascending order"),
        ("\"kind\": \"c\"", "\"kind\": \"s\"", "windows[1].borders: only windows of kind c have them"),
        ("cDay@UTC", "f60000", "windows[1].id: f60000 is there twice"),
        ("cDay@UTC", "c:", "windows[1].id: \"c:\" is not 1 words with / between them"),
        ("\"response\": null", &none, "cost.response.terms: 1 to 8 pointers are needed, not 0"),
        ("\"response\": null", &pointer, "cost.response.terms: pointer \"usage\" does not begin with a slash"),
        ("\"response\": null", &heavy, "terms[0].milli: 1000001 is not in 0 to 1000000"),
        (
            "\"header\": null, \"response\": null",
            &format!("\"header\": \"x\", {good}"),
            "cost: header and response exclude each other",
        ),
        ("000102030405060708090a0b0c0d0e0f", "0001", "overrides[0].consumer: not 32 hexadecimal digits"),
        ("[\"gold-*\", \"*\"]", "[\"gold-*\"]", "overrides[1].patterns: 1 for 2 parts"),
        ("\"consumer\": null", "\"consumer\": \"x\"", "overrides[1].consumer: needs exactly one of consumer, patterns"),
        ("\"amounts\": []", "\"amounts\": [1]", "overrides[1].amounts: none go with unlimited"),
        ("\"amounts\": [7, 8]", "\"amounts\": [7]", "overrides[0].amounts: 1 for 2 windows"),
        ("\"bursts\": [0, 0]", "\"bursts\": []", "overrides[0].bursts: 0 for 2 windows"),
        ("\"status\": 400", "\"status\": 99", "responses.unidentified: status 99 is not in 200 to 599"),
        ("/0\": [0]", "/0\": [1]", "routes.httproute/shop/models/0: there is no policy 1"),
        ("/0\": [0]", "/0\": [0, 0]", "routes.httproute/shop/models/0: policy 0 is there twice"),
        ("\"otherwise\": []", "\"otherwise\": [3]", "otherwise: there is no policy 3"),
    ] {
        let error = error(&[(from, to)]);
        assert!(error.ends_with(wanted), "{error}");
    }
    let changes = [("\"response\": null", good.as_str()), ("tokens", "requests")];
    let wrong = "limits[0].cost.response: a limit of requests knows its cost at once";
    assert!(error(&changes).ends_with(wrong));
}

#[test]
fn names_are_unique() {
    let text = document(&[]);
    let policy =
        text.split("\"policies\": [").nth(1).unwrap().split("],\n \"routes\"").next().unwrap();
    let limit =
        policy.split("\"limits\": [").nth(1).unwrap().split("],\n  \"responses\"").next().unwrap();
    for (one, list, wanted) in [
        (policy, "\"policies\": [", "policies[1].policy: shop/model-api is there twice"),
        (limit, "\"limits\": [", "policies[0].limits[1].name: per-key is there twice"),
    ] {
        let twice = text.replacen(list, &format!("{list}{one}, "), 1);
        assert_eq!(Settings::parse(twice.as_bytes()).unwrap_err(), wanted);
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_without_harm(bytes: Vec<u8>) {
        proptest::prop_assert!(Settings::parse(&bytes).is_err());
    }

    #[test]
    fn a_damaged_document_is_read_or_refused(at in 0usize..4_000, byte: u8) {
        let mut text = document(&[]).into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Err(error) = Settings::parse(&text) {
            proptest::prop_assert!(!error.is_empty() && !error.contains('\n'));
        }
    }
}
