//! Which topics a consumer wants, and what the metadata says of topics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use ottla_assignor::{Topic, Topics};
use ottla_codec::ErrorCode;
use tokio::time::{Duration, Instant};

use crate::metadata::{Metadata, TopicInterest, View};

/// How long all brokers must deny knowing a topic before it counts as deleted: one that restarts may deny
/// it for a moment.
const DELETED_AFTER: Duration = Duration::from_secs(10);

/// The topics that a consumer wants.
#[derive(Clone)]
pub(crate) enum Subscription {
    /// These.
    Topics(BTreeSet<String>),
    /// All, but for the internal ones, whose names it says yes to.
    Matching(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl Subscription {
    /// The topics, as far as they are known without asking.
    pub(crate) fn topics(&self) -> BTreeSet<String> {
        match self {
            Self::Topics(topics) => topics.clone(),
            Self::Matching(_) => BTreeSet::new(),
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topics(topics) => f.debug_tuple("Topics").field(topics).finish(),
            Self::Matching(_) => f.debug_tuple("Matching").finish_non_exhaustive(),
        }
    }
}

/// Keeps topics in the metadata, and remembers for how long they have been unknown.
#[derive(Debug)]
pub(super) struct Watch {
    metadata: Metadata,
    held: BTreeMap<String, TopicInterest>,
    unknown_since: BTreeMap<String, Instant>,
}

impl Watch {
    pub(super) fn new(metadata: Metadata) -> Self {
        Self {
            metadata,
            held: BTreeMap::new(),
            unknown_since: BTreeMap::new(),
        }
    }

    /// Keeps exactly these topics in the metadata.
    pub(super) fn hold(&mut self, names: &BTreeSet<String>) {
        self.held.retain(|name, _| names.contains(name));
        for name in names {
            if !self.held.contains_key(name) {
                self.held.insert(name.clone(), self.metadata.hold(name));
            }
        }
    }

    /// What is known of these topics; without those that do not exist, or no longer.
    pub(super) fn known(&mut self, view: &View, names: &BTreeSet<String>, now: Instant) -> Topics {
        self.unknown_since.retain(|name, _| names.contains(name));
        let mut topics = Topics::new();
        for name in names {
            if view.failure(name) == Some(ErrorCode::UnknownTopicOrPartition) {
                let since = *self.unknown_since.entry(name.clone()).or_insert(now);
                // As long as it takes: it may be created, or the brokers may learn of it late.
                self.metadata.request_refresh();
                if now >= since + DELETED_AFTER {
                    continue;
                }
            } else {
                self.unknown_since.remove(name);
            }
            if let Some(topic) = describe(view, name) {
                topics.insert(name.as_str(), topic);
            }
        }
        topics
    }

    /// When the next topic counts as deleted, after `since`.
    pub(super) fn next_due(&self, since: Instant) -> Option<Instant> {
        let due = self.unknown_since.values().map(|&at| at + DELETED_AFTER);
        due.filter(|&at| at > since).min()
    }
}

/// Waits until the metadata has something to say of each of these topics, or the deadline passes; and says
/// what is known then.
pub(super) async fn settled(
    metadata: &Metadata,
    names: &BTreeSet<String>,
    deadline: Instant,
) -> Topics {
    let _held: Vec<_> = names.iter().map(|name| metadata.hold(name)).collect();
    let mut views = metadata.subscribe();
    loop {
        let view = views.borrow_and_update();
        let is_settled = |name: &String| view.topic(name).is_some() || view.failure(name).is_some();
        let changed = async {
            metadata.request_refresh();
            views.changed().await
        };
        let is_over = names.iter().all(is_settled)
            || !matches!(tokio::time::timeout_at(deadline, changed).await, Ok(Ok(())));
        if is_over {
            let exists =
                |name: &&String| view.failure(name) != Some(ErrorCode::UnknownTopicOrPartition);
            let describe = |name: &String| Some((name.clone(), describe(&view, name)?));
            return names.iter().filter(exists).filter_map(describe).collect();
        }
    }
}

/// A topic as assignors see it.
fn describe(view: &View, name: &str) -> Option<Topic> {
    let topic = view.topic(name)?;
    let cluster = &view.cluster;
    let racks = topic.partitions().iter().map(|partition| {
        let brokers = partition.replicas.iter();
        let racks = brokers.filter_map(|&id| cluster.broker(id)?.rack.as_deref());
        racks.collect::<Vec<_>>()
    });
    Some(Topic::with_racks(racks))
}
