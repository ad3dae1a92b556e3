//! What a worker has to tell or ask Redis for one sale, and when.

/// Something to send to Redis for one sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Script `begin`.
    Begin,
    /// Script `heal`.
    Teach {
        /// The generation that the permits belong to.
        generation: u64,
        /// Number and user of each.
        permits: Vec<(u64, Box<str>)>,
    },
    /// Script `poll`.
    Poll {
        /// The books known.
        incarnation: u64,
        /// The generation known.
        generation: u64,
        /// The place in the log to go on from.
        cursor: u64,
    },
}

/// When the next errand of one kind goes out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    pub(crate) due_us: Option<u64>,
    pub(crate) in_flight: bool,
}

impl Step {
    /// Whether it goes now; then it is under way.
    pub(crate) fn take(&mut self, now_us: u64) -> bool {
        let go = !self.in_flight && self.due_us.is_some_and(|due| due <= now_us);
        if go {
            *self = Self { due_us: None, in_flight: true };
        }
        go
    }

    /// It goes, or goes again, at a moment.
    pub(crate) fn again(&mut self, due_us: u64) {
        *self = Self { due_us: Some(due_us), in_flight: false };
    }
}

/// The kind of an errand, to say which one failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrandKind {
    /// [`Errand::Begin`]
    Begin,
    /// [`Errand::Teach`]
    Teach,
    /// [`Errand::Poll`]
    Poll,
}
