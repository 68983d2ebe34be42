//! CreateTopics, and making topics in general.

use std::collections::BTreeSet;

use ottla_codec::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};
use ottla_codec::{ErrorCode, Uuid};

use super::Outcome;
use crate::state::{RequestContext, State};
use crate::topic::{Partition, Topic};
use crate::topic_config::TopicConfig;

/// `ConfigSource` of the protocol.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;
const DEFAULT_CONFIG: i8 = 5;

/// How many entries of its own log a controller writes for one request: one a partition, topic and setting.
pub(super) const MAX_ENTRIES: usize = 10_000;

/// Why Kafka refuses something about topics: a code and a sentence.
pub(crate) type TopicError = (ErrorCode, String);

/// A topic to make. -1 asks for the cluster's default.
#[derive(Clone, Debug)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) replication: i16,
    /// Replicas by partition, instead of the numbers.
    pub(crate) assignments: Vec<(i32, Vec<i32>)>,
    pub(crate) configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            partitions: -1,
            replication: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// What brokers of the cluster's release refuse that newer ones do not.
    fn check_release(&self, state: &State, broker: i32) -> Result<(), TopicError> {
        if !state.acts_as_controller(broker) {
            return Err((ErrorCode::NotController, String::new()));
        }
        let needs_counts =
            !state.options.release.has_default_counts() && self.assignments.is_empty();
        if needs_counts && self.partitions == -1 {
            let text = "Number of partitions must be larger than 0.";
            return Err((ErrorCode::InvalidPartitions, text.to_owned()));
        }
        if needs_counts && self.replication == -1 {
            let text = "Replication factor must be larger than 0.";
            return Err((ErrorCode::InvalidReplicationFactor, text.to_owned()));
        }
        Ok(())
    }

    /// How many entries of the controller's log the topic takes.
    fn entries(&self, state: &State) -> usize {
        let counted = match self.partitions {
            -1 => state.options.default_partitions,
            count => count,
        };
        let partitions = match self.assignments.len() {
            0 => usize::try_from(counted).unwrap_or(0),
            assigned => assigned,
        };
        1 + self.configs.len() + partitions
    }

    /// Makes the topic.
    pub(crate) fn create(&self, state: &mut State) -> Result<Uuid, TopicError> {
        let topic = self.plan(state)?;
        let id = topic.id;
        state.topic_names.insert(id, topic.name.clone());
        let partitions = topic.partitions.len();
        state.topics.insert(topic.name.clone(), topic);
        for partition in (0..).take(partitions) {
            state.mark_changed(&self.name, partition);
        }
        Ok(id)
    }

    /// Checks everything and lays the topic out, without making it.
    fn plan(&self, state: &mut State) -> Result<Topic, TopicError> {
        if !Topic::is_valid_name(&self.name) {
            return Err((
                ErrorCode::InvalidTopicException,
                format!("Topic name is invalid: {}", self.name),
            ));
        }
        if state.topics.contains_key(&self.name) {
            return Err((
                ErrorCode::TopicAlreadyExists,
                format!("Topic '{}' already exists.", self.name),
            ));
        }
        let flat = |name: &str| name.replace('.', "_");
        let has_collision = self.name.contains(['.', '_'])
            && state
                .topics
                .keys()
                .any(|name| flat(name) == flat(&self.name));
        if has_collision {
            return Err((
                ErrorCode::InvalidTopicException,
                format!("Topic '{}' collides with an existing topic.", self.name),
            ));
        }
        let mut config = TopicConfig::default();
        for (name, value) in &self.configs {
            config
                .set(name, value.as_deref().unwrap_or_default())
                .map_err(|invalid| {
                    (
                        ErrorCode::InvalidConfig,
                        format!(
                            "Invalid value {} for configuration {}",
                            invalid.value, invalid.name
                        ),
                    )
                })?;
        }
        let replicas = self.layout(state)?;
        let partitions = (0..)
            .zip(replicas)
            .map(|(index, replicas)| new_partition(state, index, replicas));
        let partitions = partitions.collect();
        Ok(Topic {
            name: self.name.clone(),
            id: state.new_topic_id(),
            config,
            partitions,
        })
    }

    fn layout(&self, state: &State) -> Result<Vec<Vec<i32>>, TopicError> {
        if self.assignments.is_empty() {
            if self.replication < -1 || self.replication == 0 {
                let text =
                    "Replication factor must be larger than 0, or -1 to use the default value.";
                return Err((ErrorCode::InvalidReplicationFactor, text.to_owned()));
            }
            if self.partitions < -1 || self.partitions == 0 {
                let text = "Number of partitions was set to an invalid non-positive value.";
                return Err((ErrorCode::InvalidPartitions, text.to_owned()));
            }
            let or_default = |value, default| if value == -1 { default } else { value };
            let count = or_default(self.partitions, state.options.default_partitions);
            let replication = or_default(
                i32::from(self.replication),
                i32::from(state.options.default_replication),
            );
            return place(state, 0, count, replication);
        }
        if self.replication != -1 || self.partitions != -1 {
            let text = "A manual partition assignment was specified, but replication factor or numPartitions was not -1.";
            return Err((ErrorCode::InvalidRequest, text.to_owned()));
        }
        let mut assignments = self.assignments.clone();
        assignments.sort_by_key(|&(index, _)| index);
        if !assignments
            .iter()
            .map(|&(index, _)| index)
            .eq(0..i32::try_from(assignments.len()).unwrap_or(0))
        {
            let text = "partitions should be a consecutive 0-based integer sequence";
            return Err((ErrorCode::InvalidReplicaAssignment, text.to_owned()));
        }
        let replicas: Vec<Vec<i32>> = assignments
            .into_iter()
            .map(|(_, replicas)| replicas)
            .collect();
        check_assignments(state, &replicas, None)?;
        Ok(replicas)
    }
}

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: CreateTopicsRequest,
) -> Outcome {
    let names: Vec<String> = request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    // A name that comes twice is refused once.
    let mut seen = BTreeSet::new();
    let once = request.topics.into_iter();
    let once: Vec<_> = once
        .filter(|topic| seen.insert(topic.name.clone()))
        .map(new_topic)
        .collect();
    let is_too_large = once.iter().map(|topic| topic.entries(state)).sum::<usize>() > MAX_ENTRIES;
    let topics = once.into_iter().map(|new| {
        let name = new.name.clone();
        if let Err(error) = new.check_release(state, context.broker) {
            return result(context, name, Err(error));
        }
        if is_too_large {
            let text = "Unable to perform excessively large batch operation.";
            let error = (ErrorCode::PolicyViolation, text.to_owned());
            return result(context, name, Err(error));
        }
        if names.iter().filter(|other| **other == name).count() > 1 {
            let error = (
                ErrorCode::InvalidRequest,
                "Duplicate topic name.".to_owned(),
            );
            return result(context, name, Err(error));
        }
        let made = if request.validate_only {
            new.plan(state)
        } else {
            new.create(state).and_then(|_| {
                let missing = || (ErrorCode::UnknownServerError, String::new());
                state.topics.get(&new.name).cloned().ok_or_else(missing)
            })
        };
        result(context, name, made)
    });
    Outcome::respond(CreateTopicsResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}

/// Spreads `count` partitions from number `first` on over the running brokers.
pub(super) fn place(
    state: &State,
    first: i32,
    count: i32,
    replication: i32,
) -> Result<Vec<Vec<i32>>, TopicError> {
    let running: Vec<i32> = state
        .brokers
        .values()
        .filter(|broker| broker.running)
        .map(|broker| broker.id)
        .collect();
    let wanted = usize::try_from(replication).unwrap_or(0);
    if wanted > running.len() || running.is_empty() {
        let text = format!(
            "Unable to replicate the partition {replication} time(s): The target replication factor of {replication} \
             cannot be reached because only {} broker(s) are registered.",
            running.len()
        );
        return Err((ErrorCode::InvalidReplicationFactor, text));
    }
    let partitions = (first..first.saturating_add(count)).map(|index| {
        let leader = usize::try_from(index).unwrap_or(0) % running.len();
        running
            .iter()
            .cycle()
            .skip(leader)
            .take(wanted)
            .copied()
            .collect()
    });
    Ok(partitions.collect())
}

/// Refuses assignments that name unknown brokers, one twice, none, or not the same number everywhere.
pub(super) fn check_assignments(
    state: &State,
    assignments: &[Vec<i32>],
    replication: Option<usize>,
) -> Result<(), TopicError> {
    let expected = replication
        .or_else(|| assignments.first().map(Vec::len))
        .unwrap_or(0);
    let valid = assignments.iter().all(|replicas| {
        let mut unique = replicas.clone();
        unique.sort_unstable();
        unique.dedup();
        !replicas.is_empty()
            && replicas.len() == expected
            && unique.len() == replicas.len()
            && replicas
                .iter()
                .all(|replica| state.brokers.contains_key(replica))
            && replicas.iter().any(|&replica| state.is_running(replica))
    });
    if valid {
        Ok(())
    } else {
        Err((
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment is invalid.".to_owned(),
        ))
    }
}

/// A partition led by its first replica that is up.
pub(super) fn new_partition(state: &State, index: i32, replicas: Vec<i32>) -> Partition {
    let leader = replicas
        .iter()
        .copied()
        .find(|&replica| state.is_running(replica));
    let mut partition = Partition::new(index, replicas, leader);
    partition.isr.retain(|&replica| state.is_running(replica));
    partition
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    NewTopic {
        name: topic.name,
        partitions: topic.num_partitions,
        replication: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|a| (a.partition_index, a.broker_ids))
            .collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| (config.name, config.value))
            .collect(),
    }
}

fn result(
    context: &RequestContext,
    name: String,
    made: Result<Topic, TopicError>,
) -> CreatableTopicResult {
    let topic = match made {
        Ok(topic) => topic,
        Err((error, message)) => {
            return CreatableTopicResult {
                name,
                error_code: error.code(),
                error_message: Some(message),
                configs: Some(Vec::new()),
                ..Default::default()
            };
        }
    };
    let configs = topic
        .config
        .entries()
        .into_iter()
        .map(|entry| CreatableTopicConfigs {
            name: entry.name.to_owned(),
            value: Some(entry.value),
            config_source: if entry.is_set {
                DYNAMIC_TOPIC_CONFIG
            } else {
                DEFAULT_CONFIG
            },
            ..Default::default()
        });
    let replication = topic
        .partitions
        .first()
        .map_or(0, |partition| partition.replicas.len());
    CreatableTopicResult {
        name,
        error_message: None,
        topic_id: if context.version >= 7 {
            topic.id
        } else {
            Uuid::ZERO
        },
        num_partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(replication).unwrap_or(i16::MAX),
        configs: Some(configs.collect()),
        ..Default::default()
    }
}
