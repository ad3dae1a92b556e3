use host::fake::{self, Call};
use proptest::prelude::*;

use super::*;
use crate::frames::LONGEST;

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|message| [&head(message.len())[..], message].concat()).collect()
}

/// Cuts bytes into pieces at the given places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Runs pieces through the filter; what leaves it.
fn carried(stream: ContextId, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        fake::enter(stream);
        fake::put_buffer(Buffer::RequestBody, piece);
        assert_eq!(on_request_body(stream, piece.len(), false), Action::Continue);
        out.extend(fake::buffer(Buffer::RequestBody));
    }
    out
}

proptest! {
    #[test]
    fn messages_pass_however_they_are_cut(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        cuts: Vec<prop::sample::Index>,
    ) {
        fake::reset();
        let bytes = framed(&messages);
        prop_assert_eq!(carried(7, &pieces(&bytes, &cuts)), messages.concat());
        on_delete(7);
        prop_assert_eq!(held(), 0);
    }

    #[test]
    fn any_bytes_pass_or_are_refused(bytes: Vec<u8>, cuts: Vec<prop::sample::Index>) {
        fake::reset();
        carried(8, &pieces(&bytes, &cuts));
        on_delete(8);
    }

    #[test]
    fn streams_do_not_mix(one: Vec<u8>, two: Vec<u8>, cut: prop::sample::Index) {
        fake::reset();
        let (first, second) = (framed(std::slice::from_ref(&one)), framed(std::slice::from_ref(&two)));
        let at = cut.index(first.len() + 1);
        let mut out = carried(1, &[&first[..at]]);
        prop_assert_eq!(carried(2, &[&second]), two);
        out.extend(carried(1, &[&first[at..]]));
        prop_assert_eq!(out, one);
        on_delete(1);
        on_delete(2);
    }
}

#[test]
fn a_compressed_message_ends_the_stream() {
    fake::reset();
    let left = carried(3, &[&[1, 0, 0, 0, 1, 42], &[0, 0, 0, 0, 1, 42]]);
    assert_eq!(left, b"");
    let calls = fake::take_calls();
    assert!(calls.contains(&Call::Close(3, Stream::Request)), "{calls:?}");
    assert!(calls.iter().any(|call| matches!(call, Call::Log(_, line) if line.contains("flag 1"))));
    on_delete(3);
}

#[test]
fn a_message_beyond_all_measure_ends_the_stream() {
    fake::reset();
    carried(4, &[&head(LONGEST + 1)]);
    assert!(fake::take_calls().contains(&Call::Close(4, Stream::Request)));
    on_delete(4);
}

#[test]
fn what_comes_down_gets_a_head() {
    fake::reset();
    fake::enter(5);
    fake::put_buffer(Buffer::ResponseBody, b"+OK\r\n");
    on_response_body(5, 5, false);
    assert_eq!(fake::buffer(Buffer::ResponseBody), b"\0\0\0\0\x05+OK\r\n");
}

#[test]
fn an_end_without_bytes_stays_one() {
    fake::reset();
    fake::enter(5);
    fake::put_buffer(Buffer::ResponseBody, b"");
    on_response_body(5, 0, true);
    assert_eq!(fake::buffer(Buffer::ResponseBody), b"");
}

#[test]
fn the_answer_looks_like_grpc() {
    fake::reset();
    fake::enter(6);
    fake::set_headers(6, Map::ResponseHeaders, &[(":status", "200")]);
    on_response_headers(6, 1, false);
    let headers = fake::headers(6, Map::ResponseHeaders);
    assert!(headers.contains(&(b"content-type".to_vec(), b"application/grpc".to_vec())));
}
