//! The command line.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::record::Detail;
use crate::response::Wanted;
use crate::run::{Plan, Target};
use crate::template::{Template, Values};

/// What `--help` prints.
pub const HELP: &str = "\
A small HTTP/1.1 load generator that can say what became of every single request.

Usage: sluice-load [OPTIONS] URL...

With several URLs the connections are dealt out to them in turn. Prints one JSON object.

How much:
  -c, --connections N       keep-alive connections [64]
  -d, --seconds S           send for S seconds [10, unless --requests is given]
  -r, --requests N          send N requests at most
  -R, --rate N              N requests a second, due at fixed times whether or not the server keeps
                            up; latencies then count from when a request was due
What to send (texts may have holes: {n} number of the request, {c} number of the connection,
{NAME} a line of a file of values; {{ and }} are the braces themselves):
  -X, --method METHOD       [GET]
  -H, --header 'NAME: TEXT' a header; may be repeated. The path and query of a URL have holes, too
      --body TEXT           a body, without holes
      --values NAME=FILE    lines for {NAME}: request n gets line n modulo the number of lines
      --first N             number of the first request [0]
Bounds:
      --timeout S           a request without a complete answer in S seconds has failed [5]
      --max-body BYTES      a longer answer has failed [1048576]
      --max-failures N      give a connection up after N failures in a row [50]
What to write down:
      --record FILE         a JSON line per request: n, user, target, connection, at_us, us, and
                            status or error
      --user TEXT           who a request is for, in the record [{user} if there is such a file of
                            values, else {n}]
      --record-header NAME  the values of this response header, too; may be repeated
      --record-hash         the FNV-1a hash of the body, too
      --record-body         the body itself, too
  -h, --help                this text
  -V, --version             the version

Errors by kind: refused and unreachable (no connection, nothing sent), reset, closed (before the
first byte of an answer), short (in the middle of one), timeout, malformed, too_long.
Exit status: 0 the run took place, whatever the answers; 1 it could not; 2 wrong usage.

Examples:
  sluice-load -c 64 -d 5 http://127.0.0.1:8000/
  sluice-load -R 5000 -d 30 -H 'authorization: user-{n}' http://127.0.0.1:8000/buy
  sluice-load -c 200 -r 20000 --values user=users.txt -H 'authorization: {user}' \\
      --timeout 1 --record out.jsonl --record-header set-cookie http://127.0.0.1:8000/ http://127.0.0.1:8001/
";

/// What the command line asks for.
pub enum Command {
    /// A text to print.
    Print(&'static str),
    /// A run.
    Run(Box<Job>),
}

/// A run, and where to write it down.
pub struct Job {
    /// What to do.
    pub plan: Plan,
    /// The record, if wanted.
    pub record: Option<(PathBuf, Detail)>,
}

struct Options {
    urls: Vec<String>,
    connections: usize,
    seconds: Option<Duration>,
    requests: Option<u64>,
    rate: Option<f64>,
    method: String,
    headers: Vec<(String, String)>,
    body: String,
    values: Vec<Values>,
    first: u64,
    timeout: Duration,
    max_body: u64,
    max_failures: u32,
    record: Option<PathBuf>,
    detail: Detail,
    user: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            connections: 64,
            seconds: None,
            requests: None,
            rate: None,
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: String::new(),
            values: Vec::new(),
            first: 0,
            timeout: Duration::from_secs(5),
            max_body: 1 << 20,
            max_failures: 50,
            record: None,
            detail: Detail::default(),
            user: None,
        }
    }
}

/// Reads the command line (without the name of the program).
///
/// # Errors
/// One line that says what is wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    read(args).map_err(|e| e.to_string())
}

fn read(args: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Print(HELP)),
            Short('V') | Long("version") => {
                return Ok(Command::Print(concat!(
                    "sluice-load ",
                    env!("CARGO_PKG_VERSION"),
                    "\n"
                )));
            }
            Short('c') | Long("connections") => options.connections = parser.value()?.parse()?,
            Short('d') | Long("seconds") => {
                options.seconds = Some(seconds("seconds", parser.value()?)?)
            }
            Short('r') | Long("requests") => options.requests = Some(parser.value()?.parse()?),
            Short('R') | Long("rate") => options.rate = Some(parser.value()?.parse()?),
            Short('X') | Long("method") => options.method = parser.value()?.string()?,
            Short('H') | Long("header") => {
                options.headers.push(header(&parser.value()?.string()?)?)
            }
            Long("body") => options.body = parser.value()?.string()?,
            Long("values") => options.values.push(values(&parser.value()?.string()?)?),
            Long("first") => options.first = parser.value()?.parse()?,
            Long("timeout") => options.timeout = seconds("timeout", parser.value()?)?,
            Long("max-body") => options.max_body = parser.value()?.parse()?,
            Long("max-failures") => options.max_failures = parser.value()?.parse()?,
            Long("record") => options.record = Some(parser.value()?.into()),
            Long("record-header") => {
                options.detail.headers.push(parser.value()?.string()?.to_ascii_lowercase());
            }
            Long("record-hash") => options.detail.hash = true,
            Long("record-body") => options.detail.body = true,
            Long("user") => options.user = Some(parser.value()?.string()?),
            Value(url) => options.urls.push(url.string()?),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Command::Run(Box::new(options.job()?)))
}

