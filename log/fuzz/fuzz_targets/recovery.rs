//! See `harness/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drave_log_fuzz::run("recovery", data));
