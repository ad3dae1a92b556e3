//! The flash sale filter.
#![forbid(unsafe_code)]
