//! Other numbers for single consumers.
//!
//! A consumer that is named whole is known by a hash that is bound to the policy, so that no
//! parameter shows who it is; one that is named by wildcards is told by its parts.

use crate::config::Specs;
use crate::consumer::parts;

/// The hash that a consumer with an override is known by: the first 16 bytes of SHA-256 of the
/// policy's name, a zero byte and the consumer's message.
pub type Digest = [u8; 16];

/// All overrides of a limit; the first that matches holds.
#[derive(Debug, Default)]
pub struct Overrides {
    list: Vec<Override>,
}

/// What holds for consumers of one kind.
#[derive(Debug)]
pub struct Override {
    /// Who they are.
    pub who: Who,
    /// How each window of the limit counts them; `None`: they are not limited.
    pub specs: Option<Vec<Specs>>,
}

/// Whom an override is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One consumer.
    Exact(Digest),
    /// Those whose parts match, one pattern for each.
    Like(Vec<Pattern>),
}

impl Overrides {
    /// These, the first first.
    pub fn new(list: Vec<Override>) -> Self {
        Self { list }
    }

    /// The override of the consumer with this message. The hash is asked for only if a consumer is
    /// named by one.
    pub(crate) fn find(
        &self,
        message: &[u8],
        digest: impl FnOnce() -> Digest,
    ) -> Option<&Override> {
        let (mut digest, mut known) = (Some(digest), None);
        self.list.iter().find(|entry| match &entry.who {
            Who::Exact(wanted) => {
                if let Some(make) = digest.take() {
                    known = Some(make());
                }
                known.as_ref() == Some(wanted)
            }
            Who::Like(patterns) => {
                let mut parts = parts(message);
                patterns.iter().all(|one| parts.next().is_some_and(|part| one.matches(part)))
                    && parts.next().is_none()
            }
        })
    }
}

/// A text in which each `*` stands for any bytes, also for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What a match begins with.
    head: Box<[u8]>,
    /// What follows in this order, with anything between; `None` when there is no `*` at all.
    rest: Option<Rest>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rest {
    middle: Vec<Box<[u8]>>,
    tail: Box<[u8]>,
}

impl Pattern {
    /// Reads a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        let mut pieces = text.split('*').map(str::as_bytes);
        let head = pieces.next().unwrap_or_default().into();
        let rest = pieces.next_back().map(|tail| Rest {
            middle: pieces.filter(|piece| !piece.is_empty()).map(Box::from).collect(),
            tail: tail.into(),
        });
        Self { head, rest }
    }

    /// Whether these bytes match. Each piece is taken where it first occurs: a later place could not
    /// let the rest match where that one does not, so nothing is ever tried twice.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let Some(Rest { middle, tail }) = &self.rest else { return *self.head == *bytes };
        let open = bytes.strip_prefix(&*self.head).and_then(|inner| inner.strip_suffix(&**tail));
        let mut left = open;
        for piece in middle {
            left = left.and_then(|left| behind(left, piece));
        }
        left.is_some()
    }
}

/// What is behind the first occurrence of a piece, which is not empty.
fn behind<'a>(bytes: &'a [u8], piece: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(piece.len()).position(|window| window == piece)?;
    bytes.get(at + piece.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::message;
    use proptest::prelude::*;

    /// The definition, word for word.
    fn model(pattern: &[u8], bytes: &[u8]) -> bool {
        match pattern {
            [] => bytes.is_empty(),
            [b'*', rest @ ..] => (0..=bytes.len()).any(|skip| model(rest, &bytes[skip..])),
            [first, rest @ ..] => bytes.first() == Some(first) && model(rest, &bytes[1..]),
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, bytes, matches) in [
            ("gold-*", "gold-1", true),
            ("gold-*", "gold-", true),
            ("gold-*", "silver", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*@example.com", "eve@example.com", true),
            ("*@example.com", "eve@example.com.evil.test", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(bytes.as_bytes()),
                matches,
                "{pattern} {bytes}"
            );
        }
    }

    #[test]
    fn a_hostile_text_costs_no_more_than_its_length() {
        let pattern = Pattern::new(&"a*".repeat(60));
        assert!(!pattern.matches(&[b'b'; 8192]));
        assert!(!Pattern::new("*a*a*a*a*a*a*a*a*a*b").matches(&[b'a'; 8192]));
    }

    #[test]
    fn the_first_that_matches_holds() {
        let like =
            |patterns: &[&str]| Who::Like(patterns.iter().map(|p| Pattern::new(p)).collect());
        let list = [like(&["gold-*", "*"]), Who::Exact([7; 16]), like(&["*", "x"])];
        let list = list.into_iter().map(|who| Override { who, specs: None }).collect();
        let overrides = Overrides::new(list);
        let find = |values: [&str; 2], digest: Digest| {
            let message = message(values.map(str::as_bytes));
            overrides.find(&message, || digest).map(|found| found.who.clone())
        };
        assert_eq!(find(["gold-1", "x"], [7; 16]), Some(like(&["gold-*", "*"])));
        assert_eq!(find(["alice", "x"], [7; 16]), Some(Who::Exact([7; 16])));
        assert_eq!(find(["alice", "x"], [8; 16]), Some(like(&["*", "x"])));
        assert_eq!(find(["alice", "y"], [8; 16]), None);
        // as many parts as patterns, no more and no fewer
        assert!(overrides.find(&message([&b"gold-1"[..]]), || [8; 16]).is_none());
        assert!(overrides.find(&message([&b"gold-1"[..], b"x", b"x"]), || [8; 16]).is_none());
    }

    #[test]
    fn nothing_is_hashed_where_nobody_is_known_by_a_hash() {
        let who = Who::Like(vec![Pattern::new("a")]);
        let overrides = Overrides::new(vec![Override { who, specs: None }]);
        assert!(overrides.find(&message([&b"b"[..]]), || panic!("hashed")).is_none());
    }

    proptest! {
        #[test]
        fn a_match_is_what_the_definition_says(pattern in "[ab*]{0,8}", text in "[ab]{0,12}") {
            let matches = Pattern::new(&pattern).matches(text.as_bytes());
            prop_assert_eq!(matches, model(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_pattern_and_any_bytes_are_compared(pattern in ".{0,20}", bytes: Vec<u8>) {
            let matches = Pattern::new(&pattern).matches(&bytes);
            if pattern.matches('*').count() < 5 {
                prop_assert_eq!(matches, model(pattern.as_bytes(), &bytes));
            }
        }
    }
}
