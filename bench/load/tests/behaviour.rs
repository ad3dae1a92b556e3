//! The program against a server that misbehaves on command.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;

use serde_json::Value;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-a: 1\r\n\r\nin\n";

/// What the server does with a request; then it closes the connection, if told so.
struct Reply {
    bytes: Vec<u8>,
    close: bool,
}

fn stay(bytes: &[u8]) -> Reply {
    Reply { bytes: bytes.to_vec(), close: false }
}

fn close(bytes: &[u8]) -> Reply {
    Reply { bytes: bytes.to_vec(), close: true }
}

/// Starts a server that answers request after request as told: by the number of the request (over
/// all connections) and its head. It ends with the process.
fn serve(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reply = Arc::new(reply);
    let count = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (reply, count) = (Arc::clone(&reply), Arc::clone(&count));
            thread::spawn(move || converse(&stream, &count, &*reply));
        }
    });
    address
}

fn converse(stream: &TcpStream, count: &AtomicUsize, reply: &impl Fn(usize, &str) -> Reply) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(reader.read_line(&mut head), Ok(n) if n > 0) {
                return;
            }
        }
        let reply = reply(count.fetch_add(1, Ordering::SeqCst), &head);
        if { stream }.write_all(&reply.bytes).is_err() || reply.close {
            return;
        }
    }
}

fn load(address: SocketAddr, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice-load"))
        .arg(format!("http://{address}/"))
        .args(args)
        .output()
        .unwrap()
}

fn report(address: SocketAddr, args: &[&str]) -> Value {
    let output = load(address, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The report, and the record in the order of request numbers.
fn recorded(name: &str, address: SocketAddr, args: &[&str]) -> (Value, Vec<Value>) {
    let path = file(name);
    let mut args = args.to_vec();
    args.extend(["--record", path.to_str().unwrap()]);
    let report = report(address, &args);
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["n"].as_u64());
    (report, lines)
}

#[test]
fn every_request_is_written_down_once() {
    let users = file("users");
    fs::write(&users, "ann\nbob\ncat\n").unwrap();
    let address = serve(|_, head| {
        let user = head.lines().find_map(|line| line.strip_prefix("user: ")).unwrap();
        stay(
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nset-cookie: u={user}\r\n\r\n{user}",
                user.len()
            )
            .as_bytes(),
        )
    });
    let values = format!("user={}", users.display());
    let args = [
        "-c",
        "7",
        "-r",
        "300",
        "--first",
        "3",
        "--values",
        &values,
        "-H",
        "user: {user}{n}",
        "--record-header",
        "Set-Cookie",
        "--record-body",
        "--record-hash",
    ];
    let (report, lines) = recorded("each.jsonl", address, &args);
    assert_eq!(
        (&report["sent"], &report["answers"], &report["statuses"]["200"]),
        (&300.into(), &300.into(), &300.into())
    );
    assert_eq!(lines.len(), 300);
    for (i, line) in lines.iter().enumerate() {
        let n = i + 3;
        let user = ["ann", "bob", "cat"][n % 3];
        assert_eq!(line["n"], n);
        assert_eq!(line["user"], user);
        assert_eq!(line["status"], 200);
        assert_eq!(line["body"], format!("{user}{n}"));
        assert_eq!(line["headers"]["set-cookie"][0], format!("u={user}{n}"));
        assert_eq!(line["hash"].as_str().unwrap().len(), 16);
    }
}

#[test]
fn a_server_that_closes_politely() {
    let address =
        serve(|_, _| close(b"HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"));
    let report = report(address, &["-c", "3", "-r", "60"]);
    assert_eq!(report["statuses"]["503"], 60);
    assert!(report["errors"].as_object().unwrap().values().all(|count| count == 0), "{report}");
    assert!(report["connections"]["made"].as_u64().unwrap() >= 60);
}

