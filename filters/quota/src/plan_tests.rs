use proptest::prelude::*;
use serde_json::{json, Value};

use super::*;
use crate::config::Settings;
use crate::consumer::message;
use crate::consumer::tests::Asked;

const SECRET: [u8; 32] = [0x0b; 32];

fn identity() -> IdentityKey {
    IdentityKey::new(&SECRET)
}

/// A limit of 100 requests a minute for each `x-api-key`; members of `changes` replace its own.
fn limit(name: &str, changes: Value) -> Value {
    let mut limit = json!({
        "name": name, "key": [{"header": "x-api-key", "required": false}], "plain": true, "when": [],
        "counts": "requests", "windows": [window("f60000", 100)],
        "cost": {"number": 1, "header": null, "response": null},
        "shadow": false, "percent": 100, "onRedisFailure": "Allow", "overrides": [],
    });
    let Value::Object(changes) = changes else { panic!("no object") };
    limit.as_object_mut().unwrap().extend(changes);
    limit
}

fn window(id: &str, amount: u64) -> Value {
    json!({"id": id, "kind": "f", "amount": amount, "spanMs": 60000, "burst": 0, "borders": []})
}

/// The plan of one route with these policies' limits.
fn plan(policies: &[(&str, Vec<Value>)]) -> Rc<Plan> {
    let answer = json!({"status": 429, "headers": [], "body": ""});
    let answers = json!({"limited": answer, "unidentified": answer, "unavailable": answer});
    let policy = |(name, limits): &(&str, Vec<Value>)| json!({"policy": name, "limits": limits, "responses": answers, "rateLimit": true, "xRateLimit": false});
    let places: Vec<_> = (0..policies.len()).collect();
    let document = json!({
        "version": 1, "gateway": "shop/edge", "workers": 1,
        "redis": {"cluster": "r", "deadlineMs": 100, "username": "", "passwordEnv": "", "database": 0, "via": "Direct"},
        "policies": policies.iter().map(policy).collect::<Vec<_>>(),
        "routes": {"r": places}, "otherwise": [],
    });
    let settings = Settings::parse(document.to_string().as_bytes()).unwrap();
    Rc::clone(&settings.plans[settings.route(b"r")])
}

fn one(changes: Value) -> Rc<Plan> {
    plan(&[("shop/api", vec![limit("l", changes)])])
}

fn asked(plan: &Plan, request: &Asked) -> Planned {
    Planner::default().plan(plan, &identity(), request).unwrap()
}

fn counters(planned: &Planned) -> Vec<&str> {
    planned.meters.iter().map(|meter| &*meter.counter).collect()
}

fn by_key(key: &str) -> Asked {
    Asked::new("POST", "/v1/chat?a=b", &[("x-api-key", key)])
}

#[test]
fn a_request_is_charged_to_each_window_of_each_limit_that_applies() {
    let two = json!({"windows": [window("f1", 1), window("f2", 2)]});
    let get = json!([{"methods": ["GET"], "path": null, "headers": []}]);
    let plan = plan(&[
        ("shop/edge", vec![limit("all", json!({"key": []})), limit("not", json!({"when": get}))]),
        (
            "shop/api",
            vec![
                limit("absent", json!({"key": [{"cookie": "a", "required": false}]})),
                limit("two", two),
            ],
        ),
    ]);
    let planned = asked(&plan, &by_key("k/1 "));
    assert_eq!(
        counters(&planned),
        [
            "sluice:{quota}:shop/edge/all:f60000:all",
            "sluice:{quota}:shop/api/two:f1:k/1%20",
            "sluice:{quota}:shop/api/two:f2:k/1%20",
        ]
    );
    let places: Vec<_> = planned.meters.iter().map(|meter| (meter.limit, meter.window)).collect();
    assert_eq!(places, [((0, 0), 0), ((1, 1), 0), ((1, 1), 1)]);
    assert!(planned.meters.iter().all(|m| (m.charge, m.hold, m.spec.watch) == (1, 0, false)));
    assert_eq!(&*plan.limit(planned.meters[2].limit).unwrap().name, "two");
    assert!(planned.usages.is_empty() && planned.unidentified.is_empty());
}

#[test]
fn consumers_that_are_not_plain_are_hashed_once() {
    let hashed = json!({"plain": false});
    let plan = plan(&[("shop/api", vec![limit("a", hashed.clone()), limit("b", hashed)])]);
    let request = by_key("alice");
    let planned = asked(&plan, &request);
    let hash = identity().hash(&message([&b"alice"[..]]));
    let id = identity::hex_text(&hash);
    for (counter, name) in counters(&planned).into_iter().zip(["a", "b"]) {
        assert_eq!(counter, format!("sluice:{{quota}}:shop/api/{name}:f60000:{id}"));
    }
    assert_eq!(request.reads(), ["x-api-key"]);
    let [a, b] = [(0, 0), (0, 1)].map(|at| plan.limit(at).unwrap());
    assert!(Rc::ptr_eq(&a.key, &b.key));
}

