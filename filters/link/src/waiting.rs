//! Commands that have not left yet.

use std::collections::VecDeque;

use crate::command::Command;
use crate::moment::Moment;
use crate::outcome::Lane;

/// A command with who asked for it.
#[derive(Debug)]
pub(crate) struct Pending<R> {
    pub(crate) command: Command,
    pub(crate) ticket: R,
    pub(crate) deadline: Moment,
    pub(crate) lane: Lane,
    /// To be sent as `EVAL`, since the server did not know the script.
    pub(crate) with_source: bool,
    /// It left once on a connection that was lost, and may have been executed.
    pub(crate) unknown: bool,
}

/// Two lanes of commands, in order, with their sums.
#[derive(Debug)]
pub(crate) struct Waiting<R> {
    first: VecDeque<Pending<R>>,
    normal: VecDeque<Pending<R>>,
    bytes: usize,
    weight: usize,
    /// No deadline is earlier.
    soonest: Moment,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        let (first, normal) = (VecDeque::new(), VecDeque::new());
        Self { first, normal, bytes: 0, weight: 0, soonest: Moment::NEVER }
    }
}

impl<R> Waiting<R> {
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.normal.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Requests that wait on the commands here.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.normal.is_empty()
    }

    pub(crate) fn has_first(&self) -> bool {
        !self.first.is_empty()
    }

    pub(crate) fn push_back(&mut self, pending: Pending<R>) {
        self.enter(&pending);
        self.lane(pending.lane).push_back(pending);
    }

    pub(crate) fn push_front(&mut self, pending: Pending<R>) {
        self.enter(&pending);
        self.lane(pending.lane).push_front(pending);
    }

    /// The next command of these lanes, in their order, unless its weight is above `room`.
    pub(crate) fn pop(&mut self, lanes: &[Lane], room: usize) -> Option<Pending<R>> {
        let filled = lanes.iter().find(|lane| !self.lane(**lane).is_empty())?;
        let lane = self.lane(*filled);
        if lane.front()?.command.weight as usize > room {
            return None;
        }
        let pending = lane.pop_front()?;
        self.leave(&pending);
        Some(pending)
    }

    /// Any command of the lane, first come first.
    pub(crate) fn pop_any(&mut self, lane: Lane) -> Option<Pending<R>> {
        let pending = self.lane(lane).pop_front()?;
        self.leave(&pending);
        Some(pending)
    }

    /// Hands out every command whose deadline has come.
    pub(crate) fn expire(&mut self, now: Moment, mut expired: impl FnMut(Pending<R>)) {
        if now < self.soonest {
            return;
        }
        let (mut bytes, mut weight, mut soonest) = (0, 0, Moment::NEVER);
        for lane in [&mut self.first, &mut self.normal] {
            for _ in 0..lane.len() {
                let Some(pending) = lane.pop_front() else { break };
                if pending.deadline <= now {
                    expired(pending);
                    continue;
                }
                bytes += pending.command.size();
                weight += pending.command.weight as usize;
                soonest = soonest.min(pending.deadline);
                lane.push_back(pending);
            }
        }
        (self.bytes, self.weight, self.soonest) = (bytes, weight, soonest);
    }

    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Pending<R>> {
        match lane {
            Lane::First => &mut self.first,
            Lane::Normal => &mut self.normal,
        }
    }

    fn enter(&mut self, pending: &Pending<R>) {
        self.bytes += pending.command.size();
        self.weight += pending.command.weight as usize;
        self.soonest = self.soonest.min(pending.deadline);
    }

    fn leave(&mut self, pending: &Pending<R>) {
        self.bytes = self.bytes.saturating_sub(pending.command.size());
        self.weight = self.weight.saturating_sub(pending.command.weight as usize);
        if self.is_empty() {
            self.soonest = Moment::NEVER;
        }
    }
}
