//! A consumer's records one by one, as a stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use ottla_codec::records::Cursor;

use super::batch::{ConsumedRecord, next_from, owned};
use super::buffered::{Body, Fetched};
use super::positions::Position;
use super::reader::{Consumer, Taken};
use crate::error::Result;

/// A stream of records that own their bytes; see [`Consumer::records`].
///
/// It ends once the consumer was closed. An error ends nothing: see [`Consumer::next`].
///
/// # Cancel safety
///
/// Dropping the stream, or a future that polls it, loses nothing.
#[derive(Debug)]
pub struct RecordStream<'a> {
    consumer: &'a mut Consumer,
    current: Option<Current>,
}

/// The batch whose records are being yielded.
#[derive(Debug)]
struct Current {
    taken: Taken,
    cursor: Cursor,
    progress: Arc<Progress>,
}

/// How far a stream has come in a batch, for those who ask for the position meanwhile; and whether the
/// rest of the batch is still wanted.
#[derive(Debug)]
pub(crate) struct Progress {
    next_offset: AtomicI64,
    returned: AtomicI64,
    interrupted: AtomicBool,
}

impl Progress {
    pub(crate) fn at(offset: i64) -> Self {
        Self {
            next_offset: AtomicI64::new(offset),
            returned: AtomicI64::new(offset),
            interrupted: AtomicBool::new(false),
        }
    }

    /// Behind the last record that was yielded.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset.load(Ordering::Acquire)
    }

    /// Behind the last record that the caller has come back from, by asking for the next one.
    pub(crate) fn returned(&self) -> i64 {
        self.returned.load(Ordering::Acquire)
    }

    /// The next record was yielded: the caller is done with those before it.
    pub(super) fn advance(&self, next_offset: i64) {
        let before = self.next_offset.load(Ordering::Relaxed);
        self.returned.store(before, Ordering::Release);
        self.next_offset.store(next_offset, Ordering::Release);
    }

    /// The partition was moved, paused or revoked, or the reader is wanted for something else.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
    }
}

impl Current {
    fn position(&self) -> Position {
        Position {
            offset: self.progress.next_offset(),
            leader_epoch: self.taken.end.leader_epoch,
        }
    }
}

impl<'a> RecordStream<'a> {
    /// Waits for the next record; `None` once the consumer was closed. What else streams have comes with the traits of
    /// `futures-util` or `tokio-stream`.
    ///
    /// # Errors
    ///
    /// As [`Consumer::next`], or the record is corrupt.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    pub(crate) fn new(consumer: &'a mut Consumer) -> Self {
        Self {
            consumer,
            current: None,
        }
    }

    /// Gives back what is left of the current batch.
    fn give_back(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        let position = current.position();
        let taken = current.taken;
        let fetched = Fetched {
            start: position.offset,
            end: taken.end,
            body: Body::Plain(taken.plain),
        };
        self.consumer.shared().with(|assignment| {
            assignment.give_back(&taken.partition, taken.lineage, position, fetched);
        });
    }
}

impl Stream for RecordStream<'_> {
    type Item = Result<ConsumedRecord>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(current) = &mut this.current {
                if current.progress.interrupted.load(Ordering::Acquire) {
                    this.give_back();
                    continue;
                }
                let Taken {
                    partition,
                    start,
                    plain,
                    ..
                } = &current.taken;
                match next_from(&plain.batch, &mut current.cursor, *start) {
                    Some(Ok(view)) => {
                        let record = owned(partition, &plain.batch, &view);
                        let next = view.offset.saturating_add(1);
                        current.progress.advance(next);
                        return Poll::Ready(Some(Ok(record)));
                    }
                    Some(Err(source)) => {
                        // What remains of the batch stays where it is: it comes back as an error.
                        let position = current.position();
                        let Some(Current { taken, .. }) = this.current.take() else {
                            continue;
                        };
                        this.consumer.shared().with(|assignment| {
                            let Taken {
                                partition, lineage, ..
                            } = &taken;
                            assignment.corrupt_in_stream(partition, *lineage, position, source);
                        });
                    }
                    None => {
                        let Some(Current { taken, .. }) = this.current.take() else {
                            continue;
                        };
                        let bytes = taken.plain.batch.size_bytes();
                        this.consumer.shared().with(|assignment| {
                            assignment.end_stream();
                            let Taken {
                                partition,
                                lineage,
                                end,
                                ..
                            } = &taken;
                            assignment.consume(partition, *lineage, *end, bytes);
                        });
                    }
                }
                continue;
            }
            let taken = match ready!(this.consumer.poll_take(context)) {
                Ok(Some(taken)) => taken,
                Ok(None) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            let progress = Arc::new(Progress::at(taken.start));
            let begun = this.consumer.shared().with(|assignment| {
                let records = taken.plain.batch.header().records_count;
                let records = u64::try_from(records).unwrap_or(0);
                assignment.begin_stream(&taken.partition, taken.lineage, &progress, records)
            });
            let current = Current {
                taken,
                cursor: Cursor::default(),
                progress,
            };
            this.current = Some(current);
            if !begun {
                this.give_back();
            }
        }
    }
}

impl Drop for RecordStream<'_> {
    fn drop(&mut self) {
        self.give_back();
        self.consumer.abandon();
    }
}
