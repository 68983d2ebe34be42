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
pub(crate) async fn eventually(what: &str, mut asks: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while !asks().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "never came true: {what}"
        );
        tick.tick().await;
    }
}

/// Whether the long runs were asked for (`cargo xtask ci --full`).
pub(crate) fn long_runs() -> bool {
    std::env::var_os("OTTLA_TEST_LONG").is_some()
}
