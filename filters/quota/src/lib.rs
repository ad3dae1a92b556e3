//! The decisions of a quota.
//!
//! Nothing in here calls the proxy, reads a clock or draws a random number: all of that is passed
//! in, so every rule is tested natively, and the filter around it stays thin.
#![forbid(unsafe_code)]

mod bounded;
pub mod config;
pub mod consumer;
pub mod exchange;
pub mod failure;
pub mod headers;
pub mod known;
pub mod local;
pub mod matcher;
pub mod meter;
pub mod overrides;
mod parameters;
pub mod plan;
pub mod settlement;
pub mod time;
pub mod usage;
pub mod waiting;

#[cfg(test)]
mod sample;
