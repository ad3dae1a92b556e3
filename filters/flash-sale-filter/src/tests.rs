//! The callbacks on a recorded host, with a Redis that answers what each test wants.

use host::fake::{self, Call};
use host::{Map, Stream, Token};

use super::*;

const ROOT: ContextId = 1;
const ROUTE: &[u8] = b"xds\0route_name";
const SECOND: u64 = 1_000_000_000;

/// Time goes on from here, so that the VM's threads never see it go back.
struct Rig {
    now: u64,
    token: Token,
}

fn document(change: &str, to: &str) -> String {
    let answer = r#"{"status": 503, "headers": [["cache-control", "no-store"]], "body": "no\n", "retryAfter": true}"#;
    let responses: Vec<String> = sale::answers::REFUSALS
        .into_iter()
        .map(|refusal| format!("\"{}\": {answer}", refusal.field()))
        .collect();
    let text = format!(
        r#"{{"version": 1, "gateway": "shop/edge",
 "redis": {{"cluster": "sluice-redis", "deadlineMs": 100, "username": "", "passwordEnv": "", "database": 0, "via": "Direct"}},
 "pollMs": 200,
 "sales": [{{"sale": "shop/laptop", "books": "shop/laptop/1", "startMs": 100000, "endMs": null,
  "blockRatio": 0.0, "draw": "PerRequest", "redrawMs": 0, "minIntervalMs": 0,
  "identity": {{"header": "authorization", "plain": true}}, "pass": null,
  "deny": {{"users": [], "networks": []}}, "responses": {{{}}},
  "onRedisFailure": "Deny", "durability": "Local", "suspended": false}}],
 "routes": {{"shop": 0}}}}"#,
        responses.join(", ")
    );
    assert!(text.contains(change), "{change}");
    text.replacen(change, to, 1)
}

fn configure(root: ContextId, parameters: &str) -> bool {
    fake::enter(root);
    fake::put_buffer(Buffer::PluginConfiguration, parameters.as_bytes());
    on_configure(root, parameters.len())
}

impl Rig {
    /// A VM with parameters, whose wall clock shows `wall_s` seconds since 1970.
    fn new(parameters: &str, wall_s: u64) -> Self {
        fake::reset();
        let rig = Self { now: 10 * SECOND, token: 1 };
        rig.enter(ROOT, wall_s);
        assert!(configure(ROOT, parameters));
        rig
    }

    /// A VM whose connection serves: no permits, and room for `limit`.
    fn serving(parameters: &str, limit: u32) -> Self {
        let mut rig = Self::new(parameters, 500);
        rig.tick(1);
        rig.receive(b"*0\r\n");
        let key = "0f".repeat(32);
        let mut replies = format!(
            "*6\r\n$8\r\nidentity\r\n$64\r\n{key}\r\n$7\r\nversion\r\n$1\r\n1\r\n$5\r\nkey:1\r\n$64\r\n{key}\r\n"
        );
        replies += "*6\r\n:0\r\n:510000000\r\n$2\r\nr1\r\n:7\r\n:1\r\n:0\r\n";
        rig.receive(replies.as_bytes());
        rig.receive(
            format!("*11\r\n:0\r\n:510000000\r\n:7\r\n:1\r\n:{limit}\r\n:0\r\n:0\r\n:1\r\n:0\r\n:0\r\n:0\r\n")
                .as_bytes(),
        );
        fake::take_calls();
        rig
    }

    fn enter(&self, context: ContextId, wall_s: u64) {
        fake::set_time(wall_s * SECOND, self.now);
        fake::enter(context);
    }

    /// Lets milliseconds pass in ticks of five.
    fn tick(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds.div_ceil(5) {
            self.now += 5_000_000;
            self.enter(ROOT, 500);
            callbacks::on_tick::<FlashSale>(ROOT);
        }
    }

    fn request(&self, request: ContextId, route: &str, user: &str) -> Action {
        self.enter(request, 500);
        fake::put_property(request, ROUTE, route.as_bytes());
        fake::set_headers(request, Map::RequestHeaders, &[("authorization", user)]);
        on_request_headers(request, 1, true)
    }

    fn receive(&self, bytes: &[u8]) {
        self.enter(ROOT, 500);
        fake::put_buffer(Buffer::GrpcReceive, bytes);
        callbacks::on_grpc_receive::<FlashSale>(ROOT, self.token, bytes.len());
    }

    fn close(&self) {
        self.enter(ROOT, 500);
        callbacks::on_grpc_close::<FlashSale>(ROOT, self.token, 14);
    }
}

/// Which requests were answered, with which status and detail.
fn answers() -> Vec<(ContextId, u16, String)> {
    let answer = |call| match call {
        Call::Respond { context, status, details, .. } => Some((context, status, details)),
        _ => None,
    };
    fake::take_calls().into_iter().filter_map(answer).collect()
}

/// Which requests were let go.
fn resumed() -> Vec<ContextId> {
    let resumed = |call| match call {
        Call::Resume(context, Stream::Request) => Some(context),
        _ => None,
    };
    fake::take_calls().into_iter().filter_map(resumed).collect()
}

