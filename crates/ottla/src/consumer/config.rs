//! A consumer's settings.

use tokio::time::Duration;

use super::group::GroupConfig;
use super::reset::AutoOffsetReset;

/// Which records of transactions are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    /// All records, as soon as they are replicated, those of open and aborted transactions included.
    #[default]
    ReadUncommitted,
    /// No record of an aborted transaction, and none behind the first open one.
    ReadCommitted,
}

/// Settings, checked.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerConfig {
    pub(crate) fetch_min_bytes: usize,
    pub(crate) fetch_max_bytes: usize,
    pub(crate) max_partition_fetch_bytes: usize,
    pub(crate) fetch_max_wait: Duration,
    pub(crate) isolation_level: IsolationLevel,
    pub(crate) auto_offset_reset: AutoOffsetReset,
    pub(crate) client_rack: String,
    pub(crate) check_crcs: bool,
    pub(crate) memory_limit: usize,
    pub(crate) group_id: Option<String>,
    pub(crate) group: GroupConfig,
    pub(crate) api_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

impl ConsumerConfig {
    /// How often offsets are committed without being asked for; `None` for never.
    pub(crate) fn auto_commit(&self) -> Option<Duration> {
        let commits = self.group.auto_commit && self.group_id.is_some();
        commits.then_some(self.group.auto_commit_interval)
    }
}
