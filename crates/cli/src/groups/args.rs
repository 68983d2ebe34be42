//! What can be asked for.

use std::str::FromStr;

use clap::Subcommand;
use ottla::{GroupState, GroupType};

use crate::args::Common;

#[derive(Debug, Subcommand)]
pub(crate) enum Groups {
    /// List the groups of all brokers
    List {
        /// Only those in one of these states, separated by commas: Empty, PreparingRebalance, Stable, …
        #[arg(long = "state", value_name = "STATE,…", value_delimiter = ',')]
        states: Vec<GroupState>,
        /// Only those of one of these types, separated by commas: classic, consumer, share, streams
        #[arg(long = "type", value_name = "TYPE,…", value_delimiter = ',')]
        types: Vec<GroupType>,
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long, overrides_with = "json")]
        json: bool,
    },
    /// Describe a group: who has which partition, what is committed, and how much is left to consume
    Describe {
        /// The group
        #[arg(value_name = "GROUP")]
        group: String,
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long, overrides_with = "json")]
        json: bool,
    },
    /// Delete groups that have no members, with what they have committed
    Delete {
        /// Groups
        #[arg(value_name = "GROUP", required = true)]
        groups: Vec<String>,
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long, overrides_with = "json")]
        json: bool,
    },
    /// Set where a group without members goes on; one that does not exist comes into being
    ResetOffsets {
        /// The group
        #[arg(value_name = "GROUP")]
        group: String,
        /// A topic, or some of its partitions; repeatable
        #[arg(
            short,
            long = "topic",
            value_name = "TOPIC[:PARTITION,…]",
            required = true
        )]
        topics: Vec<Which>,
        /// Where to: earliest, latest, an offset N, +N or -N from where it is, current for where it is (or latest), or
        /// @MILLIS for the first record at or after a time
        #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
        to: To,
        /// Change nothing: only say what would be done
        #[arg(short = 'n', long, overrides_with = "dry_run")]
        dry_run: bool,
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long, overrides_with = "json")]
        json: bool,
    },
    /// Forget what a group has committed; of one with members only for topics that none of them reads
    DeleteOffsets {
        /// The group
        #[arg(value_name = "GROUP")]
        group: String,
        /// A topic, or some of its partitions; repeatable
        #[arg(
            short,
            long = "topic",
            value_name = "TOPIC[:PARTITION,…]",
            required = true
        )]
        topics: Vec<Which>,
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long, overrides_with = "json")]
        json: bool,
    },
}

impl Groups {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::List { common, .. }
            | Self::Describe { common, .. }
            | Self::Delete { common, .. }
            | Self::ResetOffsets { common, .. }
            | Self::DeleteOffsets { common, .. } => common,
        }
    }
}

/// A topic, or some of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Which {
    pub(crate) topic: String,
    /// None for all of them.
    pub(crate) partitions: Vec<i32>,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // No topic has a colon in its name.
        let (topic, partitions) = match text.split_once(':') {
            None => (text, Some(Vec::new())),
            Some((topic, partitions)) => {
                let partitions = partitions.split(',').map(|partition| {
                    let index: i32 = partition.parse().ok()?;
                    (index >= 0).then_some(index)
                });
                (topic, partitions.collect())
            }
        };
        match partitions {
            Some(partitions) if !topic.is_empty() => Ok(Self {
                topic: topic.to_owned(),
                partitions,
            }),
            _ => Err("expected TOPIC or TOPIC:PARTITION,…".to_owned()),
        }
    }
}

/// Where a group is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// At the first record of the log.
    Earliest,
    /// After the last record of the log.
    Latest,
    /// At this offset.
    Offset(i64),
    /// So many offsets from where it is, or at the end of the log in that direction.
    By(i64),
    /// Where it is; after the last record where nothing is committed.
    Current,
    /// At the first record with this timestamp, in milliseconds since 1970, or a later one; at the end
    /// if there is none.
    Timestamp(i64),
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let natural = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
        let after = |sign: char| {
            text.strip_prefix(sign)
                .filter(|rest| !rest.starts_with('+'))
        };
        let to = match text {
            "earliest" => Some(Self::Earliest),
            "latest" => Some(Self::Latest),
            "current" => Some(Self::Current),
            _ => match (after('@'), after('+'), after('-')) {
                (Some(millis), ..) => natural(millis).map(Self::Timestamp),
                (_, Some(count), _) => natural(count).map(Self::By),
                (.., Some(count)) => natural(count).map(|count| Self::By(-count)),
                _ => natural(text).map(Self::Offset),
            },
        };
        to.ok_or_else(|| "expected earliest, latest, current, N, +N, -N or @MILLIS".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_partitions() {
        let which = |topic: &str, partitions: &[i32]| Which {
            topic: topic.to_owned(),
            partitions: partitions.to_owned(),
        };
        assert_eq!("t".parse(), Ok(which("t", &[])));
        assert_eq!("t:0".parse(), Ok(which("t", &[0])));
        assert_eq!("t:0,12".parse(), Ok(which("t", &[0, 12])));
        for text in ["", ":1", "t:", "t:x", "t:-1", "t:1,", "t:1:2"] {
            assert!(text.parse::<Which>().is_err(), "{text}");
        }
    }

    #[test]
    fn wheres() {
        assert_eq!("earliest".parse(), Ok(To::Earliest));
        assert_eq!("latest".parse(), Ok(To::Latest));
        assert_eq!("7".parse(), Ok(To::Offset(7)));
        assert_eq!(
            "@1600000000000".parse(),
            Ok(To::Timestamp(1_600_000_000_000))
        );
        assert_eq!("current".parse(), Ok(To::Current));
        assert_eq!("+7".parse(), Ok(To::By(7)));
        assert_eq!("-7".parse(), Ok(To::By(-7)));
        for text in [
            "", "-", "+", "--1", "+-1", "++1", "-+1", "@", "@-1", "end", "1.5",
        ] {
            assert!(text.parse::<To>().is_err(), "{text}");
        }
    }
}
