//! The imports of the module, and the only unsafe code of the filters.

use core::ptr::null_mut;

use crate::{
    Buffer, ContextId, EncodedPairs, GrpcStatus, Level, Map, Metric, MetricId, Result, Status,
    Stream, Token,
};

#[link(wasm_import_module = "env")]
extern "C" {
    fn proxy_log(level: u32, line: *const u8, n: usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        k: *const u8,
        kn: usize,
        v: *mut *mut u8,
        vn: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, p: *mut *mut u8, n: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        k: *const u8,
        kn: usize,
        v: *const u8,
        vn: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        k: *const u8,
        kn: usize,
        v: *const u8,
        vn: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, k: *const u8, kn: usize) -> u32;
    fn proxy_get_property(path: *const u8, pn: usize, v: *mut *mut u8, vn: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, pn: usize, v: *const u8, vn: usize) -> u32;
    fn proxy_get_buffer_bytes(
        kind: u32,
        start: usize,
        max: usize,
        p: *mut *mut u8,
        n: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(kind: u32, start: usize, n: usize, p: *const u8, pn: usize) -> u32;
    fn proxy_continue_stream(kind: u32) -> u32;
    fn proxy_close_stream(kind: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_n: usize,
        body: *const u8,
        body_n: usize,
        headers: *const u8,
        headers_n: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, n: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_grpc_stream(
        cluster: *const u8,
        cluster_n: usize,
        service: *const u8,
        service_n: usize,
        method: *const u8,
        method_n: usize,
        metadata: *const u8,
        metadata_n: usize,
        token: *mut u32,
    ) -> u32;
    fn proxy_grpc_send(token: u32, p: *const u8, n: usize, end: u32) -> u32;
    fn proxy_grpc_cancel(token: u32) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    fn random_get(p: *mut u8, n: usize) -> u32;
}

fn check(status: u32) -> Result<()> {
    match status {
        0 => Ok(()),
        other => Err(Status(other)),
    }
}

/// Takes what the host has written into memory that it got from `proxy_on_memory_allocate`.
fn take(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>> {
    let (mut p, mut n) = (null_mut::<u8>(), 0usize);
    check(call(&mut p, &mut n))?;
    if p.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host allocates only by proxy_on_memory_allocate(n), which hands out a Vec<u8> of capacity n, and it has
    // filled all n bytes and forgotten them.
    Ok(unsafe { Vec::from_raw_parts(p, n, n) })
}

pub(crate) fn log(level: Level, line: &str) {
    // SAFETY: the pointer and length are those of a live slice; the host only reads it, before it returns.
    let _ = unsafe { proxy_log(level as u32, line.as_ptr(), line.len()) };
}

pub(crate) fn log_level() -> Result<u32> {
    let mut level = 0;
    // SAFETY: the host writes one u32 to a live local.
    check(unsafe { proxy_get_log_level(&mut level) })?;
    Ok(level)
}

fn clock(which: u32) -> u64 {
    let mut time = 0;
    // SAFETY: the host writes one u64 to a live local.
    match unsafe { clock_time_get(which, 1, &mut time) } {
        0 => time,
        _ => 0,
    }
}

pub(crate) fn clock_nanos() -> u64 {
    clock(0)
}

pub(crate) fn monotonic_nanos() -> u64 {
    clock(1)
}

pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    // SAFETY: the host fills exactly the slice that it is given.
    match unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) } {
        0 => Ok(()),
        _ => Err(Status::INTERNAL_FAILURE),
    }
}

pub(crate) fn set_tick_period(milliseconds: u32) -> Result<()> {
    // SAFETY: no memory is shared.
    check(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

pub(crate) fn set_effective_context(context: ContextId) -> Result<()> {
    // SAFETY: no memory is shared.
    check(unsafe { proxy_set_effective_context(context) })
}

pub(crate) fn done() -> Result<()> {
    // SAFETY: no memory is shared.
    check(unsafe { proxy_done() })
}

pub(crate) fn get_header(map: Map, name: &str) -> Result<Vec<u8>> {
    // SAFETY: the name is a live slice, and `take` gives live locals for the answer.
    take(|p, n| unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), p, n) })
}

