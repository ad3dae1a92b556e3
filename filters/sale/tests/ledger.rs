//! Key names, user hashes and script replies as they are pinned for both languages.
//!
//! The Python tests run the scripts and compare with the same file, so what is read here is what
//! Redis sends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use identity::keyring::KEYRING;
use identity::{hex_text, unhex, IdentityKey};
use sale::config::Keys;
use sale::keyring::Keyring;
use sale::replies::{admitted, begun, healed, polled, Entry, Item, Ruling, Status};
use serde_json::Value;

const GOLDEN: &str = include_str!("../../../tests/contract/ledger/golden.json");
/// Stands for every number that differs from run to run.
const SOME: i64 = 1_767_225_600_000_000;
const RUN: &str = "9f0c3a5d7e2b41860f1e2d3c4b5a69788796a5b4";

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

/// The calls of one script: how many arguments it got, and what it answered.
fn calls(script: &str) -> Vec<(usize, Vec<Value>)> {
    let all = golden()["calls"].as_array().unwrap().clone();
    let of_script = all.iter().filter(|call| call["script"] == script);
    let found: Vec<_> = of_script
        .map(|call| {
            let [args, reply] = ["args", "reply"].map(|part| call[part].as_array().unwrap());
            (args.len(), reply.iter().map(filled_in).collect())
        })
        .collect();
    assert!(!found.is_empty(), "no call of {script}");
    found
}

/// An element as Redis would send it: words in angle brackets are numbers, all but the run id.
fn filled_in(value: &Value) -> Value {
    match value.as_str() {
        Some("<run>") => RUN.into(),
        Some(word) if word.starts_with('<') => SOME.into(),
        _ => value.clone(),
    }
}

fn items(reply: &[Value]) -> impl Iterator<Item = Item<'_>> {
    reply.iter().map(|value| match value {
        Value::String(text) => Item::Bytes(text.as_bytes()),
        _ => Item::Int(value.as_i64().unwrap()),
    })
}

fn code(status: Status) -> u64 {
    match status {
        Status::Open => 0,
        Status::Healing => 1,
        Status::Missing => 2,
        Status::Closed => 3,
        Status::Stale => 4,
        Status::Suspended => 5,
    }
}

fn numbers(list: &[u64]) -> Vec<Value> {
    list.iter().map(|number| (*number).into()).collect()
}

#[test]
fn keys() {
    let golden = golden();
    let keys = Keys::new(golden["books"].as_str().unwrap());
    let pinned = &golden["keys"];
    assert_eq!(pinned["meta"], keys.meta.as_str());
    assert_eq!(pinned["permits"], keys.permits.as_str());
    assert_eq!(pinned["log"], keys.log.as_str());
    assert_eq!(pinned["keyring"], KEYRING);
}

#[test]
fn a_signing_key_is_found_under_its_name() {
    let golden = golden();
    let identity = golden["identity"].as_str().unwrap().as_bytes();
    let name = golden["keys"]["signing key 7"].as_str().unwrap().as_bytes();
    let fields: [(&[u8], &[u8]); 3] =
        [(b"identity", identity), (b"version", b"7"), (name, identity)];
    assert_eq!(Keyring::parse(fields).unwrap().unwrap().version, 7);
}

#[test]
fn users() {
    let golden = golden();
    let secret = unhex::<32>(golden["identity"].as_str().unwrap().as_bytes()).unwrap();
    let identity = IdentityKey::new(&secret);
    for user in golden["users"].as_array().unwrap() {
        let hash = identity.hash(user["id"].as_str().unwrap().as_bytes());
        assert_eq!(user["user"], *hex_text(&hash));
    }
}

#[test]
fn begin() {
    for (_, reply) in calls("begin") {
        let read = begun(items(&reply)).unwrap();
        let mut written = numbers(&[code(read.status), read.time_us]);
        written.push((*read.run).into());
        written.extend(numbers(&[read.incarnation, read.generation, read.heal_left_ms]));
        assert_eq!(written, reply);
    }
}

#[test]
fn poll() {
    for (_, reply) in calls("poll") {
        let read = polled(items(&reply)).unwrap();
        let head = numbers(&[
            code(read.status),
            read.time_us,
            read.incarnation,
            read.generation,
            read.limit,
            read.count,
            u64::from(read.suspended),
            read.ring,
            read.heal_left_ms,
            read.log_length,
            read.first,
        ]);
        assert_eq!(head, reply[..head.len()]);
        let entries = &reply[head.len()..];
        assert_eq!(read.entries.len(), entries.len());
        for (entry, text) in read.entries.into_iter().zip(entries) {
            assert_eq!(entry, Some(in_words(text.as_str().unwrap())));
        }
    }
}

/// An entry of the log, read in another way.
fn in_words(text: &str) -> Entry<'_> {
    let (kind, rest) = text.split_at(1);
    let (number, user) = rest[1..].split_once(':').unwrap();
    let number = number.parse().unwrap();
    Entry { number: (kind != "d").then_some(number), user: user.as_bytes() }
}

#[test]
fn admit() {
    for (args, reply) in calls("admit") {
        let users = (args - 3) / 2;
        let read = admitted(items(&reply), users).unwrap();
        let mut written =
            vec![code(read.status), read.detail_ms, read.generation, read.limit, read.count];
        assert_eq!(read.rulings.len(), if read.status == Status::Open { users } else { 0 });
        for ruling in read.rulings {
            written.extend(match ruling {
                Ruling::SoldOut => [0, 0],
                Ruling::Admitted(number) => [1, number],
                Ruling::Known(number) => [2, number],
                Ruling::Blocked => [3, 0],
                Ruling::Throttled(left_ms) => [4, left_ms],
            });
        }
        assert_eq!(numbers(&written), reply);
    }
}

#[test]
fn heal() {
    for (_, reply) in calls("heal") {
        assert_eq!(code(healed(items(&reply)).unwrap()), reply[0]);
    }
}
