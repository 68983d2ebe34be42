//! What the cluster's metadata knows of topics, as far as assignors care.

use std::collections::BTreeMap;

/// The topics the cluster knows. One that is missing has no metadata (yet), which is not the same as having no
/// partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topics {
    topics: BTreeMap<String, Topic>,
}

impl Topics {
    /// No topics.
    pub fn new() -> Self {
        Self::default()
    }

    /// These and one more, with partitions of unknown racks.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, partitions: u32) -> Self {
        self.insert(name, Topic::new(partitions));
        self
    }

    /// Adds a topic or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, topic: Topic) {
        self.topics.insert(name.into(), topic);
    }

    /// The topic of that name; none without metadata.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// The number of that topic's partitions; none without metadata.
    pub fn partition_count(&self, name: &str) -> Option<u32> {
        self.topic(name).map(Topic::partition_count)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.topics
            .iter()
            .map(|(name, topic)| (name.as_str(), topic))
    }
}

impl<N: Into<String>> FromIterator<(N, Topic)> for Topics {
    fn from_iter<I: IntoIterator<Item = (N, Topic)>>(topics: I) -> Self {
        Self {
            topics: topics
                .into_iter()
                .map(|(name, topic)| (name.into(), topic))
                .collect(),
        }
    }
}

/// One topic: its partitions, numbered from 0, and where their replicas are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topic {
    partitions: u32,
    /// Empty, or one list per partition.
    racks: Vec<Vec<String>>,
}

impl Topic {
    /// A topic with that many partitions, of unknown racks.
    pub fn new(partitions: u32) -> Self {
        Self {
            partitions,
            racks: Vec::new(),
        }
    }

    /// A topic with one partition for each item: the racks of its replicas, those in sync and those not. A
    /// replica whose broker has no rack is left out.
    ///
    /// ```
    /// let topic = ottla_assignor::Topic::with_racks([["a", "b"], ["b", "c"]]);
    /// assert_eq!(topic.partition_count(), 2);
    /// ```
    pub fn with_racks<R: Into<String>>(
        partitions: impl IntoIterator<Item = impl IntoIterator<Item = R>>,
    ) -> Self {
        let racks: Vec<Vec<String>> = partitions
            .into_iter()
            .map(|replicas| replicas.into_iter().map(Into::into).collect())
            .collect();
        Self {
            partitions: u32::try_from(racks.len()).unwrap_or(u32::MAX),
            racks,
        }
    }

    /// The number of partitions.
    pub fn partition_count(&self) -> u32 {
        self.partitions
    }

    /// The racks of a partition's replicas; empty when they are unknown or there is no such partition.
    pub fn replica_racks(&self, partition: u32) -> &[String] {
        usize::try_from(partition)
            .ok()
            .and_then(|partition| self.racks.get(partition))
            .map_or(&[], Vec::as_slice)
    }
}
