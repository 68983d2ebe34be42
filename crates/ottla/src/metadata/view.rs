//! One immutable view: the cluster's snapshot, and what went wrong in getting it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_cluster::{Change, Cluster, Topic};
use ottla_codec::ErrorCode;
use ottla_codec::messages::metadata::MetadataResponse;

use crate::error::Error;

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) cluster: Arc<Cluster>,
    /// What the newest answer about each topic said against it.
    failures: BTreeMap<Arc<str>, ErrorCode>,
    /// Why the newest refresh failed; `None` after one that did not.
    pub(crate) unreachable: Option<Error>,
    /// How many refreshes have ended, well or not.
    pub(crate) refreshes: u64,
}

impl View {
    /// The view after a broker answered, and what the answer changed.
    pub(crate) fn answered(&self, response: &MetadataResponse) -> (Self, Vec<Change>) {
        let merge = self.cluster.merge(response);
        let mut failures = self.failures.clone();
        for topic in &response.topics {
            if let Some(name) = topic.name.as_deref() {
                failures.remove(name);
            }
        }
        for change in &merge.changes {
            if let Change::TopicFailed { topic, error } = change {
                failures.insert(topic.clone(), *error);
            }
        }
        let view = Self {
            cluster: Arc::new(merge.cluster),
            failures,
            unreachable: None,
            refreshes: self.refreshes + 1,
        };
        (view, merge.changes)
    }

    /// The view after nobody answered.
    pub(crate) fn unanswered(&self, error: Error) -> Self {
        Self {
            unreachable: Some(error),
            refreshes: self.refreshes + 1,
            ..self.clone()
        }
    }

    /// The same view with another snapshot.
    pub(crate) fn with_cluster(&self, cluster: Cluster) -> Self {
        Self {
            cluster: Arc::new(cluster),
            ..self.clone()
        }
    }

    /// A topic whose partitions are known.
    pub(crate) fn topic(&self, topic: &str) -> Option<&Arc<Topic>> {
        let known = self.cluster.topic(topic);
        known.filter(|topic| !topic.partitions().is_empty())
    }

    /// What the newest answer about a topic said against it.
    pub(crate) fn failure(&self, topic: &str) -> Option<ErrorCode> {
        self.failures.get(topic).copied()
    }
}

#[cfg(test)]
mod tests {
    use ottla_codec::messages::metadata::{MetadataResponseBroker, MetadataResponseTopic};

    use super::*;

    fn answer(error: ErrorCode) -> MetadataResponse {
        MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: 1,
                host: "h".into(),
                port: 9092,
                ..Default::default()
            }],
            topics: vec![MetadataResponseTopic {
                name: Some("t".into()),
                error_code: error.code(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn a_topics_failure_lasts_until_a_better_answer() {
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let (view, _) = View::default().answered(&answer(unknown));
        assert_eq!(view.failure("t"), Some(unknown));
        let view = view.unanswered(Error::invalid_argument("x"));
        assert_eq!(view.failure("t"), Some(unknown));
        assert!(view.unreachable.is_some());
        let (view, _) = view.answered(&answer(ErrorCode::None));
        assert_eq!(view.failure("t"), None);
        assert!(view.unreachable.is_none());
        assert_eq!(view.refreshes, 3);
    }
}
