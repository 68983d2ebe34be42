//! The task that asks brokers for metadata: when it is wanted, when it is old, never twice at a time.

use std::sync::Arc;

use ottla_cluster::{Change, Cluster};
use ottla_codec::messages::metadata::MetadataResponse;
use ottla_connection::{Backoff, HostPort, Pool};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Metadata, Question};
use crate::client::{ClientConfig, METADATA, Target, first_answer};
use crate::error::Result;

/// Owns the refreshing.
pub(crate) struct Refresher {
    pub(crate) metadata: Metadata,
    pub(crate) pool: Pool,
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) rng: fastrand::Rng,
    pub(crate) shutdown: CancellationToken,
}

impl Refresher {
    /// Runs until the client is shut down.
    pub(crate) async fn run(mut self) {
        let (first, longest) = self.config.retry_backoff;
        let backoff = Backoff::new(first, longest);
        let mut in_a_row = 0;
        let mut due = None;
        let mut not_before = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                () = self.metadata.wanted() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            // Somebody always wants a refresh while something is wrong; a quiet moment ends the row.
            if Instant::now() > not_before + longest {
                in_a_row = 0;
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                () = sleep_until(not_before) => {}
                // Brokers that answer are not spared a first question.
                () = self.metadata.unasked(), if self.metadata.view().unreachable.is_none() => {}
            }
            let shutdown = self.shutdown.clone();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = self.refresh() => {}
            }
            in_a_row += 1;
            let now = Instant::now();
            not_before = now + backoff.delay(in_a_row, &mut self.rng);
            due = Some(now + self.config.metadata_max_age);
        }
    }

    async fn refresh(&mut self) {
        let now = Instant::now();
        let topics = self
            .metadata
            .topics_in_use(now, self.config.metadata_max_idle);
        let result = self.ask(&topics).await;
        self.metadata.update(|view| {
            Some(match result {
                Ok(response) => {
                    let (next, changes) = view.answered(&response);
                    if view.unreachable.is_some() {
                        tracing::info!("a broker answered a metadata request again");
                    }
                    report(&changes);
                    next
                }
                // An outage is told once, not at every attempt.
                Err(error) if view.unreachable.is_some() => {
                    tracing::debug!(%error, "still no broker answers a metadata request");
                    view.unanswered(error)
                }
                Err(error) => {
                    tracing::warn!(%error, "no broker answered a metadata request");
                    view.unanswered(error)
                }
            })
        });
        update_nodes(&self.pool, &self.metadata.cluster());
    }

    async fn ask(&mut self, topics: &[Arc<str>]) -> Result<MetadataResponse> {
        let deadline = Instant::now() + self.config.request_timeout;
        let question = Question {
            topics: Some(topics.iter().map(|name| name.to_string()).collect()),
            allow_auto_create: self.config.allow_auto_create_topics,
        };
        first_answer(self.candidates(), |target| {
            let (pool, question) = (self.pool.clone(), question.clone());
            async move {
                let connection = target.connection(&pool, METADATA, deadline).await?;
                question.ask(&connection, deadline).await
            }
        })
        .await
    }

    /// Whom to ask, in which order: the known brokers at random, then the bootstrap servers, which are
    /// all there is at first and the way back when every known broker is gone.
    fn candidates(&mut self) -> Vec<Target> {
        let cluster = self.metadata.cluster();
        let mut targets: Vec<Target> = cluster
            .brokers()
            .map(|broker| Target::Node(broker.id.0))
            .collect();
        self.rng.shuffle(&mut targets);
        if targets.is_empty() || self.config.rebootstrap {
            targets.push(Target::Bootstrap);
        }
        targets
    }
}

/// Tells the pool where brokers listen.
pub(crate) fn update_nodes(pool: &Pool, cluster: &Cluster) {
    let brokers = cluster.brokers();
    pool.update_nodes(brokers.map(|b| (b.id.0, HostPort::new(&b.host, b.port))));
}

fn report(changes: &[Change]) {
    for change in changes {
        match change {
            Change::TopicFailed { topic, error } => {
                tracing::debug!(%topic, %error, "a broker could not describe a topic");
            }
            Change::TopicRecreated { topic, old, new } => {
                tracing::warn!(%topic, %old, %new, "a topic was deleted and created again");
            }
            other => tracing::debug!(change = ?other, "metadata changed"),
        }
    }
}
