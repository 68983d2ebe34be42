//! The handle on a producer.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::accumulator::{Admission, Now, Ticket};
use super::delivery::Delivery;
use super::metrics::ProducerMetrics;
use super::partitioner::Partitioner;
use super::sender::Context;
use super::window::Cause;
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::TopicInterest;
use crate::record::Record;

/// Writes records to topics.
///
/// Cloning is cheap and gives another handle on the same producer; handles may be used from any number
/// of tasks. Records that one task sends to one partition are written in that order; see
/// [`ProducerBuilder::idempotence`](crate::ProducerBuilder::idempotence) for what that and "once" depend on.
///
/// When the last handle is dropped, records without an outcome fail as closed. Call [`flush`](Self::flush)
/// or [`close`](Self::close) before.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = ottla_fake::FakeCluster::builder().topic("sales", 3).start().await?;
/// # let servers = cluster.bootstrap_servers();
/// use std::time::Duration;
///
/// use ottla::{Client, Record};
///
/// let client = Client::builder().bootstrap_servers(servers).build()?;
/// let producer = client.producer().build()?;
/// // Taken in: its place behind the records sent before it is certain.
/// let delivery = producer.send(Record::to("sales").key("shop-17").value("12.50")).await?;
/// // Written: all replicas in sync have it.
/// let written = delivery.await?;
/// println!("{} at {:?}", written.partition, written.offset);
/// producer.close(Duration::from_secs(10)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    context: Arc<Context>,
    partitioner: Option<Arc<dyn Partitioner>>,
    max_block: Duration,
    unknown_topic_timeout: Duration,
    /// Keeps the topics in view that were produced to.
    interests: Mutex<BTreeMap<String, TopicInterest>>,
}

