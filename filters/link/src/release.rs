//! What keeps the host's stack and its timers in hand.

use std::collections::VecDeque;

/// Requests that are ready to be resumed or answered, a bounded number in each callback.
///
/// The host puts each resume and each answer off until the callback returns, then runs one inside the other whenever one
/// of them calls the VM again: its native stack grows with their number, and 400 at once have ended an Envoy.
#[derive(Debug)]
pub struct Release<T> {
    ready: VecDeque<T>,
    left: usize,
}

impl<T> Default for Release<T> {
    fn default() -> Self {
        Self { ready: VecDeque::new(), left: Self::PER_CALLBACK }
    }
}

impl<T> Release<T> {
    /// Resumed or answered in one callback; 256 went well in trials, 400 did not.
    pub const PER_CALLBACK: usize = 64;

    /// A callback of a root has begun (tick, receive, close): a new allowance. Take from the queue in such callbacks only.
    pub fn begin(&mut self) {
        self.left = Self::PER_CALLBACK;
    }

    /// Puts a request behind the others.
    pub fn push(&mut self, request: T) {
        self.ready.push_back(request);
    }

    /// The next request, while the callback's allowance lasts.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<T> {
        let left = self.left.checked_sub(1)?;
        let request = self.ready.pop_front()?;
        self.left = left;
        Some(request)
    }

    /// Whether none is left; otherwise ask for a tick in [`Ticker::SOON`] milliseconds.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Requests that are ready.
    pub fn len(&self) -> usize {
        self.ready.len()
    }
}

/// Decides when to change the tick period of the newest root.
///
/// Setting a period starts it anew, so that setting it often would put the tick off for ever: it becomes shorter at once,
/// and longer only in a tick.
#[derive(Debug, Default)]
pub struct Ticker {
    period: u32,
}

impl Ticker {
    /// The period, in milliseconds, while requests wait to be released.
    pub const SOON: u32 = 1;

    /// The newest root has changed; it does not tick yet.
    pub fn reset(&mut self) {
        self.period = 0;
    }

    /// Takes the wanted period in milliseconds (0 = none needed); gives the one to set, if it is to be changed now.
    pub fn adjust(&mut self, wanted: u32, in_tick: bool) -> Option<u32> {
        let rank = |period: u32| if period == 0 { u32::MAX } else { period };
        let change = rank(wanted) < rank(self.period) || (in_tick && wanted != self.period);
        if change {
            self.period = wanted;
        }
        change.then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_allowance_leaves_in_one_callback() {
        let mut release = Release::default();
        (0..150).for_each(|request| release.push(request));
        let mut taken = Vec::new();
        for _ in 0..3 {
            release.begin();
            let before = taken.len();
            taken.extend(std::iter::from_fn(|| release.next()));
            assert!(taken.len() - before <= Release::<u32>::PER_CALLBACK);
        }
        assert_eq!(taken, (0..150).collect::<Vec<_>>());
        assert!(release.is_empty());
    }

    #[test]
    fn a_period_gets_shorter_at_once_and_longer_in_a_tick() {
        let mut ticker = Ticker::default();
        assert_eq!(ticker.adjust(200, false), Some(200));
        assert_eq!(ticker.adjust(200, true), None);
        assert_eq!(ticker.adjust(10, false), Some(10));
        assert_eq!(ticker.adjust(200, false), None);
        assert_eq!(ticker.adjust(1, false), Some(1));
        assert_eq!(ticker.adjust(0, false), None);
        assert_eq!(ticker.adjust(0, true), Some(0));
        assert_eq!(ticker.adjust(10, false), Some(10));
    }
}
