use std::fmt::Write as _;

use super::super::path::MAX_DEPTH;
use super::super::pointer::MAX_SEGMENTS;
use super::*;
use proptest::prelude::*;
use proptest::sample::{select, Index};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Short, alike, and awkward as names and as steps of a pointer.
const NAMES: [&str; 12] =
    ["a", "ab", "b", "", "0", "1", "01", "a/b", "~", "é\u{1F600}", "total_tokens", "\"\\\n"];

pub(crate) fn scanner(pointers: &[&str]) -> Scanner {
    Scanner::new(&Rc::new(Pointers::parse(pointers.iter().copied()).unwrap()))
}

/// The bytes in pieces that end at random borders.
pub(crate) fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut borders: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    borders.extend([0, bytes.len()]);
    borders.sort_unstable();
    borders.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

pub(crate) fn cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..12)
}

/// In thousandths, and by how many this may be off since the reference counts in binary.
fn expected(document: &Value, pointer: &str) -> Option<(u64, u64)> {
    let number = document.pointer(pointer)?.as_number()?;
    if let Some(whole) = number.as_u64() {
        return Some((whole.saturating_mul(1_000).min(1_000_000_000_000), 0));
    }
    Some(((number.as_f64()?.max(0.0) * 1_000.0).min(1e12) as u64, 1))
}

pub(crate) fn agrees(found: Option<u64>, document: &Value, pointer: &str) -> bool {
    match (found, expected(document, pointer)) {
        (None, None) => true,
        (Some(found), Some((expected, off))) => found.abs_diff(expected) <= off,
        _ => false,
    }
}

fn blanks() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(""), 1 => select(vec![" ", "\n", "\t \r\n"])]
}

/// A string as somebody might write it: each character as it is or escaped.
fn quoted(text: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(0..4_u8, text.chars().count()).prop_map(|ways| {
        let mut quoted = String::from("\"");
        for (character, way) in text.chars().zip(ways) {
            match (way, character) {
                (0, _) => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(quoted, "\\u{unit:04x}").unwrap();
                    }
                }
                (1, '/') => quoted += "\\/",
                (_, '\n') => quoted += "\\n",
                (_, '"' | '\\') => quoted.extend(['\\', character]),
                _ => quoted.push(character),
            }
        }
        quoted + "\""
    })
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?",
    ]
}

pub(crate) fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => number(),
        1 => select(vec!["true", "false", "null", "{}", "[ ]"]).prop_map(String::from),
        1 => select(&NAMES[..]).prop_flat_map(quoted),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let spaced = (blanks(), inner, blanks()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let spaced = spaced.boxed();
        let member = (blanks(), select(&NAMES[..]).prop_flat_map(quoted), blanks(), spaced.clone())
            .prop_map(|(a, name, b, value)| format!("{a}{name}{b}:{value}"));
        prop_oneof![
            prop::collection::vec(spaced, 1..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 1..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

pub(crate) fn pointer() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&NAMES[..]), 0..4).prop_map(|steps| {
        let written = steps.iter().map(|step| step.replace('~', "~0").replace('/', "~1"));
        written.flat_map(|step| ["/".to_owned(), step]).collect()
    })
}

/// What most documents have under some name.
pub(crate) fn pointers() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(pointer(), 1..=MAX_POINTERS)
}

/// Bytes that are nearly JSON.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let scraps = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u00e9", "\\ud83d", "\\ude00", "0", "1", "-",
        ".", "e", "E+", "12", "true", "fals", "null", " ", "\n", "\"a\"", "\"a\":", "\u{e9}", "\0",
    ];
    prop::collection::vec(select(scraps.to_vec()), 0..12).prop_map(|all| all.concat().into())
}

/// A document with some bytes replaced.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (document(), any::<Index>(), 0..3_usize, soup()).prop_map(|(document, at, taken, put)| {
        let mut bytes = document.into_bytes();
        let at = at.index(bytes.len() + 1);
        let end = (at + taken).min(bytes.len());
        bytes.splice(at..end, put.into_iter().take(3));
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_serde_finds(text in document(), pointers in pointers(), cuts in cuts()) {
        let document: Value = serde_json::from_str(&text).unwrap();
        let pointers: Vec<_> = pointers.iter().map(String::as_str).collect();
        let mut scanner = scanner(&pointers);
        for piece in pieces(text.as_bytes(), &cuts) {
            scanner.feed(piece);
        }
        prop_assert_eq!(scanner.finish(), Document::Whole, "{}", text);
        for (pointer, found) in pointers.iter().zip(scanner.found()) {
            prop_assert!(agrees(*found, &document, pointer), "{:?} {:?} {}", pointer, found, text);
        }
    }

    #[test]
    fn reads_what_serde_reads(bytes in prop_oneof![soup(), damaged()], cuts in cuts()) {
        let mut scanner = scanner(&["", "/a", "/0"]);
        for piece in pieces(&bytes, &cuts) {
            scanner.feed(piece);
        }
        let is_json = serde_json::from_slice::<IgnoredAny>(&bytes).is_ok();
        let read = scanner.finish();
        prop_assert_eq!(read == Document::Whole, is_json, "{:?}", bytes);
        prop_assert_eq!(read == Document::Empty, bytes.trim_ascii().is_empty());
    }
}

fn find(text: &[u8], pointers: &[&str]) -> (Document, Vec<Option<u64>>) {
    let mut scanner = scanner(pointers);
    scanner.feed(text);
    let read = scanner.finish();
    (read, scanner.found()[..pointers.len()].to_vec())
}