impl Options {
    fn job(mut self) -> Result<Job, String> {
        self.check()?;
        if self.seconds.is_none() && self.requests.is_none() {
            self.seconds = Some(Duration::from_secs(10));
        }
        let targets = self.urls.iter().map(|url| self.target(url)).collect::<Result<_, _>>()?;
        let user = self.user.clone().unwrap_or_else(|| {
            let named = self.values.iter().any(|v| v.name == "user");
            if named { "{user}" } else { "{n}" }.to_owned()
        });
        let user = template("--user", &user, &self.values)?;
        let detail = if self.record.is_some() { self.detail } else { Detail::default() };
        let wanted = Wanted {
            headers: detail.headers.clone(),
            hash: detail.hash,
            body: detail.body,
            max_body: self.max_body,
            head_only: self.method == "HEAD",
        };
        let plan = Plan {
            targets,
            values: self.values,
            user,
            connections: self.connections,
            seconds: self.seconds,
            requests: self.requests,
            rate: self.rate,
            first: self.first,
            timeout: self.timeout,
            max_failures: self.max_failures,
            wanted,
        };
        Ok(Job { plan, record: self.record.map(|path| (path, detail)) })
    }

    fn check(&self) -> Result<(), String> {
        if self.urls.is_empty() {
            return Err("no URL given (--help tells more)".to_owned());
        }
        if !(1..=60_000).contains(&self.connections) {
            return Err("--connections must be from 1 to 60000".to_owned());
        }
        if self.rate.is_some_and(|rate| !(0.001..=1e7).contains(&rate)) {
            return Err("--rate must be from 0.001 to 10000000".to_owned());
        }
        if self.max_failures == 0 {
            return Err("--max-failures must be at least 1".to_owned());
        }
        if self.method.is_empty() || !self.method.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(format!("--method {:?} is no method", self.method));
        }
        Ok(())
    }

    /// The whole request that is sent to a URL.
    fn target(&self, url: &str) -> Result<Target, String> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(format!("{url}: only http:// is spoken here"));
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let address = address(authority).map_err(|e| format!("{url}: {e}"))?;
        let mut request = Template::default();
        request.text(format!("{} ", self.method).as_bytes());
        if !path.starts_with('/') {
            request.text(b"/");
        }
        if path.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(format!("{url}: spaces and control characters must be written as %XX"));
        }
        request.append(template(url, path, &self.values)?);
        request.text(b" HTTP/1.1\r\n");
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.text(format!("host: {authority}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            request.text(format!("{name}: ").as_bytes());
            request.append(template("--header", value, &self.values)?);
            request.text(b"\r\n");
        }
        if !self.body.is_empty() {
            request.text(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        request.text(b"\r\n");
        request.text(self.body.as_bytes());
        Ok(Target { address, request })
    }
}

fn address(authority: &str) -> Result<SocketAddr, String> {
    let with_port =
        if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
    let mut found =
        with_port.to_socket_addrs().map_err(|e| format!("{authority:?} is no address: {e}"))?;
    found.next().ok_or_else(|| format!("{authority:?} has no address"))
}

fn template(place: &str, text: &str, values: &[Values]) -> Result<Template, String> {
    Template::parse(text, values).map_err(|mistake| format!("{place}: {mistake}"))
}

fn seconds(option: &str, value: OsString) -> Result<Duration, lexopt::Error> {
    match value.parse::<f64>()? {
        s if s > 0.0 && s <= 1e6 => Ok(Duration::from_secs_f64(s)),
        _ => Err(format!("--{option} must be above 0 and at most 1000000 seconds").into()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let bad = || format!("--header {text:?}: must be 'name: value' without line breaks");
    let (name, value) = text.split_once(':').ok_or_else(bad)?;
    let token = |b: u8| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b);
    if name.is_empty() || !name.bytes().all(token) || value.contains(['\r', '\n', '\0']) {
        return Err(bad());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn values(text: &str) -> Result<Values, String> {
    let (name, path) =
        text.split_once('=').ok_or_else(|| format!("--values {text:?}: must be NAME=FILE"))?;
    if name.is_empty() || name == "n" || name == "c" || name.contains(['{', '}']) {
        return Err(format!("--values {text:?}: {name:?} cannot be the name of values"));
    }
    let bytes = fs::read(path).map_err(|e| format!("--values: cannot read {path:?}: {e}"))?;
    let lines: Vec<Vec<u8>> = bytes
        .split(|&b| b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        return Err(format!("--values: {path:?} has no lines"));
    }
    if lines.iter().flatten().any(|&b| b == b'\r' || b == 0) {
        return Err(format!("--values: {path:?} has a line with a carriage return or a NUL in it"));
    }
    Ok(Values { name: name.to_owned(), lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(args: &[&str]) -> Result<Job, String> {
        match parse(args.iter().map(OsString::from))? {
            Command::Run(job) => Ok(*job),
            Command::Print(text) => Err(text.to_owned()),
        }
    }

    fn request(args: &[&str], n: u64) -> String {
        let job = job(args).unwrap();
        let mut out = Vec::new();
        job.plan.targets[0].request.fill(n, 2, &job.plan.values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_plain_request() {
        assert_eq!(
            request(&["http://127.0.0.1:81/a?b={n}", "-H", "authorization:  u{n}-{c}"], 5),
            "GET /a?b=5 HTTP/1.1\r\nhost: 127.0.0.1:81\r\nauthorization: u5-2\r\n\r\n"
        );
        assert_eq!(request(&["http://127.0.0.1"], 0), "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        assert_eq!(
            request(&["-X", "POST", "--body", "{x}", "-H", "Host: shop", "http://127.0.0.1?q"], 0),
            "POST /?q HTTP/1.1\r\nHost: shop\r\ncontent-length: 3\r\n\r\n{x}"
        );
    }

    #[test]
    fn defaults() {
        let plan = job(&["http://[::1]:80/"]).unwrap().plan;
        assert_eq!((plan.connections, plan.requests, plan.rate), (64, None, None));
        assert_eq!(plan.seconds, Some(Duration::from_secs(10)));
        assert_eq!(job(&["-r", "5", "http://127.0.0.1/"]).unwrap().plan.seconds, None);
    }

    #[test]
    fn nothing_is_kept_without_a_record() {
        let args =
            ["--record-hash", "--record-header", "X-A", "http://127.0.0.1/", "--record", "file"];
        assert_eq!(job(&args).unwrap().plan.wanted.headers, ["x-a"]);
        assert!(!job(&args[..4]).unwrap().plan.wanted.hash);
    }

    #[test]
    fn mistakes_are_named() {
        for (args, text) in [
            (&[][..], "no URL"),
            (&["https://x/"], "only http://"),
            (&["http://127.0.0.1/ x"], "%XX"),
            (&["http://127.0.0.1/", "-c", "0"], "--connections"),
            (&["http://127.0.0.1/", "-c", "x"], "x"),
            (&["http://127.0.0.1/", "-R", "NaN"], "--rate"),
            (&["http://127.0.0.1/", "-d", "-1"], "--seconds"),
            (&["http://127.0.0.1/", "-X", "G T"], "no method"),
            (&["http://127.0.0.1/", "-H", "a b: c"], "--header"),
            (&["http://127.0.0.1/", "-H", "a: b\r\nc: d"], "--header"),
            (&["http://127.0.0.1/", "-H", "a: {who}"], "{who}"),
            (&["http://127.0.0.1/", "--user", "{"], "--user"),
            (&["http://127.0.0.1/", "--values", "user"], "NAME=FILE"),
            (&["http://127.0.0.1/", "--values", "n=x"], "name of values"),
            (&["http://127.0.0.1/", "--values", "user=/does/not/exist"], "cannot read"),
            (&["http://127.0.0.1/", "--max-failures", "0"], "--max-failures"),
            (&["http://127.0.0.1/", "--nonsense"], "--nonsense"),
        ] {
            let message = job(args).err().unwrap();
            assert!(message.contains(text), "{args:?}: {message}");
        }
        assert!(job(&["--help"]).err().unwrap().contains("Usage"));
    }
}
