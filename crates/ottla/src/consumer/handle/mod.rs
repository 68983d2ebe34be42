//! Everything that can be asked of a consumer besides records.

mod assign;
mod commit;
mod consumer_handle;
mod group;
mod lookups;
mod positions;

pub use assign::StartFrom;
pub use consumer_handle::ConsumerHandle;
pub use lookups::OffsetAndTimestamp;
