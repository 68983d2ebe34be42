//! Runs that a seed decides: which there are, and how one that fails can be repeated.

use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tokio::runtime::Builder;

use super::long_runs;

/// As many as usual, or as a long run takes; or those that `OTTLA_TEST_SEED` names: one, or a range like `0..100`.
pub(crate) fn chosen(usual: u64, long: u64) -> Range<u64> {
    match std::env::var("OTTLA_TEST_SEED") {
        Ok(seed) => {
            let number = |text: &str| text.parse().expect("OTTLA_TEST_SEED is a number, or two");
            match seed.split_once("..") {
                Some((first, end)) => number(first)..number(end),
                None => number(&seed)..number(&seed) + 1,
            }
        }
        Err(_) if long_runs() => 0..long,
        Err(_) => 0..usual,
    }
}

/// One run. If it panics, its seed is told first.
pub(crate) fn told<T>(seed: u64, run: impl FnOnce(u64) -> T) -> T {
    catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|panic| {
        eprintln!("failing seed: {seed}; OTTLA_TEST_SEED={seed} runs it alone");
        resume_unwind(panic)
    })
}

/// Runs by the paused clock, on this thread alone.
pub(crate) fn alone<T>(run: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(run)
}