#[test]
fn a_planner_forgets_each_request() {
    let plan = one(json!({}));
    let mut planner = Planner::default();
    for key in ["alice", "bob"] {
        let planned = planner.plan(&plan, &identity(), &by_key(key)).unwrap();
        assert!(planned.meters[0].counter.ends_with(key));
    }
    let nobody = planner.plan(&plan, &identity(), &Asked::default()).unwrap();
    assert!(nobody.meters.is_empty());
}

#[test]
fn specs_are_made_once() {
    let plan = one(json!({}));
    let [a, b] = ["a", "b"].map(|key| asked(&plan, &by_key(key)).meters.remove(0).spec);
    assert!(Rc::ptr_eq(&a, &b));
}

#[test]
fn a_required_part_that_is_absent_refuses() {
    let key =
        json!([{"header": "x-none", "required": false}, {"header": "x-api-key", "required": true}]);
    let required = |changes: Value| {
        let mut all = json!({"key": key});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        plan(&[("shop/edge", vec![limit("first", json!({}))]), ("shop/api", vec![limit("l", all)])])
    };
    let mut planner = Planner::default();
    let mut planned = |plan: &Plan, request: &Asked| planner.plan(plan, &identity(), request);
    let nobody = Asked::default();
    let refused = planned(&required(json!({})), &nobody).unwrap_err();
    assert_eq!(refused, Unidentified { limit: (1, 0) });
    // the one that is absent need not be there
    assert!(planned(&required(json!({})), &by_key("k")).unwrap().unidentified.is_empty());
    // limits that watch some or all refuse nobody, and tell
    for changes in [json!({"shadow": true}), json!({"percent": 99})] {
        let lenient = planned(&required(changes), &nobody).unwrap();
        assert_eq!(lenient.unidentified, [(1, 0)]);
        assert!(lenient.meters.is_empty());
    }
    let post = json!({"when": [{"methods": ["POST"], "path": null, "headers": []}]});
    assert!(planned(&required(post), &nobody).is_ok());
}

#[test]
fn shares_are_of_consumers() {
    let watched =
        |changes: Value, key: &str| asked(&one(changes), &by_key(key)).meters[0].spec.watch;
    assert!(watched(json!({"shadow": true}), "k") && watched(json!({"percent": 0}), "k"));
    let mut inside = 0;
    for number in 0..400 {
        let key = number.to_string();
        let hash = identity().hash(&message([key.as_bytes()]));
        for plain in [true, false] {
            let changes = json!({"percent": 25, "plain": plain});
            assert_eq!(watched(changes, &key), !is_among(&hash, 25));
        }
        inside += u32::from(is_among(&hash, 25));
    }
    assert!((60..140).contains(&inside), "{inside}");
    let everybody = is_among(&identity().hash(b""), 25);
    assert_eq!(watched(json!({"percent": 25, "key": []}), "k"), !everybody);
}

#[test]
fn overrides_change_the_numbers_and_keep_the_counter() {
    let digest = |policy: &str, id: &str| {
        let salted = [policy.as_bytes(), b"\0", &message([id.as_bytes()])].concat();
        let hash = sha2::Sha256::digest(salted);
        identity::hex_text(hash.first_chunk().unwrap()).into_string()
    };
    let exact = |policy: &str| json!({"consumer": digest(policy, "gold-alice"), "patterns": null, "unlimited": false, "amounts": [9], "bursts": [0]});
    let like = json!({"consumer": null, "patterns": ["gold-*"], "unlimited": true, "amounts": [], "bursts": []});
    let lists = |name| {
        plan(&[(
            name,
            vec![
                limit("a", json!({"overrides": [exact("shop/api"), like]})),
                limit("b", json!({"overrides": [exact("shop/api")], "shadow": true})),
            ],
        )])
    };
    let amounts = |plan: &Plan, key: &str| -> Vec<(u64, bool)> {
        let planned = asked(plan, &by_key(key));
        assert!(counters(&planned).iter().all(|counter| counter.ends_with(key)));
        planned.meters.iter().map(|meter| (meter.spec.amount, meter.spec.watch)).collect()
    };
    let plan = lists("shop/api");
    assert_eq!(amounts(&plan, "gold-alice"), [(9, false), (9, true)]);
    assert_eq!(amounts(&plan, "gold-bob"), [(100, true)]);
    assert_eq!(amounts(&plan, "bob"), [(100, false), (100, true)]);
    // the hash is bound to the policy
    assert_eq!(amounts(&lists("shop/other"), "gold-alice"), [(100, true)]);
}

#[test]
fn two_policies_do_not_share_the_hashes_of_their_overrides() {
    let digest = |policy: &str| {
        let salted = [policy.as_bytes(), b"\0", &message([&b"alice"[..]])].concat();
        identity::hex_text(sha2::Sha256::digest(salted).first_chunk().unwrap()).into_string()
    };
    let limits = |policy: &str| {
        let own = json!({"consumer": digest(policy), "patterns": null, "unlimited": false, "amounts": [9], "bursts": [0]});
        vec![limit("l", json!({"overrides": [own]}))]
    };
    let plan = plan(&[("shop/a", limits("shop/a")), ("shop/b", limits("shop/b"))]);
    assert!(asked(&plan, &by_key("alice")).meters.iter().all(|meter| meter.spec.amount == 9));
}

