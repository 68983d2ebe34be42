//! Topics: making them, taking them away, giving them more partitions.

use std::collections::BTreeMap;

use ottla_codec::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_codec::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_codec::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_codec::{ErrorCode, Message, Request};
use ottla_connection::Versions;
use tokio::time::Instant;

use super::Admin;
use crate::client::{ADMIN, Target};
use crate::error::{Error, Result};

/// From this version on, -1 stands for the brokers' default number of partitions or replicas (KIP-464).
const DEFAULT_COUNTS: i16 = 4;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    name: String,
    partitions: i32,
    replication_factor: i16,
    assignments: Vec<Vec<i32>>,
    configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with the brokers' default number of partitions and replicas.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// Sets the number of partitions. Default: the brokers' (`num.partitions`; needs brokers from 2.4).
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets the number of replicas of each partition. Default: the brokers'
    /// (`default.replication.factor`; needs brokers from 2.4).
    #[must_use]
    pub fn replication_factor(mut self, replicas: i16) -> Self {
        self.replication_factor = replicas;
        self
    }

    /// Sets the brokers that hold each partition, the preferred leader first, instead of their numbers.
    #[must_use]
    pub fn assignments(mut self, replicas_of_each: Vec<Vec<i32>>) -> Self {
        self.assignments = replicas_of_each;
        self
    }

    /// Sets one of the topic's configs, `cleanup.policy` for instance.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }

    fn to_wire(&self) -> CreatableTopic {
        let assigned = !self.assignments.is_empty();
        CreatableTopic {
            name: self.name.clone(),
            num_partitions: if assigned { -1 } else { self.partitions },
            replication_factor: if assigned {
                -1
            } else {
                self.replication_factor
            },
            assignments: self
                .assignments
                .iter()
                .zip(0..)
                .map(|(brokers, partition_index)| CreatableReplicaAssignment {
                    partition_index,
                    broker_ids: brokers.clone(),
                    ..Default::default()
                })
                .collect(),
            configs: self
                .configs
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name: name.clone(),
                    value: Some(value.clone()),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }
}

impl Admin {
    /// Creates topics; each has its own result.
    ///
    /// A topic exists once this returns; it can take brokers another moment to have leaders for it.
    ///
    /// # Errors
    ///
    /// When no controller could be asked. What is wrong with one topic is in its own result.
    ///
    /// # Cancel safety
    ///
    /// After a drop the topics may or may not be created.
    pub async fn create_topics(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
    ) -> Result<BTreeMap<String, Result<()>>> {
        let topics: Vec<CreatableTopic> = topics.into_iter().map(|topic| topic.to_wire()).collect();
        let deadline = self.deadline();
        let request = CreateTopicsRequest {
            topics,
            timeout_ms: self.broker_timeout_ms(deadline),
            ..Default::default()
        };
        let by_default = |topic: &CreatableTopic| {
            topic.assignments.is_empty()
                && (topic.num_partitions == -1 || topic.replication_factor == -1)
        };
        let by_default = request.topics.iter().any(by_default);
        self.core
            .retrying("creating topics", deadline, || async {
                let response = self
                    .call_controller_with(deadline, |versions| {
                        let version = create_version(versions, by_default)?;
                        Ok((version, request.clone()))
                    })
                    .await?;
                controller_moved(response.topics.iter().map(|topic| topic.error_code))?;
                Ok(response
                    .topics
                    .into_iter()
                    .map(|t| {
                        (
                            t.name,
                            outcome("CreateTopics", t.error_code, t.error_message),
                        )
                    })
                    .collect())
            })
            .await
    }

