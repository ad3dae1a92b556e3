//! What the scripts answer, as typed values.
//!
//! A reply that does not have the agreed form is `None`: another version of a script, or something
//! that is no Redis at all. The caller treats that as a failure of Redis.

use identity::{unhex, UserKey};

/// One element of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An integer.
    Int(i64),
    /// A string of bytes.
    Bytes(&'a [u8]),
    /// Anything else.
    Other,
}

/// What the books say of themselves, first thing in every reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Open,
    /// They are being taught what they may have lost; nobody is admitted meanwhile.
    Healing,
    /// There are none.
    Missing,
    /// They were closed, as nobody can be sure that they are complete.
    Closed,
    /// The caller knows other books, or another run of the server.
    Stale,
    /// An operator suspended the sale.
    Suspended,
}

/// The reply of `begin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The state of the books.
    pub status: Status,
    /// Redis's clock, in microseconds since 1970.
    pub time_us: u64,
    /// The run id of the server.
    pub run: Box<str>,
    /// Which books these are.
    pub incarnation: u64,
    /// How often users were taken off them.
    pub generation: u64,
    /// How long they will be healing.
    pub heal_left_ms: u64,
}

/// The reply of `poll`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled<'a> {
    /// The state of the books.
    pub status: Status,
    /// Redis's clock, in microseconds since 1970.
    pub time_us: u64,
    /// Which books these are.
    pub incarnation: u64,
    /// How often users were taken off them.
    pub generation: u64,
    /// The permits that may be given out.
    pub limit: u64,
    /// The permits given out.
    pub count: u64,
    /// Whether an operator suspended the sale.
    pub suspended: bool,
    /// The version of the keyring.
    pub ring: u64,
    /// How long the books will be healing.
    pub heal_left_ms: u64,
    /// The length of the permit log.
    pub log_length: u64,
    /// The position of the first entry.
    pub first: u64,
    /// Entries of the log. One that cannot be read is `None`, and still has its place.
    pub entries: Vec<Option<Entry<'a>>>,
}

/// One entry of the permit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The number of the permit; `None` for one that was taken back.
    pub number: Option<u64>,
    /// The user, as Redis knows it.
    pub user: &'a [u8],
}

/// The reply of `admit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The state of the books.
    pub status: Status,
    /// With [`Status::Healing`], how long that goes on.
    pub detail_ms: u64,
    /// How often users were taken off the books.
    pub generation: u64,
    /// The permits that may be given out.
    pub limit: u64,
    /// The permits given out, this batch included.
    pub count: u64,
    /// One for each user that was asked for; none unless the books are open.
    pub rulings: Vec<Ruling>,
}

/// What `admit` says of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Nothing is left.
    SoldOut,
    /// Let in now, with this number.
    Admitted(u64),
    /// Was let in before, with this number.
    Known(u64),
    /// Lost the draw, and holds no permit.
    Blocked,
    /// Tried too soon; may try again in so many milliseconds.
    Throttled(u64),
}

struct Reader<I>(I);

impl<'a, I: Iterator<Item = Item<'a>>> Reader<I> {
    fn number(&mut self) -> Option<u64> {
        match self.0.next()? {
            Item::Int(n) => u64::try_from(n).ok(),
            Item::Bytes(digits) => core::str::from_utf8(digits).ok()?.parse().ok(),
            Item::Other => None,
        }
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        match self.0.next()? {
            Item::Bytes(bytes) => Some(bytes),
            Item::Int(_) | Item::Other => None,
        }
    }

    fn status(&mut self) -> Option<Status> {
        Some(match self.number()? {
            0 => Status::Open,
            1 => Status::Healing,
            2 => Status::Missing,
            3 => Status::Closed,
            4 => Status::Stale,
            5 => Status::Suspended,
            _ => return None,
        })
    }
}

/// Reads the reply of `begin`.
pub fn begun<'a>(items: impl Iterator<Item = Item<'a>>) -> Option<Begun> {
    let mut from = Reader(items);
    Some(Begun {
        status: from.status()?,
        time_us: from.number()?,
        run: core::str::from_utf8(from.bytes()?).ok()?.into(),
        incarnation: from.number()?,
        generation: from.number()?,
        heal_left_ms: from.number()?,
    })
}

/// Reads the reply of `poll`.
pub fn polled<'a>(items: impl Iterator<Item = Item<'a>>) -> Option<Polled<'a>> {
    let mut from = Reader(items);
    let mut reply = Polled {
        status: from.status()?,
        time_us: from.number()?,
        incarnation: from.number()?,
        generation: from.number()?,
        limit: from.number()?,
        count: from.number()?,
        suspended: from.number()? != 0,
        ring: from.number()?,
        heal_left_ms: from.number()?,
        log_length: from.number()?,
        first: from.number()?,
        entries: Vec::new(),
    };
    reply.entries = from
        .0
        .map(|item| match item {
            Item::Bytes(text) => entry(text),
            Item::Int(_) | Item::Other => None,
        })
        .collect();
    Some(reply)
}

