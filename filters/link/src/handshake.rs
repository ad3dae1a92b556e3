//! How a connection introduces itself.

use crate::command::Command;
use crate::outcome::Refusal;
use crate::settings::{Settings, Via};
use crate::value::{ErrorKind, Value};

/// A command that the link sends on its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Hello,
    Auth,
    Select,
    /// Is anybody there?
    Ping,
}

/// Why a connection is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) refusal: Refusal,
    /// One line that tells what happened and, where a person has to act, what to do.
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn away(text: impl Into<String>) -> Self {
        Self { refusal: Refusal::BreakerOpen, text: text.into() }
    }

    /// An error reply after which the connection is of no use.
    pub(crate) fn of(error: &crate::value::ReplyError) -> Self {
        let text = match error.kind {
            ErrorKind::Auth | ErrorKind::NoPermission => {
                format!("Redis refuses the login: {error}; check the username and the variable that holds the password")
            }
            ErrorKind::Loading => format!("Redis is loading its data: {error}"),
            ErrorKind::ReadOnly => format!("Redis is a read-only replica: {error}"),
            _ => format!("Redis refuses the connection: {error}"),
        };
        let refusal = match error.kind {
            ErrorKind::Auth | ErrorKind::NoPermission => Refusal::AuthFailed,
            ErrorKind::Protected => Refusal::Rejected,
            _ => Refusal::BreakerOpen,
        };
        Self { refusal, text }
    }
}

/// What the answer to a step means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// A server from before `HELLO`: log in the old way.
    TooOld,
    Failed(Problem),
}

/// The opening words. A proxy logs in at the servers itself and knows one database; there it is only asked for a sign of
/// life.
pub(crate) fn greeting(settings: &Settings) -> Vec<(Step, Command)> {
    if settings.via == Via::Proxy {
        return vec![(Step::Ping, Command::new("PING"))];
    }
    let mut hello = Command::new("HELLO");
    hello.arg("2");
    if has_login(settings) {
        let username = if settings.username.is_empty() { "default" } else { &settings.username };
        hello.arg("AUTH").arg(username).arg(&settings.password);
    }
    let mut steps = vec![(Step::Hello, hello)];
    steps.extend(select(settings));
    steps
}

/// The same for a server that does not know `HELLO`.
pub(crate) fn old_greeting(settings: &Settings) -> Vec<(Step, Command)> {
    let mut steps = Vec::new();
    if has_login(settings) {
        let mut auth = Command::new("AUTH");
        if !settings.username.is_empty() {
            auth.arg(&settings.username);
        }
        auth.arg(&settings.password);
        steps.push((Step::Auth, auth));
    }
    steps.extend(select(settings));
    steps.push((Step::Ping, Command::new("PING")));
    steps
}

fn has_login(settings: &Settings) -> bool {
    !settings.username.is_empty() || !settings.password.is_empty()
}

fn select(settings: &Settings) -> Option<(Step, Command)> {
    if settings.database == 0 {
        return None;
    }
    let mut select = Command::new("SELECT");
    select.int(i64::from(settings.database));
    Some((Step::Select, select))
}

/// Reads the answer to a step.
pub(crate) fn judge(step: Step, reply: &Value) -> Verdict {
    let Some(error) = reply.error() else { return Verdict::Fine };
    let problem = Problem::of(error);
    match (step, error.kind) {
        (Step::Hello, ErrorKind::UnknownCommand | ErrorKind::NoProtocol) => Verdict::TooOld,
        (Step::Auth, ErrorKind::Other) => {
            Verdict::Failed(Problem { refusal: Refusal::AuthFailed, ..problem })
        }
        (Step::Select, ErrorKind::Other) => {
            let text = format!("Redis refuses the database: {error}");
            Verdict::Failed(Problem { refusal: Refusal::Rejected, text })
        }
        _ => Verdict::Failed(problem),
    }
}
