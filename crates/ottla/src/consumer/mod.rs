//! Reading records from partitions.
//!
//! A [`Consumer`] reads what is assigned to it, by its caller or by its group. Behind it, an owner task
//! (`owner`) runs two fetchers for each broker (`fetcher`); they share one `assignment` with the reader,
//! under one short lock. In a group, `group/` adds the task of its member, and `commits` works off what is
//! to be committed. What can be decided without I/O is in files of its own: `positions`, `ownership`,
//! `presence`, `standing`, `buffer`, `fetch_session`, `scan`, `decoder`, `answers`, `reset`, `aborted`,
//! `budget`.
//!
//! ```text
//! fetcher: assignment.fetch_from -> request -> answer -> scan (headers) -> assignment.absorb
//!          -> next request -> decoder (ahead of the caller) -> assignment.push_all
//! reader:  assignment.hand_out -> decode if need be -> assignment.accept -> RecordBatch
//! owner:   assignment.follow (metadata), assignment.questions -> ListOffsets, OffsetForLeaderEpoch,
//!          OffsetFetch -> assignment.answer_*
//! member:  (group/) joins, heartbeats -> assignment.adopt, retire, revoke (ownership)
//! commits: assignment.claim when asked -> assignment.clear when sent -> OffsetCommit
//! ```

mod aborted;
mod answers;
mod assignment;
mod batch;
mod budget;
mod buffer;
mod buffered;
mod builder;
mod commits;
mod config;
mod coordinator;
mod decoder;
mod fetch_session;
mod fetcher;
mod group;
mod handle;
mod lane;
mod lookups;
mod metrics;
mod offsets;
mod owner;
mod ownership;
mod partition;
mod positions;
mod presence;
mod reader;
mod reset;
mod scan;
mod shared;
mod standing;
mod stream;
#[cfg(test)]
mod testing;

pub use batch::{
    ConsumedHeader, ConsumedRecord, HeaderView, Headers, IntoRecords, RecordBatch, RecordView,
    Records,
};
pub use builder::ConsumerBuilder;
pub(crate) use builder::PROPERTIES;
pub use commits::PendingCommit;
pub use config::IsolationLevel;
pub use group::{
    CloseMode, ConsumerHealth, GroupMetadata, MemberState, Rebalance, RebalanceKind, Rebalances,
};
pub use handle::{ConsumerHandle, OffsetAndTimestamp, StartFrom};
pub use metrics::ConsumerMetrics;
pub use offsets::OffsetAndMetadata;
pub use reader::Consumer;
pub use reset::AutoOffsetReset;
pub use stream::RecordStream;
