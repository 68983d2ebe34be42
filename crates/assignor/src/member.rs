//! A group's members as its leader sees them, and what each is given.

use std::collections::BTreeMap;

/// Partitions by topic.
pub type TopicPartitions = BTreeMap<String, Vec<i32>>;

/// What one member of the group said about itself when it joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// The id the coordinator gave it, unique in the group.
    pub id: String,
    /// Its lasting name, if it is a static member (KIP-345).
    #[doc(alias = "group.instance.id")]
    pub instance_id: Option<String>,
    /// Where it runs (KIP-881). Empty is the same as none.
    #[doc(alias = "client.rack")]
    pub rack: Option<String>,
    /// The topics it subscribes to. Order means nothing, and nobody repeats one.
    pub topics: Vec<String>,
    /// The partitions it still holds, with the cooperative protocol (KIP-429). It may be wrong: members come back
    /// with old memories.
    pub owned: TopicPartitions,
    /// The generation of the group in which it was given `owned` (KIP-792); none when it does not say.
    pub generation: Option<i32>,
    /// What its assignor sent along ([`Assignor::user_data`](crate::Assignor::user_data)).
    pub user_data: Option<Vec<u8>>,
}

impl Member {
    /// A dynamic member that holds nothing and says nothing more than what it subscribes to.
    pub fn new<T: Into<String>>(
        id: impl Into<String>,
        topics: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            id: id.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// The rack it runs in, if it names one.
    pub(crate) fn rack(&self) -> Option<&str> {
        self.rack.as_deref().filter(|rack| !rack.is_empty())
    }
}

/// What one member is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Its partitions. The built-in assignors list no topic without partitions and partitions in ascending order.
    pub partitions: TopicPartitions,
    /// Bytes for the member's own assignor to read. None from the built-in assignors.
    pub user_data: Option<Vec<u8>>,
}

impl Assignment {
    /// The number of partitions in it.
    pub fn partition_count(&self) -> usize {
        self.partitions.values().map(Vec::len).sum()
    }
}

impl From<TopicPartitions> for Assignment {
    fn from(partitions: TopicPartitions) -> Self {
        Self {
            partitions,
            user_data: None,
        }
    }
}
