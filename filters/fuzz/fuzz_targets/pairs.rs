#![no_main]

#[path = "../bodies/pairs.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::pairs(data));