#[test]
fn bodies_of_all_kinds() {
    let address = serve(|i, _| match i % 3 {
        0 => stay(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nin\r\n1\r\n\n\r\n0\r\n\r\n",
        ),
        1 => close(b"HTTP/1.1 200 OK\r\n\r\nin\n"),
        _ => stay(OK),
    });
    let (_, lines) = recorded("kinds.jsonl", address, &["-c", "2", "-r", "30", "--record-body"]);
    assert!(lines.iter().all(|line| line["body"] == "in\n"), "{lines:?}");
}

#[test]
fn failures_are_counted_by_kind_and_written_down() {
    let address = serve(|i, _| match i {
        3 => close(b""),
        5 => close(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ni"),
        7 => stay(b""),
        9 => stay(b"hello\r\n\r\n"),
        11 => stay(b"HTTP/1.1 200 OK\r\ncontent-length: 3000\r\n\r\n"),
        13 => stay(&[OK, OK].concat()),
        _ => stay(OK),
    });
    let args = ["-c", "1", "-r", "20", "--timeout", "0.3", "--max-body", "2000"];
    let (report, lines) = recorded("failures.jsonl", address, &args);
    let errors: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .filter_map(|(i, line)| Some((i, line["error"].as_str()?)))
        .collect();
    let expected = [
        (3, "closed"),
        (5, "short"),
        (7, "timeout"),
        (9, "malformed"),
        (11, "too_long"),
        (13, "malformed"),
    ];
    assert_eq!(errors, expected);
    assert_eq!((&report["sent"], &report["answers"]), (&20.into(), &14.into()));
    assert_eq!(report["errors"]["malformed"], 2);
    assert_eq!(report["errors"]["refused"], 0);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let address = serve(|_, _| close(b""));
    let report = report(address, &["-c", "2", "-r", "1000", "--max-failures", "4"]);
    assert_eq!((&report["answers"], &report["errors"]["closed"]), (&0.into(), &8.into()));
    assert_eq!(report["connections"]["given_up"], 2);
}

#[test]
fn nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = load(free, &["-r", "1", "--max-failures", "2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr)
        .contains("no connection could be made to 127.0.0.1:"));
}

#[test]
fn wrong_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice-load")).arg("--what").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_fixed_rate_counts_from_when_a_request_was_due() {
    let address = serve(|i, _| {
        if i == 0 {
            thread::sleep(std::time::Duration::from_millis(300));
        }
        stay(OK)
    });
    let (report, lines) = recorded("rate.jsonl", address, &["-c", "1", "-r", "100", "-R", "1000"]);
    assert_eq!((&report["sent"], &report["unsent"]), (&100.into(), &0.into()));
    for (i, line) in lines.iter().enumerate() {
        let due = (i as u64 + 1) * 1000;
        assert!(line["at_us"].as_u64().unwrap().abs_diff(due) <= 1, "request {i}: {line}");
    }
    // all of them were due while the first one was being waited for, and all of them show it
    assert!(lines.iter().all(|line| line["us"].as_u64().unwrap() > 150_000));
}

#[test]
fn what_a_rate_called_for_and_nobody_could_send() {
    let address = serve(|_, _| stay(b""));
    let report = report(address, &["-c", "2", "-d", "0.2", "-R", "100", "--timeout", "1"]);
    assert_eq!(
        (&report["sent"], &report["unsent"], &report["errors"]["timeout"]),
        (&2.into(), &18.into(), &2.into())
    );
}

#[test]
fn several_targets_in_turn() {
    let one = serve(|_, _| stay(OK));
    let two = serve(|_, _| stay(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"));
    let (report, lines) =
        recorded("targets.jsonl", one, &["-c", "4", "-r", "200", &format!("http://{two}/")]);
    assert_eq!(report["answers"], 200);
    for line in lines {
        let target = line["connection"].as_u64().unwrap() % 2;
        assert_eq!(line["target"], target);
        assert_eq!(line["status"], if target == 0 { 200 } else { 410 });
    }
}
