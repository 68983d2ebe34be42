//! Brokers and leaders, taken up, down and about.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::{Broker, DialFault};
use crate::cluster::FakeCluster;
use crate::error::FakeError;
use crate::metadata_view::MetadataView;
use crate::state::State;
use crate::topic::Partition;

/// How often a restarting broker tries to get its port back, a millisecond apart.
const PORT_ATTEMPTS: u32 = 5_000;

impl State {
    pub(crate) fn find_broker(&mut self, broker: i32) -> Result<&mut Broker, FakeError> {
        self.brokers
            .get_mut(&broker)
            .ok_or(FakeError::UnknownBroker { broker })
    }

    /// Takes a broker down: its connections are cut, what it had not answered is not answered, its sessions are gone.
    fn take_down(&mut self, id: i32) -> Result<(), FakeError> {
        let broker = self.find_broker(id)?;
        if !broker.running {
            return Ok(());
        }
        broker.running = false;
        broker.alive.cancel();
        broker.sessions.evict(None);
        broker.frozen_metadata = None;
        self.cut_connections(id);
        self.each_partition(|partition, alive| {
            if !partition.replicas.contains(&id) {
                return;
            }
            // The last in-sync replica stays in the set, or nobody could ever lead again without loss.
            if partition.isr.len() > 1 {
                partition.isr.retain(|&replica| replica != id);
            }
            if partition.leader == Some(id) {
                let next = partition.candidate(alive);
                partition.elect(next);
            }
        });
        self.move_groups(self.options.groups.load_time);
        Ok(())
    }

    fn bring_up(&mut self, id: i32) -> Result<(), FakeError> {
        let alive = self.new_broker_token();
        let broker = self.find_broker(id)?;
        if broker.running {
            return Ok(());
        }
        broker.running = true;
        broker.alive = alive;
        let port = broker.port;
        self.listen(id)
            .map_err(|source| FakeError::Listen { port, source })?;
        self.each_partition(|partition, alive| {
            if !partition.replicas.contains(&id) {
                return;
            }
            if partition.leader.is_none() && partition.isr.contains(&id) {
                let next = partition.candidate(alive);
                partition.elect(next);
            }
            // It catches up at once, unless it is held back.
            if partition.leader.is_some()
                && !partition.isr.contains(&id)
                && !partition.follower_ends.contains_key(&id)
            {
                partition.isr.push(id);
            }
        });
        self.move_groups(self.options.groups.load_time);
        Ok(())
    }

    fn each_partition(&mut self, mut change: impl FnMut(&mut Partition, &dyn Fn(i32) -> bool)) {
        let Self {
            topics,
            brokers,
            changed,
            ..
        } = self;
        let alive = |id: i32| brokers.get(&id).is_some_and(|broker| broker.running);
        for (name, topic) in topics.iter_mut() {
            for partition in &mut topic.partitions {
                change(partition, &alive);
                changed.insert((name.clone(), partition.index));
            }
        }
    }

    fn move_leader(
        &mut self,
        topic: &str,
        index: i32,
        to: i32,
        not_ready: Duration,
    ) -> Result<(), FakeError> {
        if !self.find_broker(to)?.running {
            return Err(FakeError::BrokerDown { broker: to });
        }
        self.change(topic, index, |partition| {
            if !partition.replicas.contains(&to) {
                partition.replicas.push(to);
            }
            let before = partition.leadership_on(to);
            partition.follower_ends.remove(&to);
            partition.elect(Some(to));
            if !not_ready.is_zero() {
                partition.unaware.insert(to, before);
            }
        })?;
        if !not_ready.is_zero() {
            let (topic, epoch) = (
                topic.to_owned(),
                self.find_partition(topic, index)?.leader_epoch,
            );
            let ready = move |state: &mut Self| {
                // Another change meanwhile has its own window. A topic that has gone needs none.
                let _ = state.change(&topic, index, |partition| {
                    if partition.leader_epoch == epoch {
                        partition.unaware.remove(&to);
                    }
                });
            };
            self.later(not_ready, Box::new(ready));
        }
        Ok(())
    }
}

