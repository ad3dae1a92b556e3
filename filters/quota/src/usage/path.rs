//! Where in a JSON document: the containers that are open.

use super::pointer::{Mask, Pointers, MAX_SEGMENTS};

/// Containers in containers; a document with more is not read.
pub const MAX_DEPTH: usize = 256;

/// The containers that are open, of which only the kinds are kept where no pointer leads.
#[derive(Debug, Default)]
pub(super) struct Path {
    depth: usize,
    /// One bit for each open container, set for objects.
    objects: [u64; MAX_DEPTH / 64],
    levels: [Level; MAX_SEGMENTS],
}

/// An open container that a pointer may lead into.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// The pointers that lead to it, and perhaps further.
    mask: Mask,
    /// Of an array: the place of the element at hand.
    index: u32,
}

impl Path {
    /// How many containers are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The step of a pointer that leads from the innermost container.
    pub(super) fn step(&self) -> usize {
        self.depth.wrapping_sub(1)
    }

    /// Forgets all containers.
    pub(super) fn reset(&mut self) {
        self.depth = 0;
    }

    /// A container begins that these pointers lead to. `None`: there are too many.
    pub(super) fn open(&mut self, object: bool, mask: Mask) -> Option<()> {
        let bit = 1 << (self.depth % 64);
        let objects = self.objects.get_mut(self.depth / 64)?;
        *objects = if object { *objects | bit } else { *objects & !bit };
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { mask, index: 0 };
        }
        self.depth += 1;
        Some(())
    }

    /// The innermost container ends.
    pub(super) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Whether the innermost container is an object. `None`: all are closed.
    pub(super) fn in_object(&self) -> Option<bool> {
        let inner = self.depth.checked_sub(1)?;
        let objects = self.objects.get(inner / 64)?;
        Some((objects >> (inner % 64)) & 1 == 1)
    }

    /// The pointers that lead to the innermost container, and perhaps further.
    pub(super) fn mask(&self) -> Mask {
        self.level().mask
    }

    /// Goes on to the next element of the innermost container.
    pub(super) fn advance(&mut self) {
        let step = self.step();
        if let Some(level) = self.levels.get_mut(step) {
            level.index = level.index.saturating_add(1);
        }
    }

    /// The pointers that lead to the element at hand.
    pub(super) fn element(&self, pointers: &Pointers) -> Mask {
        let level = self.level();
        pointers.indexed(level.mask, self.step(), level.index)
    }

    /// The innermost container; deeper than pointers go, one that none leads to.
    fn level(&self) -> Level {
        self.levels.get(self.step()).copied().unwrap_or_default()
    }
}
