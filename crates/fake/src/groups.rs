//! Committed offsets of groups without members, and where groups are coordinated.

use std::collections::BTreeMap;

use crate::api::KeyType;

/// An offset as it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedOffset {
    /// The next offset to consume.
    pub offset: i64,
    /// Leader epoch of the last record consumed, if the client gave one.
    pub leader_epoch: Option<i32>,
    /// The text committed with it.
    pub metadata: String,
}

/// One group's offsets by topic and partition.
pub(crate) type GroupOffsets = BTreeMap<(String, i32), CommittedOffset>;

/// All groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    pub(crate) offsets: BTreeMap<String, GroupOffsets>,
    /// Coordinators that a test has chosen.
    pub(crate) placed: BTreeMap<(KeyType, String), i32>,
}

impl Groups {
    /// Forgets what was committed for a deleted topic.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for offsets in self.offsets.values_mut() {
            offsets.retain(|(name, _), _| name != topic);
        }
    }
}
