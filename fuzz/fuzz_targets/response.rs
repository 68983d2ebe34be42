//! See `targets::response`.
#![no_main]

#[path = "../../crates/codec/tests/hostile/targets.rs"]
#[allow(dead_code, reason = "the other targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::response(data));
