//! The callbacks on a recorded host, with a Redis that answers what each test wants.

use host::fake::{self, Call};
use host::{GrpcStatus, Map, Stream, Token};

use super::*;

mod deciding;
mod parameters;
mod responses;

const ROOT: ContextId = 1;
const ROUTE: &[u8] = b"xds\0route_name";
const SECOND: u64 = 1_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// One limit: 10 an hour for each API key, charged as `cost` says.
fn limit(name: &str, cost: &str, more: &str) -> String {
    let mode = if more.contains("onRedisFailure") { "" } else { r#""onRedisFailure": "Allow","# };
    let shadow = if more.contains("shadow") { "" } else { r#""shadow": false,"# };
    let required = more.contains("required");
    let more = more.replace("required", "");
    let counts = if cost.contains("terms") { "tokens" } else { "requests" };
    format!(
        r#"{{"name": "{name}", "key": [{{"header": "x-api-key", "required": {required}}}], "plain": true,
 "when": [], "counts": "{counts}", {mode} {shadow} {more}
 "windows": [{{"id": "f3600000", "kind": "f", "amount": 10, "spanMs": 3600000, "burst": 0, "borders": []}}],
 "cost": {{"number": 1, "header": null, "response": {cost}}}, "percent": 100, "overrides": []}}"#
    )
}

fn document(limits: &[String], routes: &str) -> String {
    let answer = |status: u16, body: &str| {
        format!(
            r#"{{"status": {status}, "headers": [["cache-control", "no-store"]], "body": "{body}\n"}}"#
        )
    };
    format!(
        r#"{{"version": 1, "gateway": "shop/edge",
 "redis": {{"cluster": "sluice-redis", "deadlineMs": 100, "username": "", "passwordEnv": "", "database": 0, "via": "Direct"}},
 "workers": 4, "policies": [{{"policy": "shop/api", "limits": [{}],
  "responses": {{"limited": {}, "unidentified": {}, "unavailable": {}}}, "rateLimit": true, "xRateLimit": false}}],
 "routes": {routes}, "otherwise": []}}"#,
        limits.join(", "),
        answer(429, "slow"),
        answer(400, "who"),
        answer(503, "away"),
    )
}

const ALL: &str = r#"{"shop": [0]}"#;
const TOKENS: &str =
    r#"{"terms": [{"pointer": "/usage/total", "milli": 1000}], "reserve": 5, "ttlMs": 600000}"#;

fn requests() -> String {
    document(&[limit("per-key", "null", "")], ALL)
}

fn tokens() -> String {
    document(&[limit("tokens", TOKENS, "")], ALL)
}

