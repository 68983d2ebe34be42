//! Batches to a Produce request, and its answer to one reply per batch. Pure translation.

use std::time::Duration;

use ottla_cluster::{Broker, LeaderHint, NodeId};
use ottla_codec::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData,
};
use ottla_codec::records::Compression;
use ottla_codec::{ErrorCode, Message};
use ottla_connection::Versions;

use super::accumulator::{Parcel, Reply};
use super::verdict::Verdict;
use super::window::Answer;
use crate::TopicPartition;
use crate::error::{Error, ErrorKind, Result};

/// The first version whose batches may be compressed with zstd (KIP-110).
const FIRST_WITH_ZSTD: i16 = 7;
/// The last version in which a topic goes by its name; from the next one on by its id (KIP-516).
const LAST_WITH_NAMES: i16 = 12;

/// The newest version of these that can carry these batches.
///
/// # Errors
///
/// The broker is too old for them.
pub(crate) fn version(parcels: &[Parcel], offered: &Versions) -> Result<i16> {
    let mut own = ProduceRequest::VERSIONS;
    if parcels.iter().any(|parcel| parcel.topic_id.is_zero()) {
        own.max = LAST_WITH_NAMES;
    }
    if !parcels.iter().any(is_zstd) {
        return Ok(offered.pick::<ProduceRequest>(own)?);
    }
    own.min = FIRST_WITH_ZSTD;
    let picked = offered.pick::<ProduceRequest>(own);
    picked.map_err(|error| Error::unsupported("zstd", &error))
}

fn is_zstd(parcel: &Parcel) -> bool {
    parcel.batch.compression() == Compression::Zstd
}

/// The request, topics in the order of their first batch.
pub(crate) fn build(parcels: &[Parcel], acks: i16, timeout: Duration) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for parcel in parcels {
        let partition = PartitionProduceData {
            index: parcel.index,
            records: Some(parcel.batch.records()),
            ..Default::default()
        };
        match topics.iter_mut().find(|topic| *topic.name == *parcel.topic) {
            Some(topic) => topic.partition_data.push(partition),
            None => topics.push(TopicProduceData {
                name: parcel.topic.to_string(),
                topic_id: parcel.topic_id,
                partition_data: vec![partition],
                ..Default::default()
            }),
        }
    }
    ProduceRequest {
        acks,
        // Less than the answer may take, so that it comes: it says of each partition whether there were enough
        // replicas in time, where a lost connection says nothing of any.
        timeout_ms: i32::try_from(timeout.as_millis() * 9 / 10).unwrap_or(i32::MAX),
        topic_data: topics,
        ..Default::default()
    }
}

/// What an answer says about one batch, and about everything around it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) reply: Reply,
    pub(crate) stale_metadata: bool,
    /// Set if the producer is of no further use.
    pub(crate) fatal: Option<Error>,
}

/// One item per parcel, in their order.
pub(crate) fn judge(parcels: &[Parcel], response: &ProduceResponse) -> Vec<Judged> {
    let judged = parcels.iter().map(|parcel| {
        let name = TopicPartition::new(parcel.topic.clone(), parcel.index);
        let topic = response.responses.iter().find(|topic| {
            *topic.name == *parcel.topic
                || (!topic.topic_id.is_zero() && topic.topic_id == parcel.topic_id)
        });
        let mut partitions = topic.iter().flat_map(|topic| &topic.partition_responses);
        match partitions.find(|partition| partition.index == parcel.index) {
            Some(partition) => judge_one(partition, name),
            // The broker has read the batch, or else it could not have answered.
            None => Judged {
                reply: Reply {
                    answer: Answer::Retry { certain: false },
                    error: Some(Error::broker(
                        "Produce",
                        ErrorCode::UnknownServerError,
                        Some(name),
                    )),
                    base_offset: None,
                    log_append_time: None,
                    in_vain: false,
                },
                stale_metadata: false,
                fatal: None,
            },
        }
    });
    judged.collect()
}

fn judge_one(partition: &PartitionProduceResponse, name: TopicPartition) -> Judged {
    let code = ErrorCode::from_code(partition.error_code);
    let verdict = Verdict::of(code);
    let error = (verdict.answer != Answer::Written).then(|| {
        let refused = Error::broker("Produce", code, Some(name.clone()))
            .with_broker_message(partition.error_message.clone());
        match code {
            ErrorCode::UnsupportedForMessageFormat => {
                Error::new(old_format(&name)).with_source(refused)
            }
            _ => refused,
        }
    });
    Judged {
        fatal: error.clone().filter(|_| verdict.fatal),
        reply: Reply {
            answer: verdict.answer,
            error,
            base_offset: Some(partition.base_offset).filter(|offset| *offset >= 0),
            log_append_time: Some(partition.log_append_time_ms).filter(|time| *time >= 0),
            in_vain: code == ErrorCode::RequestTimedOut,
        },
        stale_metadata: verdict.stale_metadata,
    }
}

/// A topic in one of the formats from before 0.11 has no place for sequence numbers.
fn old_format(name: &TopicPartition) -> ErrorKind {
    let needed = "message.format.version 0.11 or newer (or turn it off: enable.idempotence=false)";
    ErrorKind::Unsupported {
        feature: "idempotence".to_owned(),
        needed: needed.to_owned(),
        offered: format!("an older one for {name}"),
    }
}

/// The leaders that the answer names (KIP-951).
pub(crate) fn leader_hints(
    parcels: &[Parcel],
    response: &ProduceResponse,
) -> (Vec<LeaderHint>, Vec<Broker>) {
    let mut hints = Vec::new();
    for topic in &response.responses {
        let parcel = parcels.iter().find(|parcel| {
            *topic.name == *parcel.topic
                || (!topic.topic_id.is_zero() && topic.topic_id == parcel.topic_id)
        });
        let Some(parcel) = parcel else { continue };
        for partition in &topic.partition_responses {
            let current = &partition.current_leader;
            if current.leader_id >= 0 && current.leader_epoch >= 0 {
                hints.push(LeaderHint {
                    partition: TopicPartition::new(parcel.topic.clone(), partition.index),
                    leader: NodeId(current.leader_id),
                    leader_epoch: current.leader_epoch,
                });
            }
        }
    }
    let endpoints = response.node_endpoints.iter().filter_map(|endpoint| {
        Some(Broker {
            id: NodeId::from_wire(endpoint.node_id)?,
            host: endpoint.host.clone(),
            port: u16::try_from(endpoint.port).ok()?,
            rack: endpoint.rack.clone(),
        })
    });
    (hints, endpoints.collect())
}
