//! The reader of replies: every type, cut anywhere, bounded everywhere.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use link::resp::{encode, Bounds, Decoder, ProtocolError};
use link::{ErrorKind, ReplyError, Value};
use proptest::prelude::*;

/// All replies in the bytes, fed in the given pieces.
fn read(pieces: &[&[u8]]) -> Result<Vec<Value>, ProtocolError> {
    let mut decoder = Decoder::default();
    let mut values = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(value) = decoder.decode(&mut input)? {
            values.push(value);
        }
        assert!(input.is_empty(), "a piece is taken whole");
    }
    Ok(values)
}

fn one(bytes: &[u8]) -> Result<Value, ProtocolError> {
    Ok(read(&[bytes])?.pop().unwrap_or(Value::Nil))
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

#[test]
fn every_type_is_read() {
    let examples: Vec<(&[u8], Value)> = vec![
        (b"+OK\r\n", Value::Simple(b"OK".to_vec())),
        (b"+\r\n", Value::Simple(Vec::new())),
        (b":-9223372036854775808\r\n", Value::Int(i64::MIN)),
        (b":9223372036854775807\r\n", Value::Int(i64::MAX)),
        (b":+7\r\n", Value::Int(7)),
        (b"$5\r\na\r\nbc\r\n", bulk("a\r\nbc")),
        (b"$0\r\n\r\n", bulk("")),
        (b"$-1\r\n", Value::Nil),
        (b"*-1\r\n", Value::Nil),
        (b"_\r\n", Value::Nil),
        (b"*0\r\n", Value::Array(vec![])),
        (
            b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
            Value::Array(vec![Value::Array(vec![Value::Int(1)]), bulk("x")]),
        ),
        (b"#t\r\n", Value::Bool(true)),
        (b",-1.5\r\n", Value::Double(-1.5)),
        (b",inf\r\n", Value::Double(f64::INFINITY)),
        (b"(-12345678901234567890\r\n", Value::BigNumber(b"-12345678901234567890".to_vec())),
        (b"=8\r\ntxt:some\r\n", bulk("some")),
        (b"%1\r\n+a\r\n:1\r\n", Value::Map(vec![(Value::Simple(b"a".to_vec()), Value::Int(1))])),
        (b"~1\r\n:1\r\n", Value::Set(vec![Value::Int(1)])),
        (b">1\r\n+pubsub\r\n", Value::Push(vec![Value::Simple(b"pubsub".to_vec())])),
        // attributes are dropped, wherever they stand
        (b"|1\r\n+ttl\r\n:3\r\n:5\r\n", Value::Int(5)),
        (b"*1\r\n|1\r\n+ttl\r\n:3\r\n:5\r\n", Value::Array(vec![Value::Int(5)])),
    ];
    for (bytes, value) in examples {
        assert_eq!(one(bytes), Ok(value), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn errors_are_sorted_by_what_they_mean() {
    let kinds = [
        ("NOSCRIPT No matching script. Please use EVAL.", ErrorKind::NoScript),
        ("LOADING Redis is loading the dataset in memory", ErrorKind::Loading),
        ("READONLY You can't write against a read only replica.", ErrorKind::ReadOnly),
        ("MASTERDOWN Link with MASTER is down", ErrorKind::MasterDown),
        ("BUSY Redis is busy running a script.", ErrorKind::Busy),
        ("OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::OutOfMemory),
        ("MISCONF Redis is configured to save RDB snapshots", ErrorKind::CannotPersist),
        ("NOREPLICAS Not enough good replicas to write.", ErrorKind::NoReplicas),
        ("MOVED 3999 127.0.0.1:6381", ErrorKind::Moved),
        ("ASK 3999 127.0.0.1:6381", ErrorKind::Moved),
        ("CROSSSLOT Keys in request don't hash to the same slot", ErrorKind::CrossSlot),
        ("CLUSTERDOWN Hash slot not served", ErrorKind::ClusterDown),
        ("WRONGPASS invalid username-password pair", ErrorKind::Auth),
        ("NOAUTH Authentication required.", ErrorKind::Auth),
        ("ERR AUTH <password> called without any password configured", ErrorKind::Auth),
        ("ERR Client sent AUTH, but no password is set", ErrorKind::Auth),
        ("ERR invalid password", ErrorKind::Auth),
        (
            "NOPERM this user has no permissions to run the 'evalsha' command",
            ErrorKind::NoPermission,
        ),
        ("DENIED Redis is running in protected mode", ErrorKind::Protected),
        ("ERR unknown command 'HELLO'", ErrorKind::UnknownCommand),
        ("NOPROTO unsupported protocol version", ErrorKind::NoProtocol),
        ("upstream failure", ErrorKind::Upstream),
        ("no upstream host", ErrorKind::Upstream),
        ("ERR something else", ErrorKind::Other),
        ("", ErrorKind::Other),
    ];
    for (text, kind) in kinds {
        let reply = one(format!("-{text}\r\n").as_bytes()).unwrap();
        let error = reply.error().unwrap();
        assert_eq!((error.kind, error.text.as_str()), (kind, text));
    }
    let long = one(b"!21\r\nSYNTAX invalid syntax\r\n").unwrap();
    assert_eq!(long.error().unwrap().text, "SYNTAX invalid syntax");
}

#[test]
fn an_error_text_is_fit_for_a_log() {
    let text = format!("-ERR \x1b[31m{}\r\n", "x".repeat(2000));
    let reply = one(text.as_bytes()).unwrap();
    let error = reply.error().unwrap();
    assert_eq!(error.text.chars().count(), ReplyError::MAX_TEXT);
    assert!(!error.text.contains('\x1b'));
}

#[test]
fn what_is_not_resp_is_refused() {
    let examples: Vec<(&[u8], ProtocolError)> = vec![
        (b"HTTP/1.1 400\r\n", ProtocolError::Type(b'H')),
        (b"\r\n", ProtocolError::Ending),
        (b":\r\n", ProtocolError::Number),
        (b":-\r\n", ProtocolError::Number),
        (b":1x\r\n", ProtocolError::Number),
        (b":9223372036854775808\r\n", ProtocolError::Number),
        (b"$-2\r\n", ProtocolError::Number),
        (b"$1\r\nabc", ProtocolError::Ending),
        (b"+a\n", ProtocolError::Ending),
        (b"+a\rb\r\n", ProtocolError::Ending),
        (b"#x\r\n", ProtocolError::Number),
        (b",x\r\n", ProtocolError::Number),
        (b"(1.5\r\n", ProtocolError::Number),
        (b"_x\r\n", ProtocolError::Type(b'_')),
        (b"=3\r\ntxt\r\n", ProtocolError::Ending),
        (b"$?\r\n", ProtocolError::Streamed),
        (b"*?\r\n", ProtocolError::Streamed),
    ];
    for (bytes, error) in examples {
        assert_eq!(one(bytes), Err(error), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn nothing_grows_beyond_its_bound() {
    let bounds = Bounds { bytes: 64, depth: 2 };
    let read = |bytes: &[u8]| Decoder::new(bounds).decode(&mut &bytes[..]);
    assert_eq!(read(b"$65\r\n"), Err(ProtocolError::TooLong));
    assert_eq!(read(b"*1000000000\r\n"), Err(ProtocolError::TooLong));
    assert_eq!(read(b"%4611686018427387904\r\n"), Err(ProtocolError::TooLong));
    assert_eq!(read(&b":1\r\n".repeat(3)), Ok(Some(Value::Int(1))));
    assert_eq!(
        read(&[b"*16\r\n", &b":100\r\n".repeat(16)[..]].concat()),
        Err(ProtocolError::TooLong)
    );
    assert_eq!(read(b"*1\r\n*1\r\n:1\r\n").map(|value| value.is_some()), Ok(true));
    assert_eq!(read(b"*1\r\n*1\r\n*1\r\n:1\r\n"), Err(ProtocolError::TooDeep));
    assert_eq!(read(&vec![b'+'; 20_000]), Err(ProtocolError::TooLong));
}

#[test]
fn the_bound_is_for_each_reply() {
    let mut decoder = Decoder::new(Bounds { bytes: 8, depth: 1 });
    let bytes = b"$2\r\nab\r\n".repeat(100);
    let mut input = &bytes[..];
    for _ in 0..100 {
        assert_eq!(decoder.decode(&mut input), Ok(Some(bulk("ab"))));
    }
    assert!(decoder.is_at_rest());
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..12)
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    text().prop_map(|text| text.into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<i64>().prop_map(Value::Int),
        line().prop_map(Value::Simple),
        text().prop_map(Value::Bulk),
        "[A-Z]{1,9} [a-z ]{0,20}".prop_map(|text| Value::Error(ReplyError::parse(text.as_bytes()))),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|number| Value::Double(f64::from(number) / 8.0)),
        any::<i64>().prop_map(|number| Value::BigNumber(number.to_string().into_bytes())),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            list.clone().prop_map(Value::Array),
            list.clone().prop_map(Value::Set),
            list.prop_map(Value::Push),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn replies_are_read_however_they_are_cut(values in prop::collection::vec(value(), 0..5), cuts: Vec<prop::sample::Index>) {
        let mut bytes = Vec::new();
        for value in &values {
            encode(value, &mut bytes);
        }
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&pieces).unwrap(), values.clone());
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(read(&single).unwrap(), values);
    }

    #[test]
    fn a_cut_changes_no_verdict(bytes: Vec<u8>, cut: prop::sample::Index) {
        let at = cut.index(bytes.len() + 1);
        prop_assert_eq!(read(&[&bytes[..at], &bytes[at..]]), read(&[&bytes]));
    }
}
