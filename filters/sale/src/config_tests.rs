use super::*;
use std::path::PathBuf;

/// A document with one sale; each pair replaces a piece of it.
pub(crate) fn document(changes: &[(&str, &str)]) -> String {
    let answer = |status: u16| {
        format!(
            r#"{{"status": {status}, "headers": [["cache-control", "no-store"]], "body": "x\n", "retryAfter": true}}"#
        )
    };
    let mut text = format!(
        r#"{{"version": 1, "gateway": "shop/edge",
 "redis": {{"cluster": "sluice-redis", "deadlineMs": 100, "username": "", "passwordEnv": "P", "database": 0, "via": "Direct"}},
 "pollMs": 200,
 "sales": [{{"sale": "shop/laptop", "books": "shop/laptop/1", "startMs": 100000, "endMs": null,
  "blockRatio": 0.4, "draw": "PerUser", "redrawMs": 60000, "minIntervalMs": 0,
  "identity": {{"header": "Authorization", "plain": false}}, "pass": null,
  "deny": {{"users": [], "networks": []}},
  "responses": {{"notStarted": {a503}, "ended": {a410}, "soldOut": {a410}, "blocked": {a503}, "throttled": {a429},
   "denied": {a403}, "unidentified": {a401}, "unavailable": {a503}, "suspended": {a503}}},
  "onRedisFailure": "Deny", "durability": "Local", "suspended": false}}],
 "routes": {{"httproute/shop/shop/0": 0}}}}"#,
        a503 = answer(503),
        a410 = answer(410),
        a429 = answer(429),
        a403 = answer(403),
        a401 = answer(401),
    );
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in the document");
        text = text.replacen(from, to, 1);
    }
    text
}

/// The sale of a changed document.
pub(crate) fn sale(changes: &[(&str, &str)]) -> Rc<Sale> {
    Rc::clone(&Settings::parse(document(changes).as_bytes()).unwrap().sales[0])
}

fn error(changes: &[(&str, &str)]) -> String {
    let error = Settings::parse(document(changes).as_bytes()).unwrap_err();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn a_good_document_is_ready_for_use() {
    let settings = Settings::parse(document(&[]).as_bytes()).unwrap();
    assert_eq!(settings.route(b"httproute/shop/shop/0"), Some(0));
    assert_eq!(settings.route(b"httproute/shop/shop/1"), None);
    let sale = settings.by_tag("shop/laptop/1").unwrap();
    assert_eq!(sale.keys.permits, "sluice:{shop/laptop/1}:permits");
    assert_eq!(sale.source, Source::Header("authorization".into()));
    assert_eq!(sale.answer(Refusal::Throttled).status, 429);
    assert_eq!(sale.draw, Draw::PerUser { round_ms: 60_000 });
}

#[test]
fn what_the_control_plane_writes_is_read() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/contract/flash-sale");
    let mut seen = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let settings = Settings::parse(&std::fs::read(&path).unwrap());
            assert!(settings.is_ok(), "{}: {:?}", path.display(), settings.err());
            seen += 1;
        }
    }
    assert!(seen > 0, "no document in {}", folder.display());
}

#[test]
fn another_version_is_told_by_its_number_whatever_else_it_holds() {
    let wanted = "version: 2 is not 1, the one this filter reads";
    assert_eq!(Settings::parse(br#"{"version": 2, "news": []}"#).unwrap_err(), wanted);
    assert_eq!(Settings::parse(b"{}").unwrap_err(), "missing field `version`");
    assert!(!Settings::parse(b"").unwrap_err().is_empty());
    assert!(Settings::parse(b"[1]").is_err());
    assert!(Settings::parse(b"\xff\xfe").is_err());
}

#[test]
fn wrong_fields_are_named_with_their_place() {
    let unknown = error(&[("\"draw\"", "\"drow\": 1, \"draw\"")]);
    assert!(unknown.starts_with("sales[0].drow: unknown field `drow`"), "{unknown}");
    let missing = error(&[("\"pass\": null,", "")]);
    assert_eq!(missing, "sales[0]: missing field `pass`");
    let kind = error(&[("\"PerUser\"", "\"PerMoon\"")]);
    assert!(kind.starts_with("sales[0].draw: unknown variant `PerMoon`"), "{kind}");
    let number = error(&[("\"startMs\": 100000", "\"startMs\": -5")]);
    assert!(number.starts_with("sales[0].startMs: invalid value"), "{number}");
}

#[test]
fn wrong_values_are_named_with_their_place() {
    for (from, to, wanted) in [
        ("\"endMs\": null", "\"endMs\": 100000", "sales[0].endMs: not after startMs"),
        ("0.4", "1.0", "sales[0].blockRatio: 1 is not in 0 <= x < 1"),
        ("\"pollMs\": 200", "\"pollMs\": 0", "pollMs: 0 is not in 10 to 600000"),
        ("\"deadlineMs\": 100", "\"deadlineMs\": 0", "redis.deadlineMs: 0 is not in 1 to 60000"),
        ("\"sluice-redis\"", "\"\"", "redis.cluster: empty"),
        (
            "\"header\": \"Authorization\", ",
            "",
            "identity: needs exactly one of header, cookie, clientAddress",
        ),
        (
            "\"plain\"",
            "\"cookie\": \"a\", \"plain\"",
            "identity: needs exactly one of header, cookie, clientAddress",
        ),
        (
            "\"Authorization\"",
            "\"a b\"",
            "identity.header: \"a b\" is no name of a header or cookie",
        ),
        ("\"users\": []", "\"users\": [\"x\"]", "deny.users[0]: not 32 hexadecimal digits"),
        (
            "\"networks\": []",
            "\"networks\": [\"x/8\"]",
            "deny.networks: \"x/8\" is not a network such as 203.0.113.0/24",
        ),
        ("\"status\": 410", "\"status\": 99", "responses.ended: status 99 is not in 200 to 599"),
        (
            "shop/laptop/1",
            "shop/{laptop}/1",
            "books: \"shop/{laptop}/1\" is not 3 words with / between them",
        ),
        ("/0\": 0", "/0\": 1", "routes.httproute/shop/shop/0: there is no sale 1"),
        (
            "\"pass\": null",
            "\"pass\": {\"cookie\": \"a=b\", \"ttlMs\": 9000}",
            "pass.cookie: \"a=b\" is no name of a header or cookie",
        ),
        (
            "\"pass\": null",
            "\"pass\": {\"cookie\": \"a\", \"ttlMs\": 9}",
            "pass.ttlMs: 9 is not in 1000 to 4294967295000",
        ),
    ] {
        let error = error(&[(from, to)]);
        assert!(error.ends_with(wanted), "{error}");
    }
}

#[test]
fn two_sales_cannot_share_their_books() {
    let text = document(&[]);
    let sale = text.split("\"sales\": [").nth(1).unwrap().split("],\n \"routes\"").next().unwrap();
    let twice = text.replacen("\"sales\": [", &format!("\"sales\": [{sale}, "), 1);
    let error = Settings::parse(twice.as_bytes()).unwrap_err();
    assert_eq!(error, "sales[1].books: shop/laptop/1 is there twice");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_without_harm(bytes: Vec<u8>) {
        proptest::prop_assert!(Settings::parse(&bytes).is_err());
    }

    #[test]
    fn a_damaged_document_is_read_or_refused(at in 0usize..2_000, byte: u8) {
        let mut text = document(&[]).into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Err(error) = Settings::parse(&text) {
            proptest::prop_assert!(!error.is_empty() && !error.contains('\n'));
        }
    }
}
