//! Teaching the books what they may have lost.
//!
//! A Redis that was restarted, wiped or replaced may lack its last moments. Nobody is admitted for a
//! while then, and in that time every worker teaches what it knows: first its own grants, the newest
//! ones before all, since perhaps nobody else knows them; then, once the log was read again, all else
//! that is not on it.

use crate::books::name;
use crate::permits::Permits;
use identity::UserKey;

/// The permits in one `heal`.
const CHUNK: usize = 256;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Nothing to teach.
    #[default]
    Over,
    /// This worker's own grants.
    Own,
    /// What else the books turned out to lack.
    Rest,
}

/// The course of one lesson.
#[derive(Debug, Default)]
pub(crate) struct Lesson {
    part: Part,
    /// What is left of the part, the last first; `None` before it was looked up.
    left: Option<Vec<(UserKey, u64)>>,
    /// The books are of an older generation: tell them ours, even with no permit to teach.
    adopt: bool,
    in_flight: bool,
    not_before_us: u64,
}

impl Lesson {
    /// Starts over.
    pub(crate) fn begin(&mut self) {
        self.part = Part::Own;
        self.left = None;
        self.not_before_us = 0;
    }

    /// The books have to learn our generation, if nothing else.
    pub(crate) fn adopt(&mut self) {
        self.adopt = true;
    }

    /// The next chunk, when one can go: one at a time, so that users are not kept waiting behind
    /// them. `caught_up`: the log was read to its end since the lesson began.
    pub(crate) fn next(
        &mut self,
        permits: &Permits,
        caught_up: bool,
        now_us: u64,
    ) -> Option<Vec<(u64, Box<str>)>> {
        if self.in_flight || now_us < self.not_before_us {
            return None;
        }
        let mut chunk = Vec::new();
        while chunk.is_empty() && self.part != Part::Over {
            if self.part == Part::Rest && !caught_up {
                break;
            }
            let own = self.part == Part::Own;
            let left = self.left.get_or_insert_with(|| permits.unseen(own));
            let at = left.len().saturating_sub(CHUNK);
            chunk = left.split_off(at).iter().rev().map(|(u, n)| (*n, name(permits, u))).collect();
            if chunk.is_empty() {
                self.left = None;
                self.part = if own { Part::Rest } else { Part::Over };
            }
        }
        let go = !chunk.is_empty() || core::mem::take(&mut self.adopt);
        self.in_flight = go;
        go.then_some(chunk)
    }

    /// The books took the chunk, or will not take any.
    pub(crate) fn taken(&mut self, went_well: bool) {
        self.in_flight = false;
        self.adopt = false;
        if !went_well {
            self.part = Part::Over;
            self.left = None;
        }
    }

    /// The chunk may not have arrived: start over, as teaching twice does no harm.
    pub(crate) fn failed(&mut self, due_us: u64) {
        self.in_flight = false;
        self.begin();
        self.not_before_us = due_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permits::Source;

    fn user(n: u64) -> UserKey {
        let mut key = [0u8; 16];
        key[..8].copy_from_slice(&n.to_be_bytes());
        key
    }

    fn known() -> Permits {
        let mut permits = Permits::default();
        for n in 1..=600 {
            permits.insert(user(n), n, if n > 300 { Source::Own } else { Source::Log }, None);
        }
        permits.doubt();
        permits
    }

    fn numbers(chunk: Option<Vec<(u64, Box<str>)>>) -> Vec<u64> {
        chunk.unwrap_or_default().into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn own_grants_go_first_and_the_rest_waits_for_the_log() {
        let mut permits = known();
        let mut lesson = Lesson::default();
        assert_eq!(lesson.next(&permits, true, 0), None);
        lesson.begin();
        let first = numbers(lesson.next(&permits, false, 0));
        assert_eq!((first.len(), first[0], first[255]), (256, 600, 345));
        assert_eq!(lesson.next(&permits, false, 0), None, "one at a time");
        lesson.taken(true);
        assert_eq!(numbers(lesson.next(&permits, false, 0)), (301..=344).rev().collect::<Vec<_>>());
        lesson.taken(true);
        assert_eq!(lesson.next(&permits, false, 0), None, "the log is still being read");
        for n in 1..=290 {
            permits.insert(user(n), n, Source::Log, None);
        }
        assert_eq!(numbers(lesson.next(&permits, true, 0)), (291..=300).rev().collect::<Vec<_>>());
        lesson.taken(true);
        assert_eq!(lesson.next(&permits, true, 0), None);
    }

    #[test]
    fn a_lost_chunk_starts_the_lesson_over_after_a_pause() {
        let permits = known();
        let mut lesson = Lesson::default();
        lesson.begin();
        let first = lesson.next(&permits, false, 0);
        lesson.failed(100);
        assert_eq!(lesson.next(&permits, false, 99), None);
        assert_eq!(lesson.next(&permits, false, 100), first);
    }

    #[test]
    fn books_that_will_not_learn_are_left_alone() {
        let permits = known();
        let mut lesson = Lesson::default();
        lesson.begin();
        lesson.next(&permits, true, 0);
        lesson.taken(false);
        assert_eq!(lesson.next(&permits, true, 0), None);
    }

    #[test]
    fn a_generation_is_taught_even_with_no_permit() {
        let mut lesson = Lesson::default();
        lesson.adopt();
        assert_eq!(lesson.next(&Permits::default(), true, 0), Some(Vec::new()));
        lesson.taken(true);
        assert_eq!(lesson.next(&Permits::default(), true, 0), None);
    }
}
