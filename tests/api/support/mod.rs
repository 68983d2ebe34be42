//! What the tests share.

pub(crate) mod fake;
pub(crate) mod mixed;
pub(crate) mod raw;
pub(crate) mod real;
pub(crate) mod seeds;
pub(crate) mod tap;

use std::time::Duration;

/// Long enough for anything that works, short enough to end a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is yes, within [`PATIENCE`]. For what other processes do in their own time.
pub(crate) async fn eventually(what: &str, asks: impl AsyncFnMut() -> bool) {
    assert!(comes_true(asks).await, "never came true: {what}");
}

/// The same, for who has more to say of it if the answer is never yes.
pub(crate) async fn comes_true(mut asks: impl AsyncFnMut() -> bool) -> bool {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while !asks().await {
        if tokio::time::Instant::now() >= deadline {
            return false;
        }
        tick.tick().await;
    }
    true
}

/// Whether the long runs were asked for (`cargo xtask ci --full`).
pub(crate) fn long_runs() -> bool {
    std::env::var_os("OTTLA_TEST_LONG").is_some()
}
