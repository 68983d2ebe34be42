//! What is said of the cluster and its topics.

use ottla_codec::ApiKey;
use ottla_codec::messages::api_versions::ApiVersionsResponse;
use ottla_codec::messages::create_partitions::CreatePartitionsResponse;
use ottla_codec::messages::create_topics::CreateTopicsResponse;
use ottla_codec::messages::delete_topics::DeleteTopicsResponse;
use ottla_codec::messages::describe_cluster::DescribeClusterResponse;
use ottla_codec::messages::describe_configs::DescribeConfigsResponse;
use ottla_codec::messages::describe_topic_partitions::DescribeTopicPartitionsResponse;
use ottla_codec::messages::metadata::{MetadataResponse, MetadataResponseTopic};

use super::names::{Names, Outcome, code, join, sorted, unless};

/// What the fake serves; brokers serve more.
const SERVED: [ApiKey; 17] = [
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeConfigs,
    ApiKey::CreatePartitions,
    ApiKey::DescribeCluster,
    ApiKey::DescribeTopicPartitions,
];
/// Topic settings whose defaults the test brokers change.
const SET_BY_BROKER: [&str; 2] = ["file.delete.delay.ms", "min.cleanable.dirty.ratio"];
const FEATURES: [&str; 3] = ["metadata.version", "group.version", "transaction.version"];

impl Outcome for ApiVersionsResponse {
    fn outcome(&self, _version: i16, _names: &Names) -> String {
        let apis = SERVED.iter().filter_map(|&api| {
            let found = self.api_keys.iter().find(|key| key.api_key == api as i16)?;
            Some(format!(
                "{} {}-{}",
                api.name(),
                found.min_version,
                found.max_version
            ))
        });
        let supported = FEATURES.iter().filter_map(|&name| {
            let found = self.supported_features.iter().find(|f| f.name == name)?;
            Some(format!(
                "{name} {}-{}",
                found.min_version, found.max_version
            ))
        });
        let finalized = FEATURES.iter().filter_map(|&name| {
            let found = self.finalized_features.iter().find(|f| f.name == name)?;
            Some(format!("{name}={}", found.max_version_level))
        });
        let items = apis.chain(supported).chain(finalized);
        format!("{} {}", code(self.error_code), join(items))
    }
}

impl Outcome for MetadataResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        let brokers = self.brokers.iter().map(|broker| {
            assert!(broker.port > 0 && !broker.host.is_empty());
            format!("{}{}", broker.node_id, rack(broker.rack.as_deref()))
        });
        // Their order is not that of the request.
        let topics = self.topics.iter().map(|topic| topic_of(topic, names));
        format!(
            "{} brokers {} controller {}{}; {}",
            code(self.error_code),
            join(brokers),
            self.controller_id,
            unless("operations", self.cluster_authorized_operations, i32::MIN),
            sorted(topics)
        )
    }
}

fn topic_of(topic: &MetadataResponseTopic, names: &Names) -> String {
    let partitions = topic.partitions.iter().map(|partition| {
        format!(
            "{} {} leader={}@{} replicas={:?} isr={:?} offline={:?}",
            partition.partition_index,
            code(partition.error_code),
            partition.leader_id,
            partition.leader_epoch,
            partition.replica_nodes,
            partition.isr_nodes,
            partition.offline_replicas
        )
    });
    let name = topic
        .name
        .as_deref()
        .map_or("null".to_owned(), |name| names.name(name));
    format!(
        "{name}{} {}{}{} [{}]",
        names.id(topic.topic_id),
        code(topic.error_code),
        unless("internal", topic.is_internal, false),
        unless("operations", topic.topic_authorized_operations, i32::MIN),
        sorted(partitions)
    )
}

fn rack(rack: Option<&str>) -> String {
    rack.map_or(String::new(), |rack| format!(" in {rack}"))
}

impl Outcome for DescribeClusterResponse {
    fn outcome(&self, _version: i16, _names: &Names) -> String {
        let brokers = self.brokers.iter().map(|broker| {
            let fenced = if broker.is_fenced { " fenced" } else { "" };
            format!(
                "{}{}{fenced}",
                broker.broker_id,
                rack(broker.rack.as_deref())
            )
        });
        format!(
            "{} endpoint type {} brokers {} controller {}{}",
            code(self.error_code),
            self.endpoint_type,
            join(brokers),
            self.controller_id,
            unless("operations", self.cluster_authorized_operations, i32::MIN)
        )
    }
}

impl Outcome for DescribeTopicPartitionsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                format!(
                    "{} {} leader={}@{} replicas={:?} isr={:?} eligible={:?} last={:?} offline={:?}",
                    partition.partition_index,
                    code(partition.error_code),
                    partition.leader_id,
                    partition.leader_epoch,
                    partition.replica_nodes,
                    partition.isr_nodes,
                    partition.eligible_leader_replicas,
                    partition.last_known_elr,
                    partition.offline_replicas
                )
            });
            let name = topic.name.as_deref().unwrap_or_default();
            format!(
                "{}{} {}{} [{}]",
                names.name(name),
                names.id(topic.topic_id),
                code(topic.error_code),
                unless("operations", topic.topic_authorized_operations, i32::MIN),
                join(partitions)
            )
        });
        let next = match &self.next_cursor {
            Some(cursor) => format!(
                "; next {}/{}",
                names.name(&cursor.topic_name),
                cursor.partition_index
            ),
            None => String::new(),
        };
        format!("{}{next}", join(topics))
    }
}

impl Outcome for CreateTopicsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        sorted(self.topics.iter().map(|topic| {
            let id = if topic.topic_id.is_zero() {
                ""
            } else {
                " with an id"
            };
            format!(
                "{} {}{id}{}{}{}",
                names.name(&topic.name),
                code(topic.error_code),
                unless("partitions", topic.num_partitions, -1),
                unless("replicas", topic.replication_factor, -1),
                unless(
                    "configs",
                    code(topic.topic_config_error_code),
                    "ok".to_owned()
                ),
            )
        }))
    }
}

impl Outcome for CreatePartitionsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        sorted(
            self.results
                .iter()
                .map(|topic| format!("{} {}", names.name(&topic.name), code(topic.error_code))),
        )
    }
}

impl Outcome for DeleteTopicsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        sorted(self.responses.iter().map(|topic| {
            let name = topic
                .name
                .as_deref()
                .map_or("null".to_owned(), |name| names.name(name));
            format!(
                "{name}{} {}",
                names.id(topic.topic_id),
                code(topic.error_code)
            )
        }))
    }
}

impl Outcome for DescribeConfigsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        sorted(self.results.iter().map(|resource| {
            let configs = resource.configs.iter();
            let configs = configs.filter(|config| !SET_BY_BROKER.contains(&&*config.name));
            let configs = configs.map(|config| {
                format!(
                    "{}={} source={} type={}{}{}",
                    config.name,
                    config.value.as_deref().unwrap_or("null"),
                    config.config_source,
                    config.config_type,
                    unless("read_only", config.read_only, false),
                    unless("sensitive", config.is_sensitive, false)
                )
            });
            format!(
                "{} {} {} [{}]",
                resource.resource_type,
                names.name(&resource.resource_name),
                code(resource.error_code),
                sorted(configs)
            )
        }))
    }
}
