//! A host for native tests: records what a filter asks for, and answers from what the test has set.
//!
//! One fake a thread, as one VM a worker. Calls act on the context that the test has [`enter`]ed (as the host does around
//! each callback) or on the one that the filter has made effective since.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Buffer, ContextId, EncodedPairs, GrpcStatus, Level, Map, Metric, MetricId, Pair, Result,
    Status, Stream, Token,
};

/// One call of the filter, with the context that it acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A line in the log.
    Log(Level, String),
    /// A tick period in milliseconds.
    TickPeriod(ContextId, u32),
    /// A paused stream was let go.
    Resume(ContextId, Stream),
    /// A stream was reset.
    Close(ContextId, Stream),
    /// A request was answered.
    Respond {
        /// The request.
        context: ContextId,
        /// HTTP status.
        status: u16,
        /// Response code details.
        details: String,
        /// Headers, in order.
        headers: Vec<Pair>,
        /// The body.
        body: Vec<u8>,
        /// The status for a gRPC request.
        grpc_status: Option<GrpcStatus>,
    },
    /// A stream was opened.
    GrpcOpen {
        /// The root that owns it.
        root: ContextId,
        /// The cluster.
        cluster: String,
        /// The answer.
        token: Token,
    },
    /// A message was sent.
    GrpcSend {
        /// The effective context.
        root: ContextId,
        /// The stream.
        token: Token,
        /// The message.
        message: Vec<u8>,
    },
    /// A stream was dropped.
    GrpcCancel {
        /// The effective context.
        root: ContextId,
        /// The stream.
        token: Token,
    },
    /// `done` was called.
    Done(ContextId),
}

#[derive(Default)]
struct Fake {
    current: ContextId,
    effective: Option<ContextId>,
    gone: BTreeSet<ContextId>,
    headers: BTreeMap<(ContextId, Map), Vec<Pair>>,
    properties: BTreeMap<(ContextId, Vec<u8>), Vec<u8>>,
    buffers: BTreeMap<Buffer, Vec<u8>>,
    metrics: Vec<(String, i64)>,
    calls: Vec<Call>,
    clock: u64,
    monotonic: u64,
    random: u64,
    next_token: Token,
    open_fails: Option<Status>,
    send_fails: Option<Status>,
}

thread_local! {
    static FAKE: RefCell<Fake> = RefCell::default();
}

fn with<T>(use_it: impl FnOnce(&mut Fake) -> T) -> T {
    FAKE.with(|fake| use_it(&mut fake.borrow_mut()))
}

impl Fake {
    fn context(&self) -> ContextId {
        self.effective.unwrap_or(self.current)
    }
}

/// Starts afresh.
pub fn reset() {
    with(|fake| *fake = Fake::default());
}

/// Says which context the next callback is for.
pub fn enter(context: ContextId) {
    with(|fake| {
        fake.current = context;
        fake.effective = None;
    });
}

/// The context that calls act on now.
pub fn effective_context() -> ContextId {
    with(|fake| fake.context())
}

/// Makes a context unknown to the host.
pub fn forget_context(context: ContextId) {
    with(|fake| {
        fake.gone.insert(context);
    });
}

/// Sets the headers of a context.
pub fn set_headers(context: ContextId, map: Map, headers: &[(&str, &str)]) {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect();
    with(|fake| fake.headers.insert((context, map), pairs));
}

/// The headers of a context.
pub fn headers(context: ContextId, map: Map) -> Vec<Pair> {
    with(|fake| fake.headers.get(&(context, map)).cloned().unwrap_or_default())
}

/// Sets a property of a context.
pub fn put_property(context: ContextId, path: &[u8], value: &[u8]) {
    with(|fake| fake.properties.insert((context, path.to_vec()), value.to_vec()));
}

/// A property of a context.
pub fn property(context: ContextId, path: &[u8]) -> Option<Vec<u8>> {
    with(|fake| fake.properties.get(&(context, path.to_vec())).cloned())
}

/// Sets what a buffer holds.
pub fn put_buffer(buffer: Buffer, bytes: &[u8]) {
    with(|fake| fake.buffers.insert(buffer, bytes.to_vec()));
}

/// What a buffer holds.
pub fn buffer(buffer: Buffer) -> Vec<u8> {
    with(|fake| fake.buffers.get(&buffer).cloned().unwrap_or_default())
}

/// Sets both clocks, in nanoseconds.
pub fn set_time(clock: u64, monotonic: u64) {
    with(|fake| (fake.clock, fake.monotonic) = (clock, monotonic));
}

/// Makes `grpc_open` fail, or work again.
pub fn fail_grpc_open(status: Option<Status>) {
    with(|fake| fake.open_fails = status);
}

/// Makes `grpc_send` fail, or work again.
pub fn fail_grpc_send(status: Option<Status>) {
    with(|fake| fake.send_fails = status);
}

/// All calls since the last time, in order.
pub fn take_calls() -> Vec<Call> {
    with(|fake| std::mem::take(&mut fake.calls))
}

/// The value of a counter or gauge, the last value of a histogram.
pub fn metric(name: &str) -> Option<i64> {
    with(|fake| fake.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value))
}

