//! What Redis answers.

use core::fmt;

/// A reply, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing there.
    Nil,
    /// A whole number.
    Int(i64),
    /// A short status text, such as `OK`.
    Simple(Vec<u8>),
    /// A string of any bytes.
    Bulk(Vec<u8>),
    /// An error; also found inside arrays.
    Error(ReplyError),
    /// A list.
    Array(Vec<Value>),
    /// RESP3: true or false.
    Bool(bool),
    /// RESP3: a floating point number.
    Double(f64),
    /// RESP3: a whole number of any size, as its digits.
    BigNumber(Vec<u8>),
    /// RESP3: pairs.
    Map(Vec<(Value, Value)>),
    /// RESP3: a list without order.
    Set(Vec<Value>),
    /// RESP3: a message that answers no command.
    Push(Vec<Value>),
}

impl Value {
    /// The number, when this is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes, when this is a text of either kind.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The items, when this is a list of any kind.
    pub fn array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) | Self::Set(items) => Some(items),
            _ => None,
        }
    }

    /// The error, when this is one.
    pub fn error(&self) -> Option<&ReplyError> {
        match self {
            Self::Error(error) => Some(error),
            _ => None,
        }
    }
}

/// An error reply.
#[derive(Clone, PartialEq, Eq)]
pub struct ReplyError {
    /// What it means.
    pub kind: ErrorKind,
    /// What Redis wrote, at most [`ReplyError::MAX_TEXT`] characters of it.
    pub text: String,
}

impl ReplyError {
    /// Longer texts are cut: they end in logs.
    pub const MAX_TEXT: usize = 256;

    /// Reads the line behind the `-`.
    pub fn parse(line: &[u8]) -> Self {
        let text = String::from_utf8_lossy(line);
        let text =
            text.chars().filter(|c| !c.is_control()).take(Self::MAX_TEXT).collect::<String>();
        Self { kind: ErrorKind::of(&text), text }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.kind, self.text)
    }
}

/// What an error reply means for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The script is not in the server's cache. The link answers this one itself, by `EVAL`.
    NoScript,
    /// The server is reading its data set from disk.
    Loading,
    /// A replica, most often after a failover.
    ReadOnly,
    /// A replica that has lost its master.
    MasterDown,
    /// Another script has been running for long.
    Busy,
    /// `maxmemory` is reached.
    OutOfMemory,
    /// The server cannot persist and refuses writes.
    CannotPersist,
    /// Fewer replicas than `min-replicas-to-write`.
    NoReplicas,
    /// The key lives on another node: a Redis Cluster needs `via: Proxy`.
    Moved,
    /// The keys of a command live on several nodes.
    CrossSlot,
    /// A cluster with a hole, or in the middle of a move.
    ClusterDown,
    /// Wrong name or password, or none given.
    Auth,
    /// The user may not do this.
    NoPermission,
    /// Redis accepts only local connections without a password.
    Protected,
    /// A command that the server (or a proxy before it) does not know.
    UnknownCommand,
    /// A protocol version that the server does not speak.
    NoProtocol,
    /// Envoy's Redis proxy could not reach a server, or lost it.
    Upstream,
    /// Anything else, most often `ERR`.
    Other,
}

impl ErrorKind {
    fn of(text: &str) -> Self {
        let code = text.split(' ').next().unwrap_or_default();
        match code {
            "NOSCRIPT" => Self::NoScript,
            "LOADING" => Self::Loading,
            "READONLY" => Self::ReadOnly,
            "MASTERDOWN" => Self::MasterDown,
            "BUSY" => Self::Busy,
            "OOM" => Self::OutOfMemory,
            "MISCONF" => Self::CannotPersist,
            "NOREPLICAS" => Self::NoReplicas,
            "MOVED" | "ASK" => Self::Moved,
            "CROSSSLOT" => Self::CrossSlot,
            "CLUSTERDOWN" | "TRYAGAIN" => Self::ClusterDown,
            "WRONGPASS" | "NOAUTH" => Self::Auth,
            "NOPERM" => Self::NoPermission,
            "DENIED" => Self::Protected,
            "NOPROTO" => Self::NoProtocol,
            "ERR" => Self::of_plain(text),
            "no" | "upstream" => Self::of_proxy(text),
            _ => Self::Other,
        }
    }

    fn of_plain(text: &str) -> Self {
        let rest = text.get(4..).unwrap_or_default();
        // "AUTH <password> called without any password configured", "invalid password" (before 6.2), "Client sent AUTH"
        let about_auth = ["AUTH ", "invalid password", "Client sent AUTH"];
        if rest.starts_with("unknown command") {
            Self::UnknownCommand
        } else if about_auth.iter().any(|start| rest.starts_with(start)) {
            Self::Auth
        } else {
            Self::Other
        }
    }

    fn of_proxy(text: &str) -> Self {
        match text {
            "no upstream host" | "upstream failure" | "upstream protocol error" => Self::Upstream,
            _ => Self::Other,
        }
    }

    /// Whether the whole server is of no use for now, so that another connection may find a better one.
    pub fn is_server_away(self) -> bool {
        matches!(self, Self::Loading | Self::ReadOnly | Self::MasterDown)
    }
}
