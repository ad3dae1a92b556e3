//! The Redis link.
#![forbid(unsafe_code)]
