//! Roots come and go: each config push makes a new one in the same VM, and the old one lives until its last request is
//! done.

use host::ContextId;

use crate::connection::{Connection, Phase};
use crate::moment::Moment;
use crate::outcome::Refusal;
use crate::settings::Settings;
use crate::state::{Link, Root};

impl<R> Link<R> {
    /// A root has been configured: the newest one. Its own connection is opened on its next tick; meanwhile the one at
    /// hand serves on, when it leads to the same server.
    pub fn adopt(&mut self, root: ContextId, settings: Settings, now: Moment) {
        self.now = now;
        self.roots.retain(|known| known.id != root);
        let same = self.roots.last().filter(|newest| newest.settings.same_server(&settings));
        let server = same.map_or_else(
            || {
                self.servers += 1;
                self.servers
            },
            |newest| newest.server,
        );
        self.roots.push(Root { id: root, settings, server });
        // those that do not serve yet never need to: the newest root opens its own
        while let Some(at) = self
            .connections
            .iter()
            .position(|c| matches!(c.phase, Phase::Greeting | Phase::Opening))
        {
            let connection = self.connections.swap_remove(at);
            self.cancels.push_back((connection.root, connection.token));
            self.salvage(connection, now);
        }
        self.follow_newest(now);
    }

    /// A context is gone; when it was a root, its streams went with it. What waited on them goes to the newest root's,
    /// where its deadline allows.
    pub fn delete_root(&mut self, root: ContextId, now: Moment) {
        let Some(at) = self.roots.iter().position(|known| known.id == root) else { return };
        self.now = now;
        self.roots.remove(at);
        self.cancels.retain(|(owner, _)| *owner != root);
        if self.opening.is_some_and(|(owner, _)| owner == root) {
            self.opening = None;
        }
        while let Some(at) = self.connections.iter().position(|connection| connection.root == root)
        {
            let connection = self.connections.swap_remove(at);
            if self.current == Some(connection.token) {
                self.current = None;
            }
            self.salvage(connection, now);
        }
        if self.roots.is_empty() {
            self.refuse_waiting(Refusal::BreakerOpen);
        }
        self.follow_newest(now);
    }

    /// Another root may be the newest: a connection to another server than its own serves no more.
    fn follow_newest(&mut self, now: Moment) {
        let Some(server) = self.roots.last().map(|newest| newest.server) else { return };
        if self.server != server {
            self.server = server;
            self.current = None;
            // what is known of the former server says nothing about this one
            self.failures = 0;
            self.refusal = None;
            self.next_try = now;
            self.last_down.clear();
        }
        self.choose_current();
    }

    /// Without a serving connection, another one to the same server may do.
    pub(crate) fn choose_current(&mut self) {
        if self.current.is_some() {
            return;
        }
        let serves = |c: &&Connection<R>| c.server == self.server && c.phase == Phase::Ready;
        self.current = self.connections.iter().find(serves).map(|connection| connection.token);
        if self.current.is_some() && self.refusal.is_some() {
            self.back();
        }
    }
}
