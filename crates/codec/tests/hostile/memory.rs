//! What is allocated.

use std::sync::Mutex;

use stats_alloc::Region;

use crate::ALLOCATOR;

/// One at a time: the allocator counts for all threads.
static MEASURING: Mutex<()> = Mutex::new(());

/// What decoding may allocate for so many bytes.
pub(crate) fn bound(input: usize) -> usize {
    64 * input + 64 * 1024
}

/// What `run` returns and how many bytes it allocates, those it frees again included: no less than ever live at once.
/// A block that grows counts with what it grows by.
pub(crate) fn allocated<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let (value, stats) = measured(run);
    (value, stats.bytes_allocated)
}

/// What `run` returns and how often it allocates.
pub(crate) fn allocations<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let (value, stats) = measured(run);
    (value, stats.allocations + stats.reallocations)
}

fn measured<T>(run: impl FnOnce() -> T) -> (T, stats_alloc::Stats) {
    let region = Region::new(ALLOCATOR);
    let value = run();
    (value, region.change())
}

/// Runs a test that measures, while no other does.
pub(crate) fn alone<T>(test: impl FnOnce() -> T) -> T {
    let _alone = MEASURING
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    test()
}
