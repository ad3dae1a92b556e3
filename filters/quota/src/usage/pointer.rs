//! Pointers into a JSON document (RFC 6901), and which of them lead where.

use core::fmt;

/// Pointers that one reader follows.
pub const MAX_POINTERS: usize = 8;
/// Steps of one pointer.
pub const MAX_SEGMENTS: usize = 16;
/// Bytes of one pointer as it is written.
pub const MAX_POINTER_BYTES: usize = 512;

/// One bit for each pointer, the first one's lowest.
pub(super) type Mask = u8;

/// Why pointers cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointerError {
    /// It neither is empty nor begins with a slash.
    Start(Box<str>),
    /// A tilde that neither 0 nor 1 follows.
    Tilde(Box<str>),
    /// More than [`MAX_SEGMENTS`] steps or [`MAX_POINTER_BYTES`] bytes.
    TooLong,
    /// There are none, or more than [`MAX_POINTERS`].
    Number(usize),
}

impl fmt::Display for PointerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(text) => write!(f, "pointer {text:?} does not begin with a slash"),
            Self::Tilde(text) => write!(f, "pointer {text:?} has a ~ that is neither ~0 nor ~1"),
            Self::TooLong => {
                write!(
                    f,
                    "a pointer has at most {MAX_SEGMENTS} steps and {MAX_POINTER_BYTES} bytes"
                )
            }
            Self::Number(number) => {
                write!(f, "1 to {MAX_POINTERS} pointers are needed, not {number}")
            }
        }
    }
}

impl std::error::Error for PointerError {}

/// One step: a member's name, which may also be an element's place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    name: Box<[u8]>,
    index: Option<u32>,
}

impl Segment {
    /// Undoes the escapes. `None`: one is malformed.
    fn parse(text: &str) -> Option<Self> {
        let mut name = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            name.push(match character {
                '~' => match characters.next()? {
                    '0' => '~',
                    '1' => '/',
                    _ => return None,
                },
                character => character,
            });
        }
        // RFC 6901 4: no leading zeros, no sign; the greatest one is where the count of elements
        // stops
        let is_index = name.bytes().all(|byte| byte.is_ascii_digit())
            && (name == "0" || !name.starts_with('0'));
        let index = if is_index { name.parse().ok().filter(|at| *at < u32::MAX) } else { None };
        Some(Self { name: name.into_bytes().into(), index })
    }
}

/// The pointers that a reader follows.
#[derive(Clone, Debug)]
pub(super) struct Pointers {
    all: Box<[Box<[Segment]>]>,
    /// By a number of steps: the pointers that have just so many.
    ends: [Mask; MAX_SEGMENTS + 1],
}

impl Pointers {
    pub(super) fn parse<'a>(
        texts: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<Self, PointerError> {
        if texts.len() == 0 || texts.len() > MAX_POINTERS {
            return Err(PointerError::Number(texts.len()));
        }
        let all = texts.map(segments).collect::<Result<Box<_>, _>>()?;
        let mut ends = [0; MAX_SEGMENTS + 1];
        for (bit, pointer) in bits().zip(&all) {
            if let Some(end) = ends.get_mut(pointer.len()) {
                *end |= bit;
            }
        }
        Ok(Self { all, ends })
    }

    /// All of them.
    pub(super) fn mask(&self) -> Mask {
        bits().zip(&self.all).fold(0, |mask, (bit, _)| mask | bit)
    }

    /// Those of `mask` that are at their end after so many steps.
    pub(super) fn ending(&self, mask: Mask, steps: usize) -> Mask {
        mask & self.ends.get(steps).copied().unwrap_or_default()
    }

    /// Those of `mask` whose step at `depth` is called like this from byte `at` on, perhaps with
    /// more to come.
    pub(super) fn named(&self, mask: Mask, depth: usize, at: usize, piece: &[u8]) -> Mask {
        self.filter(mask, depth, |segment| {
            segment.name.get(at..).is_some_and(|name| name.starts_with(piece))
        })
    }

    /// Those of `mask` whose step at `depth` has a name of so many bytes.
    pub(super) fn sized(&self, mask: Mask, depth: usize, size: usize) -> Mask {
        self.filter(mask, depth, |segment| segment.name.len() == size)
    }

    /// Those of `mask` whose step at `depth` is an element's place.
    pub(super) fn indexed(&self, mask: Mask, depth: usize, index: u32) -> Mask {
        self.filter(mask, depth, |segment| segment.index == Some(index))
    }

    fn filter(&self, mask: Mask, depth: usize, fits: impl Fn(&Segment) -> bool) -> Mask {
        if mask == 0 {
            return 0;
        }
        let fitting = bits()
            .zip(&self.all)
            .filter(|(bit, pointer)| mask & bit != 0 && pointer.get(depth).is_some_and(&fits));
        fitting.fold(0, |mask, (bit, _)| mask | bit)
    }
}

/// The bits of a mask, in the order of the pointers.
pub(super) fn bits() -> impl Iterator<Item = Mask> {
    (0..MAX_POINTERS).map(|place| 1 << place)
}

fn segments(text: &str) -> Result<Box<[Segment]>, PointerError> {
    if text.len() > MAX_POINTER_BYTES || text.matches('/').count() > MAX_SEGMENTS {
        return Err(PointerError::TooLong);
    }
    let mut parts = text.split('/');
    if parts.next() != Some("") {
        return Err(PointerError::Start(text.into()));
    }
    let segments = parts.map(Segment::parse).collect::<Option<_>>();
    segments.ok_or_else(|| PointerError::Tilde(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Pointers, PointerError> {
        Pointers::parse(texts.iter().copied())
    }

    #[test]
    fn escapes_are_undone_and_places_known() {
        let pointers = parse(&["/a~1b/m~0n/~01", "/0/10/01", "", "/"]).unwrap();
        let names = |at: usize| -> Vec<(&[u8], Option<u32>)> {
            pointers.all[at].iter().map(|segment| (&*segment.name, segment.index)).collect()
        };
        assert_eq!(names(0), [(&b"a/b"[..], None), (b"m~n", None), (b"~1", None)]);
        assert_eq!(names(1), [(&b"0"[..], Some(0)), (b"10", Some(10)), (b"01", None)]);
        assert_eq!(names(2), []);
        assert_eq!(names(3), [(&b""[..], None)]);
        assert_eq!(pointers.mask(), 0b1111);
        assert_eq!(pointers.ending(0b1111, 3), 0b0011);
        assert_eq!(pointers.ending(0b1111, 0), 0b0100);
        assert_eq!(pointers.ending(0b1111, 99), 0);
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_name() {
        let reason = |texts: &[&str]| parse(texts).unwrap_err().to_string();
        assert_eq!(reason(&["usage"]), "pointer \"usage\" does not begin with a slash");
        assert!(reason(&["/a~2"]).contains("\"/a~2\""));
        assert!(reason(&["/a~"]).contains("\"/a~\""));
        assert!(reason(&[&"/a".repeat(17)]).contains("16 steps"));
        assert!(reason(&[&format!("/{}", "a".repeat(512))]).contains("512 bytes"));
        assert!(reason(&[]).contains("not 0"));
        assert!(reason(&[""; 9]).contains("not 9"));
        assert!(parse(&["/a".repeat(16).as_str(); 8]).is_ok());
    }

    #[test]
    fn absurd_places_are_names_only() {
        for text in ["/4294967295", "/99999999999999999999", "/+1", "/-", "/-1", "/٣"] {
            let pointers = parse(&[text]).unwrap();
            assert_eq!(pointers.all[0][0].index, None, "{text}");
        }
    }
}
