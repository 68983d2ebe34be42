//! A topic's configuration: the settings the cluster acts on, and any others, kept as they were given.
//!
//! # References
//! - Topic configs: <https://kafka.apache.org/documentation/#topicconfigs>

use std::collections::BTreeMap;

use ottla_codec::records::Compression;

/// `ConfigType` of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// Kafka 4.3's topic settings with their defaults, by name. The cluster acts on some and only keeps the others.
const DEFAULTS: [(&str, &str, Kind); 33] = [
    ("cleanup.policy", "delete", Kind::List),
    ("compression.gzip.level", "-1", Kind::Int),
    ("compression.lz4.level", "9", Kind::Int),
    ("compression.type", "producer", Kind::String),
    ("compression.zstd.level", "3", Kind::Int),
    ("delete.retention.ms", "86400000", Kind::Long),
    ("file.delete.delay.ms", "60000", Kind::Long),
    ("flush.messages", "9223372036854775807", Kind::Long),
    ("flush.ms", "9223372036854775807", Kind::Long),
    ("follower.replication.throttled.replicas", "", Kind::List),
    ("index.interval.bytes", "4096", Kind::Int),
    ("leader.replication.throttled.replicas", "", Kind::List),
    ("local.retention.bytes", "-2", Kind::Long),
    ("local.retention.ms", "-2", Kind::Long),
    ("max.compaction.lag.ms", "9223372036854775807", Kind::Long),
    ("max.message.bytes", "1048588", Kind::Int),
    ("message.timestamp.after.max.ms", "3600000", Kind::Long),
    (
        "message.timestamp.before.max.ms",
        "9223372036854775807",
        Kind::Long,
    ),
    ("message.timestamp.type", "CreateTime", Kind::String),
    ("min.cleanable.dirty.ratio", "0.5", Kind::Double),
    ("min.compaction.lag.ms", "0", Kind::Long),
    ("min.insync.replicas", "1", Kind::Int),
    ("preallocate", "false", Kind::Boolean),
    ("remote.log.copy.disable", "false", Kind::Boolean),
    ("remote.log.delete.on.disable", "false", Kind::Boolean),
    ("remote.storage.enable", "false", Kind::Boolean),
    ("retention.bytes", "-1", Kind::Long),
    ("retention.ms", "604800000", Kind::Long),
    ("segment.bytes", "1073741824", Kind::Int),
    ("segment.index.bytes", "10485760", Kind::Int),
    ("segment.jitter.ms", "0", Kind::Long),
    ("segment.ms", "604800000", Kind::Long),
    ("unclean.leader.election.enable", "false", Kind::Boolean),
];

/// One setting as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigEntry {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    /// Whether it was set for the topic.
    pub(crate) is_set: bool,
    /// `ConfigType` of the protocol.
    pub(crate) kind: i8,
}

/// A setting that Kafka would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidConfig {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The settings of one topic; what is not set has Kafka's default.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicConfig {
    set: BTreeMap<String, String>,
}

impl TopicConfig {
    /// Sets `name`, refusing names that Kafka does not know and values it would not take.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidConfig> {
        let kind = DEFAULTS
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|&(.., kind)| kind);
        let whole = |least: i64| value.parse::<i64>().is_ok_and(|number| number >= least);
        let valid = match (name, kind) {
            ("cleanup.policy", _) => value
                .split(',')
                .all(|policy| ["delete", "compact"].contains(&policy.trim())),
            ("message.timestamp.type", _) => ["CreateTime", "LogAppendTime"].contains(&value),
            ("compression.type", _) => {
                ["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"].contains(&value)
            }
            ("min.insync.replicas", _) => whole(1),
            ("retention.ms" | "retention.bytes" | "compression.gzip.level", _) => whole(-1),
            ("local.retention.ms" | "local.retention.bytes", _) => whole(-2),
            ("compression.zstd.level", _) => whole(-131_072),
            (_, Some(Kind::Boolean)) => value.parse::<bool>().is_ok(),
            (_, Some(Kind::Int | Kind::Long)) => whole(0),
            (_, Some(Kind::Double)) => value.parse::<f64>().is_ok(),
            (_, Some(Kind::String | Kind::List)) => true,
            (_, None) => false,
        };
        if !valid {
            return Err(InvalidConfig {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
        self.set.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// All settings, by name.
    pub(crate) fn entries(&self) -> Vec<ConfigEntry> {
        let entries = DEFAULTS.iter().map(|&(name, default, kind)| {
            let set = self.set.get(name);
            let value = set.cloned().unwrap_or_else(|| default.to_owned());
            ConfigEntry {
                name,
                value,
                is_set: set.is_some(),
                kind: kind as i8,
            }
        });
        entries.collect()
    }

    pub(crate) fn is_compacted(&self) -> bool {
        self.text("cleanup.policy").contains("compact")
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.text("cleanup.policy").contains("delete")
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.text("message.timestamp.type") == "LogAppendTime"
    }

    /// How the leader compresses what producers have compressed otherwise; `None` if it keeps that as it is.
    pub(crate) fn compression(&self) -> Option<Compression> {
        match self.text("compression.type") {
            "uncompressed" => Some(Compression::None),
            "gzip" => Some(Compression::Gzip),
            "snappy" => Some(Compression::Snappy),
            "lz4" => Some(Compression::Lz4),
            "zstd" => Some(Compression::Zstd),
            _ => None,
        }
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        usize::try_from(self.number("max.message.bytes")).unwrap_or(usize::MAX)
    }

    pub(crate) fn min_insync_replicas(&self) -> usize {
        usize::try_from(self.number("min.insync.replicas")).unwrap_or(1)
    }

    pub(crate) fn delete_retention_ms(&self) -> i64 {
        self.number("delete.retention.ms")
    }

    pub(crate) fn retention_ms(&self) -> i64 {
        self.number("retention.ms")
    }

    pub(crate) fn retention_bytes(&self) -> i64 {
        self.number("retention.bytes")
    }

    /// The range of record timestamps accepted at `now_ms`.
    pub(crate) fn timestamp_range(&self, now_ms: i64) -> std::ops::RangeInclusive<i64> {
        now_ms.saturating_sub(self.number("message.timestamp.before.max.ms"))
            ..=now_ms.saturating_add(self.number("message.timestamp.after.max.ms"))
    }

    fn text(&self, name: &str) -> &str {
        let default = || {
            DEFAULTS
                .iter()
                .find(|(known, ..)| *known == name)
                .map_or("", |&(_, value, _)| value)
        };
        self.set.get(name).map_or_else(default, String::as_str)
    }

    fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_kafkas_and_bad_settings_are_refused() {
        let mut config = TopicConfig::default();
        assert_eq!(config.max_message_bytes(), 1_048_588);
        assert!(config.is_deleted() && !config.is_compacted() && !config.is_log_append_time());
        assert!(config.set("cleanup.policy", "compact").is_ok());
        assert!(config.is_compacted() && !config.is_deleted());
        assert!(config.set("segment.bytes", "1000").is_ok());
        for (name, value) in [
            ("cleanup.policy", "shrink"),
            ("min.insync.replicas", "0"),
            ("no.such", "1"),
        ] {
            assert!(config.set(name, value).is_err(), "{name}={value}");
        }
        assert_eq!(config.timestamp_range(5), (5 - i64::MAX)..=3_600_005);
    }
}