pub(crate) fn log(level: Level, line: &str) {
    with(|fake| fake.calls.push(Call::Log(level, line.to_owned())));
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn log_level() -> Result<u32> {
    Ok(Level::Info as u32)
}

pub(crate) fn clock_nanos() -> u64 {
    with(|fake| fake.clock)
}

pub(crate) fn monotonic_nanos() -> u64 {
    with(|fake| fake.monotonic)
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    with(|fake| {
        for byte in bytes {
            fake.random = fake
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = (fake.random >> 56) as u8;
        }
    });
    Ok(())
}

fn record(call: impl FnOnce(ContextId) -> Call) {
    with(|fake| {
        let context = fake.context();
        fake.calls.push(call(context));
    });
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn set_tick_period(milliseconds: u32) -> Result<()> {
    record(|context| Call::TickPeriod(context, milliseconds));
    Ok(())
}

pub(crate) fn set_effective_context(context: ContextId) -> Result<()> {
    with(|fake| {
        if fake.gone.contains(&context) {
            return Err(Status::BAD_ARGUMENT);
        }
        fake.effective = Some(context);
        Ok(())
    })
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn done() -> Result<()> {
    record(Call::Done);
    Ok(())
}

pub(crate) fn get_header(map: Map, name: &str) -> Result<Vec<u8>> {
    with(|fake| {
        let headers = fake.headers.get(&(fake.context(), map)).ok_or(Status::NOT_FOUND)?;
        let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.clone()).ok_or(Status::NOT_FOUND)
    })
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn get_header_pairs(map: Map) -> Result<Vec<u8>> {
    with(|fake| {
        let pairs = fake.headers.get(&(fake.context(), map)).cloned().unwrap_or_default();
        Ok(EncodedPairs::new(&pairs).as_bytes().to_vec())
    })
}

fn change_headers(map: Map, change: impl FnOnce(&mut Vec<Pair>)) {
    with(|fake| {
        let context = fake.context();
        change(fake.headers.entry((context, map)).or_default());
    });
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn replace_header(map: Map, name: &str, value: &[u8]) -> Result<()> {
    change_headers(map, |headers| {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
        headers.push((name.as_bytes().to_vec(), value.to_vec()));
    });
    Ok(())
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn add_header(map: Map, name: &str, value: &[u8]) -> Result<()> {
    change_headers(map, |headers| headers.push((name.as_bytes().to_vec(), value.to_vec())));
    Ok(())
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn remove_header(map: Map, name: &str) -> Result<()> {
    change_headers(map, |headers| {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
    });
    Ok(())
}

pub(crate) fn get_property(path: &[u8]) -> Result<Vec<u8>> {
    with(|fake| {
        fake.properties.get(&(fake.context(), path.to_vec())).cloned().ok_or(Status::NOT_FOUND)
    })
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn set_property(path: &[u8], value: &[u8]) -> Result<()> {
    put_property(effective_context(), path, value);
    Ok(())
}

pub(crate) fn get_buffer(buffer: Buffer, start: usize, max: usize) -> Result<Vec<u8>> {
    with(|fake| {
        let bytes = fake.buffers.get(&buffer).ok_or(Status::NOT_FOUND)?;
        Ok(bytes.iter().skip(start).take(max).copied().collect())
    })
}

pub(crate) fn set_buffer(buffer: Buffer, start: usize, length: usize, bytes: &[u8]) -> Result<()> {
    with(|fake| {
        let held = fake.buffers.entry(buffer).or_default();
        if start == 0 {
            held.drain(..length.min(held.len()));
            held.splice(0..0, bytes.iter().copied());
        } else if start >= held.len() {
            held.extend_from_slice(bytes);
        } else {
            return Err(Status::BAD_ARGUMENT);
        }
        Ok(())
    })
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn resume(stream: Stream) -> Result<()> {
    record(|context| Call::Resume(context, stream));
    Ok(())
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn close(stream: Stream) -> Result<()> {
    record(|context| Call::Close(context, stream));
    Ok(())
}

pub(crate) fn send_local_response(
    status: u16,
    details: &str,
    headers: &EncodedPairs,
    body: &[u8],
    grpc_status: Option<GrpcStatus>,
) -> Result<()> {
    let headers = crate::decode_pairs(headers.as_bytes()).ok_or(Status::BAD_ARGUMENT)?;
    let (details, body) = (details.to_owned(), body.to_vec());
    record(|context| Call::Respond { context, status, details, headers, body, grpc_status });
    Ok(())
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn define_metric(_kind: Metric, name: &str) -> Result<MetricId> {
    with(|fake| {
        let known = fake.metrics.iter().position(|(known, _)| known == name);
        let at = known.unwrap_or_else(|| {
            fake.metrics.push((name.to_owned(), 0));
            fake.metrics.len() - 1
        });
        Ok(at as MetricId)
    })
}

fn change_metric(metric: MetricId, change: impl FnOnce(i64) -> i64) -> Result<()> {
    with(|fake| {
        let (_, value) = fake.metrics.get_mut(metric as usize).ok_or(Status::NOT_FOUND)?;
        *value = change(*value);
        Ok(())
    })
}

pub(crate) fn increment_metric(metric: MetricId, by: i64) -> Result<()> {
    change_metric(metric, |value| value.saturating_add(by))
}

pub(crate) fn record_metric(metric: MetricId, value: u64) -> Result<()> {
    change_metric(metric, |_| i64::try_from(value).unwrap_or(i64::MAX))
}

pub(crate) fn grpc_open(cluster: &str, _service: &str, _method: &str) -> Result<Token> {
    with(|fake| {
        if let Some(status) = fake.open_fails {
            return Err(status);
        }
        fake.next_token += 1;
        let (root, token) = (fake.context(), fake.next_token);
        fake.calls.push(Call::GrpcOpen { root, cluster: cluster.to_owned(), token });
        Ok(token)
    })
}

pub(crate) fn grpc_send(token: Token, message: &[u8]) -> Result<()> {
    with(|fake| {
        if let Some(status) = fake.send_fails {
            return Err(status);
        }
        let (root, message) = (fake.context(), message.to_vec());
        fake.calls.push(Call::GrpcSend { root, token, message });
        Ok(())
    })
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn grpc_cancel(token: Token) -> Result<()> {
    record(|root| Call::GrpcCancel { root, token });
    Ok(())
}