impl Producer {
    pub(super) fn new(
        context: Arc<Context>,
        partitioner: Option<Arc<dyn Partitioner>>,
        max_block: Duration,
        unknown_topic_timeout: Duration,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                context,
                partitioner,
                max_block,
                unknown_topic_timeout,
                interests: Mutex::default(),
            }),
        }
    }

    /// Takes a record in, and returns its delivery to await or to drop.
    ///
    /// Waits, first come first served, while the memory is used up, and for the metadata of a topic that
    /// was not used before; [`max_block`](crate::ProducerBuilder::max_block) bounds both together. When it
    /// returns, the record is in its batch, and the order of records of one partition is decided.
    ///
    /// # Errors
    ///
    /// The record was not taken in and is certainly not written:
    /// [`ErrorKind::RecordTooLarge`], [`ErrorKind::UnknownPartition`], [`ErrorKind::UnknownTopic`],
    /// [`ErrorKind::Timeout`], [`ErrorKind::Closed`], or why the producer can go on no more.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped before it is done the record is not taken in.
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery> {
        match self.inner.append(&record, None)? {
            Admission::Admitted(delivery) => Ok(delivery),
            blocked => self.inner.send_later(&record, blocked).await,
        }
    }

    /// Takes a record in if that is possible without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`ErrorKind::MemoryFull`] if there is no memory or others wait for it,
    /// [`ErrorKind::MetadataPending`] if nothing is known of the topic yet: it is being asked for.
    pub fn try_send(&self, record: Record<'_>) -> Result<Delivery> {
        let mut admission = self.inner.append(&record, None)?;
        if let Admission::TopicUnknown = admission
            && self.inner.adopt_topic(record.topic)
        {
            admission = self.inner.append(&record, None)?;
        }
        match admission {
            Admission::Admitted(delivery) => Ok(delivery),
            Admission::Full => Err(ErrorKind::MemoryFull.into()),
            Admission::TopicUnknown => {
                self.inner.context.core.metadata.request_refresh();
                let topic = record.topic.to_owned();
                Err(ErrorKind::MetadataPending { topic }.into())
            }
        }
    }

    /// Sends what lingers, and waits until every record taken in before this call has its outcome.
    ///
    /// Every [`Delivery`] of them is resolved when this returns. It takes no longer than the
    /// [`delivery_timeout`](crate::ProducerBuilder::delivery_timeout).
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, what lingered is sent all the same.
    pub async fn flush(&self) {
        self.inner.flush().await;
    }

    /// Takes no more records in, and waits up to `timeout` until all that are in have their outcome.
    ///
    /// What has none by then fails as closed, with an honest
    /// [`possibly_written`](crate::Error::possibly_written). Other handles on this producer are closed
    /// with it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if records were left.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, no more records are taken in, but what is in goes on being delivered.
    pub async fn close(&self, timeout: Duration) -> Result<()> {
        let shared = &self.inner.context.shared;
        shared.with(|a| a.close(closed()));
        let deadline = Instant::now() + timeout;
        // Whether it was in time shows in what is left.
        let _in_time = timeout_at(deadline, self.inner.flush()).await;
        let failed = self.inner.shut_down();
        if failed > 0 {
            return Err(Error::timeout("closing the producer", timeout));
        }
        Ok(())
    }

    /// The counters and levels of this moment.
    pub fn metrics(&self) -> ProducerMetrics {
        self.inner.context.shared.with(|a| a.metrics())
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Producer");
        out.field("metrics", &self.metrics())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn append(&self, record: &Record<'_>, ticket: Option<Ticket>) -> Result<Admission> {
        let Context { shared, core, .. } = &*self.context;
        let partition = match &self.partitioner {
            // Somebody else's code does not run under the lock.
            Some(partitioner) if record.partition.is_none() => {
                match shared.with(|a| a.partition_count(record.topic)) {
                    Some(partitions) => partitioner.partition(record, partitions),
                    None => return Ok(Admission::TopicUnknown),
                }
            }
            _ => None,
        };
        let clock = || {
            let instant = Instant::now();
            let wall_ms = core.env.wall_ms(instant);
            Now { instant, wall_ms }
        };
        shared.with(|a| a.append(record, partition, ticket, clock))
    }

    async fn send_later(&self, record: &Record<'_>, mut blocked: Admission) -> Result<Delivery> {
        let deadline = Instant::now() + self.max_block;
        let shutdown = &self.context.shutdown;
        loop {
            let wait = async {
                match blocked {
                    Admission::TopicUnknown => {
                        self.learn_topic(record.topic, deadline).await?;
                        self.append(record, None)
                    }
                    _ => self.stand_in_line(record, deadline).await,
                }
            };
            let admission = tokio::select! {
                biased;
                admission = wait => admission?,
                () = shutdown.cancelled() => return Err(closed()),
            };
            match admission {
                Admission::Admitted(delivery) => return Ok(delivery),
                other => blocked = other,
            }
        }
    }

    /// Waits for memory. The record is taken in the moment it can be.
    async fn stand_in_line(&self, record: &Record<'_>, deadline: Instant) -> Result<Admission> {
        let mut place = Place {
            inner: self,
            ticket: None,
        };
        let admitted = poll_fn(|cx| {
            // First the place, then the try: what is given back in between wakes us.
            let ticket = place.ticket;
            let ticket = self
                .context
                .shared
                .with(|a| a.wait_in_line(ticket, cx.waker()));
            place.ticket = Some(ticket);
            match self.append(record, Some(ticket)) {
                Ok(Admission::Full) => Poll::Pending,
                done => Poll::Ready(done),
            }
        });
        match timeout_at(deadline, admitted).await {
            Ok(done) => done,
            Err(_) => {
                let error = Error::timeout("waiting for the producer's memory", self.max_block);
                Err(error.with_source(Error::new(ErrorKind::MemoryFull)))
            }
        }
    }

    /// Waits until a topic's partitions are known.
    async fn learn_topic(&self, topic: &str, deadline: Instant) -> Result<()> {
        if self.adopt_topic(topic) {
            return Ok(());
        }
        let metadata = &self.context.core.metadata;
        // Brokers that deny knowing the topic are given less time than brokers that cannot be reached.
        let denied_at = deadline.min(Instant::now() + self.unknown_topic_timeout);
        if let Err(error) = metadata.topic(topic, denied_at).await {
            let unreachable = matches!(error.kind(), ErrorKind::Timeout { .. });
            if !unreachable || denied_at == deadline {
                return Err(error);
            }
            metadata.topic(topic, deadline).await?;
        }
        self.adopt_topic(topic);
        Ok(())
    }

    /// Begins to produce to a topic, if it is known.
    fn adopt_topic(&self, topic: &str) -> bool {
        let Context { shared, core, .. } = &*self.context;
        // Keeps it in view for some minutes, should nobody come to produce to it.
        let interest = core.metadata.hold(topic);
        let cluster = core.metadata.cluster();
        let known = cluster
            .topic(topic)
            .filter(|topic| !topic.partitions().is_empty());
        let Some(known) = known else {
            return false;
        };
        shared.with(|a| a.add_topic(known.name(), &cluster));
        let mut interests = self
            .interests
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        interests.entry(topic.to_owned()).or_insert(interest);
        true
    }

    async fn flush(&self) {
        let shared = &self.context.shared;
        let (mark, progress) = shared.with(|a| (a.flush(), a.progress()));
        loop {
            let progressed = progress.notified();
            tokio::pin!(progressed);
            progressed.as_mut().enable();
            if shared.with(|a| a.is_flushed(mark)) {
                return;
            }
            progressed.await;
        }
    }

    /// Fails what is left and ends the tasks. Returns how many records were left.
    fn shut_down(&self) -> u64 {
        let failed = self.context.shared.with(|a| {
            a.close(closed());
            a.abort(Cause::Closed)
        });
        self.context.shutdown.cancel();
        failed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let failed = self.shut_down();
        if failed > 0 {
            tracing::warn!(
                records = failed,
                "a producer was dropped with undelivered records"
            );
        }
    }
}

/// A place in the line for memory, given up on drop.
struct Place<'a> {
    inner: &'a Inner,
    ticket: Option<Ticket>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.inner.context.shared.with(|a| a.leave_line(ticket));
        }
    }
}

fn closed() -> Error {
    ErrorKind::Closed { what: "producer" }.into()
}
