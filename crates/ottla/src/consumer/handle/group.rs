//! Being in a group: subscribing, hearing of rebalances, leaving.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_coordinator::membership::{Departure, Stay};
use tokio::time::{Instant, timeout_at};

use super::ConsumerHandle;
use crate::consumer::group::{Command, ConsumerHealth, GroupMetadata, Rebalances, Subscription};
use crate::consumer::standing::Mode;
use crate::error::Result;

impl ConsumerHandle {
    /// Subscribes to exactly these topics, which may be none: the group assigns some of their partitions to this consumer, and
    /// others as members come and go. Joining goes on in the background; the outcome shows in
    /// [`assignment`](Self::assignment), in [`rebalances`](Self::rebalances), and in records.
    ///
    /// A topic may be created later, or be deleted: the group follows, once the metadata tells.
    ///
    /// # Errors
    ///
    /// There is no group id; the consumer is closed; it has partitions that were
    /// [assigned](Self::assign) by hand.
    pub fn subscribe(&self, topics: impl IntoIterator<Item = impl Into<String>>) -> Result<()> {
        let topics = topics.into_iter().map(Into::into).collect();
        self.begin(Subscription::Topics(topics))
    }

    /// Subscribes to all topics whose names `matches` says yes to, those that are created later included.
    /// Internal topics are not asked about.
    ///
    /// The cluster's topics are listed at once, and again every
    /// [`metadata_max_age`](crate::ClientBuilder::metadata_max_age).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_matching(
        &self,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<()> {
        self.begin(Subscription::Matching(Arc::new(matches)))
    }

    fn begin(&self, subscription: Subscription) -> Result<()> {
        self.coordinator.group()?;
        self.change(|assignment| assignment.standing.subscribe(subscription.topics()))?;
        self.group.tell(Command::Subscribe(subscription));
        Ok(())
    }

    /// The topics that the consumer is subscribed to; of a subscription
    /// [by predicate](Self::subscribe_matching), those that were found.
    pub fn subscription(&self) -> BTreeSet<String> {
        self.shared
            .with(|assignment| assignment.standing.subscription.clone())
    }

    /// Gives up all partitions and leaves the group; a static member remains in it until its session expires.
    /// Whoever [listens](Self::rebalances) is heard first, no reader is waited for, and with auto-commit on, what
    /// the caller has come back from is committed. Does nothing if the consumer is not subscribed.
    ///
    /// It is over after `default.api.timeout.ms` at the latest.
    ///
    /// # Cancel safety
    ///
    /// Leaving goes on when the future is dropped.
    pub async fn unsubscribe(&self) {
        let deadline = self.shared.api_deadline();
        self.leave("the consumer unsubscribes", Stay::IfStatic, deadline)
            .await;
    }

    /// Has the group rebalance: for assignors whose answer would be another one now.
    ///
    /// Does nothing while the consumer is in no group.
    #[doc(alias = "enforceRebalance")]
    pub fn enforce_rebalance(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.group.tell(Command::Rejoin { reason });
    }

    /// Listens to rebalances from now on; who has listened so far hears no more.
    ///
    /// As long as somebody listens, it is the listener who acknowledges: dropping a
    /// [`Rebalance`](crate::Rebalance) is its word that the change was dealt with. Without one, the reader's
    /// next call for records is the word that a revocation waits for; see [`Consumer`](crate::Consumer).
    ///
    /// Positions are behind what was handed out, done with or not: a listener commits what it knows to be done.
    ///
    /// ```no_run
    /// # use ottla::TopicPartition;
    /// # use std::{collections::BTreeMap, sync::Mutex};
    /// # async fn listen(consumer: ottla::ConsumerHandle, done: &Mutex<BTreeMap<TopicPartition, i64>>) {
    /// use ottla::RebalanceKind;
    ///
    /// let mut rebalances = consumer.rebalances();
    /// while let Some(rebalance) = rebalances.next().await {
    ///     if rebalance.kind() == RebalanceKind::Revoked {
    ///         // Still this consumer's: what its workers have finished can be committed.
    ///         let mut offsets = done.lock().unwrap().clone();
    ///         offsets.retain(|name, _| rebalance.partitions().contains(name));
    ///         if let Err(error) = consumer.commit(offsets).await {
    ///             eprintln!("these come again elsewhere: {error}");
    ///         }
    ///     }
    ///     rebalance.done();
    /// }
    /// # }
    /// ```
    pub fn rebalances(&self) -> Rebalances {
        let (listener, rebalances) = Rebalances::new(self.shared.clone());
        self.shared.with(|assignment| {
            if !assignment.is_closed() {
                assignment.standing.listen(listener);
            }
        });
        rebalances
    }

    /// Who this consumer is in its group: what a transaction needs to commit its offsets (KIP-447). `None` while
    /// it is in no generation.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        let group_id = self.shared.config.group_id.clone()?;
        self.shared
            .with(|assignment| assignment.standing.group_metadata(group_id))
    }

    /// What the consumer is doing in its group, and whether anything keeps records from its caller.
    pub fn health(&self) -> ConsumerHealth {
        let is_contended = self.shared.budget.is_contended();
        self.shared.with(|assignment| {
            let is_starved = is_contended && assignment.buffered_bytes() == 0;
            let away_since = assignment.away_since(Instant::now());
            assignment.standing.health(away_since, is_starved)
        })
    }

    /// Whether it has neither a subscription nor partitions from its caller.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared
            .with(|assignment| assignment.standing.mode() == Mode::Idle)
    }

    /// Leaves the group in order, by the deadline; for a consumer that is not subscribed there is nothing to do.
    pub(crate) async fn leave(&self, reason: &str, stay: Stay, deadline: Instant) {
        let is_subscribed = self
            .shared
            .with(|assignment| assignment.standing.mode() == Mode::Subscribed);
        if is_subscribed {
            let departure = Departure {
                reason: reason.to_owned(),
                stay,
                deadline: deadline.into_std(),
            };
            // The member sees to the deadline itself, unless it is held up.
            drop(timeout_at(deadline, self.group.leave(departure)).await);
        }
    }
}
