//! How a link behaves.

use core::fmt;
use core::time::Duration;

use crate::resp::Bounds;

/// Which way the bytes go behind the bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub enum Via {
    /// Straight to one Redis server.
    #[default]
    Direct,
    /// Through Envoy's Redis proxy, which knows the nodes of a cluster, logs in at them itself, and answers `PING` itself.
    Proxy,
}

/// Where Redis is and what to expect of it.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// Envoy's cluster that leads to the bridge.
    pub cluster: String,
    /// User of Redis; empty stands for `default`.
    pub username: String,
    /// Its password; empty for none.
    pub password: String,
    /// Number of the database.
    pub database: u32,
    /// Which way the bytes go.
    pub via: Via,
    /// What an answer may take; a server that is silent for longer is away.
    pub deadline: Duration,
    /// How long a connection may take from its opening until it serves.
    pub connect: Duration,
    /// Silence after which a connection is given up.
    pub stuck: Duration,
    /// Requests (by weight) that may wait for replies at once. More of them resumed together would overflow the host's
    /// stack: it runs each inside the one before.
    pub outstanding: usize,
    /// Commands that may wait to be sent.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// Bounds of one reply.
    pub reply: Bounds,
    /// Failures in a row after which commands are refused at once.
    pub breaker: u32,
    /// The wait before connecting again, after one failure; doubled by each further one.
    pub backoff: Duration,
    /// The longest such wait. Well below the second in which a healing sale gathers what workers know.
    pub backoff_max: Duration,
    /// The wait after a refused login and other answers that only a person can change.
    pub backoff_rejected: Duration,
    /// The longest wait in a VM that has served no request and reached no server, such as that of Envoy's main thread,
    /// where no stream can open.
    pub backoff_idle: Duration,
}

impl Settings {
    /// Defaults for a Redis nearby, behind the given cluster.
    pub fn new(cluster: impl Into<String>) -> Self {
        Self::with_deadline(cluster, Duration::from_millis(100))
    }

    /// Defaults that go with a deadline: three of them to connect, five until a silent connection is given up.
    pub fn with_deadline(cluster: impl Into<String>, deadline: Duration) -> Self {
        Self {
            cluster: cluster.into(),
            username: String::new(),
            password: String::new(),
            database: 0,
            via: Via::Direct,
            deadline,
            connect: (deadline * 3).max(Duration::from_millis(300)),
            stuck: (deadline * 5).max(Duration::from_millis(500)),
            outstanding: 64,
            waiting: 4096,
            waiting_bytes: 4 * 1024 * 1024,
            reply: Bounds::default(),
            breaker: 2,
            backoff: Duration::from_millis(20),
            backoff_max: Duration::from_millis(400),
            backoff_rejected: Duration::from_secs(10),
            backoff_idle: Duration::from_secs(30),
        }
    }

    /// Whether a connection made with the other settings is as good as one made with these.
    pub(crate) fn same_server(&self, other: &Self) -> bool {
        let server = |s: &Self| (s.database, s.via);
        let login = |s: &Self| {
            (s.cluster == other.cluster, s.username == other.username, s.password == other.password)
        };
        server(self) == server(other) && login(self) == (true, true, true)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = if self.password.is_empty() { "none" } else { "set" };
        f.debug_struct("Settings")
            .field("cluster", &self.cluster)
            .field("username", &self.username)
            .field("password", &password)
            .field("database", &self.database)
            .field("via", &self.via)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
