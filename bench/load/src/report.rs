//! The figures of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{json, Map, Value};

use crate::histogram::Histogram;
use crate::record::Failure;

/// What is counted while a run goes on.
#[derive(Default)]
pub struct Counts {
    /// Requests sent, answered or not.
    pub sent: u64,
    /// Requests that a fixed rate called for and that no connection was free for until the end.
    pub unsent: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests, or attempts to connect, that failed: by the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// Time to the complete answer; with a fixed rate from when the request was due.
    pub latency: Histogram,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of answers, heads and chunk framing included.
    pub bytes_received: u64,
    /// Connections made, the later ones included.
    pub connects: u64,
    /// Connections that were given up after too many failures in a row.
    pub given_up: usize,
    /// From the start to the last answer.
    pub elapsed: Duration,
    /// Processor time of this process.
    pub cpu: Duration,
}

impl Counts {
    /// Counts a failure.
    pub fn fail(&mut self, failure: Failure) {
        if let Some(i) = Failure::ALL.iter().position(|f| *f == failure) {
            if let Some(count) = self.failures.get_mut(i) {
                *count += 1;
            }
        }
    }

    /// The figures as JSON. Times are in milliseconds, unless a name says otherwise.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let seconds = self.elapsed.as_secs_f64();
        let answers = self.latency.total();
        #[allow(clippy::cast_precision_loss)]
        let rps = if seconds > 0.0 { answers as f64 / seconds } else { 0.0 };
        let cpu = if seconds > 0.0 { self.cpu.as_secs_f64() / seconds } else { 0.0 };
        let statuses: Map<String, Value> = self
            .statuses
            .iter()
            .map(|(status, count)| (status.to_string(), json!(count)))
            .collect();
        let errors: Map<String, Value> = Failure::ALL
            .iter()
            .zip(self.failures)
            .map(|(f, count)| (f.name().into(), json!(count)))
            .collect();
        json!({
            "seconds": round(seconds, 4),
            "sent": self.sent,
            "answers": answers,
            "unsent": self.unsent,
            "rps": round(rps, 1),
            "latency_ms": {
                "mean": ms(self.latency.mean()),
                "p50": ms(self.latency.quantile(0.5)),
                "p90": ms(self.latency.quantile(0.9)),
                "p99": ms(self.latency.quantile(0.99)),
                "p99_9": ms(self.latency.quantile(0.999)),
                "max": ms(self.latency.max()),
            },
            "statuses": statuses,
            "errors": errors,
            "bytes": {"sent": self.bytes_sent, "received": self.bytes_received},
            "connections": {"made": self.connects, "given_up": self.given_up},
            "cpu_share": round(cpu, 3),
        })
    }
}

fn ms(duration: Duration) -> f64 {
    round(duration.as_secs_f64() * 1e3, 4)
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        let mut counts = Counts { sent: 3, elapsed: Duration::from_secs(2), ..Counts::default() };
        for ms in [1, 2] {
            counts.latency.add(Duration::from_millis(ms));
        }
        counts.statuses.insert(200, 2);
        counts.fail(Failure::Timeout);
        let json = counts.to_json();
        assert_eq!(json["rps"], 1.0);
        assert_eq!(json["statuses"], json!({"200": 2}));
        assert_eq!(json["errors"]["timeout"], 1);
        assert_eq!(json["errors"]["reset"], 0);
        assert_eq!(json["latency_ms"]["max"], 2.0);
    }

    #[test]
    fn nothing_happened() {
        let json = Counts::default().to_json();
        assert_eq!((&json["rps"], &json["latency_ms"]["p50"]), (&json!(0.0), &json!(0.0)));
    }
}
