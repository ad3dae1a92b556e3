//! Any body is read for its cost without harm, cuts change nothing, and JSON is read as others read it.

use std::rc::Rc;

use quota::usage::{Cost, Reader, Usage, MAX_DEPTH, MAX_UNITS};
use serde::de::IgnoredAny;
use serde_json::Value;

const POINTERS: [&str; 5] = ["/usage/total_tokens", "/usage", "/a", "/0", ""];
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The first byte tells where to cut the rest.
pub fn usage(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let (head, tail) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let document = bytes.strip_prefix(MARK).unwrap_or(bytes);
    let event = [b"data: ", document, b"\r\n\r\n"].concat();
    for pointer in POINTERS {
        let cost = Rc::new(Cost::new(&[(pointer, 1_000)]).unwrap());
        for content_type in [JSON, EVENTS] {
            let whole = read(&cost, content_type, &[bytes]);
            assert_eq!(read(&cost, content_type, &[head, tail]), whole);
            assert_eq!(read(&cost, content_type, &bytes.chunks(1).collect::<Vec<_>>()), whole);
        }
        let usage = read(&cost, JSON, &[bytes]);
        compare(usage, document, pointer);
        if !document.iter().any(|byte| b"\r\n".contains(byte)) {
            let in_event = if usage == Usage::Unreadable { Usage::Missing } else { usage };
            assert_eq!(read(&cost, EVENTS, &[&event]), in_event);
        }
    }
}

fn read(cost: &Rc<Cost>, content_type: &str, pieces: &[&[u8]]) -> Usage {
    let mut reader = Reader::new(Some(content_type.as_bytes()), None, cost);
    for piece in pieces {
        reader.feed(piece);
    }
    reader.finish()
}

/// Nothing is found in what is no JSON, and in JSON what serde finds.
fn compare(usage: Usage, document: &[u8], pointer: &str) {
    let blank = document.iter().all(|byte| b" \t\r\n".contains(byte));
    let deep = document.iter().filter(|byte| b"[{".contains(byte)).count() > MAX_DEPTH;
    if serde_json::from_slice::<IgnoredAny>(document).is_err() {
        assert_eq!(usage, if blank { Usage::Missing } else { Usage::Unreadable });
    } else if usage == Usage::Unreadable {
        assert!(deep);
    } else if let Ok(value) = serde_json::from_slice::<Value>(document) {
        // others, with numbers beyond all floats or texts that are no UTF-8, are beyond serde
        let number = value.pointer(pointer).and_then(Value::as_f64);
        match (usage, number) {
            (Usage::Units(units), Some(number)) => {
                let expected = number.clamp(0.0, MAX_UNITS as f64);
                assert!((units as f64 - expected).abs() <= 1.0, "{units} for {number}");
            }
            _ => assert_eq!((usage, number), (Usage::Missing, None)),
        }
    }
}
