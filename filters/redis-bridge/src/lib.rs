//! Between a gRPC stream and the bytes of a Redis connection.
//!
//! The link speaks through a gRPC stream, the only two-way channel that a filter has; Redis speaks plain TCP. This filter
//! stands between them: it takes the 5-byte heads off what goes up, and puts one on each piece that comes down. It holds
//! no bytes back and looks into none.
//!
//! What costs time here is a call to the host, and copying: a chunk that is one frame, as nearly all are, is cut in place.
#![forbid(unsafe_code)]

pub mod frames;

use std::cell::RefCell;
use std::collections::BTreeMap;

use host::{Action, Buffer, ContextId, Level, Map, Status, Stream};

use frames::{head, Frames, HEAD};

/// What is known of a stream.
#[derive(Debug)]
enum State {
    Open(Frames),
    /// It was refused; what still comes of it is dropped.
    Refused,
}

thread_local! {
    static STREAMS: RefCell<BTreeMap<ContextId, State>> = RefCell::default();
}

host::export!(
    on_request_body => on_request_body,
    on_response_headers => on_response_headers,
    on_response_body => on_response_body,
    on_delete => on_delete,
);

fn take(stream: ContextId) -> State {
    STREAMS
        .with(|streams| streams.borrow_mut().remove(&stream))
        .unwrap_or_else(|| State::Open(Frames::default()))
}

fn put(stream: ContextId, state: State) {
    STREAMS.with(|streams| streams.borrow_mut().insert(stream, state));
}

/// On the way to Redis.
pub fn on_request_body(stream: ContextId, size: usize, _end: bool) -> Action {
    let mut frames = match take(stream) {
        State::Open(frames) => frames,
        State::Refused => {
            let _ = host::replace_buffer_head(Buffer::RequestBody, size, &[]);
            put(stream, State::Refused);
            return Action::Continue;
        }
    };
    let state = match strip(&mut frames, size) {
        Ok(()) => State::Open(frames),
        Err(error) => {
            refuse(&error, size);
            State::Refused
        }
    };
    put(stream, state);
    Action::Continue
}

/// Takes the heads out of the chunk at hand; tells why that cannot be done.
fn strip(frames: &mut Frames, size: usize) -> Result<(), String> {
    let host_says = |status: Status| format!("the body cannot be changed: {status}");
    if frames.plain() >= size {
        frames.skip(size);
        return Ok(());
    }
    if frames.is_between() && size >= HEAD {
        // one frame, or the start of one: only the head is looked at, and cut
        let first = host::get_buffer(Buffer::RequestBody, 0, HEAD).map_err(host_says)?;
        let mut next = frames.clone();
        next.take_head(&first).map_err(|error| error.to_string())?;
        if next.plain() >= size - HEAD {
            next.skip(size - HEAD);
            *frames = next;
            return host::replace_buffer_head(Buffer::RequestBody, HEAD, &[]).map_err(host_says);
        }
    }
    let chunk = host::get_buffer(Buffer::RequestBody, 0, size).map_err(host_says)?;
    let mut messages = Vec::with_capacity(chunk.len());
    frames.strip(&chunk, &mut messages).map_err(|error| error.to_string())?;
    host::replace_buffer_head(Buffer::RequestBody, size, &messages).map_err(host_says)
}

fn refuse(reason: &str, size: usize) {
    host::log(Level::Error, &format!("redis-bridge: stream refused: {reason}"));
    let _ = host::replace_buffer_head(Buffer::RequestBody, size, &[]);
    let _ = host::close(Stream::Request);
}

/// The upstream connection is there, or could not be made: either answer must look like gRPC to the client.
pub fn on_response_headers(_stream: ContextId, _count: usize, _end: bool) -> Action {
    let _ = host::replace_header(Map::ResponseHeaders, "content-type", b"application/grpc");
    Action::Continue
}

/// On the way from Redis.
pub fn on_response_body(_stream: ContextId, size: usize, _end: bool) -> Action {
    if size > 0 {
        let _ = host::replace_buffer_head(Buffer::ResponseBody, 0, &head(size));
    }
    Action::Continue
}

/// A stream is done.
pub fn on_delete(stream: ContextId) {
    STREAMS.with(|streams| streams.borrow_mut().remove(&stream));
}

/// Streams that state is held of.
#[cfg(test)]
fn held() -> usize {
    STREAMS.with(|streams| streams.borrow().len())
}

#[cfg(test)]
mod tests;
