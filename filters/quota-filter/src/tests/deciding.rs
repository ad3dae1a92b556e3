//! Who passes and who does not, with Redis and without.

use super::*;

#[test]
fn a_request_below_the_limit_passes_and_its_response_tells_of_it() {
    let mut rig = Rig::serving(&requests());
    assert_eq!(rig.request(7, "anna"), Action::Pause);
    assert_eq!(runs(fake::take_calls()), ["1 1 1 0 | 1 1"]);
    rig.reply(&allowed(9));
    assert_eq!(resumed(fake::take_calls()), [7]);
    let headers = rig.respond(7, "200", &["{}"]);
    let told = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let policy = told("ratelimit-policy", "\"per-key\";q=10;w=3600");
    assert_eq!(headers, [policy, told("ratelimit", "\"per-key\";r=9;t=3600")]);
    rig.over(7);
    at_rest();
    rig.tick(200);
    assert_eq!(count("allowed"), 1);
    assert_eq!(fake::metric("sluice_quota_redis.connects"), Some(1));
}

#[test]
fn a_refusal_tells_when_to_come_back_and_is_known_for_a_second() {
    let mut rig = Rig::serving(&requests());
    rig.request(7, "anna");
    rig.reply(&refused(90_500));
    let calls = fake::take_calls();
    let Some(Call::Respond { context: 7, status: 429, details, headers, body, grpc_status }) =
        calls.iter().find(|call| matches!(call, Call::Respond { .. }))
    else {
        panic!("{calls:?}")
    };
    assert_eq!((details.as_str(), &body[..]), ("sluice_limited", &b"slow\n"[..]));
    assert_eq!(*grpc_status, Some(GrpcStatus::ResourceExhausted));
    let header = |name: &str| {
        let all = headers.iter().filter(|(known, _)| known == name.as_bytes());
        all.map(|(_, value)| String::from_utf8(value.clone()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(header("retry-after"), ["91"]);
    assert_eq!(header("ratelimit"), ["\"per-key\";r=0;t=91"]);
    assert_eq!(header("cache-control"), ["no-store"]);
    // Nothing is added when that answer goes by.
    assert_eq!(rig.respond(7, "429", &[]), []);
    assert!(fake::take_calls().is_empty());

    assert_eq!(rig.request(8, "anna"), Action::Pause);
    let calls = fake::take_calls();
    assert!(matches!(&calls[..], [Call::Respond { context: 8, status: 429, .. }]), "{calls:?}");
    rig.tick(1_000);
    fake::take_calls();
    rig.request(9, "anna");
    assert_eq!(runs(fake::take_calls()).len(), 1);
    rig.tick(200);
    assert_eq!((count("limited"), count("limited_known")), (1, 1));
}

#[test]
fn who_gathers_while_a_run_is_under_way_leaves_in_the_next_one() {
    let rig = Rig::serving(&requests());
    for request in 10..14 {
        assert_eq!(rig.request(request, &format!("key-{request}")), Action::Pause);
    }
    assert_eq!(runs(fake::take_calls()), ["1 1 1 0 | 1 1"]);
    rig.reply(&allowed(9));
    let calls = fake::take_calls();
    assert_eq!(runs(calls.clone()), ["1 1 1 0 | 1 1 1 2 1 3"]);
    assert_eq!(resumed(calls), [10]);
    rig.reply(&[&allowed(9)[..], &refused(5_000), &allowed(9)].concat());
    let calls = fake::take_calls();
    assert_eq!(resumed(calls.clone()), [11, 13]);
    assert_eq!(answers(calls), [(12, 429, "sluice_limited".to_owned())]);
}

#[test]
fn a_limit_that_only_watches_refuses_nobody_and_is_not_told_of() {
    let mut rig = Rig::serving(&document(&[limit("per-key", "null", r#""shadow": true,"#)], ALL));
    rig.request(7, "anna");
    rig.reply(&[2, 0, HOUR_MS, 500]);
    assert_eq!(resumed(fake::take_calls()), [7]);
    assert_eq!(rig.respond(7, "200", &["{}"]), []);
    rig.tick(200);
    assert_eq!(count("shadow_limited"), 1);
}

#[test]
fn who_lacks_a_part_of_the_key_is_not_limited_or_refused() {
    let rig = Rig::serving(&requests());
    assert_eq!(rig.request_by(7, "shop", &[]), Action::Continue);
    assert_eq!(fake::take_calls(), []);
    let rig = Rig::serving(&document(&[limit("per-key", "null", "required")], ALL));
    assert_eq!(rig.request_by(7, "shop", &[]), Action::Pause);
    let unidentified = (7, 400, "sluice_quota_unidentified".to_owned());
    assert_eq!(answers(fake::take_calls()), [unidentified]);
}

#[test]
fn an_answer_is_given_by_the_deadline() {
    let mut rig = Rig::serving(&requests());
    rig.request(7, "anna");
    rig.tick(90);
    assert!(resumed(fake::take_calls()).is_empty());
    rig.tick(30);
    assert_eq!(resumed(fake::take_calls()), [7]);
    // Nothing was told of the limit, so nothing is told on.
    assert_eq!(rig.respond(7, "200", &["{}"]), []);
    rig.tick(200);
    assert_eq!(count("failed_open_timeout"), 1);
}

#[test]
fn without_redis_each_limit_does_what_it_says() {
    let mut rig = Rig::serving(&failing("Deny"));
    rig.request(7, "anna");
    fake::take_calls();
    rig.close();
    rig.tick(400);
    let unavailable = |request| (request, 503, "sluice_quota_unavailable".to_owned());
    assert_eq!(answers(fake::take_calls()), [unavailable(7)]);
    assert_eq!(rig.request(8, "anna"), Action::Pause);
    assert_eq!(answers(fake::take_calls()), [unavailable(8)]);
    rig.tick(200);
    assert_eq!(count("unavailable"), 2);

    let mut rig = Rig::serving(&failing("Local"));
    rig.close();
    rig.tick(400);
    fake::take_calls();
    // A quarter of ten, as there are four workers.
    let next = || (rig.request(7, "anna"), answers(fake::take_calls()).len());
    assert_eq!([next(), next(), next()].map(|(_, refused)| refused), [0, 0, 1]);
    rig.tick(200);
    assert_eq!((count("local_allowed"), count("local_limited")), (2, 1));
}

#[test]
fn when_the_connection_is_lost_everybody_gets_one_answer_soon() {
    let mut rig = Rig::serving(&failing("Deny"));
    for request in 10..300 {
        rig.request(request, &format!("key-{request}"));
    }
    fake::take_calls();
    rig.close();
    let mut told = answers(fake::take_calls());
    for _ in 0..40 {
        rig.tick(5);
        let more = answers(fake::take_calls());
        assert!(more.len() <= 64, "{}", more.len());
        told.extend(more);
    }
    let mut requests: Vec<_> = told.into_iter().map(|(request, ..)| request).collect();
    requests.sort_unstable();
    assert_eq!(requests, (10..300).collect::<Vec<_>>());
}

#[test]
fn who_comes_before_redis_was_heard_waits_and_is_asked_about_then() {
    let mut rig = Rig::new(&requests());
    assert_eq!(rig.request(7, "anna"), Action::Pause);
    assert_eq!(answers(fake::take_calls()), []);
    rig.tick(1);
    rig.receive(b"*0\r\n");
    fake::take_calls();
    rig.receive(format!("$64\r\n{}\r\n", "0f".repeat(32)).as_bytes());
    assert_eq!(runs(fake::take_calls()), ["1 1 1 0 | 1 1"]);
    rig.reply(&allowed(9));
    assert_eq!(resumed(fake::take_calls()), [7]);
}

#[test]
fn without_a_keyring_redis_is_of_no_use_and_is_asked_for_it_again() {
    let mut rig = Rig::new(&failing("Deny"));
    rig.tick(1);
    rig.receive(b"*0\r\n");
    rig.receive(b"$-1\r\n");
    fake::take_calls();
    rig.request(7, "anna");
    assert_eq!(answers(fake::take_calls()).len(), 1);
    let asked = |calls: Vec<Call>| {
        let asks = |call: &&Call| matches!(call, Call::GrpcSend { message, .. } if message.windows(4).any(|w| w == b"HGET"));
        calls.iter().filter(asks).count()
    };
    rig.tick(900);
    assert_eq!(asked(fake::take_calls()), 0);
    rig.tick(150);
    assert_eq!(asked(fake::take_calls()), 1);
    rig.receive(format!("$64\r\n{}\r\n", "0f".repeat(32)).as_bytes());
    rig.request(8, "anna");
    assert_eq!(runs(fake::take_calls()).len(), 1);
}
