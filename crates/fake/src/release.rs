//! Which Kafka the brokers are: what older releases serve, and what they do otherwise at the same version.
//!
//! Most of what an older broker lacks it lacks because its requests have no place for it. What is here beside the
//! versions is the rest.
//!
//! # References
//! - The protocol's version tables: `ApiKeys` of each release's kafka-clients

mod table;

use std::fmt;
use std::str::FromStr;

use ottla_codec::{ApiKey, VersionRange};
use snafu::Snafu;

/// A release of Kafka whose brokers the cluster plays.
///
/// ```
/// use ottla_fake::Release;
///
/// assert_eq!("2.4".parse(), Ok(Release::V2_4));
/// assert_eq!(Release::default().to_string(), "4.3");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Release {
    /// 2.1, with ZooKeeper: the oldest that today's clients speak to (KIP-896). No flexible versions, no follower
    /// fetching, no topic ids; leader epochs and zstd are new in it.
    V2_1,
    /// 2.4, with ZooKeeper: the first flexible versions, follower fetching (KIP-392), default counts for new topics
    /// (KIP-464), reasons for refused records (KIP-467).
    V2_4,
    /// 3.0, with ZooKeeper: topic ids in metadata (KIP-516), diverging epochs in fetches (KIP-595), the largest
    /// timestamp (KIP-734).
    V3_0,
    /// 4.3, KRaft: what is served is all that this crate serves.
    #[default]
    V4_3,
}

impl Release {
    /// Every release, oldest first.
    pub const ALL: [Self; 4] = [Self::V2_1, Self::V2_4, Self::V3_0, Self::V4_3];

    fn as_str(self) -> &'static str {
        match self {
            Self::V2_1 => "2.1",
            Self::V2_4 => "2.4",
            Self::V3_0 => "3.0",
            Self::V4_3 => "4.3",
        }
    }

    /// What an older release has of the versions that are served here.
    pub(crate) fn has(self, api: ApiKey, served: VersionRange) -> Option<VersionRange> {
        let column = match self {
            Self::V2_1 => 0,
            Self::V2_4 => 1,
            Self::V3_0 => 2,
            Self::V4_3 => return Some(served),
        };
        let (_, row) = table::NEWEST.iter().find(|(row, _)| *row == api)?;
        let newest = row.get(column).copied().flatten()?;
        served.intersect(VersionRange::new(0, newest))
    }

    /// Whether the refusal of an ApiVersions request says which versions there are (KIP-511).
    pub(crate) fn tells_its_versions(self) -> bool {
        self >= Self::V2_4
    }

    /// Whether any broker passes on what is the controller's to do; with ZooKeeper only the controller does it.
    pub(crate) fn forwards_to_controller(self) -> bool {
        self >= Self::V4_3
    }

    /// Whether -1 stands for the default number of partitions and of replicas (KIP-464).
    pub(crate) fn has_default_counts(self) -> bool {
        self >= Self::V2_4
    }

    /// Whether refused records have a code of their own (KIP-467); else they count as corrupt.
    pub(crate) fn has_invalid_record(self) -> bool {
        self >= Self::V2_4
    }

    /// Whether a producer that a partition does not know may start with any sequence (KIP-360).
    pub(crate) fn takes_unknown_producers(self) -> bool {
        self >= Self::V3_0
    }

    /// Whether a topic that is being created is unknown until it is there; before, it was said to have no leader.
    pub(crate) fn creates_unknown_topics(self) -> bool {
        self >= Self::V3_0
    }

    /// Whether a join that waits under an id which its client has never been told ends after a while (KAFKA-7610).
    pub(crate) fn ends_new_joins(self) -> bool {
        self >= Self::V2_4
    }

    /// Whether heartbeats count between a join's answer and the sync's (KAFKA-10134); before, they were told to join again.
    pub(crate) fn takes_heartbeats_before_syncs(self) -> bool {
        self >= Self::V3_0
    }

    /// Whether members that never ask for their assignment are removed (KAFKA-12890).
    pub(crate) fn expects_syncs(self) -> bool {
        self >= Self::V3_0
    }

    /// Whether the new id of a static member that comes back is written, and begins a rebalance where the leader may be
    /// assigning to the old one, or where another protocol would be chosen (KAFKA-9801, KAFKA-10284).
    pub(crate) fn settles_new_static_ids(self) -> bool {
        self >= Self::V3_0
    }

    /// Whether a sync learns that its group is being loaded; before, it was told to join again.
    pub(crate) fn tells_syncs_of_loading(self) -> bool {
        self >= Self::V4_3
    }

    /// Whether ApiVersions tells features (KIP-584), of which there were none with ZooKeeper.
    pub(crate) fn has_features(self) -> bool {
        self >= Self::V4_3
    }
}

/// A text that names no [`Release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Snafu)]
#[snafu(display("not a release that the fake cluster plays"))]
pub struct UnknownRelease;

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Release {
    type Err = UnknownRelease;

    fn from_str(text: &str) -> Result<Self, UnknownRelease> {
        let mut all = Self::ALL.into_iter();
        all.find(|release| release.as_str() == text)
            .ok_or(UnknownRelease)
    }
}
