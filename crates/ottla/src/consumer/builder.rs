//! Collects a consumer's settings, and checks them once.

use std::sync::Arc;

use ottla_assignor::Assignor;
use ottla_connection::Backoff;
use ottla_coordinator::membership::{self, Membership};
use tokio::time::{Duration, Instant};

use super::commits::Commits;
use super::config::{ConsumerConfig, IsolationLevel};
use super::coordinator::Coordinator;
use super::decoder::Decoder;
use super::group::{Group, GroupConfig, Member, Offer, assignors};
use super::handle::ConsumerHandle;
use super::owner::Owner;
use super::reader::Consumer;
use super::reset::AutoOffsetReset;
use super::shared::Shared;
use crate::client::Core;
use crate::config::properties::{self, Property};
use crate::error::{Error, ErrorKind, Result};

/// Collects the settings of a [`Consumer`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ConsumerBuilder {
    core: Arc<Core>,
    config: ConsumerConfig,
}

impl ConsumerBuilder {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let request_timeout = core.config.request_timeout;
        Self {
            core,
            config: ConsumerConfig {
                fetch_min_bytes: 1,
                fetch_max_bytes: 50 * 1024 * 1024,
                max_partition_fetch_bytes: 1024 * 1024,
                fetch_max_wait: Duration::from_millis(500),
                isolation_level: IsolationLevel::ReadUncommitted,
                auto_offset_reset: AutoOffsetReset::Latest,
                client_rack: String::new(),
                check_crcs: true,
                memory_limit: 64 * 1024 * 1024,
                group_id: None,
                group: GroupConfig::default(),
                api_timeout: Duration::from_secs(60),
                request_timeout,
            },
        }
    }

    /// Takes settings by the names that Java's and librdkafka's clients use.
    ///
    #[doc = include_str!("properties.md")]
    ///
    /// Names that belong to the client are left to it; others that Kafka clients know are skipped with
    /// one warning.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownProperty`](crate::ErrorKind::UnknownProperty) for a name that no Kafka client
    /// knows, [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for a value that cannot be.
    pub fn properties<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        let elsewhere = properties::names_of(crate::client::PROPERTIES);
        properties::apply(&mut self, PROPERTIES, &elsewhere, properties)?;
        Ok(self)
    }

    /// How many bytes a broker collects before it answers a fetch, unless
    /// [`fetch_max_wait`](Self::fetch_max_wait) is over. Default: 1.
    #[doc(alias = "fetch.min.bytes")]
    pub fn fetch_min_bytes(mut self, bytes: usize) -> Self {
        self.config.fetch_min_bytes = bytes;
        self
    }

    /// How many bytes one answer to a fetch may bring. The memory limit bounds it as well; one batch that
    /// is larger still comes. Default: 50 MiB.
    #[doc(alias = "fetch.max.bytes")]
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.config.fetch_max_bytes = bytes;
        self
    }

    /// How many bytes of one partition one answer may bring; one batch that is larger still comes.
    /// Default: 1 MiB.
    #[doc(alias = "max.partition.fetch.bytes")]
    pub fn max_partition_fetch_bytes(mut self, bytes: usize) -> Self {
        self.config.max_partition_fetch_bytes = bytes;
        self
    }

    /// How long a broker waits for [`fetch_min_bytes`](Self::fetch_min_bytes). Default: 500 ms.
    #[doc(alias = "fetch.max.wait.ms")]
    pub fn fetch_max_wait(mut self, wait: Duration) -> Self {
        self.config.fetch_max_wait = wait;
        self
    }

    /// Which records of transactions are read. Default: [`IsolationLevel::ReadUncommitted`], as in Java;
    /// librdkafka's is the other.
    #[doc(alias = "isolation.level")]
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.config.isolation_level = level;
        self
    }

    /// Where to start without a committed offset, or when the log does not hold the position. Default:
    /// [`AutoOffsetReset::Latest`].
    #[doc(alias = "auto.offset.reset")]
    pub fn auto_offset_reset(mut self, reset: AutoOffsetReset) -> Self {
        self.config.auto_offset_reset = reset;
        self
    }

    /// The rack this consumer stands in: brokers may then send it to a replica nearby (KIP-392).
    /// Default: none.
    #[doc(alias = "client.rack")]
    pub fn client_rack(mut self, rack: impl Into<String>) -> Self {
        self.config.client_rack = rack.into();
        self
    }

    /// Whether batches' checksums are verified. Default: yes.
    #[doc(alias = "check.crcs")]
    pub fn check_crcs(mut self, check: bool) -> Self {
        self.config.check_crcs = check;
        self
    }

    /// How many bytes the consumer may hold: answers that are under way, batches that wait, compressed or
    /// not, and batches in the caller's hands until they are dropped or detached. One batch larger than
    /// this passes alone. Default: 64 MiB.
    #[doc(alias = "queued.max.messages.kbytes")]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.config.memory_limit = bytes;
        self
    }

    /// The group for which offsets are committed and looked up. Default: none.
    #[doc(alias = "group.id")]
    pub fn group_id(mut self, id: impl Into<String>) -> Self {
        self.config.group_id = Some(id.into()).filter(|id| !id.is_empty());
        self
    }

    /// The consumer's lasting name in its group, which makes it a static member (KIP-345): one that is back
    /// within the session timeout finds its partitions again, and nobody else notices. No two consumers of a
    /// group may have the same. Default: none.
    #[doc(alias = "group.instance.id")]
    pub fn group_instance_id(mut self, id: impl Into<String>) -> Self {
        self.config.group.instance_id = Some(id.into()).filter(|id| !id.is_empty());
        self
    }

    /// How long the group's coordinator waits for a sign of life before it gives this member's partitions to
    /// others. Brokers have bounds of their own for it. Default: 45 s.
    #[doc(alias = "session.timeout.ms")]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.config.group.session_timeout = timeout;
        self
    }

    /// The time between two signs of life to the group's coordinator, which is also how it says that the
    /// group rebalances. Must be shorter than the session timeout; a third of it is usual. Default: 3 s.
    #[doc(alias = "heartbeat.interval.ms")]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.config.group.heartbeat_interval = interval;
        self
    }

    /// How long the caller may stay away between two calls for records before this member leaves its group,
    /// and how long the group waits for it to give up partitions. Default: 5 min.
    #[doc(alias = "max.poll.interval.ms")]
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.config.group.max_poll_interval = interval;
        self
    }

    /// Whether offsets are committed without being asked for, for consumers with a group id: what the caller
    /// has come back from, by asking for the next records. Default: yes.
    #[doc(alias = "enable.auto.commit")]
    pub fn auto_commit(mut self, enable: bool) -> Self {
        self.config.group.auto_commit = enable;
        self
    }

    /// The time between two auto-commits. Default: 5 s.
    #[doc(alias = "auto.commit.interval.ms")]
    pub fn auto_commit_interval(mut self, interval: Duration) -> Self {
        self.config.group.auto_commit_interval = interval;
        self
    }

    /// The ways of sharing out a group's partitions that this consumer offers, the preferred one first; the
    /// group uses one that all its members offer. With those that are all
    /// [cooperative](crate::assignor::RebalanceProtocol::Cooperative), partitions that stay are read on through
    /// a rebalance. Default: range and cooperative-sticky, as in Java, with which a group is eager.
    ///
    /// What an assignor remembers belongs to one consumer: give each its own.
    #[doc(alias = "partition.assignment.strategy")]
    pub fn assignors(mut self, assignors: impl IntoIterator<Item = Arc<dyn Assignor>>) -> Self {
        self.config.group.assignors = assignors.into_iter().map(Offer::Given).collect();
        self
    }

    /// How long a call that asks brokers may take, with all its tries. Default: 60 s.
    #[doc(alias = "default.api.timeout.ms")]
    pub fn api_timeout(mut self, timeout: Duration) -> Self {
        self.config.api_timeout = timeout;
        self
    }

    /// How long one request may take; a fetch may take [`fetch_max_wait`](Self::fetch_max_wait) longer.
    /// Default: the client's, which is 30 s unless set otherwise.
    #[doc(alias = "request.timeout.ms")]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// Makes the consumer. It fetches nothing before partitions are assigned.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] names the setting that cannot work.
    pub fn build(self) -> Result<Consumer> {
        let Self { core, config } = self;
        for (property, bytes) in [
            ("fetch.max.bytes", config.fetch_max_bytes),
            (
                "max.partition.fetch.bytes",
                config.max_partition_fetch_bytes,
            ),
            ("queued.max.messages.kbytes", config.memory_limit),
        ] {
            if bytes == 0 {
                return Err(invalid(property, "it must be more than zero"));
            }
        }
        for (property, time) in [
            ("default.api.timeout.ms", config.api_timeout),
            ("request.timeout.ms", config.request_timeout),
            ("session.timeout.ms", config.group.session_timeout),
            ("heartbeat.interval.ms", config.group.heartbeat_interval),
            ("max.poll.interval.ms", config.group.max_poll_interval),
            ("auto.commit.interval.ms", config.group.auto_commit_interval),
        ] {
            if time.is_zero() {
                return Err(invalid(property, "it must be longer than zero"));
            }
        }
        if config.group.heartbeat_interval >= config.group.session_timeout {
            let reason = "it must be shorter than session.timeout.ms";
            return Err(invalid("heartbeat.interval.ms", reason));
        }
        let membership = match &config.group_id {
            Some(group_id) => Some(membership(group_id, &config, &core)?),
            None => None,
        };
        let shared = Arc::new(Shared::new(core, config));
        let coordinator = Coordinator::new(shared.clone());
        let (commits, committer) = Commits::new(coordinator.clone());
        let (group, commands) = Group::new();
        shared.spawn(Owner::new(coordinator.clone()).run());
        shared.spawn(committer);
        if let Some(membership) = membership {
            let (coordinator, commits) = (coordinator.clone(), commits.clone());
            shared.spawn(Member::new(coordinator, commits, commands, membership).run());
        }
        let decoder = Decoder::for_consumer(&shared.budget, &shared.config);
        let handle = ConsumerHandle {
            shared,
            commits,
            coordinator,
            group,
        };
        Ok(Consumer::new(handle, decoder))
    }
}

