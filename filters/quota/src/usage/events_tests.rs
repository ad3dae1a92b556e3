use super::super::json::tests::{agrees, cuts, document, pieces, pointers, scanner};
use super::*;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, pointers: &[&str]) -> Vec<Option<u64>> {
    let mut events = Events::new(scanner(pointers));
    for chunk in chunks {
        events.feed(chunk);
    }
    events.finish()[..pointers.len()].to_vec()
}

/// The data of all events, read line by line as the standard tells it.
fn data(stream: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    for line in stream.split('\n').chain([""]) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name == "data" {
            lines.push(value.strip_prefix(' ').unwrap_or(value));
        } else if line.is_empty() && !lines.is_empty() {
            all.push(lines.join("\n"));
            lines.clear();
        }
    }
    all
}

/// An event with this document as its data, on as many lines as it has; or something else.
fn event() -> impl Strategy<Value = String> {
    let end = || select(vec!["\n", "\r", "\r\n"]);
    let name = select(vec!["data:", "data: "]);
    let other = select(vec![
        "",
        "",
        ": comment",
        ":",
        "event: message",
        "id: 1",
        "retry: 9",
        "data",
        "dat: {}",
        "datax: 1",
        "Data: 1",
        " data: 1",
        "data: [DONE]",
        "data:  7",
        "data: {\"a\": ",
        "data",
    ]);
    let field = (document(), name, end()).prop_map(|(text, name, end)| {
        let lines: Vec<_> = text.split(['\r', '\n']).map(|line| format!("{name}{line}")).collect();
        lines.join(end)
    });
    let line = prop_oneof![2 => field, 1 => other.prop_map(String::from)];
    let lines = prop::collection::vec((line, end()), 1..4);
    (lines, end()).prop_map(|(lines, end)| {
        let lines = lines.into_iter().map(|(line, end)| line + end);
        lines.collect::<String>() + end
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streams_are_read_as_the_standard_tells(
        events in prop::collection::vec(event(), 0..8),
        pointers in pointers(),
        cuts in cuts(),
    ) {
        let stream = events.concat();
        let pointers: Vec<_> = pointers.iter().map(String::as_str).collect();
        let found = read(pieces(stream.as_bytes(), &cuts), &pointers);
        prop_assert_eq!(&found, &read(stream.as_bytes().chunks(1), &pointers));
        let documents: Vec<Value> =
            data(&stream).iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        for (pointer, found) in pointers.iter().zip(found) {
            let has = |document: &&Value| document.pointer(pointer).is_some_and(Value::is_number);
            let last = documents.iter().rev().find(has).unwrap_or(&Value::Null);
            prop_assert!(agrees(found, last, pointer), "{:?} {:?} {:?}", pointer, found, stream);
        }
    }
}

/// 200 events: text, null in place of the usage, and the usage in the last but one.
fn completion(line_end: &str) -> Vec<u8> {
    let mut events: Vec<String> = (0..198)
        .map(|at| {
            format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"né {at}"}}}}],"usage":null}}"#)
        })
        .collect();
    let usage =
        r#"{"choices":[],"usage":{"prompt_tokens":19,"completion_tokens":198,"total_tokens":217}}"#;
    events.extend([usage.to_owned(), "[DONE]".to_owned()]);
    let events = events.iter().map(|event| format!("data: {event}{line_end}{line_end}"));
    events.collect::<String>().into()
}

#[test]
fn usage_near_the_end_is_found_wherever_the_stream_is_cut() {
    for line_end in ["\n", "\r", "\r\n"] {
        let stream = completion(line_end);
        for size in [1, 2, 3, 7, 64, 1_000, stream.len()] {
            let found = read(stream.chunks(size), &["/usage/total_tokens", "/usage/none"]);
            assert_eq!(found, [Some(217_000), None], "{line_end:?} {size}");
        }
        for at in stream.len() - 120..stream.len() {
            let (head, tail) = stream.split_at(at);
            assert_eq!(read([head, tail], &["/usage/total_tokens"]), [Some(217_000)], "{at}");
        }
    }
}

#[test]
fn input_and_output_may_stand_in_different_events() {
    let stream = b"event: message_start\n\
        data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n\
        event: ping\ndata: {\"type\": \"ping\"}\n\n\
        event: message_delta\n\
        data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let pointers = ["/message/usage/input_tokens", "/usage/output_tokens"];
    assert_eq!(read([&stream[..]], &pointers), [Some(25_000), Some(15_000)]);
}

#[test]
fn sums_that_grow_are_not_added_up() {
    let events = (1..=50).map(|sum| format!("data:{{\"usage\":{{\"total_tokens\":{sum}}}}}\n\n"));
    let stream = events.collect::<Vec<_>>().concat();
    assert_eq!(read([stream.as_bytes()], &["/usage/total_tokens"]), [Some(50_000)]);
}

#[test]
fn lines_of_data_are_joined() {
    let stream = b"data: {\"a\":\ndata\n: {\"a\": 9}\ndata:12\nid: 7\ndata: }\n\n";
    assert_eq!(read([&stream[..]], &["/a"]), [Some(12_000)]);
    // not within a number, nor within a string
    for stream in
        [&b"data: {\"a\": 1\ndata: 2}\n\n"[..], b"data: {\"a\": 1, \"b\": \"\ndata: \"}\n\n"]
    {
        assert_eq!(read([stream], &["/a"]), [None]);
    }
}

#[test]
fn an_event_that_is_no_json_hides_no_other() {
    let stream = b"data: {\"a\": 1}\n\ndata: {\"a\": 2\n\ndata: {\"a\": 3]\n\ndata: [DONE]\n\n";
    assert_eq!(read([&stream[..]], &["/a"]), [Some(1_000)]);
}

#[test]
fn the_last_event_needs_no_empty_line_but_must_be_whole() {
    for end in ["", "\n", "\r\n", "\n\n"] {
        let stream = format!("data: {{\"a\": 1}}\n\ndata: {{\"a\": 2}}{end}");
        assert_eq!(read([stream.as_bytes()], &["/a"]), [Some(2_000)], "{end:?}");
    }
    assert_eq!(read([&b"data: {\"a\": 1}\n\ndata: {\"a\": 2"[..]], &["/a"]), [Some(1_000)]);
}
