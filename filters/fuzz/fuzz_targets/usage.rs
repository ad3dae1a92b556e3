#![no_main]

#[path = "../bodies/usage.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::usage(data));
