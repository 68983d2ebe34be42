//! A topic's configuration: the settings the cluster acts on, and any others, kept as they were given.
//!
//! # References
//! - Topic configs: <https://kafka.apache.org/documentation/#topicconfigs>

use std::collections::BTreeMap;

/// Settings of Kafka 4.3 that the cluster acts on, with their defaults.
const DEFAULTS: [(&str, &str); 9] = [
    ("cleanup.policy", "delete"),
    ("delete.retention.ms", "86400000"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.insync.replicas", "1"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
];

/// Settings that Kafka knows and the cluster keeps without acting on them.
const INERT: [&str; 21] = [
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "index.interval.bytes",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "preallocate",
    "remote.storage.enable",
    "segment.bytes",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
];

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
        let valid = match name {
            "cleanup.policy" => value
                .split(',')
                .all(|policy| ["delete", "compact"].contains(&policy.trim())),
            "message.timestamp.type" => ["CreateTime", "LogAppendTime"].contains(&value),
            "max.message.bytes" | "delete.retention.ms" => {
                value.parse::<i64>().is_ok_and(|n| n >= 0)
            }
            "min.insync.replicas" => value.parse::<i32>().is_ok_and(|n| n >= 1),
            "retention.ms" | "retention.bytes" => value.parse::<i64>().is_ok_and(|n| n >= -1),
            "message.timestamp.after.max.ms" | "message.timestamp.before.max.ms" => {
                value.parse::<i64>().is_ok_and(|n| n >= 0)
            }
            other => INERT.contains(&other),
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

    /// All acted-on settings and those set, as (name, value, whether it was set).
    pub(crate) fn entries(&self) -> Vec<(String, String, bool)> {
        let mut all: BTreeMap<String, (String, bool)> = DEFAULTS
            .iter()
            .map(|&(name, value)| (name.to_owned(), (value.to_owned(), false)))
            .collect();
        for (name, value) in &self.set {
            all.insert(name.clone(), (value.clone(), true));
        }
        all.into_iter()
            .map(|(name, (value, set))| (name, value, set))
            .collect()
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
                .find(|(known, _)| *known == name)
                .map_or("", |&(_, value)| value)
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