fn failing(mode: &str) -> String {
    let more = format!(r#""onRedisFailure": "{mode}","#);
    document(&[limit("per-key", "null", &more)], ALL)
}

fn configure(root: ContextId, parameters: &str) -> bool {
    fake::enter(root);
    fake::put_buffer(Buffer::PluginConfiguration, parameters.as_bytes());
    on_configure(root, parameters.len())
}

/// Time goes on from here, so that the VM's threads never see it go back.
struct Rig {
    now: u64,
    token: Token,
}

impl Rig {
    fn new(parameters: &str) -> Self {
        fake::reset();
        with(|vm| *vm = vm::Vm::new());
        let rig = Self { now: 10 * SECOND, token: 1 };
        rig.enter(ROOT);
        assert!(configure(ROOT, parameters));
        rig
    }

    /// A VM whose connection serves.
    fn serving(parameters: &str) -> Self {
        let mut rig = Self::new(parameters);
        rig.connect();
        rig
    }

    /// The connection logs in, and the key comes.
    fn connect(&mut self) {
        self.tick(1);
        self.receive(b"*0\r\n");
        self.receive(format!("$64\r\n{}\r\n", "0f".repeat(32)).as_bytes());
        fake::take_calls();
    }

    fn enter(&self, context: ContextId) {
        fake::set_time(500 * SECOND, self.now);
        fake::enter(context);
    }

    /// Lets milliseconds pass in ticks of five.
    fn tick(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds.div_ceil(5) {
            self.now += 5_000_000;
            self.enter(ROOT);
            callbacks::on_tick::<Quota>(ROOT);
        }
    }

    fn request_by(&self, request: ContextId, route: &str, headers: &[(&str, &str)]) -> Action {
        self.enter(request);
        fake::put_property(request, ROUTE, route.as_bytes());
        fake::set_headers(request, Map::RequestHeaders, headers);
        on_request_headers(request, headers.len(), true)
    }

    fn request(&self, request: ContextId, key: &str) -> Action {
        self.request_by(request, "shop", &[("x-api-key", key)])
    }

    fn receive(&self, bytes: &[u8]) {
        self.enter(ROOT);
        fake::put_buffer(Buffer::GrpcReceive, bytes);
        callbacks::on_grpc_receive::<Quota>(ROOT, self.token, bytes.len());
    }

    /// The reply of a run, from its first item on.
    fn reply(&self, items: &[i64]) {
        let mut text = format!("*{}\r\n:500000000\r\n", items.len() + 1);
        text.extend(items.iter().map(|item| format!(":{item}\r\n")));
        self.receive(text.as_bytes());
    }

    fn close(&self) {
        self.enter(ROOT);
        callbacks::on_grpc_close::<Quota>(ROOT, self.token, 14);
    }

    /// A response whose body comes in these pieces; gives the headers that it leaves with.
    fn respond(&self, request: ContextId, status: &str, pieces: &[&str]) -> Vec<(String, String)> {
        self.enter(request);
        let headers = [(":status", status), ("content-type", "application/json")];
        fake::set_headers(request, Map::ResponseHeaders, &headers);
        assert_eq!(on_response_headers(request, 2, pieces.is_empty()), Action::Continue);
        for (place, piece) in pieces.iter().enumerate() {
            fake::put_buffer(Buffer::ResponseBody, piece.as_bytes());
            let end = place + 1 == pieces.len();
            assert_eq!(on_response_body(request, piece.len(), end), Action::Continue);
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let headers = fake::headers(request, Map::ResponseHeaders);
        headers.into_iter().skip(2).map(|(name, value)| (text(name), text(value))).collect()
    }

    /// The request is over, and its context goes.
    fn over(&self, request: ContextId) {
        self.enter(request);
        on_log(request);
        fake::forget_context(request);
    }
}

/// A take that was allowed, of one meter.
fn allowed(remaining: i64) -> [i64; 3] {
    [1, remaining, HOUR_MS]
}

/// The same, where units were reserved.
fn reserved(remaining: i64, slot: i64) -> [i64; 4] {
    [1, remaining, HOUR_MS, slot]
}

fn refused(wait_ms: i64) -> [i64; 4] {
    [0, 0, HOUR_MS, wait_ms]
}

/// Which requests were answered, with which status and detail.
fn answers(calls: Vec<Call>) -> Vec<(ContextId, u16, String)> {
    let answer = |call| match call {
        Call::Respond { context, status, details, .. } => Some((context, status, details)),
        _ => None,
    };
    calls.into_iter().filter_map(answer).collect()
}

fn resumed(calls: Vec<Call>) -> Vec<ContextId> {
    let resumed = |call| match call {
        Call::Resume(context, Stream::Request) => Some(context),
        _ => None,
    };
    calls.into_iter().filter_map(resumed).collect()
}

/// What was sent to Redis: of each run the costs (meters; rule, charge and hold of each), and behind a
/// bar its items.
fn runs(calls: Vec<Call>) -> Vec<String> {
    let run = |call| match call {
        Call::GrpcSend { message, .. } => {
            let text = String::from_utf8(message).unwrap();
            let words: Vec<_> = text.split("\r\n").filter(|w| !w.starts_with(['$', '*'])).collect();
            let script = words.iter().position(|word| *word == "EVALSHA")?;
            let number = |at: usize| words[at].parse::<usize>().unwrap();
            let rules = script + 3 + number(script + 2);
            let costs = rules + 1 + 6 * number(rules);
            let items = (0..number(costs)).fold(costs + 1, |at, _| at + 1 + 3 * number(at));
            let (costs, items) = (words[costs + 1..items].join(" "), words[items..].join(" "));
            Some(format!("{costs} | {}", items.trim_end()))
        }
        _ => None,
    };
    calls.into_iter().filter_map(run).collect()
}

fn count(outcome: &str) -> i64 {
    let total = |limit| fake::metric(&format!("sluice_quota.shop.api.{limit}.{outcome}"));
    total("per-key").or(total("tokens")).unwrap_or(0)
}

/// Nothing is kept of any request.
fn at_rest() {
    with(|vm| {
        assert!(vm.open.is_empty() && vm.paused.is_empty());
        assert!(vm.waiting.is_idle() && vm.settlements.is_empty() && vm.undecided.is_empty());
    });
}