pub(crate) fn get_header_pairs(map: Map) -> Result<Vec<u8>> {
    // SAFETY: `take` gives live locals for the answer.
    take(|p, n| unsafe { proxy_get_header_map_pairs(map as u32, p, n) })
}

pub(crate) fn replace_header(map: Map, name: &str, value: &[u8]) -> Result<()> {
    // SAFETY: both are live slices that the host only reads.
    check(unsafe {
        proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

pub(crate) fn add_header(map: Map, name: &str, value: &[u8]) -> Result<()> {
    // SAFETY: both are live slices that the host only reads.
    check(unsafe {
        proxy_add_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

pub(crate) fn remove_header(map: Map, name: &str) -> Result<()> {
    // SAFETY: a live slice that the host only reads.
    check(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

pub(crate) fn get_property(path: &[u8]) -> Result<Vec<u8>> {
    // SAFETY: the path is a live slice, and `take` gives live locals for the answer.
    take(|p, n| unsafe { proxy_get_property(path.as_ptr(), path.len(), p, n) })
}

pub(crate) fn set_property(path: &[u8], value: &[u8]) -> Result<()> {
    // SAFETY: both are live slices that the host only reads.
    check(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

pub(crate) fn get_buffer(buffer: Buffer, start: usize, max: usize) -> Result<Vec<u8>> {
    // SAFETY: `take` gives live locals for the answer.
    take(|p, n| unsafe { proxy_get_buffer_bytes(buffer as u32, start, max, p, n) })
}

pub(crate) fn set_buffer(buffer: Buffer, start: usize, length: usize, bytes: &[u8]) -> Result<()> {
    // SAFETY: a live slice that the host only reads.
    check(unsafe {
        proxy_set_buffer_bytes(buffer as u32, start, length, bytes.as_ptr(), bytes.len())
    })
}

pub(crate) fn resume(stream: Stream) -> Result<()> {
    // SAFETY: no memory is shared.
    check(unsafe { proxy_continue_stream(stream as u32) })
}

pub(crate) fn close(stream: Stream) -> Result<()> {
    // SAFETY: no memory is shared.
    check(unsafe { proxy_close_stream(stream as u32) })
}

pub(crate) fn send_local_response(
    status: u16,
    details: &str,
    headers: &EncodedPairs,
    body: &[u8],
    grpc_status: Option<GrpcStatus>,
) -> Result<()> {
    let headers = headers.as_bytes();
    // SAFETY: three live slices that the host only reads. A gRPC status of -1 means that there is none.
    check(unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status.map_or(-1, |status| status as i32),
        )
    })
}

pub(crate) fn define_metric(kind: Metric, name: &str) -> Result<MetricId> {
    let mut id = 0;
    // SAFETY: a live slice that the host only reads, and a live local for the answer.
    check(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) })?;
    Ok(id)
}

pub(crate) fn increment_metric(metric: MetricId, by: i64) -> Result<()> {
    // SAFETY: no memory is shared.
    check(unsafe { proxy_increment_metric(metric, by) })
}

pub(crate) fn record_metric(metric: MetricId, value: u64) -> Result<()> {
    // SAFETY: no memory is shared.
    check(unsafe { proxy_record_metric(metric, value) })
}

pub(crate) fn grpc_open(cluster: &str, service: &str, method: &str) -> Result<Token> {
    let no_metadata = EncodedPairs::default();
    let metadata = no_metadata.as_bytes();
    let mut token = 0;
    // SAFETY: four live slices that the host only reads, and a live local for the answer.
    check(unsafe {
        proxy_grpc_stream(
            cluster.as_ptr(),
            cluster.len(),
            service.as_ptr(),
            service.len(),
            method.as_ptr(),
            method.len(),
            metadata.as_ptr(),
            metadata.len(),
            &mut token,
        )
    })?;
    Ok(token)
}

pub(crate) fn grpc_send(token: Token, message: &[u8]) -> Result<()> {
    // SAFETY: a live slice that the host copies before it returns.
    check(unsafe { proxy_grpc_send(token, message.as_ptr(), message.len(), 0) })
}

pub(crate) fn grpc_cancel(token: Token) -> Result<()> {
    // SAFETY: no memory is shared.
    check(unsafe { proxy_grpc_cancel(token) })
}
