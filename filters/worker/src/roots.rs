//! Roots come and go: each push of parameters makes a new one in the same VM, and the old one lives
//! until its last request is done.

use std::rc::Rc;

use host::ContextId;

/// The roots that are alive, with their parameters. Those of the newest are in force.
#[derive(Debug)]
pub struct Roots<S> {
    /// The newest last.
    alive: Vec<(ContextId, Rc<S>)>,
}

impl<S> Default for Roots<S> {
    fn default() -> Self {
        Self { alive: Vec::new() }
    }
}

impl<S> Roots<S> {
    /// A root was configured: the newest one.
    pub fn adopt(&mut self, root: ContextId, settings: Rc<S>) {
        self.alive.retain(|(known, _)| *known != root);
        self.alive.push((root, settings));
    }

    /// The newest root.
    pub fn newest(&self) -> Option<ContextId> {
        self.alive.last().map(|(root, _)| *root)
    }

    /// The parameters of the newest root.
    pub fn settings(&self) -> Option<&Rc<S>> {
        self.alive.last().map(|(_, settings)| settings)
    }

    /// The roots but for one.
    pub(crate) fn others(&self, than: ContextId) -> Vec<ContextId> {
        self.alive.iter().map(|(root, _)| *root).filter(|root| *root != than).collect()
    }

    /// A root is gone; tells whether it was the newest, so that another is that now.
    pub(crate) fn remove(&mut self, root: ContextId) -> bool {
        let newest = self.newest() == Some(root);
        self.alive.retain(|(known, _)| *known != root);
        newest
    }
}
