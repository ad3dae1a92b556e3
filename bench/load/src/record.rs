//! What became of every request, as JSON lines.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{json, Map, Value};

use crate::response::Answer;

/// How a request can fail to get an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens. No request was sent.
    Refused,
    /// The connection could not be made for another reason. No request was sent.
    Unreachable,
    /// The connection was reset.
    Reset,
    /// The connection was closed before the first byte of an answer.
    Closed,
    /// The connection was closed in the middle of an answer.
    Short,
    /// No complete answer in time.
    Timeout,
    /// The answer is not HTTP/1.x, or more than one came.
    Malformed,
    /// The answer is longer than allowed.
    TooLong,
}

impl Failure {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::Unreachable,
        Self::Reset,
        Self::Closed,
        Self::Short,
        Self::Timeout,
        Self::Malformed,
        Self::TooLong,
    ];

    /// Its name in reports and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Short => "short",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
        }
    }
}

/// How a request ended.
pub enum Ending<'a> {
    /// With an answer.
    Answer(&'a Answer),
    /// Without one.
    Failure(Failure),
}

/// One request, as it is written down.
pub struct Entry<'a> {
    /// Its number.
    pub number: u64,
    /// Which of the targets it went to.
    pub target: usize,
    /// On which connection.
    pub connection: usize,
    /// For whom.
    pub user: &'a [u8],
    /// When it began, in microseconds from the start of the run.
    pub began_us: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// How it ended.
    pub ending: Ending<'a>,
}

/// Which parts of an answer are written down.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// Names of headers, in lower case.
    pub headers: Vec<String>,
    /// The body's hash.
    pub hash: bool,
    /// The body.
    pub body: bool,
}

/// Writes entries to a file.
pub struct Recorder {
    file: BufWriter<File>,
    detail: Detail,
}

impl Recorder {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, detail: Detail) -> io::Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(1 << 18, File::create(path)?), detail })
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, &line(entry, &self.detail))?;
        self.file.write_all(b"\n")
    }

    /// Makes sure that all of it is in the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn line(entry: &Entry<'_>, detail: &Detail) -> Value {
    let mut line = Map::new();
    line.insert("n".into(), json!(entry.number));
    line.insert("user".into(), text(entry.user));
    line.insert("target".into(), json!(entry.target));
    line.insert("connection".into(), json!(entry.connection));
    line.insert("at_us".into(), json!(entry.began_us));
    line.insert("us".into(), json!(entry.took_us));
    match entry.ending {
        Ending::Failure(failure) => {
            line.insert("error".into(), json!(failure.name()));
        }
        Ending::Answer(answer) => {
            line.insert("status".into(), json!(answer.status));
            if !detail.headers.is_empty() {
                line.insert("headers".into(), Value::Object(headers(answer, detail)));
            }
            if detail.hash {
                line.insert("hash".into(), json!(format!("{:016x}", answer.body_hash)));
            }
            if detail.body {
                line.insert("body".into(), text(&answer.body));
            }
        }
    }
    Value::Object(line)
}

/// The wanted headers that were there, each with all its values.
fn headers(answer: &Answer, detail: &Detail) -> Map<String, Value> {
    let mut headers = Map::new();
    for (i, name) in detail.headers.iter().enumerate() {
        let values: Vec<Value> = answer
            .headers
            .iter()
            .filter(|(at, _)| *at == i)
            .map(|(_, value)| text(value))
            .collect();
        if !values.is_empty() {
            headers.insert(name.clone(), Value::Array(values));
        }
    }
    headers
}

fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ending: Ending<'_>) -> Entry<'_> {
        Entry {
            number: 3,
            target: 0,
            connection: 9,
            user: b"ann",
            began_us: 10,
            took_us: 20,
            ending,
        }
    }

    #[test]
    fn an_answer_in_full() {
        let answer = Answer {
            status: 200,
            body_hash: 255,
            headers: vec![(1, b"a=b".to_vec()), (1, b"c=d".to_vec())],
            body: b"in\n".to_vec(),
            ..Answer::default()
        };
        let detail = Detail {
            headers: vec!["retry-after".into(), "set-cookie".into()],
            hash: true,
            body: true,
        };
        assert_eq!(
            line(&entry(Ending::Answer(&answer)), &detail).to_string(),
            r#"{"n":3,"user":"ann","target":0,"connection":9,"at_us":10,"us":20,"status":200,"headers":{"set-cookie":["a=b","c=d"]},"hash":"00000000000000ff","body":"in\n"}"#
        );
    }

    #[test]
    fn a_failure() {
        assert_eq!(
            line(&entry(Ending::Failure(Failure::Timeout)), &Detail::default()).to_string(),
            r#"{"n":3,"user":"ann","target":0,"connection":9,"at_us":10,"us":20,"error":"timeout"}"#
        );
    }
}
