#![no_main]

#[path = "../bodies/interleavings.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::interleavings(data));
