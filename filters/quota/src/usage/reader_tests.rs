use super::*;

const JSON: &[u8] =
    br#"{"usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}}"#;

fn total() -> Rc<Cost> {
    Rc::new(Cost::new(&[("/usage/total_tokens", 1_000)]).unwrap())
}

fn read(content_type: &str, content_encoding: Option<&str>, chunks: &[&[u8]]) -> Usage {
    let encoding = content_encoding.map(str::as_bytes);
    let mut reader = Reader::new(Some(content_type.as_bytes()), encoding, &total());
    for chunk in chunks {
        reader.feed(chunk);
    }
    reader.finish()
}

#[test]
fn the_content_type_tells_how_to_read() {
    let event = [b"data: ", JSON, b"\n\n"].concat();
    for content_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        " application/json ;a=b",
        "application/vnd.api+json",
        "application/problem+JSON",
    ] {
        assert_eq!(read(content_type, None, &[JSON]), Usage::Units(14), "{content_type}");
        assert_eq!(read(content_type, None, &[&event]), Usage::Unreadable, "{content_type}");
    }
    for content_type in ["text/event-stream", "Text/Event-Stream;charset=utf-8"] {
        assert_eq!(read(content_type, None, &[&event]), Usage::Units(14), "{content_type}");
        assert_eq!(read(content_type, None, &[JSON]), Usage::Missing, "{content_type}");
    }
    for content_type in ["", "text/html", "json", "+jso", "application/jsonl", "text/event-streams"]
    {
        assert_eq!(read(content_type, None, &[JSON]), Usage::Missing, "{content_type}");
    }
    let mut reader = Reader::new(None, None, &total());
    reader.feed(JSON);
    assert_eq!(reader.finish(), Usage::Missing);
}

#[test]
fn encoded_bodies_are_not_read() {
    for encoding in ["gzip", "br", "identity, gzip", "x-unknown"] {
        assert_eq!(read("application/json", Some(encoding), &[JSON]), Usage::Unreadable);
        assert_eq!(read("text/event-stream", Some(encoding), &[]), Usage::Unreadable);
        assert_eq!(read("image/png", Some(encoding), &[JSON]), Usage::Missing);
    }
    for encoding in ["identity", "", " Identity , identity"] {
        assert_eq!(read("application/json", Some(encoding), &[JSON]), Usage::Units(14));
    }
}

#[test]
fn numbers_that_are_missing_count_nothing_unless_all_are() {
    let terms = [
        ("/usage/prompt_tokens", 1_000),
        ("/usage/completion_tokens", 3_000),
        ("/usage/cached", -900),
    ];
    let cost = Rc::new(Cost::new(&terms).unwrap());
    for (text, usage) in [
        (JSON, Usage::Units(22)),
        (br#"{"usage": {"completion_tokens": 4}}"#, Usage::Units(12)),
        (br#"{"usage": {"cached": 4}}"#, Usage::Units(0)),
        (br#"{"usage": null}"#, Usage::Missing),
        (br#"{"usage": "#, Usage::Unreadable),
        (b"<html>", Usage::Unreadable),
        (b" \n", Usage::Missing),
        (b"", Usage::Missing),
    ] {
        let mut reader = Reader::new(Some(b"application/json"), None, &cost);
        reader.feed(text);
        assert_eq!(reader.finish(), usage, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_byte_order_mark_is_passed_over_once() {
    let event = [b"data: ", JSON, b"\n\n"].concat();
    for (content_type, body) in [("application/json", JSON), ("text/event-stream", &event)] {
        let marked = [BOM, body].concat();
        for at in 0..6 {
            let (head, tail) = marked.split_at(at);
            assert_eq!(read(content_type, None, &[head, b"", tail]), Usage::Units(14));
        }
        assert_ne!(read(content_type, None, &[BOM, &marked]), Usage::Units(14));
        for wrong in [&b"\xef"[..], b"\xef\xbb", b"\xbb\xbf"] {
            assert_ne!(read(content_type, None, &[wrong, body]), Usage::Units(14));
        }
    }
    assert_eq!(read("application/json", None, &[b"\xef\xbb"]), Usage::Unreadable);
    assert_eq!(read("application/json", None, &[BOM]), Usage::Missing);
}

#[test]
fn a_body_that_can_tell_nothing_more_need_not_be_read() {
    let reading = |content_type: &[u8], encoding: Option<&[u8]>, chunk: &[u8]| {
        let mut reader = Reader::new(Some(content_type), encoding, &total());
        reader.feed(chunk);
        reader.is_reading()
    };
    assert!(reading(b"application/json", None, b"{"));
    assert!(!reading(b"application/json", None, b"}"));
    assert!(!reading(b"application/json", Some(b"gzip"), b""));
    assert!(reading(b"text/event-stream", None, b"data: }\n\n"));
    assert!(!reading(b"text/html", None, b""));
}

#[test]
fn a_reader_is_small() {
    assert!(size_of::<Reader>() <= 768, "{}", size_of::<Reader>());
}
