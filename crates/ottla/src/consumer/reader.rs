//! The consumer itself: the one who reads.

use std::future::poll_fn;
use std::ops::Deref;
use std::task::{Context, Poll, ready};

use ottla_cluster::TopicPartition;
use ottla_codec::records::Cursor;
use ottla_coordinator::membership::Stay;
use tokio::time::{Duration, Instant, timeout_at};

use super::assignment::{Assignment, HandOut};
use super::batch::{RecordBatch, next_from};
use super::buffered::{Body, Fetched, Plain};
use super::decoder::Decoder;
use super::group::CloseMode;
use super::handle::ConsumerHandle;
use super::positions::{Generation, Position};
use super::shared::Shared;
use super::stream::RecordStream;
use crate::env::after;
use crate::error::Result;

/// Reads records from partitions.
///
/// Made by [`Client::consumer`](crate::Client::consumer). One reader at a time: [`next`](Self::next)
/// takes `&mut self`. Everything else is a method of [`ConsumerHandle`], which this type derefs to and of
/// which [`handle`](Self::handle) gives clones, so that another task can seek, pause or commit while this
/// one reads.
///
/// Fetching goes on in the background, as far ahead as the memory limit allows. Dropping the consumer
/// stops it at once and never blocks; a group finds out when the session expires, unless it was
/// [closed](Self::close).
///
/// ```no_run
/// # async fn read(client: ottla::Client) -> ottla::Result<()> {
/// use ottla::StartFrom;
///
/// let mut consumer = client.consumer().build()?;
/// consumer.assign([(("sales", 0).into(), StartFrom::Beginning)])?;
/// while let Some(batch) = consumer.next().await? {
///     for record in &batch {
///         println!("{:?}", record?.value());
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Groups
///
/// With a group id, a consumer can [subscribe](ConsumerHandle::subscribe) instead: the group shares out
/// the topics' partitions among its members. Joining, heartbeats and rebalances go on in the background,
/// whatever the caller does with its records.
///
/// **When partitions go elsewhere**, nothing more of them is handed out at once, while what was done with
/// those that were can still be committed until somebody has let go of them: whoever listens to
/// [rebalances](ConsumerHandle::rebalances), by dropping the event; without a listener the reader, by its
/// next call for records, of a stream as well. One that waits in a call already has nothing left to do.
/// Whoever takes longer than the event's deadline (`max.poll.interval.ms`, less what the group has waited
/// already) has lost them.
///
/// **Asking for more is being done.** Auto-commit covers what the caller has come back from: what it was
/// handed before its latest call for records, or before it closed the consumer. Within a stream, each
/// record is done with when the next one is asked for.
/// Who gathers several batches before it commits them has to listen to rebalances, and drop what is revoked:
/// within one call a partition may go and come back, and be read again from the last commit.
///
/// **Staying away** for longer than `max.poll.interval.ms` costs the membership: the next call is the error
/// [`MaxPollExceeded`](crate::ErrorKind::MaxPollExceeded), and the one after that joins again. A caller is
/// away from the end of one call to the next; while it waits in one it is not, unless there is something
/// and nobody takes it. A listener that acknowledges no assignment for so long is away as well.
///
/// **Heartbeats** are sent by a task in the runtime that the consumer was made in. Handlers that block all of its threads
/// for longer than `session.timeout.ms` cost the membership: what blocks belongs into `tokio::task::spawn_blocking`.
///
/// ```no_run
/// # async fn read(client: ottla::Client) -> ottla::Result<()> {
/// use std::time::Duration;
///
/// let mut consumer = client.consumer().group_id("billing").build()?;
/// consumer.subscribe(["sales"])?;
/// while let Some(batch) = consumer.next().await? {
///     for record in &batch {
///         println!("{:?}", record?.value());
///     }
/// }
/// consumer.close(Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    handle: ConsumerHandle,
    decoder: Decoder,
}

/// A batch on its way to the caller that does not count as handed out yet.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) partition: TopicPartition,
    pub(crate) lineage: Generation,
    pub(crate) start: i64,
    pub(crate) end: Position,
    pub(crate) plain: Plain,
}

impl Consumer {
    pub(crate) fn new(handle: ConsumerHandle, decoder: Decoder) -> Self {
        Self { handle, decoder }
    }

