//! What there is: brokers, topics, partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_cluster::{Cluster, TopicPartition};
use ottla_codec::ErrorCode;
use ottla_codec::messages::metadata::MetadataResponse;
use tokio::time::Instant;

use super::Admin;
use crate::client::ADMIN;
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::Question;

/// A cluster and its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The broker that takes the controller's requests.
    pub controller: Option<i32>,
    /// All brokers, in order of their ids.
    pub brokers: Vec<BrokerDescription>,
}

/// A broker and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerDescription {
    /// The broker's id.
    pub id: i32,
    /// Host name or address, as advertised.
    pub host: String,
    /// TCP port, as advertised.
    pub port: u16,
    /// The rack it stands in, if the cluster says.
    pub rack: Option<String>,
}

/// One topic in a list of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicListing {
    /// The topic's name.
    pub name: String,
    /// The topic's id in Kafka's text form; `None` from brokers before 2.8.
    pub id: Option<String>,
    /// Whether the topic is one of Kafka's own.
    pub internal: bool,
    /// How many partitions it has.
    pub partitions: usize,
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// The topic's name.
    pub name: String,
    /// The topic's id in Kafka's text form; `None` from brokers before 2.8.
    pub id: Option<String>,
    /// Whether the topic is one of Kafka's own.
    pub internal: bool,
    /// The partitions, in order of their index.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition, its leader and its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionDescription {
    /// The partition's index, from 0.
    pub partition: i32,
    /// The leader, if there is one at the moment.
    pub leader: Option<i32>,
    /// The leader's epoch; `None` from brokers before 2.1.
    pub leader_epoch: Option<i32>,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The replicas that are in sync.
    pub isr: Vec<i32>,
    /// The replicas that are offline.
    pub offline: Vec<i32>,
}

impl Admin {
    /// Describes the cluster and its brokers.
    ///
    /// # Errors
    ///
    /// When no broker answers.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        let cluster = self.ask(Some(Vec::new())).await?.0;
        Ok(ClusterDescription {
            cluster_id: cluster.cluster_id().map(str::to_owned),
            controller: cluster.controller().map(|id| id.0),
            brokers: cluster
                .brokers()
                .map(|broker| BrokerDescription {
                    id: broker.id.0,
                    host: broker.host.clone(),
                    port: broker.port,
                    rack: broker.rack.clone(),
                })
                .collect(),
        })
    }

    /// Lists the topics this client may see, in order of their names.
    ///
    /// # Errors
    ///
    /// When no broker answers.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn list_topics(&self) -> Result<Vec<TopicListing>> {
        let cluster = self.ask(None).await?.0;
        Ok(cluster
            .topics()
            .map(|topic| TopicListing {
                name: topic.name().to_string(),
                id: text_id(topic),
                internal: topic.is_internal(),
                partitions: topic.partitions().len(),
            })
            .collect())
    }

    /// Describes topics; each has its own result.
    ///
    /// # Errors
    ///
    /// When no broker answers. [`ErrorKind::UnknownTopic`] is in the result of the topic it is about.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn describe_topics(
        &self,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BTreeMap<String, Result<TopicDescription>>> {
        let names: Vec<String> = topics.into_iter().map(Into::into).collect();
        let (cluster, failures) = self.ask(Some(names.clone())).await?;
        Ok(names
            .into_iter()
            .map(|name| {
                let described = match (cluster.topic(&name), failures.get(&name)) {
                    (Some(topic), _) => Ok(describe(topic)),
                    (None, None | Some(ErrorCode::UnknownTopicOrPartition)) => {
                        Err(ErrorKind::UnknownTopic {
                            topic: name.clone(),
                        }
                        .into())
                    }
                    (None, Some(&error)) => Err(Error::about_topic("Metadata", error, &name)),
                };
                (name, described)
            })
            .collect())
    }

    /// Asks any broker for a snapshot of its own: the shared one may lack topics, and keeps deleted ones.
    async fn ask(
        &self,
        topics: Option<Vec<String>>,
    ) -> Result<(Cluster, BTreeMap<String, ErrorCode>)> {
        let question = Question {
            topics,
            // Looking must not create.
            allow_auto_create: false,
        };
        let deadline = self.deadline();
        let response = self
            .core
            .retrying("describing the cluster", deadline, || {
                self.ask_once(&question, deadline)
            })
            .await?;
        self.core.learn_brokers(&response);
        let failures = response
            .topics
            .iter()
            .filter(|topic| topic.error_code != 0)
            .filter_map(|t| Some((t.name.clone()?, ErrorCode::from_code(t.error_code))))
            .collect();
        Ok((Cluster::new().merge(&response).cluster, failures))
    }

    async fn ask_once(&self, question: &Question, deadline: Instant) -> Result<MetadataResponse> {
        self.core.metadata.ready(deadline).await?;
        let target = self.core.any_target();
        let deadline = self.core.request_deadline(deadline);
        let connection = target.connection(&self.core.pool, ADMIN, deadline).await?;
        question.ask(&connection, deadline).await
    }
}

fn describe(topic: &Arc<ottla_cluster::Topic>) -> TopicDescription {
    let ids = |nodes: &[ottla_cluster::NodeId]| nodes.iter().map(|node| node.0).collect();
    TopicDescription {
        name: topic.name().to_string(),
        id: text_id(topic),
        internal: topic.is_internal(),
        partitions: topic
            .partitions()
            .iter()
            .map(|partition| PartitionDescription {
                partition: partition.index,
                leader: partition.leader.map(|leader| leader.0),
                leader_epoch: partition.leader_epoch,
                replicas: ids(&partition.replicas),
                isr: ids(&partition.isr),
                offline: ids(&partition.offline),
            })
            .collect(),
    }
}

fn text_id(topic: &ottla_cluster::Topic) -> Option<String> {
    (!topic.id().is_zero()).then(|| topic.id().to_string())
}

impl TopicDescription {
    /// The names of all the topic's partitions.
    pub fn topic_partitions(&self) -> impl Iterator<Item = TopicPartition> {
        let topic: Arc<str> = Arc::from(&*self.name);
        self.partitions
            .iter()
            .map(move |p| TopicPartition::new(topic.clone(), p.partition))
    }
}
