//! Telling a slow Redis from a busy worker.
//!
//! A worker that has just handled thousands of requests in one go finds replies late that have been
//! lying in its sockets all the while. Held against Redis, that would open the breaker in the very
//! moment when a sale begins. So after ticks that came late, deadlines are judged only when the
//! worker has had as much time again to read what is there.

/// A tick that is no later than this counts as in time, in microseconds.
const IN_TIME_US: u64 = 10_000;
/// For at most so many deadlines in a row nothing is judged, however busy the worker is.
const MOST_DEADLINES: u64 = 4;

/// Watches the ticks of a worker. All times are microseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// When the next tick should come; 0 while none is expected.
    expected: u64,
    /// Since when nothing was judged.
    since: Option<u64>,
    until: u64,
}

impl Patience {
    /// A tick has come; the next one is expected in `period_us`. Tells whether deadlines may be
    /// judged in this one.
    pub fn tick(&mut self, now_us: u64, period_us: u64, deadline_us: u64) -> bool {
        let late = match self.expected {
            0 => 0,
            expected => now_us.saturating_sub(expected),
        };
        self.expect(now_us, period_us);
        if late > IN_TIME_US {
            self.until = self.until.max(now_us.saturating_add(late));
        }
        let since = *self.since.get_or_insert(now_us);
        let most = since.saturating_add(deadline_us.saturating_mul(MOST_DEADLINES));
        let judge = now_us >= self.until.min(most);
        if judge {
            self.since = None;
        }
        judge
    }

    /// The tick period was set anew.
    pub fn expect(&mut self, now_us: u64, period_us: u64) {
        self.expected = if period_us == 0 { 0 } else { now_us.saturating_add(period_us) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: u64 = 100_000;

    #[test]
    fn ticks_in_time_are_judged() {
        let mut patience = Patience::default();
        for tick in 1..100 {
            assert!(patience.tick(tick * 5_000 + tick % 3 * 1_000, 5_000, DEADLINE));
        }
    }

    #[test]
    fn a_busy_worker_gets_as_much_time_as_it_has_missed() {
        let mut patience = Patience::default();
        assert!(patience.tick(1_000_000, 5_000, DEADLINE));
        assert!(!patience.tick(1_085_000, 5_000, DEADLINE));
        assert!(!patience.tick(1_090_000, 5_000, DEADLINE));
        assert!(!patience.tick(1_160_000, 5_000, DEADLINE), "late again");
        assert!(!patience.tick(1_220_000, 60_000, DEADLINE));
        assert!(patience.tick(1_280_000, 5_000, DEADLINE));
    }

    #[test]
    fn patience_ends() {
        let mut patience = Patience::default();
        let judged: Vec<bool> =
            (1..20).map(|tick| patience.tick(tick * 90_000, 5_000, DEADLINE)).collect();
        let longest = judged.split(|judged| *judged).map(<[bool]>::len).max();
        assert!(longest <= Some(5), "{judged:?}");
    }

    #[test]
    fn a_period_that_was_set_anew_is_no_delay() {
        let mut patience = Patience::default();
        assert!(patience.tick(0, 5_000, DEADLINE));
        patience.expect(4_000, 60_000);
        assert!(patience.tick(64_000, 5_000, DEADLINE));
    }
}