    /// A handle for everything but reading, for other tasks.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// Waits for the next batch. Partitions take turns; each partition's batches come in the order of its
    /// log. `None` once the consumer was closed through a handle. While nothing is assigned, or all of it is
    /// paused, it waits for a handle to change that.
    ///
    /// The [position](ConsumerHandle::position) of its partition moves behind the batch.
    ///
    /// # Errors
    ///
    /// An error is about one partition, and the others go on with the next call. What stops a partition
    /// for good comes back until a seek or a new assignment clears it, at most twice a second:
    /// [`CorruptBatch`](crate::ErrorKind::CorruptBatch),
    /// [`OffsetOutOfRange`](crate::ErrorKind::OffsetOutOfRange) and
    /// [`NoOffset`](crate::ErrorKind::NoOffset) without a reset policy,
    /// [`LogTruncated`](crate::ErrorKind::LogTruncated),
    /// [`TopicRecreated`](crate::ErrorKind::TopicRecreated). Anything else is retried in the background.
    ///
    /// As long as no broker can be reached, it waits; [`health`](ConsumerHandle::health) and the log say so. They say as
    /// well if a topic that is subscribed to does not exist, which it may later.
    ///
    /// Of a group, each told once, and over with the next call:
    /// [`MaxPollExceeded`](crate::ErrorKind::MaxPollExceeded),
    /// [`AssignmentFailed`](crate::ErrorKind::AssignmentFailed). Told again until the consumer is subscribed
    /// anew: [`FencedInstance`](crate::ErrorKind::FencedInstance),
    /// [`InconsistentGroup`](crate::ErrorKind::InconsistentGroup), and what else the coordinator refuses for
    /// good, such as [access](crate::ErrorKind::NotAuthorized).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a batch is either returned or still to come.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let call = NextCall(self);
        poll_fn(|context| call.0.poll_next(context)).await
    }

    /// The poll behind [`next`](Self::next).
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>>> {
        loop {
            let Some(taken) = ready!(self.poll_take(context))? else {
                return Poll::Ready(Ok(None));
            };
            let Taken {
                partition,
                lineage,
                start,
                end,
                plain,
            } = taken;
            let fetched = Fetched {
                start,
                end,
                body: Body::Plain(plain),
            };
            let accepted = self
                .handle
                .shared
                .with(|assignment| assignment.accept(&partition, lineage, fetched));
            // Without it, somebody has moved or paused the partition in between.
            if let Some(Fetched {
                body: Body::Plain(plain),
                ..
            }) = accepted
            {
                return Poll::Ready(Ok(Some(RecordBatch::new(partition, start, end, plain))));
            }
        }
    }

    /// The records one by one, as values that own their bytes.
    ///
    /// The [position](ConsumerHandle::position) moves with each record. What the stream has not yielded
    /// when it is dropped is not lost: the next reader gets it.
    pub fn records(&mut self) -> RecordStream<'_> {
        RecordStream::new(self)
    }

    /// Closes the consumer in order, all of it within `timeout`, brokers reachable or not: a member of a
    /// group gives up its partitions and leaves (a static one remains, to find them again when it is back),
    /// whoever [listens](ConsumerHandle::rebalances) is heard before, and with auto-commit on, everything
    /// that was handed out counts as done with and is committed. Commits under way are waited for.
    ///
    /// # Cancel safety
    ///
    /// The consumer is closed all the same.
    pub async fn close(self, timeout: Duration) {
        self.close_with(CloseMode::Default, timeout).await;
    }

    /// The same, where the caller says whether a member leaves its group or remains in it (KIP-1092).
    ///
    /// # Cancel safety
    ///
    /// The consumer is closed all the same.
    pub async fn close_with(self, mode: CloseMode, timeout: Duration) {
        let deadline = after(timeout);
        let shared = self.handle.shared.clone();
        // Who closes has come back from everything.
        shared.with(Assignment::attend);
        let stay = match mode {
            CloseMode::Default => Stay::IfStatic,
            CloseMode::Leave => Stay::Never,
            CloseMode::Remain => Stay::Always,
        };
        self.handle
            .leave("the consumer is being closed", stay, deadline)
            .await;
        let commits = &self.handle.commits;
        let is_automatic = shared.config.auto_commit().is_some();
        let last = match is_automatic {
            true => commits.commit_returned(None, deadline),
            false => commits.settle(deadline),
        };
        // At the deadline it is over, whatever is left undone. Who asked for a commit hears of it alone.
        match timeout_at(deadline, last).await {
            Ok(Err(error)) if is_automatic => {
                tracing::warn!(%error, "the last auto-commit failed");
            }
            _ => {}
        }
        drop(self);
        drop(timeout_at(deadline, shared.ended()).await);
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// The reader asks for nothing more for now.
    pub(crate) fn abandon(&self) {
        let now = Instant::now();
        self.handle
            .shared
            .with(|assignment| assignment.abandon(now));
    }

    /// Takes the next batch that has records for the caller, in plain form.
    pub(crate) fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Taken>>> {
        // A reader that always finds something must still let others on its thread run.
        let coop = ready!(tokio::task::coop::poll_proceed(context));
        let shared = &self.handle.shared;
        loop {
            let now = Instant::now();
            let next = shared.with(|assignment| {
                if assignment.is_closed() {
                    return None;
                }
                let next = assignment.hand_out(now);
                if matches!(next, HandOut::Nothing) {
                    assignment.set_reader(context.waker());
                    if shared.budget.is_contended() {
                        assignment.make_room();
                    }
                }
                Some(next)
            });
            let (partition, lineage, fetched) = match next {
                None => return Poll::Ready(Ok(None)),
                Some(HandOut::Nothing) => return Poll::Pending,
                Some(HandOut::Error(error)) => {
                    coop.made_progress();
                    return Poll::Ready(Err(error));
                }
                Some(HandOut::Batch {
                    partition,
                    lineage,
                    fetched,
                }) => (partition, lineage, fetched),
            };
            coop.made_progress();
            let bytes = super::buffer::Entry::bytes(&fetched);
            let fetched = match self.decoder.decode_now(fetched) {
                Ok(fetched) => fetched,
                Err(error) => {
                    shared.with(|assignment| {
                        assignment.corrupt_at_hand_out(&partition, lineage, error);
                    });
                    continue;
                }
            };
            let Fetched { start, end, body } = fetched;
            let Body::Plain(plain) = body else {
                continue;
            };
            if is_void(&plain, start) {
                shared.with(|assignment| assignment.consume(&partition, lineage, end, bytes));
                continue;
            }
            return Poll::Ready(Ok(Some(Taken {
                partition,
                lineage,
                start,
                end,
                plain,
            })));
        }
    }
}

/// Whether a batch that a seek led into the middle of has no record behind that point.
fn is_void(plain: &Plain, start: i64) -> bool {
    plain.batch.header().base_offset < start
        && next_from(&plain.batch, &mut Cursor::default(), start).is_none()
}

/// A call for records. One that is given up leaves the reader away from then on.
struct NextCall<'a>(&'a mut Consumer);

impl Drop for NextCall<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Deref for Consumer {
    type Target = ConsumerHandle;

    fn deref(&self) -> &ConsumerHandle {
        &self.handle
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.handle.shut_down();
    }
}