#[test]
fn costs_come_from_where_they_are_said_to() {
    let cost = |cost: Value, header: &str| {
        let request = Asked::new("GET", "/", &[("x-api-key", "k"), ("x-cost", header)]);
        let plan = one(json!({"cost": cost, "counts": "tokens"}));
        let planned = asked(&plan, &request);
        (planned.meters[0].charge, planned.meters[0].hold, planned.usages.len())
    };
    let header = json!({"number": 3, "header": "X-Cost", "response": null});
    for (value, charge) in [
        ("5", 5),
        (" 17 ", 17),
        ("0", 0),
        ("", 3),
        ("-1", 3),
        ("1.5", 3),
        ("+1", 3),
        ("five", 3),
        ("1000000001", 1_000_000_000),
        ("99999999999999999999999999", 1_000_000_000),
    ] {
        assert_eq!(cost(header.clone(), value), (charge, 0, 0), "{value}");
    }
    assert_eq!(cost(json!({"number": 7, "header": null, "response": null}), "5"), (7, 0, 0));
    let response =
        json!({"terms": [{"pointer": "/n", "milli": 1000}], "reserve": 500, "ttlMs": 600_000});
    assert_eq!(cost(json!({"number": 1, "header": null, "response": response}), "5"), (0, 500, 1));
}

#[test]
fn one_reading_of_the_response_serves_all_limits_that_cost_the_same() {
    let tokens = |pointer: &str, reserve: u64| {
        let response = json!({"terms": [{"pointer": pointer, "milli": 1000}], "reserve": reserve, "ttlMs": 600_000});
        json!({"counts": "tokens", "cost": {"number": 1, "header": null, "response": response}})
    };
    let plan = plan(&[
        ("shop/edge", vec![limit("a", tokens("/n", 0)), limit("b", json!({}))]),
        ("shop/api", vec![limit("a", tokens("/n", 9)), limit("b", tokens("/m", 0))]),
    ]);
    let planned = asked(&plan, &by_key("k"));
    assert_eq!((planned.meters.len(), planned.usages.len()), (4, 2));
    for (at, place) in [((0, 0), 0), ((1, 0), 0), ((1, 1), 1)] {
        let Cost::Response(cost) = &plan.limit(at).unwrap().cost else { panic!("{at:?}") };
        assert!(Rc::ptr_eq(&cost.usage, &planned.usages[place]));
    }
}

#[test]
fn a_request_is_read_once_whatever_looks_at_it() {
    let when = json!([
        {"methods": ["GET"], "path": null, "headers": []},
        {"methods": ["POST"], "path": {"prefix": "/v1"}, "headers": [{"name": "x-api-key", "present": true}]},
    ]);
    let key = json!([{"header": "x-api-key", "required": true}, {"path": true, "required": false}, {"query": "a", "required": false}]);
    let cost = json!({"number": 1, "header": "x-api-key", "response": null});
    let some = json!({"when": when, "key": key, "cost": cost});
    let plan = plan(&[(
        "shop/api",
        vec![limit("a", some.clone()), limit("b", some), limit("c", json!({}))],
    )]);
    let request = by_key("7");
    let planned = asked(&plan, &request);
    assert_eq!(planned.meters.len(), 3);
    assert_eq!(planned.meters[0].charge, 7);
    assert_eq!(request.reads(), ["method", "path", "x-api-key"]);
}

proptest! {
    #[test]
    fn any_request_is_planned(path: Vec<u8>, value: Vec<u8>, peer: Vec<u8>) {
        let parts = json!([
            {"cookie": "a", "required": false}, {"query": "q", "required": false}, {"path": true, "required": false},
        ]);
        let address = json!([{"clientAddress": {"ipv4": 24, "ipv6": 64}, "required": false}]);
        let when = json!([
            {"methods": [], "path": {"regex": "/.*x"}, "headers": []},
            {"methods": [], "path": null, "headers": [{"name": "cookie", "regex": "[^x]*"}]},
        ]);
        let plan = plan(&[("shop/api", vec![
            limit("a", json!({"key": parts})),
            limit("b", json!({"key": address, "plain": false})),
            limit("c", json!({"when": when, "cost": {"number": 1, "header": "cookie", "response": null}})),
        ])]);
        let headers = vec![("cookie".to_owned(), value.clone()), ("x-api-key".to_owned(), value)];
        let request = Asked { peer: Some(peer), path: Some(path), headers, ..Asked::default() };
        let planned = asked(&plan, &request);
        prop_assert!(planned.meters.iter().all(|meter| meter.charge <= MAX_UNITS));
    }
}