    /// Creates one topic.
    ///
    /// # Errors
    ///
    /// When no controller could be asked or the controller refuses.
    ///
    /// # Cancel safety
    ///
    /// After a drop the topic may or may not be created.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        only(self.create_topics([topic]).await?, "CreateTopics")
    }

    /// Deletes topics, with all their records; each has its own result.
    ///
    /// # Errors
    ///
    /// When no controller could be asked. What is wrong with one topic is in its own result.
    ///
    /// # Cancel safety
    ///
    /// After a drop the topics may or may not be deleted.
    pub async fn delete_topics(
        &self,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BTreeMap<String, Result<()>>> {
        let topic_names: Vec<String> = topics.into_iter().map(Into::into).collect();
        let deadline = self.deadline();
        let request = DeleteTopicsRequest {
            topics: topic_names
                .iter()
                .map(|name| DeleteTopicState {
                    name: Some(name.clone()),
                    ..Default::default()
                })
                .collect(),
            timeout_ms: self.broker_timeout_ms(deadline),
            ..Default::default()
        };
        self.core
            .retrying("deleting topics", deadline, || async {
                let response = self
                    .call_controller_with(deadline, |versions| {
                        let own = DeleteTopicsRequest::VERSIONS;
                        let version = versions.pick::<DeleteTopicsRequest>(own)?;
                        let mut request = request.clone();
                        if version < 6 {
                            request.topic_names = topic_names.clone();
                            request.topics = Vec::new();
                        }
                        Ok((version, request))
                    })
                    .await?;
                controller_moved(response.responses.iter().map(|topic| topic.error_code))?;
                Ok(response
                    .responses
                    .into_iter()
                    .map(|t| {
                        let name = t.name.unwrap_or_default();
                        (name, outcome("DeleteTopics", t.error_code, t.error_message))
                    })
                    .collect())
            })
            .await
    }

    /// Gives topics more partitions: `counts` says how many each has afterwards. Records with a key go
    /// to other partitions from then on.
    ///
    /// # Errors
    ///
    /// When no controller could be asked. What is wrong with one topic is in its own result.
    ///
    /// # Cancel safety
    ///
    /// After a drop the partitions may or may not be created.
    pub async fn create_partitions(
        &self,
        counts: impl IntoIterator<Item = (impl Into<String>, i32)>,
    ) -> Result<BTreeMap<String, Result<()>>> {
        let deadline = self.deadline();
        let request = CreatePartitionsRequest {
            topics: counts
                .into_iter()
                .map(|(name, count)| CreatePartitionsTopic {
                    name: name.into(),
                    count,
                    assignments: None,
                    ..Default::default()
                })
                .collect(),
            timeout_ms: self.broker_timeout_ms(deadline),
            ..Default::default()
        };
        self.core
            .retrying("creating partitions", deadline, || async {
                let response = self.call_controller(&request, deadline).await?;
                controller_moved(response.results.iter().map(|topic| topic.error_code))?;
                Ok(response
                    .results
                    .into_iter()
                    .map(|t| {
                        (
                            t.name,
                            outcome("CreatePartitions", t.error_code, t.error_message),
                        )
                    })
                    .collect())
            })
            .await
    }

    async fn call_controller<R: Request>(
        &self,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response> {
        self.call_controller_with(deadline, |versions| {
            Ok((versions.pick::<R>(R::VERSIONS)?, request.clone()))
        })
        .await
    }

    async fn call_controller_with<R: Request>(
        &self,
        deadline: Instant,
        build: impl FnOnce(&Versions) -> Result<(i16, R)>,
    ) -> Result<R::Response> {
        let cluster = self.core.metadata.ready(deadline).await?;
        let target = match cluster
            .controller()
            .filter(|&id| cluster.broker(id).is_some())
        {
            Some(controller) => Target::Node(controller.0),
            None => self.core.any_target(),
        };
        let deadline = self.core.request_deadline(deadline);
        let connection = target.connection(&self.core.pool, ADMIN, deadline).await?;
        let (version, request) = build(connection.versions())?;
        Ok(connection.request(&request, version, deadline).await?)
    }
}

/// The version to create topics in; not every one lets the brokers choose their counts.
fn create_version(versions: &Versions, by_default: bool) -> Result<i16> {
    let mut own = CreateTopicsRequest::VERSIONS;
    if !by_default {
        return Ok(versions.pick::<CreateTopicsRequest>(own)?);
    }
    own.min = DEFAULT_COUNTS;
    let picked = versions.pick::<CreateTopicsRequest>(own);
    picked.map_err(|error| Error::unsupported("a topic with the brokers' default counts", &error))
}

/// A request that met a former controller has done nothing and goes to the new one, whole.
fn controller_moved(codes: impl IntoIterator<Item = i16>) -> Result<()> {
    let moved = ErrorCode::NotController;
    if codes.into_iter().any(|code| code == moved.code()) {
        return Err(Error::broker("the controller's request", moved, None));
    }
    Ok(())
}

fn outcome(api: &'static str, code: i16, message: Option<String>) -> Result<()> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        error => Err(Error::broker(api, error, None).with_broker_message(message)),
    }
}

fn only<T>(results: BTreeMap<String, Result<T>>, api: &'static str) -> Result<T> {
    results.into_values().next().unwrap_or_else(|| {
        Err(Error::broker(api, ErrorCode::UnknownServerError, None)
            .with_broker_message(Some("the answer leaves the topic out".to_owned())))
    })
}
