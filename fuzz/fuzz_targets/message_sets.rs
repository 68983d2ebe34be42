//! See `targets::message_sets`.
#![no_main]

#[path = "../../crates/codec/tests/hostile/targets.rs"]
#[allow(dead_code, reason = "the other targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::message_sets(data));
