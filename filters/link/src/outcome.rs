//! What becomes of a command, and what the link has to tell.

use core::fmt;

use crate::value::Value;

/// What became of a command. Each one that was submitted gets exactly one of these, at the latest one tick after its
/// deadline.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The server answered; the answer may be an error.
    Reply(Value),
    /// The server answered a command that was to be confirmed: by this, and the `WAIT` behind it by that.
    Confirmed {
        /// The command's own reply, never an error.
        reply: Value,
        /// The number of replicas that have it.
        replicas: Value,
    },
    /// The deadline passed.
    TimedOut {
        /// The command had left, and may have been executed.
        sent: bool,
    },
    /// The connection was lost.
    Lost {
        /// The command had left, and may have been executed.
        sent: bool,
    },
    /// The link did not take it.
    Refused(Refusal),
}

impl Outcome {
    /// Whether the command may have been executed although no answer came.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::TimedOut { sent: true } | Self::Lost { sent: true })
    }

    /// The reply, and whether a replica has confirmed it.
    ///
    /// # Errors
    /// The text of the server's error; empty where no reply came, since of that the link tells by itself, once.
    pub fn into_reply(self) -> Result<(Value, bool), String> {
        let (value, confirmed) = match self {
            Self::Reply(value) => (value, false),
            Self::Confirmed { reply, replicas } => (reply, replicas.int().is_some_and(|n| n > 0)),
            Self::TimedOut { .. } | Self::Lost { .. } | Self::Refused(_) => {
                return Err(String::new())
            }
        };
        match value.error() {
            Some(error) => Err(error.text.clone()),
            None => Ok((value, confirmed)),
        }
    }
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Redis cannot be reached, or is silent.
    BreakerOpen,
    /// Redis refuses the name or the password.
    AuthFailed,
    /// Redis refuses the connection for another reason that lasts, such as the number of the database.
    Rejected,
    /// Too many commands wait already.
    QueueFull,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BreakerOpen => "Redis is away",
            Self::AuthFailed => "Redis refuses the login",
            Self::Rejected => "Redis refuses the connection",
            Self::QueueFull => "too many commands wait for Redis",
        })
    }
}

/// Which commands go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Before all others. On a new connection only these leave, until none of them waits or is outstanding. They belong
    /// to their connection: when it is lost, they are not sent again.
    First,
    /// In the order in which they came.
    Normal,
}

/// What the link has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<R> {
    /// A new connection has logged in. What must come before anything else on it is to be submitted now, in
    /// [`Lane::First`].
    Greeted,
    /// The newest connection serves.
    Ready,
    /// No connection serves: one line for the log. Not repeated while the reason stays the same, and never told in a VM
    /// that has served no request and reached no server.
    Down(String),
    /// What became of a command.
    Outcome(R, Outcome),
}
