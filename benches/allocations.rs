//! Counts what is allocated, so that a bench says that too: a time tells little on a machine that does other things.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Prints what a run allocates for each of its elements. To be called once the run has happened before: what the first
/// one allocates and keeps is not what an element costs.
pub(crate) fn report(name: &str, elements: usize, run: impl FnOnce()) {
    let region = Region::new(ALLOCATOR);
    run();
    let change = region.change();
    let each = |count: usize| count as f64 / elements as f64;
    println!(
        "{name:<40} {:.4} allocations, {:.1} bytes each",
        each(change.allocations + change.reallocations),
        each(change.bytes_allocated),
    );
}
