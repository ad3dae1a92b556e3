//! The numbers of the ABI, by name.

use core::fmt;

/// A root context or a request, as the host counts them.
pub type ContextId = u32;
/// A gRPC stream, as the host counts them.
pub type Token = u32;
/// A metric, as the host counts them.
pub type MetricId = u32;

/// What a host call answered, other than "ok".
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

impl Status {
    /// No such header, property, stream or metric.
    pub const NOT_FOUND: Self = Self(1);
    /// A context that is gone, a wrong map for the callback, a length out of range.
    pub const BAD_ARGUMENT: Self = Self(2);
    /// Bytes that the host could not read, such as the name of a cluster that it does not know.
    pub const PARSE_FAILURE: Self = Self(4);
    /// The host could not do it, such as starting a stream.
    pub const INTERNAL_FAILURE: Self = Self(10);
    /// This host does not offer the call.
    pub const UNIMPLEMENTED: Self = Self(12);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "ok",
            1 => "not found",
            2 => "bad argument",
            3 => "serialization failure",
            4 => "parse failure",
            5 => "bad expression",
            6 => "invalid memory access",
            7 => "empty",
            8 => "compare-and-swap mismatch",
            9 => "result mismatch",
            10 => "internal failure",
            11 => "broken connection",
            12 => "unimplemented",
            other => return write!(f, "status {other}"),
        };
        f.write_str(name)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({}: {self})", self.0)
    }
}

impl std::error::Error for Status {}

/// The outcome of a host call.
pub type Result<T> = core::result::Result<T, Status>;

/// Header maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Map {
    /// Headers of the request.
    RequestHeaders = 0,
    /// Trailers of the request.
    RequestTrailers = 1,
    /// Headers of the response.
    ResponseHeaders = 2,
    /// Trailers of the response.
    ResponseTrailers = 3,
}

/// Buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Buffer {
    /// The chunk of request body at hand.
    RequestBody = 0,
    /// The chunk of response body at hand.
    ResponseBody = 1,
    /// The message of a gRPC stream at hand.
    GrpcReceive = 5,
    /// `vm_config.configuration`.
    VmConfiguration = 6,
    /// The plugin's `configuration`.
    PluginConfiguration = 7,
}

/// The statuses of gRPC that filters answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum GrpcStatus {
    /// `RESOURCE_EXHAUSTED`: a quota, for example, is used up.
    ResourceExhausted = 8,
}

/// What to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// The request on its way to the origin.
    Request = 0,
    /// The response on its way to the client.
    Response = 1,
}

/// Log levels of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Everything.
    Trace = 0,
    /// For developers.
    Debug = 1,
    /// Worth knowing.
    Info = 2,
    /// Something is wrong, and the filter goes on.
    Warn = 3,
    /// Something does not work.
    Error = 4,
    /// The filter cannot go on.
    Critical = 5,
}

/// Kinds of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Metric {
    /// Only goes up.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Takes single values.
    Histogram = 2,
}

/// What a header or body callback tells the host to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Go on to the next filter.
    Continue = 0,
    /// Hold the request (or response) until it is resumed or answered. Also after a local response.
    Pause = 1,
}
