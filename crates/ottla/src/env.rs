//! What a client takes from the world around it besides the network: wall time, randomness, and a
//! place to do CPU work.
//!
//! Everything here can be pinned, so that a run under a paused clock repeats exactly.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::{Duration, Instant, sleep};

/// As good as never, and short enough for any clock.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The end of a time that begins now. `Duration::MAX` is a way to say as long as it takes.
pub(crate) fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + FAR)
}

/// Where CPU-heavy work (compression, mostly) is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CpuWork {
    /// On tokio's blocking threads, so that it never delays a heartbeat. The default.
    #[default]
    Pool,
    /// Where it comes up. For tests and simulations: it makes a run repeatable.
    Inline,
    /// Where it comes up, but after a pause of up to 5 ms that the seed decides. For simulations that want
    /// to see what a busy machine does to the order of things.
    Delayed,
}

/// The longest pause of [`CpuWork::Delayed`], in microseconds.
const LONGEST_DELAY_US: u64 = 5_000;

#[derive(Debug)]
pub(crate) struct Env {
    rng: Mutex<fastrand::Rng>,
    started: Instant,
    started_wall_ms: i64,
    cpu: CpuWork,
}

impl Env {
    /// The one place where ottla reads the system's clock and asks it for a seed, and only for what is
    /// not given.
    pub(crate) fn new(seed: Option<u64>, wall_clock: Option<SystemTime>, cpu: CpuWork) -> Self {
        let wall = wall_clock.unwrap_or_else(SystemTime::now);
        let since_epoch = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            rng: Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)),
            started: Instant::now(),
            started_wall_ms: i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX),
            cpu,
        }
    }

    /// Milliseconds since 1970 at `now`. Monotonic: a step of the system's clock does not show.
    pub(crate) fn wall_ms(&self, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.started).as_millis();
        self.started_wall_ms
            .saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    /// A generator of one's own, seeded from the client's.
    pub(crate) fn fork_rng(&self) -> fastrand::Rng {
        self.rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fork()
    }

    /// Whether work should go through [`run_cpu`](Self::run_cpu), or is so little that a thread would
    /// take longer to begin with it.
    pub(crate) fn hands_over(&self, laborious: bool) -> bool {
        match self.cpu {
            CpuWork::Pool => laborious,
            CpuWork::Inline => false,
            CpuWork::Delayed => true,
        }
    }

    /// Runs CPU work and waits for its result.
    ///
    /// # Cancel safety
    ///
    /// The work itself is not stopped by a drop; its result is lost.
    pub(crate) async fn run_cpu<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match self.cpu {
            CpuWork::Inline => work(),
            CpuWork::Delayed => {
                let pause = self.fork_rng().u64(..=LONGEST_DELAY_US);
                sleep(Duration::from_micros(pause)).await;
                work()
            }
            CpuWork::Pool => match tokio::task::spawn_blocking(work).await {
                Ok(result) => result,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // Blocking work is never aborted, only refused when the runtime shuts down; then
                // nobody is left to see this task go on.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
