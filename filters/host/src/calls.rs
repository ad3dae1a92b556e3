//! The host calls. Each returns what the host answered; none panics, none keeps anything.

use crate::imp;
use crate::{
    decode_pairs, Buffer, ContextId, EncodedPairs, GrpcStatus, HeaderList, Level, Map, Metric,
    MetricId, Pair, Result, Status, Stream, Token,
};

/// Writes one line to the host's log.
pub fn log(level: Level, line: &str) {
    imp::log(level, line);
}

/// The lowest level that the host writes, so that a line nobody reads need not be made.
///
/// # Errors
/// The host's status.
pub fn log_level() -> Result<u32> {
    imp::log_level()
}

/// Nanoseconds since 1970 by the machine's clock, which may jump. Zero when the host cannot tell.
pub fn clock_nanos() -> u64 {
    imp::clock_nanos()
}

/// Nanoseconds since some fixed moment; never goes back. Zero when the host cannot tell.
pub fn monotonic_nanos() -> u64 {
    imp::monotonic_nanos()
}

/// Fills `bytes` from the host's source of randomness.
///
/// # Errors
/// [`Status::INTERNAL_FAILURE`] when the host gave none; `bytes` is then unchanged.
pub fn random(bytes: &mut [u8]) -> Result<()> {
    imp::random(bytes)
}

/// A random number; 0 when the host gave none.
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    match random(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => 0,
    }
}

/// Asks for `on_tick` every `milliseconds` for the root of the effective context; 0 stops it. Each call starts the period
/// anew, so call it only to change the period.
///
/// # Errors
/// The host's status.
pub fn set_tick_period(milliseconds: u32) -> Result<()> {
    imp::set_tick_period(milliseconds)
}

/// Makes `context` the one that host calls act on, until the callback at hand returns.
///
/// # Errors
/// [`Status::BAD_ARGUMENT`] when that context is gone.
pub fn set_effective_context(context: ContextId) -> Result<()> {
    imp::set_effective_context(context)
}

/// Tells the host that the context, whose `on_done` returned false, is done.
///
/// # Errors
/// The host's status.
pub fn done() -> Result<()> {
    imp::done()
}

/// The first value of a header. `None` when there is no such header, or none can be read now.
pub fn get_header(map: Map, name: &str) -> Option<Vec<u8>> {
    imp::get_header(map, name).ok()
}

/// All headers of a map, in order.
///
/// # Errors
/// The host's status; [`Status::PARSE_FAILURE`] when its list cannot be read.
pub fn get_headers(map: Map) -> Result<Vec<Pair>> {
    decode_pairs(&imp::get_header_pairs(map)?).ok_or(Status::PARSE_FAILURE)
}

/// All headers of a map, not decoded: about as dear as two [`get_header`]s, however many are then looked up. Empty when
/// none can be read now.
pub fn get_header_list(map: Map) -> HeaderList {
    imp::get_header_pairs(map).unwrap_or_default().into()
}

/// Sets a header to one value, in place of any that it had.
///
/// # Errors
/// The host's status.
pub fn replace_header(map: Map, name: &str, value: &[u8]) -> Result<()> {
    imp::replace_header(map, name, value)
}

/// Adds a value to a header.
///
/// # Errors
/// The host's status.
pub fn add_header(map: Map, name: &str, value: &[u8]) -> Result<()> {
    imp::add_header(map, name, value)
}

/// Removes a header with all its values.
///
/// # Errors
/// The host's status.
pub fn remove_header(map: Map, name: &str) -> Result<()> {
    imp::remove_header(map, name)
}

/// A property, its path's parts joined by zero bytes: `b"xds\0route_name"`. `None` when there is none.
pub fn get_property(path: &[u8]) -> Option<Vec<u8>> {
    imp::get_property(path).ok()
}

/// Sets a property of the request (Envoy keeps it as filter state `wasm.<path>`).
///
/// # Errors
/// The host's status.
pub fn set_property(path: &[u8], value: &[u8]) -> Result<()> {
    imp::set_property(path, value)
}

/// Bytes of a buffer, from `start`, at most `max` of them. A buffer that is empty or shorter gives what there is.
///
/// # Errors
/// The host's status.
pub fn get_buffer(buffer: Buffer, start: usize, max: usize) -> Result<Vec<u8>> {
    imp::get_buffer(buffer, start, max)
}

/// Replaces the first `length` bytes of a buffer by `bytes`: with a length of 0 puts them before it, with no bytes cuts.
///
/// # Errors
/// The host's status.
pub fn replace_buffer_head(buffer: Buffer, length: usize, bytes: &[u8]) -> Result<()> {
    imp::set_buffer(buffer, 0, length, bytes)
}

/// Lets a paused stream of the effective context go on, once the callback at hand has returned.
///
/// # Errors
/// The host's status.
pub fn resume(stream: Stream) -> Result<()> {
    imp::resume(stream)
}

/// Ends a stream of the effective context by a reset, once the callback at hand has returned.
///
/// # Errors
/// The host's status.
pub fn close(stream: Stream) -> Result<()> {
    imp::close(stream)
}

/// Answers the request of the effective context, once the callback at hand has returned. `details` is the response code
/// detail that access logs show. A gRPC request is answered with `grpc_status`; without one, with what the host makes of
/// the HTTP status. Return [`Action::Pause`](crate::Action::Pause) afterwards.
///
/// # Errors
/// The host's status.
pub fn send_local_response(
    status: u16,
    details: &str,
    headers: &EncodedPairs,
    body: &[u8],
    grpc_status: Option<GrpcStatus>,
) -> Result<()> {
    imp::send_local_response(status, details, headers, body, grpc_status)
}

/// Makes a metric known and returns its id; a name that is known already gives another id of the same metric.
///
/// # Errors
/// The host's status.
pub fn define_metric(kind: Metric, name: &str) -> Result<MetricId> {
    imp::define_metric(kind, name)
}

/// Adds to a counter (by more than 0) or a gauge.
///
/// # Errors
/// The host's status.
pub fn increment_metric(metric: MetricId, by: i64) -> Result<()> {
    imp::increment_metric(metric, by)
}

/// Sets a gauge, or gives a histogram one value.
///
/// # Errors
/// The host's status.
pub fn record_metric(metric: MetricId, value: u64) -> Result<()> {
    imp::record_metric(metric, value)
}

/// Opens a gRPC stream to a cluster, owned by the root of the effective context. It may close before this returns: the
/// close callback then comes first, with a token that the caller has not seen.
///
/// # Errors
/// [`Status::PARSE_FAILURE`] when this worker does not know the cluster, [`Status::INTERNAL_FAILURE`] when the stream
/// could not start.
pub fn grpc_open(cluster: &str, service: &str, method: &str) -> Result<Token> {
    imp::grpc_open(cluster, service, method)
}

/// Sends one message. The effective context must belong to the root that opened the stream. "Ok" does not mean sent: a
/// stream that died a moment ago answers the same, and its close may arrive before this returns.
///
/// # Errors
/// [`Status::NOT_FOUND`] when there is no such stream.
pub fn grpc_send(token: Token, message: &[u8]) -> Result<()> {
    imp::grpc_send(token, message)
}

/// Drops a stream; no callback follows. Call it in `on_grpc_close` (the host keeps a pointer to the dead stream
/// otherwise) or on a tick, never in `on_grpc_receive`, and do not use the token again.
///
/// # Errors
/// [`Status::NOT_FOUND`] when there is no such stream.
pub fn grpc_cancel(token: Token) -> Result<()> {
    imp::grpc_cancel(token)
}
