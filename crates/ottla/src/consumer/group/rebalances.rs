//! What a consumer's listener is told of rebalances.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use ottla_cluster::TopicPartition;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::consumer::positions::Generation;
use crate::consumer::shared::Shared;

/// A change of the partitions that the group has assigned to this consumer.
///
/// The value is the acknowledgement: the consumer goes on with the change when it is dropped, or
/// [`done`](Self::done) is called. Until then positions of the partitions can be asked for, moved and
/// committed.
#[derive(Debug)]
#[must_use = "dropping it tells the consumer that the change was dealt with"]
pub struct Rebalance {
    kind: RebalanceKind,
    partitions: BTreeSet<TopicPartition>,
    /// The partitions that are new, as they are owned from now on.
    owned: Vec<(TopicPartition, Generation)>,
    generation: Option<i32>,
    deadline: Option<Instant>,
    /// Its drop is the acknowledgement.
    _handled: oneshot::Sender<()>,
}

/// What happened to partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RebalanceKind {
    /// They are this consumer's now. None of their records is handed out before this is acknowledged, so
    /// that a seek comes first. Told after every rebalance, even if nothing was added.
    Assigned,
    /// They are to be given up. None of their records is handed out any more; what was done with those
    /// that were can be committed until this is acknowledged, or its deadline has passed.
    Revoked,
    /// They are others' already: whatever was not committed will be read again elsewhere, and cannot be
    /// committed here.
    Lost,
}

/// The rebalances of one consumer, as they happen.
///
/// Made by [`ConsumerHandle::rebalances`](crate::ConsumerHandle::rebalances). Dropping it acknowledges
/// whatever it has not yielded.
#[derive(Debug)]
pub struct Rebalances {
    events: mpsc::UnboundedReceiver<Rebalance>,
    shared: Arc<Shared>,
}

impl Rebalance {
    /// New partitions, and what resolves when they have been dealt with.
    pub(super) fn assigned(
        partitions: BTreeSet<TopicPartition>,
        owned: Vec<(TopicPartition, Generation)>,
        generation: i32,
        deadline: Instant,
    ) -> (Self, oneshot::Receiver<()>) {
        let (event, acknowledged) = Self::new(RebalanceKind::Assigned, partitions);
        let event = Self {
            owned,
            generation: Some(generation),
            deadline: Some(deadline),
            ..event
        };
        (event, acknowledged)
    }

    /// Partitions to be given up, and what resolves when that has been dealt with.
    pub(super) fn revoked(
        partitions: BTreeSet<TopicPartition>,
        generation: Option<i32>,
        deadline: Instant,
    ) -> (Self, oneshot::Receiver<()>) {
        let (event, acknowledged) = Self::new(RebalanceKind::Revoked, partitions);
        let event = Self {
            generation,
            deadline: Some(deadline),
            ..event
        };
        (event, acknowledged)
    }

    /// Partitions that are gone.
    pub(super) fn lost(partitions: BTreeSet<TopicPartition>) -> Self {
        Self::new(RebalanceKind::Lost, partitions).0
    }

    fn new(
        kind: RebalanceKind,
        partitions: BTreeSet<TopicPartition>,
    ) -> (Self, oneshot::Receiver<()>) {
        let (handled, acknowledged) = oneshot::channel();
        let event = Self {
            kind,
            partitions,
            owned: Vec::new(),
            generation: None,
            deadline: None,
            _handled: handled,
        };
        (event, acknowledged)
    }

    /// What happened.
    pub fn kind(&self) -> RebalanceKind {
        self.kind
    }

    /// The partitions it happened to.
    pub fn partitions(&self) -> &BTreeSet<TopicPartition> {
        &self.partitions
    }

    /// The group's generation in which it happened; `None` if the consumer is in none any more.
    pub fn generation(&self) -> Option<i32> {
        self.generation
    }

    /// When it is over, acknowledged or not: of a revocation, when the group goes on without waiting any
    /// longer and the partitions are lost; of an assignment, when the consumer leaves its group because nobody
    /// takes its records ([`MaxPollExceeded`](crate::ErrorKind::MaxPollExceeded)). `None` where nothing waits.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// It has been dealt with. The same as dropping it.
    pub fn done(self) {}
}

impl Rebalances {
    pub(crate) fn new(shared: Arc<Shared>) -> (mpsc::UnboundedSender<Rebalance>, Self) {
        let (sender, events) = mpsc::unbounded_channel();
        (sender, Self { events, shared })
    }

    /// Waits for the next one; `None` once the consumer is closed, or somebody else listens.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn next(&mut self) -> Option<Rebalance> {
        poll_fn(|context| self.poll_event(context)).await
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Rebalance>> {
        let event = ready!(self.events.poll_recv(context));
        if let Some(event) = &event {
            self.shared
                .with(|assignment| assignment.make_known(&event.owned));
        }
        Poll::Ready(event)
    }
}

impl Stream for Rebalances {
    type Item = Rebalance;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Rebalance>> {
        self.poll_event(context)
    }
}
