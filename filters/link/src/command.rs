//! What is asked of Redis.

use core::fmt;
use core::time::Duration;

use sha1::{Digest, Sha1};

/// A Lua script, sent as `EVALSHA`, and once as `EVAL` when the server does not know it.
#[derive(Clone, Copy)]
pub struct Script {
    source: &'static str,
    sha: [u8; 40],
}

impl Script {
    /// Computes the script's hash: make each script once.
    pub fn new(source: &'static str) -> Self {
        let mut sha = [b'0'; 40];
        for (pair, byte) in sha.chunks_exact_mut(2).zip(Sha1::digest(source.as_bytes())) {
            for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = if half < 10 { b'0' + half } else { b'a' + half - 10 };
            }
        }
        Self { source, sha }
    }

    /// The hash as Redis writes it.
    pub fn sha(&self) -> &str {
        core::str::from_utf8(&self.sha).unwrap_or_default()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({})", self.sha())
    }
}

/// A command with its arguments, encoded as they are given.
#[derive(Clone, Debug)]
pub struct Command {
    /// The arguments, each as a RESP string.
    arguments: Vec<u8>,
    count: u32,
    /// The script, and where the arguments behind its hash begin.
    script: Option<(Script, usize)>,
    pub(crate) weight: u32,
    pub(crate) confirm: Option<Confirm>,
    pub(crate) resend: bool,
}

/// The `WAIT` behind a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirm {
    replicas: u32,
    milliseconds: u64,
}

impl Command {
    /// Any command but a script.
    pub fn new(name: &str) -> Self {
        Self::reuse(Vec::new(), name)
    }

    /// A run of a script. Keys come first, all in one hash slot.
    pub fn script<K: AsRef<[u8]>>(script: &Script, keys: &[K]) -> Self {
        Self::reuse_script(Vec::new(), script, keys)
    }

    pub(crate) fn reuse(buffer: Vec<u8>, name: &str) -> Self {
        let (script, confirm) = (None, None);
        let mut command =
            Self { arguments: buffer, count: 0, script, weight: 1, confirm, resend: true };
        command.arguments.clear();
        command.arg(name);
        command
    }

    pub(crate) fn reuse_script<K: AsRef<[u8]>>(
        buffer: Vec<u8>,
        script: &Script,
        keys: &[K],
    ) -> Self {
        let mut command = Self::reuse(buffer, "EVALSHA");
        command.arg(script.sha);
        command.script = Some((*script, command.arguments.len()));
        command.int(keys.len() as i64);
        for key in keys {
            command.arg(key);
        }
        command
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl AsRef<[u8]>) -> &mut Self {
        let argument = argument.as_ref();
        self.arguments.push(b'$');
        push_number(&mut self.arguments, argument.len() as u64);
        self.arguments.extend_from_slice(b"\r\n");
        self.arguments.extend_from_slice(argument);
        self.arguments.extend_from_slice(b"\r\n");
        self.count += 1;
        self
    }

    /// Adds a number as argument.
    pub fn int(&mut self, number: i64) -> &mut Self {
        let digits = decimal_length(number.unsigned_abs()) + usize::from(number < 0);
        self.arguments.push(b'$');
        push_number(&mut self.arguments, digits as u64);
        self.arguments.extend_from_slice(b"\r\n");
        if number < 0 {
            self.arguments.push(b'-');
        }
        push_number(&mut self.arguments, number.unsigned_abs());
        self.arguments.extend_from_slice(b"\r\n");
        self.count += 1;
        self
    }

    /// How many requests wait on this command (1 unless told). The link bounds the sum that is outstanding, since all of
    /// them are resumed or answered when the reply comes.
    pub fn weight(&mut self, requests: usize) -> &mut Self {
        self.weight = u32::try_from(requests).unwrap_or(u32::MAX);
        self
    }

    /// Sends a `WAIT` behind the command, as one unit with it. It blocks the connection, so only a link of its own may
    /// carry such commands.
    pub fn confirm(&mut self, replicas: u32, within: Duration) -> &mut Self {
        // 0 would wait for ever
        let milliseconds = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
        self.confirm = Some(Confirm { replicas, milliseconds });
        self
    }

    /// Never sends the command a second time: for one that does something else when it is repeated.
    pub fn once(&mut self) -> &mut Self {
        self.resend = false;
        self
    }

    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        self.arguments.len()
    }

    pub(crate) fn is_script(&self) -> bool {
        self.script.is_some()
    }

    /// Appends the command as it goes over the wire.
    pub(crate) fn write(&self, with_source: bool, out: &mut Vec<u8>) {
        out.push(b'*');
        push_number(out, u64::from(self.count));
        out.extend_from_slice(b"\r\n");
        match self.script {
            Some((script, rest)) if with_source => {
                out.extend_from_slice(b"$4\r\nEVAL\r\n$");
                push_number(out, script.source.len() as u64);
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(script.source.as_bytes());
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(self.arguments.get(rest..).unwrap_or_default());
            }
            _ => out.extend_from_slice(&self.arguments),
        }
        if let Some(confirm) = self.confirm {
            let mut wait = Self::new("WAIT");
            wait.int(i64::from(confirm.replicas)).int(confirm.milliseconds as i64);
            wait.write(false, out);
        }
    }

    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.arguments
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

fn decimal_length(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}