fn admitted(numbers: &[u32]) -> String {
    let pairs: Vec<_> = numbers.iter().map(|number| format!(":1\r\n:{number}\r\n")).collect();
    let pairs = pairs.concat();
    format!("*{}\r\n:0\r\n:0\r\n:1\r\n:50\r\n:{}\r\n{pairs}", 5 + 2 * numbers.len(), numbers.len())
}

fn header(request: ContextId, name: &str) -> Option<String> {
    let headers = fake::headers(request, Map::RequestHeaders);
    let found = headers.into_iter().find(|(known, _)| known == name.as_bytes());
    found.map(|(_, value)| String::from_utf8(value).unwrap())
}

#[test]
fn parameters_that_are_wrong_are_refused_in_one_line() {
    let _vm = Rig::new(&document("", ""), 500);
    fake::take_calls();
    assert!(!configure(2, &document("\"draw\"", "\"drow\"")));
    let lines: Vec<_> = fake::take_calls();
    assert!(
        matches!(&lines[..], [Call::Log(Level::Error, line)] if line.contains("sales[0].drow"))
    );
    assert_eq!(with(|vm| vm.worker.roots.newest()), Some(ROOT));
}

#[test]
fn before_the_start_nothing_is_asked_and_the_answer_says_how_long() {
    let rig = Rig::new(&document("", ""), 90);
    fake::take_calls();
    rig.enter(7, 90);
    fake::put_property(7, ROUTE, b"shop");
    assert_eq!(on_request_headers(7, 1, true), Action::Pause);
    let calls = fake::take_calls();
    let [Call::Respond { details, headers, .. }] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(details, "sluice_not_started");
    assert!(headers.contains(&(b"retry-after".to_vec(), b"10".to_vec())), "{headers:?}");
}

#[test]
fn a_route_that_nobody_knows_is_closed() {
    let rig = Rig::new(&document("", ""), 500);
    fake::take_calls();
    assert_eq!(rig.request(7, "other", "alice"), Action::Pause);
    assert_eq!(answers(), [(7, 503, "sluice_unknown_route".to_owned())]);
}

#[test]
fn a_route_of_replaced_parameters_goes_on_for_a_moment() {
    let mut rig = Rig::new(&document("", ""), 90);
    assert!(configure(ROOT, &document("\"shop\": 0", "\"new\": 0")));
    fake::take_calls();
    rig.enter(7, 90);
    fake::put_property(7, ROUTE, b"shop");
    on_request_headers(7, 1, true);
    assert_eq!(answers()[0].2, "sluice_not_started");
    rig.tick(11_000);
    fake::take_calls();
    rig.request(8, "shop", "alice");
    assert_eq!(answers()[0].2, "sluice_unknown_route");
}

#[test]
fn with_one_sale_routes_are_looked_at_now_and_then() {
    let mut rig = Rig::new(&document("", ""), 90);
    let other = |rig: &Rig, request| {
        rig.enter(request, 90);
        fake::put_property(request, ROUTE, b"other");
        on_request_headers(request, 1, true);
        answers()[0].2.clone()
    };
    fake::take_calls();
    rig.request(7, "shop", "alice");
    assert_eq!(answers()[0].2, "sluice_not_started");
    // A proxy that refused newer routes is found out, and nothing is taken for granted then.
    let trusted = (8..200).take_while(|request| other(&rig, *request) == "sluice_not_started");
    assert_eq!(trusted.count(), 64);
    assert_eq!(other(&rig, 300), "sluice_unknown_route");
    rig.tick(11_000);
    fake::take_calls();
    assert_eq!(other(&rig, 301), "sluice_unknown_route");
}

#[test]
fn a_root_that_is_gone_is_noticed_by_the_others() {
    let mut rig = Rig::serving(&document("", ""), 50);
    assert!(configure(2, &document("\"pollMs\": 200", "\"pollMs\": 300")));
    rig.tick(20);
    fake::take_calls();
    fake::forget_context(2);
    rig.tick(5);
    let periods = fake::take_calls();
    assert!(
        periods.iter().any(|c| matches!(c, Call::TickPeriod(ROOT, 1..=20))),
        "in force again: {periods:?}"
    );
    rig.request(10, "shop", "alice");
    rig.receive(admitted(&[1]).as_bytes());
    assert_eq!(resumed(), [10]);
}

#[test]
fn a_sale_that_is_gone_lets_its_old_route_pass() {
    let rig = Rig::new(&document("", ""), 500);
    let empty = r#"{"version": 1, "gateway": "shop/edge", "redis": {"cluster": "c", "deadlineMs": 100, "username": "", "passwordEnv": "", "database": 0, "via": "Direct"}, "pollMs": 200, "sales": [], "routes": {}}"#;
    assert!(configure(ROOT, empty));
    assert_eq!(rig.request(7, "shop", "alice"), Action::Continue);
}

