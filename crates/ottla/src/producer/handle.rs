//! The handle on a producer.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use super::accumulator::{Admission, Now, Ticket};
use super::delivery::Delivery;
use super::metrics::ProducerMetrics;
use super::partitioner::Partitioner;
use super::sender::Context;
use super::window::Cause;
use crate::env::after;
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
    /// Keeps the topics in view that were known when they were first produced to.
    interests: Mutex<BTreeMap<String, TopicInterest>>,
}

impl Producer {
    pub(super) fn new(
        context: Arc<Context>,
        partitioner: Option<Arc<dyn Partitioner>>,
        max_block: Duration,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                context,
                partitioner,
                max_block,
                interests: Mutex::default(),
            }),
        }
    }

    /// Takes a record in, and returns its delivery to await or to drop.
    ///
    /// Waits, first come first served, while the memory is used up, but no longer than
    /// [`max_block`](crate::ProducerBuilder::max_block). When it returns, the order of records of one
    /// partition is decided.
    ///
    /// It does not wait for brokers. While the partitions of the topic are not known yet, the record waits for
    /// them in the producer's memory, and what is wrong with its topic or its partition is its delivery's to
    /// tell: [`ErrorKind::UnknownTopic`] after the
    /// [`unknown_topic_timeout`](crate::ProducerBuilder::unknown_topic_timeout), say, or
    /// [`ErrorKind::Timeout`] after the [`delivery_timeout`](crate::ProducerBuilder::delivery_timeout) if no
    /// broker can be reached.
    ///
    /// # Errors
    ///
    /// The record was not taken in and is certainly not written:
    /// [`ErrorKind::RecordTooLarge`], [`ErrorKind::UnknownPartition`] if the topic is known,
    /// [`ErrorKind::Timeout`], [`ErrorKind::Closed`], or why the producer can go on no more.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped before it is done the record is not taken in.
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery> {
        match self.inner.append(&record, None)? {
            Admission::Admitted(delivery) => Ok(delivery),
            refused => self.inner.send_later(record, refused).await,
        }
    }

    /// Takes a record in if that is possible without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), but [`ErrorKind::MemoryFull`] if there is no memory or others wait for it.
    pub fn try_send(&self, record: Record<'_>) -> Result<Delivery> {
        match self.inner.take_in(&record, None)? {
            Admission::Admitted(delivery) => Ok(delivery),
            _ => Err(ErrorKind::MemoryFull.into()),
        }
    }

    /// Sends what lingers, and waits until every record taken in before this call has its outcome.
    ///
    /// Every [`Delivery`] of them is resolved when this returns; a failure whose delivery was dropped shows in
    /// the [`metrics`](Self::metrics) and as a warning in the log. It takes no longer than the
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
        let deadline = after(timeout);
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
    /// Takes a record in, into its batch or to wait until its topic is known.
    fn take_in(&self, record: &Record<'_>, ticket: Option<Ticket>) -> Result<Admission> {
        loop {
            match self.append(record, ticket)? {
                Admission::TopicUnknown => {}
                done => return Ok(done),
            }
            if self.adopt_topic(record.topic) {
                continue;
            }
            let shared = &self.context.shared;
            if let Some(done) = shared.with(|a| a.put_aside(record, ticket, self.now()))? {
                return Ok(done);
            }
        }
    }

    /// Takes in a record that was not at the first try.
    async fn send_later(&self, record: Record<'_>, refused: Admission) -> Result<Delivery> {
        if let Admission::TopicUnknown = refused {
            // A loop of sends that never lets others run would keep the topic from becoming known.
            consume_budget().await;
            if let Admission::Admitted(delivery) = self.take_in(&record, None)? {
                return Ok(delivery);
            }
        }
        self.stand_in_line(&record).await
    }

    #[inline]
    fn append(&self, record: &Record<'_>, ticket: Option<Ticket>) -> Result<Admission> {
        let shared = &self.context.shared;
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
        shared.with(|a| a.append(record, partition, ticket, || self.now()))
    }

    fn now(&self) -> Now {
        let instant = Instant::now();
        let wall_ms = self.context.core.env.wall_ms(instant);
        Now { instant, wall_ms }
    }

    /// Waits for memory. The record is taken in the moment it can be.
    async fn stand_in_line(&self, record: &Record<'_>) -> Result<Delivery> {
        let deadline = after(self.max_block);
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
            match self.take_in(record, Some(ticket)) {
                Ok(Admission::Admitted(delivery)) => Poll::Ready(Ok(delivery)),
                Ok(_) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
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

    /// Begins to produce to a topic, if it is known and no record waits for that already.
    fn adopt_topic(&self, topic: &str) -> bool {
        let Context { shared, core, .. } = &*self.context;
        let view = core.metadata.view();
        let Some(known) = view.topic(topic) else {
            return false;
        };
        if !shared.with(|a| a.add_topic(known.name(), &view.cluster)) {
            return false;
        }
        let interest = core.metadata.hold(topic);
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