#[test]
fn numbers_are_found_by_name_and_place() {
    let text =
        br#"{"usage": {"total_tokens": 42, "details": [1, {"cached": 2.5}], "a/b": {"~": 3}}}"#;
    let pointers = ["/usage/total_tokens", "/usage/details/1/cached", "/usage/a~1b/~0", "/usage"];
    let found = vec![Some(42_000), Some(2_500), Some(3_000), None];
    assert_eq!(find(text, &pointers), (Document::Whole, found));
}

#[test]
fn what_is_no_number_is_not_found() {
    let text = br#"{"a": "1", "b": null, "c": [1], "d": {"e": 1}, "f": true}"#;
    let pointers = ["/a", "/b", "/c", "/d", "/f", "/c/1", "/a/0", "/d/e/f"];
    assert_eq!(find(text, &pointers), (Document::Whole, vec![None; 8]));
}

#[test]
fn the_last_of_several_members_counts() {
    let pointers = ["/a", "/a/b"];
    for (text, found) in [
        (&br#"{"a": 1, "a": 2}"#[..], [Some(2_000), None]),
        (br#"{"a": 1, "\u0061": {"b": 3}}"#, [None, Some(3_000)]),
        (br#"{"a": {"b": 1, "b": 2, "c": 3}, "b": 4}"#, [None, Some(2_000)]),
        (br#"{"a": {"b": 1}, "a": null}"#, [None, None]),
    ] {
        assert_eq!(find(text, &pointers), (Document::Whole, found.to_vec()));
    }
}

#[test]
fn half_a_surrogate_pair_is_no_part_of_a_name_nor_an_error() {
    let text = br#"{"\ud83d": 1, "\ude00": 2, "\ud83d\u0061": 3, "\ud83da": 4, "\ud83da\ude00": 5,
        "\ud83d\ude00": 6, "a": 7}"#;
    let found = find(text, &["/\u{1F600}", "/a", "/", "/a\u{1F600}"]);
    assert_eq!(found, (Document::Whole, vec![Some(6_000), Some(7_000), None, None]));
    assert_eq!(find(br#"["\ud83d", "\ude00"]"#, &["/0"]).0, Document::Whole);
}

#[test]
fn texts_need_not_be_utf_8() {
    assert_eq!(find(b"{\"text\": \"\xe2\x82\", \"a\": 7}", &["/a"]).1, [Some(7_000)]);
    assert_eq!(find(b"{\xe2\x82: 7}", &["/a"]).0, Document::Broken);
}

#[test]
fn cut_off_documents_are_broken_wherever_the_cut_is() {
    let text = br#"{"usage": {"total_tokens": 42}, "\u00e9": [true, -1.5e+3, "x\n"]}"#;
    for end in 1..text.len() {
        assert_eq!(find(&text[..end], &["/usage/total_tokens"]).0, Document::Broken, "{end}");
    }
    assert_eq!(find(text, &["/usage/total_tokens"]).0, Document::Whole);
}

#[test]
fn a_name_is_compared_over_all_borders() {
    let text = r#"{"na\u00efve \ud83d\ude00 na\u006de": 12, "naïve": 1}"#.as_bytes();
    for at in 0..text.len() {
        let mut scanner = scanner(&["/naïve \u{1F600} name", "/na"]);
        scanner.feed(&text[..at]);
        scanner.feed(&text[at..]);
        assert_eq!(scanner.finish(), Document::Whole);
        assert_eq!(scanner.found()[..2], [Some(12_000), None], "cut at {at}");
    }
}

#[test]
fn depth_has_a_bound() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert_eq!(find(&nested(MAX_DEPTH), &["/0"]).0, Document::Whole);
    assert_eq!(find(&nested(MAX_DEPTH + 1), &["/0"]).0, Document::Broken);
}

#[test]
fn a_pointer_may_be_as_deep_as_allowed_and_is_not_followed_further() {
    let pointer = "/0".repeat(MAX_SEGMENTS);
    let nested = |depth: usize| [vec![b'['; depth], b"5".to_vec(), vec![b']'; depth]].concat();
    assert_eq!(find(&nested(MAX_SEGMENTS), &[&pointer]).1, [Some(5_000)]);
    assert_eq!(find(&nested(MAX_SEGMENTS + 1), &[&pointer]).1, [None]);
    assert_eq!(find(&nested(MAX_SEGMENTS - 1), &[&pointer]).1, [None]);
}

#[test]
fn bodies_of_many_megabytes_take_no_memory() {
    let mut scanner = scanner(&["/1/usage", "/2"]);
    scanner.feed(b"[[");
    let element = [&b"[[[[],{\"usage\":["[..], &b"[1,2],".repeat(500), b"3]}]]],"].concat();
    for _ in 0..2_000 {
        scanner.feed(&element);
    }
    scanner.feed(b"0], {\"usage\": 7, \"");
    for _ in 0..1_000 {
        scanner.feed(&[b'k'; 1_000]);
    }
    scanner.feed(b"\": 1}, 9");
    for _ in 0..1_000 {
        scanner.feed(&[b'0'; 1_000]);
    }
    scanner.feed(b"]");
    assert_eq!(scanner.finish(), Document::Whole);
    assert_eq!(scanner.found()[..2], [Some(7_000), Some(1_000_000_000_000)]);
    assert!(size_of::<Scanner>() < 512, "{}", size_of::<Scanner>());
}

#[test]
fn nothing_of_a_document_is_left_for_the_next() {
    let mut scanner = scanner(&["/a"]);
    for (text, read, found) in [
        (&br#"{"a": 1}"#[..], Document::Whole, Some(1_000)),
        (b"{}", Document::Whole, None),
        (br#"{"a": 1, ["#, Document::Broken, Some(1_000)),
        (b" ", Document::Empty, None),
        (br#"{"b": 2}"#, Document::Whole, None),
    ] {
        scanner.feed(text);
        assert_eq!((scanner.finish(), scanner.found()[0]), (read, found));
        scanner.reset();
    }
}
