//! What a consumer's handle, its owner task and its fetchers share.
//!
//! Owns the one lock around the [`Assignment`] and the signals that follow from changing it. The lock is
//! held for short, synchronous steps only; wakers run after it is released.

use std::sync::{Arc, Mutex, PoisonError};

use ottla_connection::{Backoff, ConnectionGroup, Purpose};
use tokio::time::{Duration, Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answers::Circumstances;
use super::assignment::{Assignment, Limits};
use super::budget::Budget;
use super::config::{ConsumerConfig, IsolationLevel};
use crate::client::Core;
use crate::env::after;
use crate::error::{Error, ErrorKind};
use crate::watch;

/// The shared state of one consumer.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    pub(crate) config: ConsumerConfig,
    pub(crate) budget: Budget,
    /// Cancelled when the consumer goes.
    pub(crate) shutdown: CancellationToken,
    /// Names the consumer's own connections.
    pub(crate) owner: u64,
    /// Names those beside them: of the side lanes, and for the caller's look-ups.
    pub(crate) side_owner: u64,
    assignment: Mutex<Assignment>,
    /// The consumer's background tasks.
    tasks: TaskTracker,
    /// Marked as changed when fetchers or the owner task may have something to do.
    work: watch::Sender<()>,
    /// Marked as changed when the consumer's standing with its group has changed, or somebody did what
    /// the group's task waits for.
    news: watch::Sender<()>,
}

impl Shared {
    pub(crate) fn new(core: Arc<Core>, config: ConsumerConfig) -> Self {
        let limits = Limits {
            budget: config.memory_limit,
            partition: config.max_partition_fetch_bytes,
        };
        Self {
            budget: Budget::new(config.memory_limit),
            shutdown: core.shutdown.child_token(),
            owner: core.next_owner_id(),
            side_owner: core.next_owner_id(),
            assignment: Mutex::new(Assignment::new(config.auto_offset_reset, limits)),
            tasks: TaskTracker::new(),
            work: watch::Sender::new(()),
            news: watch::Sender::new(()),
            core,
            config,
        }
    }

    /// Reads or changes the assignment, and wakes whom the change concerns.
    pub(crate) fn with<T>(&self, step: impl FnOnce(&mut Assignment) -> T) -> T {
        let (result, wakes) = {
            let mut assignment = self
                .assignment
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let result = step(&mut assignment);
            let wakes = assignment.take_wakes();
            if wakes.reader.is_some() {
                assignment.presence.wake(Instant::now());
            }
            (result, wakes)
        };
        if wakes.work {
            self.work.send_replace(());
        }
        if wakes.group {
            self.news.send_replace(());
        }
        if let Some(reader) = wakes.reader {
            reader.wake();
        }
        result
    }

    /// The same for a step whose outcome depends on time and on the consumer's settings.
    pub(crate) fn with_around<T>(
        &self,
        rng: &mut fastrand::Rng,
        step: impl FnOnce(&mut Assignment, &mut Circumstances<'_>) -> T,
    ) -> T {
        let now = Instant::now();
        let (first, longest) = self.core.config.retry_backoff;
        let backoff = Backoff::new(first, longest);
        let mut pause = |failures: u32| backoff.delay(failures.saturating_add(1), rng);
        let mut around = Circumstances {
            now,
            wall_ms: self.core.env.wall_ms(now),
            read_committed: self.config.isolation_level == IsolationLevel::ReadCommitted,
            replica_ttl: self.core.config.metadata_max_age,
            pause: &mut pause,
        };
        self.with(|assignment| step(assignment, &mut around))
    }

    /// Runs a task that ends with the consumer, and counts as the client's.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.core.tasks.spawn(self.tasks.track_future(task));
    }

    /// Waits until the consumer's tasks have ended.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Follows the signals that there may be something to do.
    pub(crate) fn work(&self) -> watch::Receiver<()> {
        self.work.subscribe()
    }

    /// Follows what concerns the consumer's group.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Waits until `ready` has something, looking again whenever the assignment has changed.
    ///
    /// # Errors
    ///
    /// A timeout at the deadline, or that the consumer is closed.
    pub(crate) async fn wait_for<T>(
        &self,
        operation: &'static str,
        timeout: Duration,
        ready: impl FnMut(&mut Assignment) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        timeout_at(after(timeout), self.look(self.work(), ready))
            .await
            .unwrap_or_else(|_| Err(Error::timeout(operation, timeout)))
    }

    /// Waits until `ready` has something, looking again whenever there are news from the group.
    ///
    /// # Errors
    ///
    /// Those of `ready`, or that the consumer is closed.
    pub(crate) async fn wait_for_news<T>(
        &self,
        ready: impl FnMut(&mut Assignment) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        self.look(self.news(), ready).await
    }

    async fn look<T>(
        &self,
        mut changes: watch::Receiver<()>,
        mut ready: impl FnMut(&mut Assignment) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        loop {
            changes.borrow_and_update();
            let found = self.with(|assignment| {
                if assignment.is_closed() {
                    return Err(closed());
                }
                ready(assignment)
            })?;
            if let Some(found) = found {
                return Ok(found);
            }
            if changes.changed().await.is_err() {
                return Err(closed());
            }
        }
    }

    /// The connections for everything that a coordinator answers at once.
    pub(crate) fn coordination(&self) -> ConnectionGroup {
        ConnectionGroup::owned(Purpose::Coordination, self.owner)
    }

    /// The connections over which leaders are asked for what positions wait for.
    pub(crate) fn positions(&self) -> ConnectionGroup {
        ConnectionGroup::owned(Purpose::Offsets, self.owner)
    }

    /// The connections over which leaders are asked for what the caller wants to know, and for positions while what was
    /// asked over the other ones is not answered.
    pub(crate) fn look_ups(&self) -> ConnectionGroup {
        ConnectionGroup::owned(Purpose::Offsets, self.side_owner)
    }

    /// The end of a request that begins now and has this long for all its tries.
    pub(crate) fn api_deadline(&self) -> Instant {
        after(self.config.api_timeout)
    }

    /// The end of one request that begins now.
    pub(crate) fn request_deadline(&self) -> Instant {
        after(self.config.request_timeout)
    }
}

/// The error of calls on a consumer that was closed.
pub(crate) fn closed() -> Error {
    ErrorKind::Closed { what: "consumer" }.into()
}
