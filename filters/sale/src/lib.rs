//! The decisions of a flash sale.
//!
//! Nothing in here calls the proxy, reads a clock or draws a random number: all of that is passed
//! in, so every rule is tested natively, and the filter around it stays thin.
#![forbid(unsafe_code)]

pub mod admission;
pub mod answers;
pub mod books;
pub mod config;
pub mod decide;
mod denied;
pub mod draw;
pub mod errand;
pub mod keyring;
mod lesson;
pub mod networks;
mod parameters;
pub mod pass;
pub mod permits;
pub mod replies;
pub mod throttle;
pub mod verified;
