//! The decisions of a quota.
//!
//! Nothing in here calls the proxy, reads a clock or draws a random number: all of that is passed
//! in, so every rule is tested natively, and the filter around it stays thin.
#![forbid(unsafe_code)]

pub mod meter;
pub mod usage;
