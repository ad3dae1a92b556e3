//! Time as an input, and the windows that it falls into.

use crate::meter::Span;

/// One moment by both clocks that count here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The local monotonic clock, in microseconds: for whatever is waited for.
    pub us: u64,
    /// Redis's clock as the link estimates it, in milliseconds since 1970: for windows.
    pub redis_ms: u64,
}

/// A window of a counter, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first millisecond.
    pub start_ms: u64,
    /// The first one behind it; always later than the start.
    pub end_ms: u64,
}

impl Window {
    /// The window that a moment falls into, by the rules of the script: before the first border
    /// there is one that began at 0; behind the last one, windows go on as long as the last was.
    pub fn at(span: &Span, now_ms: u64) -> Self {
        match span {
            Span::Every(length_ms) => Self::aligned(0, *length_ms, now_ms),
            Span::Borders(borders) => {
                let past = borders.partition_point(|border| *border <= now_ms);
                let last = past.checked_sub(1).and_then(|at| borders.get(at)).copied();
                let next = borders.get(past).copied();
                match (last, next) {
                    (Some(start_ms), Some(end_ms)) => Self { start_ms, end_ms },
                    (None, Some(end_ms)) => Self { start_ms: 0, end_ms },
                    (last, None) => {
                        let before = past.checked_sub(2).and_then(|at| borders.get(at)).copied();
                        let last = last.unwrap_or(0);
                        Self::aligned(last, last.saturating_sub(before.unwrap_or(0)), now_ms)
                    }
                }
            }
        }
    }

    fn aligned(from_ms: u64, length_ms: u64, now_ms: u64) -> Self {
        let length_ms = length_ms.max(1);
        let start_ms = now_ms - now_ms.saturating_sub(from_ms) % length_ms;
        Self { start_ms, end_ms: start_ms.saturating_add(length_ms) }
    }

    /// How long it is.
    pub fn length_ms(self) -> u64 {
        self.end_ms.saturating_sub(self.start_ms)
    }

    /// How much of it is left, at least 1.
    pub fn left_ms(self, now_ms: u64) -> u64 {
        self.end_ms.saturating_sub(now_ms).max(1)
    }
}

/// How far Redis's clock may be from where it is believed to be without doing harm to a calendar.
const DOUBT_MS: u64 = 3_600_000;

/// The part of a calendar that matters now. A year of days is 3 KB, to be sent and to be read in
/// each run of the script, and of all that two or three borders count.
pub(crate) fn present(borders: &[u64], now_ms: u64) -> &[u64] {
    let before = borders.partition_point(|border| *border <= now_ms.saturating_sub(DOUBT_MS));
    let behind = borders.partition_point(|border| *border <= now_ms.saturating_add(DOUBT_MS));
    // The last two tell how the calendar goes on behind its end, so they stay together.
    let from = before.saturating_sub(1).min(borders.len().saturating_sub(2));
    let to = behind.saturating_add(1).max(from.saturating_add(2)).min(borders.len());
    borders.get(from..to).unwrap_or(borders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::rc::Rc;

    fn window(span: &Span, now_ms: u64) -> (u64, u64) {
        let window = Window::at(span, now_ms);
        (window.start_ms, window.end_ms)
    }

    #[test]
    fn windows_of_one_length_begin_at_its_multiples() {
        assert_eq!(window(&Span::Every(60_000), 125_000), (120_000, 180_000));
        assert_eq!(window(&Span::Every(60_000), 120_000), (120_000, 180_000));
        assert_eq!(window(&Span::Every(0), 5), (5, 6));
    }

    #[test]
    fn a_calendar_begins_at_zero_and_goes_on_as_it_ended() {
        let span = Span::Borders(Rc::from([100, 150, 250]));
        assert_eq!(window(&span, 99), (0, 100));
        assert_eq!(window(&span, 100), (100, 150));
        assert_eq!(window(&span, 249), (150, 250));
        assert_eq!(window(&span, 250), (250, 350));
        assert_eq!(window(&span, 571), (550, 650));
    }

    #[test]
    fn a_calendar_without_borders_harms_nobody() {
        assert_eq!(window(&Span::Borders(Rc::from([])), 7), (7, 8));
        assert_eq!(window(&Span::Borders(Rc::from([5])), 7), (5, 10));
        assert_eq!(present(&[], 7), &[] as &[u64]);
        assert_eq!(present(&[5], 7), &[5]);
    }

    proptest! {
        #[test]
        fn what_is_left_of_a_calendar_says_the_same_about_an_hour_around(
            lengths in prop::collection::vec(60_000u64..90_000_000, 1..40),
            part in 0.0f64..1.2,
            off in -3_599_999i64..3_600_000,
        ) {
            let mut borders = vec![1_000_000_000u64];
            for length in lengths {
                borders.push(borders.last().unwrap() + length);
            }
            let (first, last) = (borders[0], *borders.last().unwrap());
            let believed = first + ((last - first) as f64 * part) as u64;
            let now = believed.saturating_add_signed(off);
            let kept = present(&borders, believed);
            prop_assert!(kept.len() >= 2);
            let whole = Span::Borders(borders.clone().into());
            prop_assert_eq!(window(&Span::Borders(kept.into()), now), window(&whole, now));
        }
    }
}
