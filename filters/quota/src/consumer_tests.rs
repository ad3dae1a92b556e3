use std::cell::RefCell;

use proptest::prelude::*;

use super::*;

/// A request, and a list of what was read of it.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) peer: Option<Vec<u8>>,
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) method: Option<Vec<u8>>,
    pub(crate) route: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) reads: RefCell<Vec<String>>,
}

impl Asked {
    pub(crate) fn new(method: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        Self {
            peer: Some(b"192.0.2.7:4711".to_vec()),
            path: Some(path.into()),
            method: Some(method.into()),
            route: Some(b"httproute/shop/models/0".to_vec()),
            headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            reads: RefCell::default(),
        }
    }

    /// What was read, in this order.
    pub(crate) fn reads(&self) -> Vec<String> {
        self.reads.borrow().clone()
    }

    fn noted(&self, read: &str) {
        self.reads.borrow_mut().push(read.into());
    }
}

impl Request for Asked {
    fn peer(&self) -> Option<Vec<u8>> {
        self.noted("peer");
        self.peer.clone()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.noted(name);
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn path(&self) -> Option<Vec<u8>> {
        self.noted("path");
        self.path.clone()
    }

    fn method(&self) -> Option<Vec<u8>> {
        self.noted("method");
        self.method.clone()
    }

    fn route(&self) -> Option<Vec<u8>> {
        self.noted("route");
        self.route.clone()
    }
}

fn read(part: Part, request: &Asked) -> Option<String> {
    let key = Key { parts: vec![part], required: 0 };
    let mut message = Vec::new();
    key.read(&mut Seen::default(), request, &mut message).ok()?;
    let mut all = parts(&message);
    let value = String::from_utf8(all.next().unwrap().to_vec()).unwrap();
    assert!(all.next().is_none());
    Some(value)
}

fn query(name: &str, path: &str) -> Option<String> {
    read(Part::Query(name.as_bytes().into()), &Asked::new("GET", path, &[]))
}

fn network(peer: &str, ipv4: u32, ipv6: u32) -> Option<String> {
    let request = Asked { peer: Some(peer.into()), ..Asked::default() };
    read(Part::ClientAddress { ipv4, ipv6 }, &request)
}

#[test]
fn each_part_is_read_from_its_place() {
    let headers = [("x-api-key", "s3cret"), ("cookie", "a=1; uid=alice"), ("x-empty", "")];
    let request = Asked::new("GET", "/v1/chat?q=1#x", &headers);
    let value = |part| read(part, &request);
    assert_eq!(value(Part::Header("x-api-key".into())).as_deref(), Some("s3cret"));
    assert_eq!(value(Part::Header("x-none".into())), None);
    assert_eq!(value(Part::Header("x-empty".into())), None);
    assert_eq!(value(Part::Cookie(b"uid"[..].into())).as_deref(), Some("alice"));
    assert_eq!(value(Part::Cookie(b"id"[..].into())), None);
    assert_eq!(value(Part::Query(b"q"[..].into())).as_deref(), Some("1"));
    assert_eq!(value(Part::Path).as_deref(), Some("/v1/chat"));
    assert_eq!(value(Part::Route).as_deref(), Some("httproute/shop/models/0"));
    assert_eq!(value(Part::Literal(b"free"[..].into())).as_deref(), Some("free"));
    assert_eq!(value(Part::ClientAddress { ipv4: 32, ipv6: 64 }).as_deref(), Some("192.0.2.7"));
    let empty = Asked::default();
    for part in [Part::Path, Part::Route, Part::ClientAddress { ipv4: 32, ipv6: 64 }] {
        assert_eq!(read(part, &empty), None);
    }
}

#[test]
fn what_is_absurdly_long_is_no_part() {
    let (fits, longer) = ("k".repeat(8192), "k".repeat(8193));
    let value =
        |text: &str| read(Part::Header("x".into()), &Asked::new("GET", "/", &[("x", text)]));
    assert!(value(&fits).is_some());
    assert!(value(&longer).is_none());
}

#[test]
fn query_values_are_decoded() {
    assert_eq!(query("q", "/?a=b&q=%61%2F+c&q=2").as_deref(), Some("a/+c"));
    assert_eq!(query("q", "/?%71=x").as_deref(), Some("x"));
    assert_eq!(query("q", "/?q=50%&r=1").as_deref(), Some("50%"));
    assert_eq!(query("q", "/?q=%zz%4").as_deref(), Some("%zz%4"));
    assert_eq!(query("q", "/?q=a=b?c").as_deref(), Some("a=b?c"));
    for absent in ["/", "/?", "/?q", "/?q=", "/?qq=1", "/q=1", "/?a#q=1&q=2"] {
        assert_eq!(query("q", absent), None, "{absent}");
    }
}

#[test]
fn addresses_are_cut_to_their_networks() {
    for (peer, ipv4, ipv6, wanted) in [
        ("203.0.113.77:80", 24, 64, "203.0.113.0/24"),
        ("203.0.113.77:80", 32, 64, "203.0.113.77"),
        ("203.0.113.77:80", 0, 64, "0.0.0.0/0"),
        ("[2001:db8:1:2:3::4]:80", 32, 64, "2001:db8:1:2::/64"),
        ("[2001:db8::4]:80", 32, 128, "2001:db8::4"),
        ("[2001:db8::4]:80", 32, 0, "::/0"),
        ("[::ffff:203.0.113.77]:80", 24, 64, "203.0.113.0/24"),
    ] {
        assert_eq!(network(peer, ipv4, ipv6).as_deref(), Some(wanted), "{peer}");
    }
    assert_eq!(network("/run/envoy.sock", 32, 64), None);
}

#[test]
fn once_a_part_is_absent_only_required_ones_are_read() {
    let part = |name: &str| Part::Header(name.into());
    let key = Key { parts: vec![part("a"), part("b"), part("c"), part("d")], required: 0b0100 };
    let request = Asked::new("GET", "/", &[("a", "1"), ("d", "4")]);
    let mut message = b"before".to_vec();
    let absent = key.read(&mut Seen::default(), &request, &mut message);
    assert_eq!(absent, Err(0b0110));
    assert_eq!(request.reads(), ["a", "b", "c"]);
    assert_eq!(message, b"before");
}

#[test]
fn nothing_is_read_twice_and_nothing_is_kept() {
    let headers = [("cookie", "a=1; b=2"), ("x", "y")];
    let request = Asked::new("GET", "/a?q=1", &headers);
    let part = |name: &str| Part::Header(name.into());
    let address = |ipv4| Part::ClientAddress { ipv4, ipv6: 64 };
    let parts = vec![
        Part::Cookie(b"a"[..].into()),
        Part::Cookie(b"b"[..].into()),
        part("cookie"),
        Part::Path,
        Part::Query(b"q"[..].into()),
        address(24),
        address(32),
        Part::Route,
    ];
    let key = Key { parts, required: 0 };
    let (mut seen, mut message) = (Seen::default(), Vec::new());
    for _ in 0..2 {
        key.read(&mut seen, &request, &mut message).unwrap();
    }
    assert_eq!(request.reads(), ["cookie", "path", "peer", "route"]);
    seen.clear();
    let other = Asked::new("GET", "/b?q=1", &headers);
    message.clear();
    key.read(&mut seen, &other, &mut message).unwrap();
    assert_eq!(other.reads(), request.reads());
    assert!(super::parts(&message).any(|part| part == b"/b"));
}

#[test]
fn consumers_are_hashes_unless_plain() {
    let identity = IdentityKey::new(&[0x0b; 32]);
    let id = |values: &[&[u8]], plain| consumer_id(&identity, values.iter().copied(), plain);
    // Made by Python: hashlib.blake2s(b"\0\0\0\5alice\0\0\0\0", key=b"\x0b" * 32, digest_size=16)
    assert_eq!(id(&[b"alice", b""], false), "4e865e1f0427b6c13d1f5e80a7cb76d7");
    assert_eq!(id(&[b"alice", b""], true), "alice,");
    assert_eq!(id(&[b"a,b", "\u{e4} \n".as_bytes()], true), "a%2Cb,%C3%A4%20%0A");
    assert_eq!(id(&[b"aZ09-._~@:/"], true), "aZ09-._~@:/");
    assert_eq!(id(&[], true), "all");
    assert_eq!(id(&[], false), "all");
    assert_eq!(id(&[&[b'a'; 256]], true).len(), 256);
    for long in [&[b'a'; 257][..], &[b' '; 86]] {
        assert_eq!(id(&[long], true), id(&[long], false));
    }
}

#[test]
fn the_same_consumers_are_always_among_a_share() {
    let hash = |number: u64| {
        let mut hash = [0xff; 16];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        hash
    };
    assert!(is_among(&hash(1_999), 20) && !is_among(&hash(2_000), 20));
    assert!(is_among(&hash(70_001_999), 20) && !is_among(&hash(0), 0));
    assert!(is_among(&hash(9_999), 100));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(
        path: Vec<u8>, peer: Vec<u8>, value: Vec<u8>, name: Vec<u8>, ipv4 in 0u32..40, ipv6 in 0u32..140,
    ) {
        let headers = vec![("cookie".to_owned(), value)];
        let request = Asked { peer: Some(peer), path: Some(path), headers, ..Asked::default() };
        let parts = [
            Part::Header("cookie".into()),
            Part::Cookie(name.clone().into()),
            Part::Query(name.into()),
            Part::ClientAddress { ipv4, ipv6 },
            Part::Path,
            Part::Literal(b""[..].into()),
        ];
        for part in parts {
            let key = Key { parts: vec![part], required: 0 };
            let _ = key.read(&mut Seen::default(), &request, &mut Vec::new());
        }
    }

    #[test]
    fn a_message_tells_its_parts(values in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let message = message(values.iter().map(Vec::as_slice));
        let again: Vec<_> = parts(&message).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(again, values);
    }

    #[test]
    fn any_message_has_an_end(message: Vec<u8>) {
        prop_assert!(parts(&message).count() <= message.len() / 4);
    }

    #[test]
    fn an_encoded_query_value_is_found(value in prop::collection::vec(any::<u8>(), 1..40), every: bool) {
        let encode = |byte: &u8| {
            if !every && byte.is_ascii_alphanumeric() {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02x}")
            }
        };
        let path = format!("/?a=%zz&key={}&key=", value.iter().map(encode).collect::<String>());
        let request = Asked::new("GET", &path, &[]);
        let key = Key { parts: vec![Part::Query(b"key"[..].into())], required: 0 };
        let mut found = Vec::new();
        key.read(&mut Seen::default(), &request, &mut found).unwrap();
        prop_assert_eq!(found, message([value.as_slice()]));
    }

    #[test]
    fn plain_ids_are_clean_and_short(values in prop::collection::vec(any::<Vec<u8>>(), 1..4)) {
        let identity = IdentityKey::new(&[1; 32]);
        let id = consumer_id(&identity, values.iter().map(Vec::as_slice), true);
        prop_assert!(id.len() <= MAX_PLAIN && id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
