//! What clients are told of their limits: `RateLimit-Policy` and `RateLimit` as in
//! draft-ietf-httpapi-ratelimit-headers-11, `Retry-After` (RFC 9110, 10.2.3) and the numbers of
//! `X-RateLimit-*`.
//!
//! All of it is on the path of each request, so texts are put together digit by digit, and a list of
//! policies is written once for all who have the same.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::meter::{Kind, Meter, Reading, Span, Spec};
use crate::time::Window;

/// Lists of policies that are kept.
const MAX_LINES: usize = 16;
/// The largest number of a structured field (RFC 8941, 3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

/// Appends a number in decimal.
pub fn push_number(out: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut from = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        from -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(from..).unwrap_or_default();
    out.push_str(core::str::from_utf8(digits).unwrap_or_default());
}

/// A time as clients are told it: whole seconds, rounded up so that nobody comes too early.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1_000)
}

/// The value of `Retry-After` for a wait; at least one second.
pub fn retry_after_s(wait_ms: u64) -> u64 {
    seconds(wait_ms).max(1)
}

/// How long a request has to wait that these readings refuse, in milliseconds: as long as the
/// slowest of its meters. 0 when none refuses.
pub fn wait_ms(meters: &[Meter], readings: &[Reading]) -> u64 {
    let waits = meters.iter().zip(readings).filter(|(meter, _)| !meter.spec.watch);
    waits.map(|(_, reading)| reading.wait_ms).max().unwrap_or(0)
}

/// What a counter holds when nothing is used.
fn capacity(spec: &Spec) -> u64 {
    match spec.kind {
        Kind::Bucket => spec.burst,
        Kind::Fixed | Kind::Sliding | Kind::Calendar => spec.amount,
    }
}

/// The place of the meter to tell of: one that refuses before all others, the longest wait first;
/// else that with the smallest part left. Meters that only watch are never told of.
pub fn tightest<'a>(
    meters: impl IntoIterator<Item = (&'a Meter, &'a Reading)>,
) -> Option<(usize, &'a Meter, &'a Reading)> {
    let mut found: Option<(usize, &Meter, &Reading)> = None;
    for (place, (meter, reading)) in meters.into_iter().enumerate() {
        if meter.spec.watch {
            continue;
        }
        let tighter = found.is_none_or(|(_, known, said)| {
            reading.wait_ms > said.wait_ms
                || (reading.wait_ms == said.wait_ms
                    && less(reading.remaining, meter, said.remaining, known))
        });
        if tighter {
            found = Some((place, meter, reading));
        }
    }
    found
}

/// Whether less is left of the one than of the other, each in relation to all it can hold.
fn less(left: u64, of: &Meter, other_left: u64, other: &Meter) -> bool {
    let (here, there) = (capacity(&of.spec).max(1), capacity(&other.spec).max(1));
    u128::from(left) * u128::from(there) < u128::from(other_left) * u128::from(here)
}

/// When the units left are more again, in seconds. A refused client may come back before all of a
/// bucket is free, and `Retry-After` must not name an earlier moment than this (section 6).
pub fn reset_s(reading: &Reading) -> u64 {
    match reading.wait_ms {
        0 => seconds(reading.reset_ms),
        wait_ms => seconds(wait_ms.min(reading.reset_ms.max(1))),
    }
}

/// Appends the name of a window of a limit as a structured field's string; the second window of
/// `per-key` is `"per-key.2"`.
fn push_name(out: &mut String, limit: &str, window: usize) {
    out.push('"');
    for c in limit.chars().filter(|c| (' '..='~').contains(c)) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    if window > 0 {
        out.push('.');
        push_number(out, window as u64 + 1);
    }
    out.push('"');
}

fn push_parameter(out: &mut String, name: &str, number: u64) {
    out.push(';');
    out.push_str(name);
    out.push('=');
    push_number(out, number.min(LARGEST));
}