/// Reads an entry of the log: `a:17:USER`, and `d:0:USER` for a permit taken back.
fn entry(text: &[u8]) -> Option<Entry<'_>> {
    let mut parts = text.splitn(3, |byte| *byte == b':');
    let (kind, number, user) = (parts.next()?, parts.next()?, parts.next()?);
    let number = match kind {
        b"a" | b"g" | b"h" => Some(core::str::from_utf8(number).ok()?.parse().ok()?),
        b"d" => None,
        _ => return None,
    };
    Some(Entry { number, user })
}

impl Entry<'_> {
    /// The key of the user, where Redis knows users by their hash.
    pub fn key(&self) -> Option<UserKey> {
        unhex::<16>(self.user)
    }
}

/// Reads the reply of `admit` to a question about `users` users.
pub fn admitted<'a>(items: impl Iterator<Item = Item<'a>>, users: usize) -> Option<Admitted> {
    let mut from = Reader(items);
    let mut reply = Admitted {
        status: from.status()?,
        detail_ms: from.number()?,
        generation: from.number()?,
        limit: from.number()?,
        count: from.number()?,
        rulings: Vec::new(),
    };
    if reply.status == Status::Open {
        reply.rulings.reserve_exact(users);
        for _ in 0..users {
            let (code, value) = (from.number()?, from.number()?);
            reply.rulings.push(match code {
                0 => Ruling::SoldOut,
                1 => Ruling::Admitted(value),
                2 => Ruling::Known(value),
                3 => Ruling::Blocked,
                4 => Ruling::Throttled(value),
                _ => return None,
            });
        }
    }
    Some(reply)
}

/// Reads the reply of `heal`: the state of the books, which is [`Status::Stale`] when they are of a
/// newer generation than what they were taught.
pub fn healed<'a>(items: impl Iterator<Item = Item<'a>>) -> Option<Status> {
    Reader(items).status()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ints(numbers: &[i64]) -> Vec<Item<'static>> {
        numbers.iter().copied().map(Item::Int).collect()
    }

    #[test]
    fn an_admit_reply_has_a_ruling_for_each_user() {
        let reply = ints(&[0, 0, 1, 3, 2, 1, 7, 2, 3, 0, 0, 3, 0, 4, 250]);
        let rulings = admitted(reply.iter().copied(), 5).unwrap().rulings;
        let expected = [
            Ruling::Admitted(7),
            Ruling::Known(3),
            Ruling::SoldOut,
            Ruling::Blocked,
            Ruling::Throttled(250),
        ];
        assert_eq!(rulings, expected);
        assert_eq!(admitted(reply.iter().copied(), 6), None);
    }

    #[test]
    fn no_rulings_while_the_books_are_not_open() {
        let reply = admitted(ints(&[1, 400, 1, 3, 2]).into_iter(), 5).unwrap();
        assert_eq!((reply.status, reply.detail_ms), (Status::Healing, 400));
        assert!(reply.rulings.is_empty());
    }

    #[test]
    fn a_poll_reply_carries_the_log() {
        let mut reply = ints(&[0, 1_000, 5, 1, 3, 2, 0, 1, 0, 3, 0]);
        reply.push(Item::Bytes(b"a:1:0123456789abcdef0123456789abcdef"));
        reply.push(Item::Bytes(b"d:0:bob:the:second"));
        reply.push(Item::Bytes(b"?"));
        let polled = polled(reply.into_iter()).unwrap();
        let first = polled.entries[0].unwrap();
        assert_eq!(first.number, Some(1));
        assert_eq!(first.key(), unhex::<16>(b"0123456789abcdef0123456789abcdef"));
        let second = Entry { number: None, user: b"bob:the:second" };
        assert_eq!(polled.entries[1..], [Some(second), None]);
    }

    #[test]
    fn begin_tells_who_serves() {
        let mut reply = ints(&[1, 77]);
        reply.push(Item::Bytes(b"abc"));
        reply.extend(ints(&[5, 1, 900]));
        let begun = begun(reply.into_iter()).unwrap();
        assert_eq!((begun.status, &*begun.run, begun.heal_left_ms), (Status::Healing, "abc", 900));
    }

    fn anything() -> impl Strategy<Value = Vec<(i64, Vec<u8>, u8)>> {
        prop::collection::vec((-2i64..8, any::<Vec<u8>>(), 0u8..3), 0..30)
    }

    proptest! {
        #[test]
        fn any_reply_is_read_without_harm(raw in anything(), users in 0usize..10) {
            let items: Vec<Item<'_>> = raw
                .iter()
                .map(|(n, bytes, kind)| match kind {
                    0 => Item::Int(*n),
                    1 => Item::Bytes(bytes),
                    _ => Item::Other,
                })
                .collect();
            let _ = begun(items.iter().copied());
            let _ = polled(items.iter().copied());
            let _ = admitted(items.iter().copied(), users);
            let _ = healed(items.iter().copied());
        }
    }
}
