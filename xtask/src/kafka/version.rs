//! The Kafka versions that ottla is tested against.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;

/// A Kafka version that this crate can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2.8.2, with ZooKeeper; it can still write the message formats 0 and 1.
    V2_8,
    /// 3.9.2, KRaft: the last line that still serves the oldest requests.
    V3_9,
    /// 4.3.0, KRaft.
    V4_3,
}

impl Version {
    /// Every version, newest first.
    pub const ALL: [Self; 3] = [Self::V4_3, Self::V3_9, Self::V2_8];

    /// The version which is used unless another is asked for.
    pub const DEFAULT: Self = Self::V4_3;

    /// The full version number.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2_8 => "2.8.2",
            Self::V3_9 => "3.9.2",
            Self::V4_3 => "4.3.0",
        }
    }

    /// Whether brokers of this version need a ZooKeeper.
    #[must_use]
    pub fn needs_zookeeper(self) -> bool {
        self == Self::V2_8
    }

    /// The main class of the console consumer.
    #[must_use]
    pub fn console_consumer(self) -> &'static str {
        match self {
            Self::V2_8 => "kafka.tools.ConsoleConsumer",
            Self::V3_9 | Self::V4_3 => "org.apache.kafka.tools.consumer.ConsoleConsumer",
        }
    }

    /// The main class of the console producer.
    #[must_use]
    pub fn console_producer(self) -> &'static str {
        match self {
            Self::V2_8 | Self::V3_9 => "kafka.tools.ConsoleProducer",
            Self::V4_3 => "org.apache.kafka.tools.ConsoleProducer",
        }
    }

    /// The main class that prints a log segment's batches and records.
    #[must_use]
    pub fn dump_log_segments(self) -> &'static str {
        match self {
            Self::V2_8 | Self::V3_9 => "kafka.tools.DumpLogSegments",
            Self::V4_3 => "org.apache.kafka.tools.DumpLogSegments",
        }
    }

    /// The main class that prints the offsets of partitions.
    #[must_use]
    pub fn offset_shell(self) -> &'static str {
        match self {
            Self::V2_8 => "kafka.tools.GetOffsetShell",
            Self::V3_9 | Self::V4_3 => "org.apache.kafka.tools.GetOffsetShell",
        }
    }

    /// The main class that creates, lists and deletes topics.
    #[must_use]
    pub fn topic_command(self) -> &'static str {
        match self {
            Self::V2_8 => "kafka.admin.TopicCommand",
            Self::V3_9 | Self::V4_3 => "org.apache.kafka.tools.TopicCommand",
        }
    }

    pub(crate) fn pom(self) -> &'static str {
        match self {
            Self::V2_8 => include_str!("../../kafka/pom-2.8.2.xml"),
            Self::V3_9 => include_str!("../../kafka/pom-3.9.2.xml"),
            Self::V4_3 => include_str!("../../kafka/pom-4.3.0.xml"),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    /// Accepts the full number and its first two parts.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        for version in Self::ALL {
            let full = version.as_str();
            if s == full
                || full
                    .strip_prefix(s)
                    .is_some_and(|rest| rest.matches('.').count() == 1 && rest.starts_with('.'))
            {
                return Ok(version);
            }
        }
        let known = Self::ALL.map(Self::as_str).join(", ");
        bail!("unknown Kafka version {s:?}; known: {known}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_full_and_short_numbers() {
        assert_eq!("4.3.0".parse::<Version>().unwrap(), Version::V4_3);
        assert_eq!("3.9".parse::<Version>().unwrap(), Version::V3_9);
        assert_eq!("2.8".parse::<Version>().unwrap(), Version::V2_8);
    }

    #[test]
    fn refuses_what_it_cannot_start() {
        for wrong in ["", "4", "4.3.", "4.3.1", "v4.3.0"] {
            let error = wrong.parse::<Version>().unwrap_err().to_string();
            assert!(error.contains("4.3.0, 3.9.2, 2.8.2"), "{error}");
        }
    }

    #[test]
    fn each_pom_names_its_version() {
        for version in Version::ALL {
            assert!(
                version
                    .pom()
                    .contains(&format!("<version>{version}</version>"))
            );
        }
    }
}
