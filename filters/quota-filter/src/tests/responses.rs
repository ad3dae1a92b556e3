//! What a response cost, and what becomes of what was reserved for it.

use super::*;

#[test]
fn what_a_response_cost_is_charged_when_it_is_over() {
    let mut rig = Rig::serving(&tokens());
    rig.request(7, "anna");
    assert_eq!(runs(fake::take_calls()), ["1 1 0 5 | 1 1"]);
    rig.reply(&reserved(5, 900_000));
    fake::take_calls();
    rig.respond(7, "200", &["{\"usage\": {\"to", "tal\": 3}}"]);
    assert_eq!(runs(fake::take_calls()), [" | 0 1 1 1 900000 5 3"]);
    rig.over(7);
    assert_eq!(runs(fake::take_calls()).len(), 0);
    rig.reply(&[1, 7]);
    at_rest();
    rig.tick(200);
    assert_eq!((count("allowed"), count("settled")), (1, 1));
}

#[test]
fn a_stream_of_events_is_read_for_its_last_usage() {
    let rig = Rig::serving(&tokens());
    rig.request(7, "anna");
    rig.reply(&reserved(5, 900_000));
    fake::take_calls();
    rig.enter(7);
    let headers = [(":status", "200"), ("content-type", "text/event-stream")];
    fake::set_headers(7, Map::ResponseHeaders, &headers);
    on_response_headers(7, 2, false);
    for piece in ["data: {\"usage\": null}\n\nda", "ta: {\"usage\": {\"total\": 4}}\n\n", ""] {
        fake::put_buffer(Buffer::ResponseBody, piece.as_bytes());
        on_response_body(7, piece.len(), piece.is_empty());
    }
    assert_eq!(runs(fake::take_calls()), [" | 0 1 1 1 900000 5 4"]);
}

#[test]
fn what_came_to_nothing_gives_its_reservation_back() {
    // Reset by the client, before and after the response began; answered by a failure.
    let cut = |rig: &Rig| rig.over(7);
    let begun = |rig: &Rig| {
        rig.enter(7);
        let headers = [(":status", "200"), ("content-type", "application/json")];
        fake::set_headers(7, Map::ResponseHeaders, &headers);
        on_response_headers(7, 2, false);
        fake::put_property(7, b"response\0flags", &4u64.to_le_bytes());
        rig.over(7);
    };
    let failed = |rig: &Rig| {
        rig.respond(7, "502", &["{\"usage\": {\"total\": 3}}"]);
    };
    let other = |rig: &Rig| {
        rig.respond(7, "404", &["{}"]);
    };
    let ways: [&dyn Fn(&Rig); 4] = [&cut, &begun, &failed, &other];
    for way in ways {
        let mut rig = Rig::serving(&tokens());
        rig.request(7, "anna");
        rig.reply(&reserved(5, 900_000));
        fake::take_calls();
        let before = released(&mut rig);
        fake::take_calls();
        way(&rig);
        assert_eq!(runs(fake::take_calls()), [" | 0 1 1 1 900000 5 0"]);
        rig.reply(&[1, 10]);
        assert_eq!(released(&mut rig), before + 1);
        at_rest();
    }
}

fn released(rig: &mut Rig) -> i64 {
    rig.tick(200);
    count("released")
}

#[test]
fn a_response_without_usage_costs_what_was_reserved() {
    for (pieces, outcome) in
        [(&["{}"][..], "no_usage"), (&["{\"usage\": "], "unreadable"), (&[], "no_usage")]
    {
        let mut rig = Rig::serving(&tokens());
        rig.request(7, "anna");
        rig.reply(&reserved(5, 900_000));
        fake::take_calls();
        rig.respond(7, "200", pieces);
        assert_eq!(runs(fake::take_calls()), [" | 0 1 1 1 900000 5 5"]);
        rig.tick(200);
        assert_eq!(count(outcome), 1);
    }
}

#[test]
fn a_response_that_ends_in_trailers_is_whole() {
    let rig = Rig::serving(&tokens());
    rig.request(7, "anna");
    rig.reply(&reserved(5, 900_000));
    rig.respond(7, "200", &["{}", ""]);
    fake::take_calls();
    rig.request(8, "anna");
    rig.reply(&[1, 5]);
    rig.reply(&reserved(5, 900_000));
    rig.enter(8);
    let headers = [(":status", "200"), ("content-type", "application/json")];
    fake::set_headers(8, Map::ResponseHeaders, &headers);
    on_response_headers(8, 2, false);
    fake::put_buffer(Buffer::ResponseBody, b"{}");
    on_response_body(8, 2, false);
    fake::put_property(8, b"response\0flags", &0u64.to_le_bytes());
    fake::take_calls();
    rig.over(8);
    assert_eq!(runs(fake::take_calls()), [" | 0 1 1 1 900000 5 5"]);
}

#[test]
fn settlements_wait_for_redis() {
    let mut rig = Rig::serving(&tokens());
    rig.request(7, "anna");
    rig.reply(&reserved(5, 900_000));
    rig.close();
    rig.respond(7, "200", &["{\"usage\": {\"total\": 3}}"]);
    rig.over(7);
    rig.tick(100);
    let mut opened = fake::take_calls().into_iter().filter_map(|call| match call {
        Call::GrpcOpen { token, .. } => Some(token),
        _ => None,
    });
    rig.token = opened.next_back().unwrap();
    rig.receive(b"*0\r\n");
    rig.receive(format!("$64\r\n{}\r\n", "0f".repeat(32)).as_bytes());
    rig.tick(1_100);
    assert_eq!(runs(fake::take_calls()), [" | 0 1 1 1 900000 5 3"]);
    rig.reply(&[1, 7]);
    at_rest();
}

#[test]
fn who_left_before_the_reply_gets_the_reservation_back() {
    for known_to_the_host in [false, true] {
        let rig = Rig::serving(&tokens());
        rig.request(7, "anna");
        rig.enter(7);
        on_log(7);
        if !known_to_the_host {
            fake::forget_context(7);
        }
        fake::take_calls();
        rig.reply(&reserved(5, 900_000));
        let calls = fake::take_calls();
        assert_eq!(runs(calls.clone()), [" | 0 1 1 1 900000 5 0"]);
        assert!(resumed(calls).is_empty());
        rig.reply(&[1, 10]);
        at_rest();
    }
}
