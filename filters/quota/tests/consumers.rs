//! Consumers and counters are named as they are pinned for both languages; the Python tests compare
//! with the same file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use identity::{hex_text, unhex, IdentityKey};
use quota::config::Settings;
use quota::consumer::{consumer_id, is_among, message, Request};
use quota::meter::Meter;
use quota::plan::Planner;
use serde_json::{json, Value};

const GOLDEN: &str = include_str!("../../../tests/contract/quota-script/golden.json");
/// What an override grants here.
const SPECIAL: u64 = 9;

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

fn identity() -> IdentityKey {
    let digits = golden()["identity"].as_str().unwrap().to_owned();
    IdentityKey::new(&unhex(digits.as_bytes()).unwrap())
}

/// A request whose headers `h0`, `h1` … carry the parts of a consumer.
struct Parts(Vec<Vec<u8>>);

impl Parts {
    fn of(consumer: &Value) -> Self {
        let bytes = |hex: &Value| {
            let digit = |at: usize| u8::from_str_radix(&hex.as_str().unwrap()[at..at + 2], 16);
            (0..hex.as_str().unwrap().len()).step_by(2).map(|at| digit(at).unwrap()).collect()
        };
        Self(consumer["parts"].as_array().unwrap().iter().map(bytes).collect())
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Whether a request can carry them: an empty header is none.
    fn can_come(&self) -> bool {
        self.0.iter().all(|part| !part.is_empty())
    }
}

impl Request for Parts {
    fn peer(&self) -> Option<Vec<u8>> {
        None
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name.strip_prefix('h')?.parse::<usize>().ok()?).cloned()
    }

    fn path(&self) -> Option<Vec<u8>> {
        None
    }

    fn method(&self) -> Option<Vec<u8>> {
        None
    }

    fn route(&self) -> Option<Vec<u8>> {
        None
    }
}

/// What a request with these parts is charged to, by one limit that `changes` tells more of.
fn charged(parts: &Parts, policy: &str, window: &str, changes: Value) -> Meter {
    let key = (0..parts.0.len()).map(|n| json!({"header": format!("h{n}"), "required": true}));
    let mut limit = json!({
        "name": "l", "key": key.collect::<Vec<_>>(), "plain": false, "when": [], "counts": "requests",
        "windows": [{"id": window, "kind": "f", "amount": 1, "spanMs": 1000, "burst": 0, "borders": []}],
        "cost": {"number": 1, "header": null, "response": null},
        "shadow": false, "percent": 100, "onRedisFailure": "Allow", "overrides": [],
    });
    let Value::Object(changes) = changes else { panic!("no object") };
    limit.as_object_mut().unwrap().extend(changes);
    let answer = json!({"status": 429, "headers": [], "body": ""});
    let document = json!({
        "version": 1, "gateway": "shop/edge", "workers": 1,
        "redis": {"cluster": "r", "deadlineMs": 9, "username": "", "passwordEnv": "", "database": 0, "via": "Direct"},
        "policies": [{
            "policy": policy, "limits": [limit], "rateLimit": true, "xRateLimit": false,
            "responses": {"limited": answer, "unidentified": answer, "unavailable": answer},
        }],
        "routes": {}, "otherwise": [0],
    });
    let settings = Settings::parse(document.to_string().as_bytes()).unwrap();
    let plan = &settings.plans[settings.route(b"any")];
    Planner::default().plan(plan, &identity(), parts).unwrap().meters.remove(0)
}

#[test]
fn consumers() {
    let golden = golden();
    let policy = golden["policy"].as_str().unwrap();
    for consumer in golden["consumers"].as_array().unwrap() {
        let (name, parts) = (&consumer["name"], Parts::of(consumer));
        let hash = identity().hash(&message(parts.slices()));
        assert_eq!(consumer["hash"], *hex_text(&hash), "{name}");
        let least = consumer["insideFrom"].as_u64().unwrap();
        assert!(is_among(&hash, least) && !is_among(&hash, least - 1), "{name}");
        for (field, plain) in [("hashed", false), ("plain", true)] {
            let id = consumer_id(&identity(), parts.slices(), plain);
            assert_eq!(consumer[field], id, "{name}");
            if !parts.can_come() {
                continue;
            }
            let own = json!({
                "consumer": consumer["override"], "patterns": null, "unlimited": false,
                "amounts": [SPECIAL], "bursts": [0],
            });
            for percent in [least - 1, least] {
                let changes = json!({"plain": plain, "percent": percent, "overrides": [own]});
                let meter = charged(&parts, policy, "f1000", changes);
                assert_eq!(*meter.counter, format!("sluice:{{quota}}:{policy}/l:f1000:{id}"));
                assert_eq!(
                    (meter.spec.amount, meter.spec.watch),
                    (SPECIAL, percent < least),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn counters() {
    let golden = golden();
    let consumers = golden["consumers"].as_array().unwrap();
    let mut seen = 0;
    for key in golden["keys"].as_array().unwrap() {
        let [policy, limit, window] =
            ["policy", "limit", "window"].map(|it| key[it].as_str().unwrap());
        let is_it = |it: &&Value| ["hashed", "plain"].iter().any(|f| it[f] == key["consumer"]);
        let consumer = consumers.iter().find(is_it).unwrap();
        let parts = Parts::of(consumer);
        if parts.can_come() {
            let plain = consumer["plain"] == key["consumer"];
            let meter = charged(&parts, policy, window, json!({"name": limit, "plain": plain}));
            assert_eq!(key["key"], *meter.counter);
            seen += 1;
        }
    }
    assert!(seen > 2, "{seen}");
}
