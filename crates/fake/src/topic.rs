//! Topics and their partitions: who leads, who follows, and what each broker has heard of it.

use std::collections::BTreeMap;

use ottla_codec::{ErrorCode, Uuid};

use crate::log::PartitionLog;
use crate::topic_config::TopicConfig;

/// A topic of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) config: TopicConfig,
    pub(crate) partitions: Vec<Partition>,
}

/// One partition: its leadership and its log.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) log: PartitionLog,
    /// Where the current leader's epoch began: until the high watermark is there, offsets are not available.
    pub(crate) epoch_start: i64,
    /// Brokers that still act on an older leadership: the new leader in its not-ready window.
    pub(crate) unaware: BTreeMap<i32, Leadership>,
    /// Followers whose copy ends earlier than the leader's, by broker.
    pub(crate) follower_ends: BTreeMap<i32, i64>,
}

/// Who leads a partition, as one broker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub(crate) leader: Option<i32>,
    pub(crate) epoch: i32,
}

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<&Partition> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.partitions.get(index))
    }

    pub(crate) fn partition_mut(&mut self, index: i32) -> Option<&mut Partition> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.partitions.get_mut(index))
    }

    /// Topics that Kafka keeps for itself; clients may not produce to them.
    pub(crate) fn is_internal(name: &str) -> bool {
        matches!(
            name,
            "__consumer_offsets" | "__transaction_state" | "__share_group_state"
        )
    }

    /// Whether Kafka allows such a name.
    pub(crate) fn is_valid_name(name: &str) -> bool {
        (1..=249).contains(&name.len())
            && name != "."
            && name != ".."
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }
}

impl Partition {
    pub(crate) fn new(index: i32, replicas: Vec<i32>, leader: Option<i32>) -> Self {
        let mut log = PartitionLog::default();
        log.epochs.assign(0, 0);
        Self {
            index,
            leader,
            leader_epoch: 0,
            isr: replicas.clone(),
            replicas,
            log,
            epoch_start: 0,
            unaware: BTreeMap::new(),
            follower_ends: BTreeMap::new(),
        }
    }

    /// Who leads, as `broker` knows it.
    pub(crate) fn leadership_on(&self, broker: i32) -> Leadership {
        let current = Leadership {
            leader: self.leader,
            epoch: self.leader_epoch,
        };
        self.unaware.get(&broker).copied().unwrap_or(current)
    }

    pub(crate) fn is_led_by(&self, broker: i32) -> bool {
        self.leadership_on(broker).leader == Some(broker) && self.leader == Some(broker)
    }

    /// Checks, as a broker does for every read, that it holds a replica, that the client's leader epoch is its
    /// own, and that it leads if only a leader may answer.
    pub(crate) fn check_read(
        &self,
        broker: i32,
        requested_epoch: i32,
        leader_only: bool,
    ) -> Result<(), ErrorCode> {
        if !self.replicas.contains(&broker) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let own = self.leadership_on(broker).epoch;
        if requested_epoch >= 0 && requested_epoch < own {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if requested_epoch >= 0 && requested_epoch > own {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        if leader_only && !self.is_led_by(broker) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        Ok(())
    }

    /// Where the copy on `broker` ends.
    pub(crate) fn log_end_on(&self, broker: i32) -> i64 {
        let held = self
            .follower_ends
            .get(&broker)
            .copied()
            .filter(|_| !self.is_led_by(broker));
        held.map_or(self.log.log_end, |end| end.min(self.log.log_end))
    }

    /// Gives the partition a new leader (or none) under the next leader epoch.
    ///
    /// A new leader's copy may end early; then the log is truncated to it, which loses records.
    pub(crate) fn elect(&mut self, leader: Option<i32>) {
        if let Some(leader) = leader {
            let end = self.log_end_on(leader);
            self.log.truncate_to(end);
            self.follower_ends.remove(&leader);
            if !self.isr.contains(&leader) {
                self.isr.push(leader);
            }
        }
        self.leader = leader;
        self.leader_epoch += 1;
        self.unaware.clear();
        if leader.is_some() {
            self.epoch_start = self.log.log_end;
            self.log.epochs.assign(self.leader_epoch, self.log.log_end);
        }
    }

    /// The next leader among in-sync replicas that `alive` accepts: the preferred order of the replicas.
    pub(crate) fn candidate(&self, alive: impl Fn(i32) -> bool) -> Option<i32> {
        self.replicas
            .iter()
            .copied()
            .find(|replica| self.isr.contains(replica) && alive(*replica))
    }
}