/// The machine that is a member of the group, once it is told to.
fn membership(group_id: &str, config: &ConsumerConfig, core: &Core) -> Result<Membership> {
    let group = &config.group;
    let settings = membership::Config {
        group_id: group_id.to_owned(),
        instance_id: group.instance_id.clone(),
        rack: Some(config.client_rack.clone()).filter(|rack| !rack.is_empty()),
        session_timeout: group.session_timeout,
        rebalance_timeout: group.max_poll_interval,
        heartbeat_interval: group.heartbeat_interval,
        request_timeout: config.request_timeout,
    };
    let (first, longest) = core.config.retry_backoff;
    let backoff = Backoff::new(first, longest);
    let mut rng = core.env.fork_rng();
    let pause = Box::new(move |failures| backoff.delay(failures, &mut rng));
    let now = Instant::now().into_std();
    Membership::new(settings, group.assignors(), pause, now)
        .map_err(|error| invalid("partition.assignment.strategy", &error.to_string()))
}

fn invalid(property: &str, reason: &str) -> Error {
    ErrorKind::InvalidConfig {
        property: property.to_owned(),
        reason: reason.to_owned(),
    }
    .into()
}

/// The properties that a consumer understands.
pub(crate) static PROPERTIES: &[Property<ConsumerBuilder>] = &[
    Property {
        name: "group.id",
        aliases: &[],
        about: "the group for which offsets are committed and looked up; default none",
        set: |b, v| {
            b.config.group_id = Some(v.to_owned()).filter(|id| !id.is_empty());
            Ok(())
        },
    },
    Property {
        name: "group.instance.id",
        aliases: &[],
        about: "the consumer's lasting name in its group, for a static member; default none",
        set: |b, v| {
            b.config.group.instance_id = Some(v.to_owned()).filter(|id| !id.is_empty());
            Ok(())
        },
    },
    Property {
        name: "group.protocol",
        aliases: &[],
        about: "`classic`, the only one there is here so far; default `classic`",
        set: |_, v| match v.to_ascii_lowercase().as_str() {
            "classic" => Ok(()),
            "consumer" => Err("the consumer protocol (KIP-848) is not supported yet".to_owned()),
            _ => Err(format!("{v:?} is no group protocol")),
        },
    },
    Property {
        name: "partition.assignment.strategy",
        aliases: &[],
        about: "`range`, `roundrobin`, `sticky`, `cooperative-sticky`, or the names of Java's classes, in order \
                of preference; default `range,cooperative-sticky`",
        set: |b, v| {
            b.config.group.assignors = assignors(v)?;
            Ok(())
        },
    },
    Property {
        name: "session.timeout.ms",
        aliases: &[],
        about: "how long the coordinator waits for a sign of life; default 45000",
        set: |b, v| {
            b.config.group.session_timeout = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "heartbeat.interval.ms",
        aliases: &[],
        about: "the time between two signs of life; default 3000",
        set: |b, v| {
            b.config.group.heartbeat_interval = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "max.poll.interval.ms",
        aliases: &[],
        about: "how long the caller may stay away between two calls for records; default 300000",
        set: |b, v| {
            b.config.group.max_poll_interval = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "enable.auto.commit",
        aliases: &["auto.commit.enable"],
        about: "whether offsets are committed without being asked for; default true",
        set: |b, v| {
            b.config.group.auto_commit = properties::boolean(v)?;
            Ok(())
        },
    },
    Property {
        name: "auto.commit.interval.ms",
        aliases: &[],
        about: "the time between two auto-commits; default 5000",
        set: |b, v| {
            b.config.group.auto_commit_interval = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "auto.offset.reset",
        aliases: &[],
        about: "`earliest`, `latest`, `none`, or `by_duration:` and an ISO 8601 duration such as \
                `PT24H`: where to start without a position in the log; default `latest`",
        set: |b, v| {
            b.config.auto_offset_reset = auto_offset_reset(v)?;
            Ok(())
        },
    },
    Property {
        name: "isolation.level",
        aliases: &[],
        about: "`read_uncommitted` or `read_committed`; default `read_uncommitted`",
        set: |b, v| {
            b.config.isolation_level = match v.to_ascii_lowercase().as_str() {
                "read_uncommitted" => IsolationLevel::ReadUncommitted,
                "read_committed" => IsolationLevel::ReadCommitted,
                _ => return Err(format!("{v:?} is no isolation level")),
            };
            Ok(())
        },
    },
    Property {
        name: "fetch.min.bytes",
        aliases: &[],
        about: "how many bytes a broker collects before it answers a fetch; default 1",
        set: |b, v| {
            b.config.fetch_min_bytes = properties::number(v)?;
            Ok(())
        },
    },
    Property {
        name: "fetch.max.bytes",
        aliases: &[],
        about: "how many bytes one answer may bring; default 52428800",
        set: |b, v| {
            b.config.fetch_max_bytes = properties::number(v)?;
            Ok(())
        },
    },
    Property {
        name: "max.partition.fetch.bytes",
        aliases: &["fetch.message.max.bytes"],
        about: "how many bytes of one partition one answer may bring; default 1048576",
        set: |b, v| {
            b.config.max_partition_fetch_bytes = properties::number(v)?;
            Ok(())
        },
    },
    Property {
        name: "fetch.max.wait.ms",
        aliases: &["fetch.wait.max.ms"],
        about: "how long a broker waits for `fetch.min.bytes`; default 500",
        set: |b, v| {
            b.config.fetch_max_wait = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "check.crcs",
        aliases: &[],
        about: "whether batches' checksums are verified; default true",
        set: |b, v| {
            b.config.check_crcs = properties::boolean(v)?;
            Ok(())
        },
    },
    Property {
        name: "client.rack",
        aliases: &[],
        about: "the rack this consumer stands in, to be sent to a replica nearby; default none",
        set: |b, v| {
            v.clone_into(&mut b.config.client_rack);
            Ok(())
        },
    },
    Property {
        name: "queued.max.messages.kbytes",
        aliases: &[],
        about: "how many KiB the consumer may hold in all; default 65536",
        set: |b, v| {
            b.config.memory_limit = properties::number::<usize>(v)?.saturating_mul(1024);
            Ok(())
        },
    },
    Property {
        name: "default.api.timeout.ms",
        aliases: &[],
        about: "how long a call that asks brokers may take, with all its tries; default 60000",
        set: |b, v| {
            b.config.api_timeout = properties::millis(v)?;
            Ok(())
        },
    },
    Property {
        name: "request.timeout.ms",
        aliases: &["socket.timeout.ms"],
        about: "how long one request may take; default the client's, 30000",
        set: |b, v| {
            b.config.request_timeout = properties::millis(v)?;
            Ok(())
        },
    },
];

/// Java's values, and librdkafka's other names for them.
fn auto_offset_reset(value: &str) -> std::result::Result<AutoOffsetReset, String> {
    let lower = value.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "earliest" | "beginning" | "smallest" => AutoOffsetReset::Earliest,
        "latest" | "end" | "largest" => AutoOffsetReset::Latest,
        "none" | "error" => AutoOffsetReset::None,
        _ => match lower.strip_prefix("by_duration:").and_then(iso_duration) {
            Some(back) => AutoOffsetReset::ByDuration(back),
            None => return Err(format!("{value:?} is no reset policy")),
        },
    })
}

/// An ISO 8601 duration as Java reads it: days, hours, minutes and seconds, the latter with a fraction;
/// neither negative nor empty. In lower case.
fn iso_duration(text: &str) -> Option<Duration> {
    let rest = text.strip_prefix('p')?;
    let (days, time) = match rest.split_once('t') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None if rest.is_empty() => return None,
        None => (rest, ""),
    };
    let mut seconds = 0.0;
    let mut rest = days;
    take_unit(&mut rest, 'd', 86_400.0, &mut seconds)?;
    if !rest.is_empty() {
        return None;
    }
    rest = time;
    take_unit(&mut rest, 'h', 3_600.0, &mut seconds)?;
    take_unit(&mut rest, 'm', 60.0, &mut seconds)?;
    take_unit(&mut rest, 's', 1.0, &mut seconds)?;
    if !rest.is_empty() {
        return None;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// Takes "12h" off the front, if that is what stands there.
fn take_unit(rest: &mut &str, unit: char, worth: f64, seconds: &mut f64) -> Option<()> {
    if let Some((number, tail)) = rest.split_once(unit) {
        let fraction_allowed = unit == 's';
        let digits = |c: char| c.is_ascii_digit() || (fraction_allowed && c == '.');
        if number.is_empty() || !number.chars().all(digits) {
            return None;
        }
        *seconds += number.parse::<f64>().ok()? * worth;
        *rest = tail;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_are_documented() {
        let documented = include_str!("properties.md");
        properties::check_documented(PROPERTIES, "consumer/properties.md", documented);
    }

    #[test]
    fn reset_policies_have_their_names() {
        let by = |seconds| Ok(AutoOffsetReset::ByDuration(Duration::from_secs(seconds)));
        assert_eq!(auto_offset_reset("Earliest"), Ok(AutoOffsetReset::Earliest));
        assert_eq!(auto_offset_reset("largest"), Ok(AutoOffsetReset::Latest));
        assert_eq!(auto_offset_reset("error"), Ok(AutoOffsetReset::None));
        assert_eq!(auto_offset_reset("by_duration:P1DT2H3M4S"), by(93_784));
        assert_eq!(auto_offset_reset("by_duration:PT24H"), by(86_400));
        assert_eq!(auto_offset_reset("by_duration:P7D"), by(604_800));
        assert_eq!(
            auto_offset_reset("by_duration:PT0.5S"),
            Ok(AutoOffsetReset::ByDuration(Duration::from_millis(500)))
        );
        for wrong in [
            "",
            "soon",
            "by_duration:",
            "by_duration:P",
            "by_duration:PT",
        ] {
            assert!(auto_offset_reset(wrong).is_err(), "{wrong}");
        }
        for wrong in ["P1DT", "PT-1H", "P1H", "PT1D", "PT1S2M", "PT1", "-PT1S"] {
            assert!(
                iso_duration(&wrong.to_ascii_lowercase()).is_none(),
                "{wrong}"
            );
        }
    }
}
