#![no_main]

#[path = "../bodies/quota_config.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::quota_config(data));
