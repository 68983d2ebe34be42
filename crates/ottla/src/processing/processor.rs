//! A processor's settings, and how it is set to work.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ottla_connection::Backoff;

use super::attempts::{Bench, Judge};
use super::events::{ProcessorEvent, ProcessorHandle, ProcessorMetrics};
use super::failure::{Failure, Verdict};
use super::run::{Pacing, Run};
use crate::consumer::{ConsumedRecord, Consumer};
use crate::error::{Error, ErrorKind, Result};

/// Whoever hears of events.
pub(super) type Listener = Box<dyn FnMut(ProcessorEvent) + Send>;

/// Which records are handled one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcessingOrder {
    /// Those of one partition with the same key. Records without a key are in no order.
    #[default]
    Key,
    /// Those of one partition.
    Partition,
    /// None.
    Unordered,
}

/// Runs a handler for each record of a group's consumer, many at a time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = ottla_fake::FakeCluster::builder()
/// #     .topic("orders", 3)
/// #     .topic("orders-dead", 1)
/// #     .start()
/// #     .await?;
/// # let client = ottla::Client::builder().bootstrap_servers(cluster.bootstrap_servers()).build()?;
/// # let producer = client.producer().build()?;
/// # for (key, value) in [("a", "1"), ("b", "broken"), ("a", "2")] {
/// #     producer.send(ottla::Record::to("orders").key(key).value(value)).await?.await?;
/// # }
/// use ottla::{AutoOffsetReset, ConsumedRecord, DeadLetters, Failure, Processor, Verdict};
///
/// async fn bill(order: ConsumedRecord) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     let amount: u32 = std::str::from_utf8(&order.value.unwrap_or_default())?.parse()?;
///     println!("billed {amount}");
///     Ok(())
/// }
///
/// let consumer = client
///     .consumer()
///     .group_id("billing")
///     .auto_offset_reset(AutoOffsetReset::Earliest)
///     .auto_commit(false)
///     .build()?;
/// consumer.subscribe(["orders"])?;
///
/// let dead_letters = DeadLetters::to(producer, "orders-dead");
/// let processor = Processor::new().concurrency(16).on_failure(move |failure: &Failure| {
///     match failure.attempts < 3 {
///         true => Verdict::Retry,
///         false => Verdict::DeadLetter(dead_letters.clone()),
///     }
/// });
/// let handle = processor.handle();
/// let shutdown = async move {
///     // A service would wait for a signal here.
///     while handle.metrics().processed + handle.metrics().dead_lettered < 3 {
///         tokio::time::sleep(std::time::Duration::from_millis(10)).await;
///     }
/// };
/// let metrics = processor.run(consumer, bill, shutdown).await?;
/// assert_eq!((metrics.processed, metrics.dead_lettered), (2, 1));
/// # Ok(())
/// # }
/// ```
///
/// # What is guaranteed
///
/// Each record is handled at least once: what is committed passes no record that is not done, in whatever order they are
/// done. A record is done when its handler returns `Ok`, when it was skipped, and when its dead letter is acknowledged.
/// After a crash, at most [`window`](Self::window) records of each partition come again that had begun, and when a partition
/// goes in order, those that were done beyond one that was not; with [`ProcessingOrder::Partition`] there are none of these.
///
/// Records of one key (or of one partition, see [`order`](Self::order)) are handled in their order, each begun when the one
/// before it is done. One that is slow, or is tried again and again, holds up those behind it in order, and once the window
/// is full its partition; no other.
///
/// # When partitions go elsewhere
///
/// Nothing more of them begins, what fails is not tried again, and handlers that are at work have until shortly before the
/// [deadline](crate::Rebalance::deadline) to finish, which is `max.poll.interval.ms`; the group waits for them. Then what
/// is done is committed, and the partitions are given up. Of partitions that are lost, handlers are dropped at once and nothing is
/// committed.
///
/// A handler is a future, and may be dropped wherever it awaits: in these cases, at shutdown, and when it takes longer than
/// [`attempt_timeout`](Self::attempt_timeout).
///
/// # Handlers that are stuck
///
/// The consumer is asked for records all the time, whatever handlers do, so `max.poll.interval.ms` cannot notice one
/// that is stuck, and the group would believe in this member for ever. It is noticed here: an attempt that
/// takes longer than that interval, unless [`attempt_timeout`](Self::attempt_timeout) says otherwise, is dropped and
/// counts as failed. A handler that blocks its thread cannot be dropped; [`ProcessorMetrics::oldest`] shows it to whoever
/// looks from another runtime. As many of them as the runtime has threads hold up all else in it, the member's heartbeats
/// included: what blocks belongs into `tokio::task::spawn_blocking`.
///
/// # Handlers with state
///
/// A handler is called many times over, beside itself, so each call takes what it needs for itself:
///
/// ```
/// # use ottla::ConsumedRecord;
/// # use std::sync::{Arc, Mutex};
/// # let accounts: Arc<Mutex<Vec<ConsumedRecord>>> = Arc::default();
/// let handler = move |order: ConsumedRecord| {
///     let accounts = accounts.clone();
///     async move {
///         accounts.lock().map_err(|_| "another handler has panicked")?.push(order);
///         Ok::<(), &str>(())
///     }
/// };
/// # drop(handler);
/// ```
///
/// # Memory
///
/// Of each partition, at most [`window`](Self::window) records are in work, in memory of their own. All of them together take
/// at most as much again as the consumer's [`memory_limit`](crate::ConsumerBuilder::memory_limit), in equal parts for the
/// partitions, but one record of each passes in any case: what is held is at most twice that limit, and for each partition its
/// largest record. What was read beyond is a few batches, which count against the limit itself; then the partition is paused at
/// the consumer. Partitions that do not move give back even those when others need the room.
#[must_use = "a processor does nothing until `run`"]
pub struct Processor {
    concurrency: usize,
    order: ProcessingOrder,
    window: usize,
    commit_interval: Duration,
    attempt_timeout: Option<Duration>,
    retry_backoff: (Duration, Duration),
    shutdown_timeout: Duration,
    judge: Judge,
    listener: Listener,
    handle: ProcessorHandle,
}