/// Appends the value of `RateLimit` about one meter of the limit with this name.
pub fn push_rate_limit(out: &mut String, limit: &str, meter: &Meter, reading: &Reading) {
    push_name(out, limit, meter.window);
    push_parameter(out, "r", reading.remaining);
    push_parameter(out, "t", reset_s(reading));
}

/// The numbers of `X-RateLimit-Limit`, `-Remaining` and `-Reset` (in seconds) about one meter.
pub fn x_rate_limit(meter: &Meter, reading: &Reading) -> [u64; 3] {
    [meter.spec.amount, reading.remaining, reset_s(reading)]
}

/// A list of policies, written.
#[derive(Debug)]
struct Line {
    /// Of which meters: limit, window, and how they count. The rules are kept alive, so that another
    /// one at the same address is never taken for one of them.
    meters: Vec<(Place, Rc<Spec>)>,
    /// While these windows last, in milliseconds of Redis's clock.
    from_ms: u64,
    until_ms: u64,
    text: Rc<str>,
}

type Place = ((usize, usize), usize);

/// The values of `RateLimit-Policy`. Almost all requests of a route have the same one.
///
/// For one set of parameters: their limits are told apart by their places.
#[derive(Debug, Default)]
pub struct PolicyLines {
    /// The latest used first.
    lines: VecDeque<Line>,
}

impl PolicyLines {
    /// The value for these meters, each with the name of its limit. Those that only watch are left
    /// out; `None` when none is left.
    pub fn text<'a>(
        &mut self,
        meters: impl Iterator<Item = (&'a str, &'a Meter)> + Clone,
        redis_ms: u64,
    ) -> Option<Rc<str>> {
        let shown = meters.filter(|(_, meter)| !meter.spec.watch);
        let place = self.lines.iter().position(|line| line.is_of(shown.clone(), redis_ms));
        if let Some(line) = place.and_then(|place| self.lines.get(place)) {
            let text = Rc::clone(&line.text);
            if let Some(place) = place.filter(|place| *place > 0) {
                self.lines.swap(0, place);
            }
            return Some(text);
        }
        let line = Line::of(shown, redis_ms)?;
        let text = Rc::clone(&line.text);
        self.lines.truncate(MAX_LINES - 1);
        self.lines.push_front(line);
        Some(text)
    }
}

impl Line {
    fn of<'a>(meters: impl Iterator<Item = (&'a str, &'a Meter)>, redis_ms: u64) -> Option<Self> {
        let mut line =
            Self { meters: Vec::new(), from_ms: 0, until_ms: u64::MAX, text: Rc::from("") };
        let mut text = String::new();
        for (limit, meter) in meters {
            let window = Window::at(&meter.spec.span, redis_ms);
            if matches!(meter.spec.span, Span::Borders(_)) {
                line.from_ms = line.from_ms.max(window.start_ms);
                line.until_ms = line.until_ms.min(window.end_ms);
            }
            if !text.is_empty() {
                text.push_str(", ");
            }
            push_name(&mut text, limit, meter.window);
            push_parameter(&mut text, "q", meter.spec.amount);
            push_parameter(&mut text, "w", seconds(window.length_ms()).max(1));
            line.meters.push(Self::part(meter));
        }
        line.text = text.into();
        (!line.meters.is_empty()).then_some(line)
    }

    fn part(meter: &Meter) -> (Place, Rc<Spec>) {
        ((meter.limit, meter.window), Rc::clone(&meter.spec))
    }

    fn is_of<'a>(&self, meters: impl Iterator<Item = (&'a str, &'a Meter)>, redis_ms: u64) -> bool {
        let mut known = self.meters.iter();
        (self.from_ms..self.until_ms).contains(&redis_ms)
            && meters.into_iter().all(|(_, meter)| {
                known.next().is_some_and(|(place, spec)| {
                    *place == (meter.limit, meter.window) && Rc::ptr_eq(spec, &meter.spec)
                })
            })
            && known.next().is_none()
    }
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
