//! Between gRPC frames and the bytes of a Redis connection.
#![forbid(unsafe_code)]