#[test]
fn who_comes_before_redis_was_heard_waits_and_is_decided_then() {
    let mut rig = Rig::new(&document("", ""), 500);
    assert_eq!(rig.request(7, "shop", "alice"), Action::Pause);
    assert_eq!(answers(), []);
    // The first words of the connection, and then the question about alice.
    rig.tick(1);
    rig.receive(b"*0\r\n");
    let key = "0f".repeat(32);
    rig.receive(format!("*6\r\n$8\r\nidentity\r\n$64\r\n{key}\r\n$7\r\nversion\r\n$1\r\n1\r\n$5\r\nkey:1\r\n$64\r\n{key}\r\n*6\r\n:0\r\n:510000000\r\n$2\r\nr1\r\n:7\r\n:1\r\n:0\r\n").as_bytes());
    rig.receive(
        b"*11\r\n:0\r\n:510000000\r\n:7\r\n:1\r\n:50\r\n:0\r\n:0\r\n:1\r\n:0\r\n:0\r\n:0\r\n",
    );
    let asked = fake::take_calls();
    let question = |call: &Call| matches!(call, Call::GrpcSend { message, .. } if message.windows(5).any(|w| w == b"alice"));
    assert!(asked.iter().any(question), "{asked:?}");
    rig.receive(admitted(&[1]).as_bytes());
    assert_eq!(resumed(), [7]);
    assert_eq!(header(7, "x-sluice-permit").as_deref(), Some("1"));
    assert_eq!(header(7, "x-sluice-user").map(|user| user.len()), Some(32));
}

#[test]
fn who_comes_before_redis_was_heard_is_answered_by_the_deadline() {
    let mut rig = Rig::new(&document("", ""), 500);
    assert_eq!(rig.request(7, "shop", "alice"), Action::Pause);
    rig.tick(90);
    assert_eq!(answers(), []);
    rig.tick(30);
    assert_eq!(answers(), [(7, 503, "sluice_unavailable".to_owned())]);
}

#[test]
fn who_gathers_while_a_batch_is_under_way_leaves_in_the_next_one() {
    let rig = Rig::serving(&document("", ""), 50);
    for request in 10..14 {
        assert_eq!(rig.request(request, "shop", &format!("user-{request}")), Action::Pause);
    }
    let sends = |calls: Vec<Call>| {
        calls.into_iter().filter(|call| matches!(call, Call::GrpcSend { .. })).count()
    };
    assert_eq!(sends(fake::take_calls()), 1);
    rig.receive(admitted(&[1]).as_bytes());
    assert_eq!(resumed(), [10]);
    rig.receive(admitted(&[2, 3, 4]).as_bytes());
    assert_eq!(resumed(), [11, 12, 13]);
}

#[test]
fn who_was_let_in_passes_without_a_question() {
    let rig = Rig::serving(&document("", ""), 50);
    rig.request(10, "shop", "alice");
    rig.receive(admitted(&[1]).as_bytes());
    fake::take_calls();
    assert_eq!(rig.request(11, "shop", "alice"), Action::Continue);
    assert_eq!(fake::take_calls(), []);
    assert_eq!(header(11, "x-sluice-permit").as_deref(), Some("1"));
}

#[test]
fn when_the_connection_is_lost_everybody_gets_an_answer_within_the_deadline() {
    let mut rig = Rig::serving(&document("", ""), 50);
    for request in 10..300 {
        rig.request(request, "shop", &format!("user-{request}"));
    }
    fake::take_calls();
    rig.close();
    let mut told = answers();
    assert!(told.len() <= 64);
    for _ in 0..40 {
        rig.tick(5);
        let more = answers();
        assert!(more.len() <= 64, "{}", more.len());
        told.extend(more);
    }
    let mut requests: Vec<_> = told.into_iter().map(|(request, ..)| request).collect();
    requests.sort_unstable();
    assert_eq!(requests, (10..300).collect::<Vec<_>>());
}

#[test]
fn permits_survive_new_parameters_and_lost_connections() {
    let rig = Rig::serving(&document("", ""), 50);
    rig.request(10, "shop", "alice");
    rig.receive(admitted(&[1]).as_bytes());
    assert!(configure(2, &document("\"pollMs\": 200", "\"pollMs\": 300")));
    rig.close();
    assert_eq!(rig.request(11, "shop", "alice"), Action::Continue);
}

#[test]
fn a_client_that_has_left_is_skipped() {
    let rig = Rig::serving(&document("", ""), 50);
    rig.request(10, "shop", "alice");
    rig.request(11, "shop", "bob");
    rig.receive(admitted(&[1]).as_bytes());
    fake::forget_context(11);
    fake::take_calls();
    rig.receive(admitted(&[2]).as_bytes());
    assert!(resumed().is_empty());
}

#[test]
fn outcomes_are_counted_for_their_sale() {
    let mut rig = Rig::serving(&document("", ""), 50);
    rig.request(10, "shop", "alice");
    rig.receive(admitted(&[1]).as_bytes());
    rig.request(11, "shop", "alice");
    rig.request(12, "shop", "");
    rig.tick(200);
    let count = |name: &str| fake::metric(&format!("sluice_sale.shop.laptop.{name}"));
    assert_eq!(
        (count("admitted"), count("known"), count("unidentified")),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!(fake::metric("sluice_redis.connects"), Some(1));
}