impl Default for Processor {
    fn default() -> Self {
        Self {
            concurrency: 16,
            order: ProcessingOrder::default(),
            window: 1000,
            commit_interval: Duration::from_secs(5),
            attempt_timeout: None,
            retry_backoff: (Duration::from_millis(100), Duration::from_secs(10)),
            shutdown_timeout: Duration::from_secs(30),
            judge: Box::new(|_| Verdict::Stop),
            listener: Box::new(drop),
            handle: ProcessorHandle::default(),
        }
    }
}

impl Processor {
    /// One with default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records are handled at a time, of all partitions together; those that wait to be tried again count.
    /// Default: 16.
    pub fn concurrency(mut self, records: usize) -> Self {
        self.concurrency = records;
        self
    }

    /// Which records are handled one after the other. Default: those of one key.
    pub fn order(mut self, order: ProcessingOrder) -> Self {
        self.order = order;
        self
    }

    /// How far a partition goes on beyond its oldest record that is not done, in records. It bounds what is in memory, and what
    /// comes again after a crash. Default: 1000.
    pub fn window(mut self, records: usize) -> Self {
        self.window = records;
        self
    }

    /// The time between two commits of what is done. Default: 5 s.
    #[doc(alias = "auto.commit.interval.ms")]
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// How long the handler may take for a record. Then it is dropped, and has failed. Default: the consumer's
    /// [`max_poll_interval`](crate::ConsumerBuilder::max_poll_interval), 5 min unless it was set.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// How long a failed record waits until it is tried again: the first time, and at most; it doubles in between, varied by
    /// 20 %. Default: 100 ms, 10 s.
    pub fn retry_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.retry_backoff = (first, longest);
        self
    }

    /// How long shutting down may take, with leaving the group: handlers that are at work have most of it to finish. Default:
    /// 30 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Decides what becomes of a record each time that it fails, from [what is known](Failure). Default: its partition stops.
    ///
    /// It is called where the handler ran, and must not block.
    pub fn on_failure(
        mut self,
        judge: impl Fn(&Failure) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.judge = Box::new(judge);
        self
    }

    /// Hears of [what happens](ProcessorEvent) besides records being done. Default: nobody; the log tells the same.
    ///
    /// It is called between records, and must not block.
    pub fn on_event(mut self, listener: impl FnMut(ProcessorEvent) + Send + 'static) -> Self {
        self.listener = Box::new(listener);
        self
    }

    /// A handle to look at it with while it runs.
    pub fn handle(&self) -> ProcessorHandle {
        self.handle.clone()
    }

    /// Handles the records of a consumer until `shutdown` resolves: then nothing more begins, what is at work is waited for,
    /// what is done is committed, and the consumer is [closed](Consumer::close). In the end, what was done.
    ///
    /// The consumer's records and [rebalances](crate::ConsumerHandle::rebalances) are the processor's from here on; pausing
    /// and committing is better left to it too. Who seeks through a handle has the partition begin anew there.
    ///
    /// # Errors
    ///
    /// At once: [`InvalidConfig`](ErrorKind::InvalidConfig) if the consumer has no group, or commits by
    /// itself (`enable.auto.commit`), or a setting here is zero; [`InvalidArgument`](ErrorKind::InvalidArgument) if it has
    /// nothing to read, neither a subscription nor partitions. Later, after shutting down as above: what makes the consumer
    /// [unable to go on](Consumer::next), such as [`FencedInstance`](ErrorKind::FencedInstance). Without waiting for anything:
    /// that somebody else listens to rebalances ([`InvalidArgument`](ErrorKind::InvalidArgument)). What concerns one partition
    /// only is an [event](ProcessorEvent::Stopped). If the consumer is shut down through a handle, this ends without an error.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, handlers are dropped, nothing more is committed, and the consumer is dropped. What was not committed
    /// comes again.
    pub async fn run<H, F, E>(
        self,
        consumer: Consumer,
        handler: H,
        shutdown: impl Future<Output = ()>,
    ) -> Result<ProcessorMetrics>
    where
        H: Fn(ConsumedRecord) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        for (setting, is_zero) in [
            ("concurrency", self.concurrency == 0),
            ("window", self.window == 0),
            ("commit_interval", self.commit_interval.is_zero()),
            (
                "attempt_timeout",
                self.attempt_timeout
                    .is_some_and(|timeout| timeout.is_zero()),
            ),
        ] {
            if is_zero {
                return Err(invalid(setting, "it must be more than zero"));
            }
        }
        let config = &consumer.shared().config;
        let Some(group) = config.group_id.clone() else {
            return Err(invalid("group.id", "a processor commits for a group"));
        };
        if config.auto_commit().is_some() {
            let reason =
                "a processor commits what is done, which a consumer cannot know: turn it off";
            return Err(invalid("enable.auto.commit", reason));
        }
        let max_poll_interval = config.group.max_poll_interval;
        if consumer.is_idle() {
            return Err(Error::invalid_argument(
                "the consumer has nothing to read: subscribe it first",
            ));
        }
        let (first, longest) = self.retry_backoff;
        let handler = Arc::new(handler);
        let bench = Bench {
            handler: Box::new(move |record| {
                let handler = handler.clone();
                Box::pin(async move { handler(record).await.map_err(Into::into) })
            }),
            judge: self.judge,
            attempt_timeout: self.attempt_timeout.unwrap_or(max_poll_interval),
            backoff: Backoff::new(first, longest),
            group,
            core: consumer.shared().core.clone(),
        };
        let pacing = Pacing {
            concurrency: self.concurrency,
            order: self.order,
            window: self.window,
            commit_interval: self.commit_interval,
            shutdown_timeout: self.shutdown_timeout,
        };
        Run::new(consumer, pacing, bench, self.listener, self.handle)
            .run(shutdown)
            .await
    }
}

fn invalid(property: &str, reason: &str) -> Error {
    let (property, reason) = (property.to_owned(), reason.to_owned());
    ErrorKind::InvalidConfig { property, reason }.into()
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor")
            .field("concurrency", &self.concurrency)
            .field("order", &self.order)
            .field("window", &self.window)
            .field("commit_interval", &self.commit_interval)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("retry_backoff", &self.retry_backoff)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .finish_non_exhaustive()
    }
}
