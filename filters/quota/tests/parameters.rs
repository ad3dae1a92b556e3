//! What the control plane writes is read, and consumers and counters are named as Python names them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use identity::IdentityKey;
use quota::config::{Cost, Settings};
use quota::consumer::Request;
use quota::meter::Span;
use quota::plan::Planner;
use serde_json::Value;

fn contract(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/contract").join(folder)
}

/// All pinned documents: the file's name, what it says, and what is read from it.
fn documents() -> Vec<(String, Value, Settings)> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(contract("quota")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        match Settings::parse(&bytes) {
            Ok(settings) => found.push((name, serde_json::from_slice(&bytes).unwrap(), settings)),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert!(!found.is_empty(), "no document in {}", contract("quota").display());
    found
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

#[test]
fn what_the_control_plane_writes_is_read() {
    for (file, document, settings) in documents() {
        let place = |of: &Value| usize::try_from(of.as_u64().unwrap()).unwrap();
        let policies = |list: &Value| elements(list).map(place).collect::<Vec<_>>();
        let planned = |route: &str| {
            let plan = &settings.plans[settings.route(route.as_bytes())];
            plan.policies.iter().map(|(place, _)| *place).collect::<Vec<_>>()
        };
        for (route, list) in document["routes"].as_object().unwrap() {
            assert_eq!(planned(route), policies(list), "{file}: {route}");
        }
        assert_eq!(planned("no such route"), policies(&document["otherwise"]), "{file}");
        assert_eq!(settings.workers, document["workers"], "{file}");
        assert_eq!(elements(&document["policies"]).count(), settings.policies.len(), "{file}");
        for (wanted, policy) in elements(&document["policies"]).zip(&settings.policies) {
            assert_eq!(wanted["policy"], *policy.name);
            assert_eq!(wanted["responses"]["limited"]["status"], policy.limited.status);
            assert_eq!(elements(&wanted["limits"]).count(), policy.limits.len(), "{file}");
            for (wanted, limit) in elements(&wanted["limits"]).zip(&policy.limits) {
                assert_eq!(wanted["name"], *limit.name);
                assert_eq!(wanted["percent"], limit.percent);
                for (wanted, window) in elements(&wanted["windows"]).zip(&limit.windows) {
                    let spec = &window.specs.enforced;
                    assert_eq!(wanted["id"], *window.id);
                    assert_eq!(
                        (&wanted["amount"], &wanted["burst"]),
                        (&spec.amount.into(), &spec.burst.into())
                    );
                    match &spec.span {
                        Span::Every(span_ms) => assert_eq!(wanted["spanMs"], *span_ms),
                        Span::Borders(all) => assert_eq!(wanted["borders"], Value::from(&all[..])),
                    }
                }
                let reserve = match &limit.cost {
                    Cost::Response(cost) => Some(cost.reserve),
                    _ => None,
                };
                assert_eq!(
                    wanted["cost"]["response"].get("reserve"),
                    reserve.map(Value::from).as_ref()
                );
            }
        }
    }
}

/// A request that has something for every part.
struct Everything;

impl Request for Everything {
    fn peer(&self) -> Option<Vec<u8>> {
        Some(b"203.0.113.77:4711".to_vec())
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        Some(if name == "cookie" { b"uid=alice".to_vec() } else { b"1".to_vec() })
    }

    fn path(&self) -> Option<Vec<u8>> {
        Some(b"/v1/chat/completions?tenant=a&q=b".to_vec())
    }

    fn method(&self) -> Option<Vec<u8>> {
        Some(b"POST".to_vec())
    }

    fn route(&self) -> Option<Vec<u8>> {
        Some(b"httproute/shop/models/0".to_vec())
    }
}

#[test]
fn every_pinned_route_can_be_planned() {
    let identity = IdentityKey::new(&[7; 32]);
    let mut meters = 0;
    for (file, _, settings) in documents() {
        for (route, place) in settings.routes() {
            let planned = Planner::default().plan(&settings.plans[place], &identity, &Everything);
            let planned = planned.unwrap_or_else(|refused| {
                panic!("{file}: {} refused: {refused:?}", String::from_utf8_lossy(route))
            });
            let names: BTreeSet<_> = planned.meters.iter().map(|m| Rc::clone(&m.counter)).collect();
            assert_eq!(names.len(), planned.meters.len(), "{file}: a counter is there twice");
            meters += planned.meters.len();
        }
    }
    assert!(meters > 0);
}
