//! Bytes as an enemy would send them: no panic, a typed error, and no more memory than the bytes can pay for.
//!
//! Every run draws the same. `OTTLA_TEST_LONG` draws much more.
#![cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]

mod batches;
mod entries;
mod memory;
mod messages;
mod mutation;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