/// # Brokers and leaders
///
/// The errors are those of an unknown broker, topic or partition, or of a cluster that is gone. A command that was sent
/// is carried out even if its future is dropped.
impl FakeCluster {
    /// Shuts a broker down in order: its partitions get other leaders, then its connections close.
    ///
    /// The logs are shared, so nothing is lost by it. Partitions without another in-sync replica have no leader until
    /// the broker is [started](Self::start_broker) again.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn stop_broker(&self, broker: i32) -> Result<(), FakeError> {
        let stop = move |state: &mut State| {
            state.find_broker(broker)?;
            state.each_partition(|partition, alive| {
                if partition.leader == Some(broker)
                    && let Some(next) = partition.candidate(|id| id != broker && alive(id))
                {
                    partition.elect(Some(next));
                }
            });
            state.take_down(broker)
        };
        self.handle.try_admin(stop).await
    }

    /// Kills a broker: its connections break, whatever it was doing; its partitions get other leaders.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn kill_broker(&self, broker: i32) -> Result<(), FakeError> {
        self.handle
            .try_admin(move |state| state.take_down(broker))
            .await
    }

    /// Starts a broker that was stopped or killed, at its old address. It has no fetch sessions; it is in sync again
    /// with the partitions it holds, and leads those that have no leader.
    ///
    /// # Errors
    /// When there is no such broker, or its port is taken.
    ///
    /// # Cancel safety
    /// When the future is dropped the broker may have started or not.
    pub async fn start_broker(&self, broker: i32) -> Result<(), FakeError> {
        let mut attempts = 0..PORT_ATTEMPTS;
        loop {
            let started = self
                .handle
                .try_admin(move |state| state.bring_up(broker))
                .await;
            match started {
                // The old listener's task may not have let go of the port yet.
                Err(FakeError::Listen { source, .. })
                    if source.kind() == io::ErrorKind::AddrInUse && attempts.next().is_some() =>
                {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                done => return done,
            }
        }
    }

    /// Breaks all connections of a broker; it goes on and takes new ones. What was parked on them is forgotten.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn cut_connections(&self, broker: i32) -> Result<(), FakeError> {
        let cut = move |state: &mut State| {
            state.find_broker(broker)?;
            state.cut_connections(broker);
            Ok(())
        };
        self.handle.try_admin(cut).await
    }

    /// Decides what becomes of the next `times` attempts to connect to a broker.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn fail_dials(
        &self,
        broker: i32,
        fault: DialFault,
        times: usize,
    ) -> Result<(), FakeError> {
        let fail = move |state: &mut State| {
            state
                .find_broker(broker)?
                .dial_faults
                .extend(std::iter::repeat_n(fault, times));
            Ok(())
        };
        self.handle.try_admin(fail).await
    }

    /// How many connections a broker has.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn connections(&self, broker: i32) -> Result<usize, FakeError> {
        let count = move |state: &mut State| {
            state.find_broker(broker)?;
            Ok(state.connection_count(broker))
        };
        self.handle.try_admin(count).await
    }

    /// How many connections a broker has ever taken.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn connections_accepted(&self, broker: i32) -> Result<u64, FakeError> {
        self.handle
            .try_admin(move |state| Ok(state.find_broker(broker)?.connections_accepted))
            .await
    }

    /// How many fetches wait for data on a broker.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn waiting_fetches(&self, broker: i32) -> Result<usize, FakeError> {
        let count = move |state: &mut State| {
            state.find_broker(broker)?;
            Ok(state.purgatory.waiting_fetches(broker))
        };
        self.handle.try_admin(count).await
    }

    /// Gives a partition another leader under a new leader epoch. A broker that holds no replica becomes one.
    ///
    /// All brokers know at once, and nothing is lost.
    ///
    /// # Errors
    /// For an unknown topic or partition, or a broker that is not running.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn move_leader(&self, topic: &str, partition: i32, to: i32) -> Result<(), FakeError> {
        self.move_leader_slowly(topic, partition, to, Duration::ZERO)
            .await
    }

    /// [`move_leader`](Self::move_leader), but the new leader itself learns of it only after `not_ready`: metadata
    /// names it, the old leader refers to it, and it still answers NOT_LEADER_OR_FOLLOWER, or UNKNOWN_LEADER_EPOCH to
    /// clients that know the new epoch.
    ///
    /// # Errors
    /// For an unknown topic or partition, or a broker that is not running.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn move_leader_slowly(
        &self,
        topic: &str,
        partition: i32,
        to: i32,
        not_ready: Duration,
    ) -> Result<(), FakeError> {
        let topic = topic.to_owned();
        self.handle
            .try_admin(move |state| state.move_leader(&topic, partition, to, not_ready))
            .await
    }

    /// An unclean election: the new leader's copy ends at `log_end` (or before the batch that holds that offset), and
    /// what lay behind is lost.
    ///
    /// # Errors
    /// For an unknown topic or partition, or a broker that is not running.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn elect_uncleanly(
        &self,
        topic: &str,
        partition: i32,
        to: i32,
        log_end: i64,
    ) -> Result<(), FakeError> {
        let topic = topic.to_owned();
        let elect = move |state: &mut State| {
            if !state.find_broker(to)?.running {
                return Err(FakeError::BrokerDown { broker: to });
            }
            let running: Vec<i32> = state
                .brokers
                .values()
                .filter(|b| b.running)
                .map(|b| b.id)
                .collect();
            state.change(&topic, partition, |partition| {
                if !partition.replicas.contains(&to) {
                    partition.replicas.push(to);
                }
                partition.follower_ends.insert(to, log_end);
                // The others follow the new leader and truncate as it did.
                partition.isr = partition
                    .replicas
                    .iter()
                    .copied()
                    .filter(|id| running.contains(id))
                    .collect();
                partition.leader = None;
                partition.elect(Some(to));
            })
        };
        self.handle.try_admin(elect).await
    }

    /// Takes a partition's leader away: until [`move_leader`](Self::move_leader) names another, it has none.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn remove_leader(&self, topic: &str, partition: i32) -> Result<(), FakeError> {
        let topic = topic.to_owned();
        self.handle
            .try_admin(move |state| state.change(&topic, partition, |p| p.elect(None)))
            .await
    }

    /// Stops replication of a partition where it is: the high watermark stays, acks=all waits until its timeout, and
    /// consumers see nothing new.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn hold_replication(&self, topic: &str, partition: i32) -> Result<(), FakeError> {
        let topic = topic.to_owned();
        let hold = move |state: &mut State| {
            state.change(&topic, partition, |p| {
                p.log.high_watermark_hold = Some(p.log.high_watermark())
            })
        };
        self.handle.try_admin(hold).await
    }

    /// Lets replication go on after [`hold_replication`](Self::hold_replication): all is replicated at once.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn release_replication(&self, topic: &str, partition: i32) -> Result<(), FakeError> {
        let topic = topic.to_owned();
        let release = move |state: &mut State| {
            state.change(&topic, partition, |p| p.log.high_watermark_hold = None)
        };
        self.handle.try_admin(release).await
    }

    /// Holds one follower's copy back at `log_end`, without taking it out of the in-sync set; `None` lets it catch up.
    ///
    /// Consumers that fetch from it see no more than that.
    ///
    /// # Errors
    /// For an unknown topic or partition.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn hold_follower(
        &self,
        topic: &str,
        partition: i32,
        broker: i32,
        log_end: Option<i64>,
    ) -> Result<(), FakeError> {
        let topic = topic.to_owned();
        let hold = move |state: &mut State| {
            state.change(&topic, partition, |partition| match log_end {
                Some(end) => {
                    partition.follower_ends.insert(broker, end);
                }
                None => {
                    partition.follower_ends.remove(&broker);
                }
            })
        };
        self.handle.try_admin(hold).await
    }

    /// Has a broker answer with the metadata of this moment until it is [thawed](Self::thaw_metadata). Which
    /// partitions it leads is not affected.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn freeze_metadata(&self, broker: i32) -> Result<(), FakeError> {
        let freeze = move |state: &mut State| {
            let view = Arc::new(MetadataView::of(state));
            state.find_broker(broker)?.frozen_metadata = Some(view);
            Ok(())
        };
        self.handle.try_admin(freeze).await
    }

    /// Ends what [`freeze_metadata`](Self::freeze_metadata) began.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn thaw_metadata(&self, broker: i32) -> Result<(), FakeError> {
        let thaw = move |state: &mut State| {
            state.find_broker(broker)?.frozen_metadata = None;
            Ok(())
        };
        self.handle.try_admin(thaw).await
    }

    /// The ids of a broker's fetch sessions.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn fetch_sessions(&self, broker: i32) -> Result<Vec<i32>, FakeError> {
        self.handle
            .try_admin(move |state| Ok(state.find_broker(broker)?.sessions.ids()))
            .await
    }

    /// Evicts all fetch sessions of a broker; returns how many there were.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn evict_fetch_sessions(&self, broker: i32) -> Result<usize, FakeError> {
        self.handle
            .try_admin(move |state| Ok(state.find_broker(broker)?.sessions.evict(None)))
            .await
    }

    /// Changes how many fetch sessions a broker keeps; 0 means that it answers every fetch with session id 0.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn set_fetch_session_slots(
        &self,
        broker: i32,
        slots: usize,
    ) -> Result<(), FakeError> {
        let set = move |state: &mut State| {
            state.find_broker(broker)?.sessions.set_slots(slots);
            Ok(())
        };
        self.handle.try_admin(set).await
    }
}
