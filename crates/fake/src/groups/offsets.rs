//! What groups have committed.

use std::collections::BTreeMap;

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
