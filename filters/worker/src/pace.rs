//! How often the newest root ticks, and whether a tick may judge deadlines.

use link::{Moment, Patience, Ticker};

/// The tick period right after configuration: streams open on ticks.
pub const FIRST_TICK_MS: u32 = 1;
/// The tick period while nothing else is wanted: what is due is looked for at its steps.
pub const CALM_TICK_MS: u32 = 20;
/// The tick period of a root that is not the newest: to notice when it has become that.
pub(crate) const OLDER_TICK_MS: u32 = 50;
/// The tick period while requests wait, so that each is answered close to its deadline.
const WAITING_TICK_MS: u32 = 5;

/// When the newest root ticks.
#[derive(Debug, Default)]
pub struct Pace {
    ticker: Ticker,
    period_us: u64,
    patience: Patience,
}

impl Pace {
    /// Another root is the newest; it does not tick yet.
    pub fn reset(&mut self) {
        self.ticker.reset();
    }

    /// A tick has come. Tells whether deadlines may be judged in it: whether the worker has had the
    /// time to read what has arrived.
    pub(crate) fn judges(&mut self, now: Moment, deadline_us: u64) -> bool {
        self.patience.tick(now.as_nanos() / 1_000, self.period_us, deadline_us)
    }

    /// The period to set now, if it changes: the shortest of what the links want, and of what
    /// requests want that are ready or wait.
    pub(crate) fn period(
        &mut self,
        link_ms: Option<u32>,
        ready: bool,
        waits: bool,
        in_tick: bool,
        now: Moment,
    ) -> Option<u32> {
        let own = match (ready, waits) {
            (true, _) => Ticker::SOON,
            (false, true) => WAITING_TICK_MS,
            (false, false) => CALM_TICK_MS,
        };
        let period = self.ticker.adjust(own.min(link_ms.unwrap_or(CALM_TICK_MS)), in_tick)?;
        self.period_us = u64::from(period) * 1_000;
        self.patience.expect(now.as_nanos() / 1_000, self.period_us);
        Some(period)
    }
}
