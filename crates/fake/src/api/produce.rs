//! Produce: checks batches as a broker does, appends them, and answers when enough replicas have them.
//!
//! # References
//! - KIP-98 (idempotence), KIP-467 (record errors), KIP-516 (topic ids, v13), KIP-951 (hints)

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use ottla_codec::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData,
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use ottla_codec::{ErrorCode, Uuid};

use super::purgatory::Parked;
use super::{Outcome, hints};
use crate::log::{
    BatchFault, Judgement, Refusal, SequenceFault, StoredBatch, ZSTD, validate, validate_unread,
};
use crate::state::{RequestContext, State};
use crate::topic::Topic;
use crate::violations::{InvalidBatch, Violation};

/// A produce whose batches are appended but not yet replicated.
#[derive(Clone, Debug)]
pub(crate) struct PendingProduce {
    results: Vec<TopicResult>,
}

#[derive(Clone, Debug)]
struct TopicResult {
    name: String,
    id: Uuid,
    partitions: Vec<PartitionResult>,
}

/// What became of one partition's batch.
#[derive(Clone, Debug)]
struct PartitionResult {
    index: i32,
    error: ErrorCode,
    base_offset: i64,
    log_append_time_ms: i64,
    log_start_offset: i64,
    record_errors: Vec<(i32, &'static str)>,
    /// The offset that the high watermark must reach before acks=all is answered.
    required_offset: Option<i64>,
}

impl PartitionResult {
    fn failed(index: i32, error: ErrorCode) -> Self {
        Self {
            index,
            error,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            required_offset: None,
        }
    }
}

impl PendingProduce {
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&str, i32)> {
        self.results.iter().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|p| (topic.name.as_str(), p.index))
        })
    }
}

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    mut request: ProduceRequest,
) -> Outcome {
    let acks = request.acks;
    drop_repeated_partitions(state, &mut request);
    let refused_whole = if !(-1..=1).contains(&acks) {
        Some(ErrorCode::InvalidRequiredAcks)
    } else if request.transactional_id.is_none() && has_transactional_records(&request) {
        Some(ErrorCode::TransactionalIdAuthorizationFailed)
    } else {
        None
    };
    let mut results = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let resolved = state
            .resolve_topic(&topic.name, topic.topic_id)
            .map(|found| found.name.clone());
        let resolved = match resolved {
            Err(ErrorCode::UnknownTopicOrPartition) if context.version >= 13 => {
                Err(ErrorCode::UnknownTopicId)
            }
            other => other,
        };
        let partitions =
            topic
                .partition_data
                .into_iter()
                .map(|data| match (&resolved, refused_whole) {
                    (_, Some(error)) | (&Err(error), None) => {
                        PartitionResult::failed(data.index, error)
                    }
                    (Ok(name), None) => {
                        let mut result = append(state, context, name, acks, data);
                        let is_nameless = !state.options.release.has_invalid_record();
                        if is_nameless && result.error == ErrorCode::InvalidRecord {
                            result.error = ErrorCode::CorruptMessage;
                        }
                        result
                    }
                });
        let partitions = partitions.collect();
        results.push(TopicResult {
            name: resolved.unwrap_or(topic.name),
            id: topic.topic_id,
            partitions,
        });
    }
    let pending = PendingProduce { results };
    if acks == 0 {
        let any_failed = pending
            .results
            .iter()
            .any(|topic| topic.partitions.iter().any(|p| p.error != ErrorCode::None));
        // The producer wants no answer; a closed connection tells it that something is wrong.
        return if any_failed {
            Outcome::Close
        } else {
            Outcome::Silent
        };
    }
    if acks == -1 && !is_ready(state, context, &pending) {
        let wait = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        return Outcome::Park(Parked::produce(pending, wait));
    }
    let acks_all = acks == -1;
    Outcome::Respond(Box::new(respond(state, context, pending, acks_all)))
}

/// Whether every appended batch is replicated, or never will be by this leader.
pub(crate) fn is_ready(state: &State, context: &RequestContext, pending: &PendingProduce) -> bool {
    pending.results.iter().all(|topic| {
        topic.partitions.iter().all(|result| {
            let Some(required) = result.required_offset else {
                return true;
            };
            let partition = state.partition(&topic.name, result.index);
            partition
                .is_none_or(|p| !p.is_led_by(context.broker) || p.log.high_watermark() >= required)
        })
    })
}

/// The answer to a produce that has waited long enough.
pub(crate) fn answer(
    state: &State,
    context: &RequestContext,
    pending: PendingProduce,
) -> ProduceResponse {
    respond(state, context, pending, true)
}

fn respond(
    state: &State,
    context: &RequestContext,
    pending: PendingProduce,
    acks_all: bool,
) -> ProduceResponse {
    let mut leaders = Vec::new();
    let responses = pending.results.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|mut result| {
            if let Some(required) = result.required_offset.filter(|_| acks_all) {
                let partition = state.partition(&topic.name, result.index);
                result.error = match partition {
                    None => ErrorCode::UnknownTopicOrPartition,
                    Some(partition) if !partition.is_led_by(context.broker) => {
                        ErrorCode::NotLeaderOrFollower
                    }
                    Some(partition) if partition.log.high_watermark() < required => {
                        ErrorCode::RequestTimedOut
                    }
                    Some(_) => ErrorCode::None,
                };
            }
            let hinted = result.error == ErrorCode::NotLeaderOrFollower && context.version >= 10;
            let (leader_id, leader_epoch) = if hinted {
                hints::current_leader(state, context.broker, &topic.name, result.index)
            } else {
                (-1, -1)
            };
            leaders.extend((leader_id >= 0).then_some(leader_id));
            partition_response(
                result,
                LeaderIdAndEpoch {
                    leader_id,
                    leader_epoch,
                    ..Default::default()
                },
            )
        });
        let partition_responses = partitions.collect();
        TopicProduceResponse {
            name: topic.name,
            topic_id: topic.id,
            partition_responses,
            ..Default::default()
        }
    });
    let responses = responses.collect();
    let node_endpoints = hints::endpoints(state, leaders)
        .into_iter()
        .map(|endpoint| NodeEndpoint {
            node_id: endpoint.id,
            host: endpoint.host,
            port: endpoint.port,
            rack: endpoint.rack,
            ..Default::default()
        });
    ProduceResponse {
        responses,
        node_endpoints: node_endpoints.collect(),
        ..Default::default()
    }
}

fn partition_response(
    result: PartitionResult,
    current_leader: LeaderIdAndEpoch,
) -> PartitionProduceResponse {
    let error_message = (!result.record_errors.is_empty()).then(|| match result.error {
        ErrorCode::InvalidTimestamp => {
            "One or more records have been rejected due to invalid timestamp".to_owned()
        }
        _ => format!(
            "One or more records have been rejected due to {} record errors",
            result.record_errors.len()
        ),
    });
    let record_errors =
        result
            .record_errors
            .into_iter()
            .map(|(batch_index, text)| BatchIndexAndErrorMessage {
                batch_index,
                batch_index_error_message: Some(text.to_owned()),
                ..Default::default()
            });
    PartitionProduceResponse {
        index: result.index,
        error_code: result.error.code(),
        base_offset: result.base_offset,
        log_append_time_ms: result.log_append_time_ms,
        log_start_offset: result.log_start_offset,
        record_errors: record_errors.collect(),
        error_message,
        current_leader,
        ..Default::default()
    }
}

/// Brokers keep what a request says last about a partition, and never look at what it said before.
fn drop_repeated_partitions(state: &mut State, request: &mut ProduceRequest) {
    let mut seen = BTreeSet::new();
    for topic in request.topic_data.iter_mut().rev() {
        let (name, id) = (topic.name.clone(), topic.topic_id);
        let mut kept = Vec::with_capacity(topic.partition_data.len());
        for data in mem::take(&mut topic.partition_data).into_iter().rev() {
            if seen.insert((name.clone(), id, data.index)) {
                kept.push(data);
            } else {
                let resolved = state.resolve_topic(&name, id);
                let topic = resolved.map_or(name.clone(), |found| found.name.clone());
                let partition = data.index;
                state.report(Violation::NotOneBatch { topic, partition });
            }
        }
        kept.reverse();
        topic.partition_data = kept;
    }
    let topics = &mut request.topic_data;
    topics.retain(|topic| !topic.partition_data.is_empty());
}

fn append(
    state: &mut State,
    context: &RequestContext,
    topic: &str,
    acks: i16,
    data: PartitionProduceData,
) -> PartitionResult {
    let index = data.index;
    if state.partition(topic, index).is_none() {
        return PartitionResult::failed(index, ErrorCode::UnknownTopicOrPartition);
    }
    let records = data
        .records
        .map(|records| records.to_bytes())
        .unwrap_or_default();
    let batch = match only_batch(records, context.version) {
        Ok(batch) => batch,
        Err((error, invalid)) => {
            let (topic, partition) = (topic.to_owned(), index);
            state.report(match invalid {
                Some(reason) => Violation::InvalidBatch {
                    topic,
                    partition,
                    reason,
                },
                None => Violation::NotOneBatch { topic, partition },
            });
            return PartitionResult::failed(index, error);
        }
    };
    if Topic::is_internal(topic) {
        return PartitionResult::failed(index, ErrorCode::InvalidTopicException);
    }
    append_batch(state, context, topic, acks, (index, batch))
}

fn append_batch(
    state: &mut State,
    context: &RequestContext,
    topic: &str,
    acks: i16,
    (index, batch): (i32, StoredBatch),
) -> PartitionResult {
    let now_ms = state.clock.wall_ms();
    let release = state.options.release;
    let is_sink = state.options.sink;
    let given_out = !batch.has_producer() || state.producers.has_given_out(batch.producer_id);
    let mut noticed = Vec::new();
    let result = {
        let Some(found) = state.topics.get_mut(topic) else {
            return PartitionResult::failed(index, ErrorCode::UnknownTopicOrPartition);
        };
        let config = found.config.clone();
        let Some(partition) = found.partition_mut(index) else {
            return PartitionResult::failed(index, ErrorCode::UnknownTopicOrPartition);
        };
        if !partition.is_led_by(context.broker) {
            return PartitionResult::failed(index, ErrorCode::NotLeaderOrFollower);
        }
        // A minimum above the number of replicas could never be met, so it is capped.
        let min_isr = config.min_insync_replicas().min(partition.replicas.len());
        if acks == -1 && partition.isr.len() < min_isr {
            return PartitionResult::failed(index, ErrorCode::NotEnoughReplicas);
        }
        let name = || (topic.to_owned(), index);
        let epoch = partition.leader_epoch;
        let log = &mut partition.log;
        let place = (log.log_end, epoch);
        let validated = match is_sink {
            true => validate_unread(&batch, &config, place),
            false => validate(&batch, &config, now_ms, place),
        };
        let placed = match validated {
            Ok(validated) => {
                if let Some(reason) = validated.odd {
                    let (topic, partition) = name();
                    noticed.push(Violation::InvalidBatch {
                        topic,
                        partition,
                        reason,
                    });
                }
                validated.placed
            }
            Err(refusal) => {
                if let Some(reason) = refusal.violation() {
                    let (topic, partition) = name();
                    noticed.push(Violation::InvalidBatch {
                        topic,
                        partition,
                        reason,
                    });
                }
                let failed = refused(index, log.log_start, refusal);
                state.violations.extend(noticed);
                return failed;
            }
        };
        if !given_out {
            let (topic, partition) = name();
            noticed.push(Violation::UnassignedProducerId {
                topic,
                partition,
                producer_id: batch.producer_id,
            });
        }
        let judgement = if batch.has_producer() {
            log.producers.judge(&batch, release)
        } else {
            Ok(Judgement::New)
        };
        match judgement {
            Ok(Judgement::New) => {
                if batch.has_producer()
                    && !log.producers.knows(batch.producer_id)
                    && batch.base_sequence != 0
                {
                    let (topic, partition) = name();
                    let (producer_id, sequence) = (batch.producer_id, batch.base_sequence);
                    noticed.push(Violation::FirstSequenceNotZero {
                        topic,
                        partition,
                        producer_id,
                        sequence,
                    });
                }
                let log_append_time_ms = if config.is_log_append_time() {
                    now_ms
                } else {
                    -1
                };
                let base_offset = placed.base_offset;
                let required_offset = placed.last_offset() + 1;
                match is_sink {
                    true => log.swallow(placed),
                    false => log.append(placed),
                }
                PartitionResult {
                    index,
                    error: ErrorCode::None,
                    base_offset,
                    log_append_time_ms,
                    log_start_offset: log.log_start,
                    record_errors: Vec::new(),
                    required_offset: (acks == -1).then_some(required_offset),
                }
            }
            Ok(Judgement::Duplicate(original)) => {
                let stored = log
                    .batches
                    .iter()
                    .rev()
                    .find(|stored| stored.base_offset == original.first_offset);
                if stored.is_some_and(|stored| !stored.has_records_of(&batch)) {
                    let (topic, partition) = name();
                    let (producer_id, sequence) = (batch.producer_id, batch.base_sequence);
                    noticed.push(Violation::RetryDiffers {
                        topic,
                        partition,
                        producer_id,
                        sequence,
                    });
                }
                PartitionResult {
                    index,
                    error: ErrorCode::None,
                    base_offset: original.first_offset,
                    // Brokers report the remembered batch's timestamp here, whatever the topic's timestamp type.
                    log_append_time_ms: original.timestamp,
                    log_start_offset: log.log_start,
                    record_errors: Vec::new(),
                    required_offset: (acks == -1).then_some(original.last_offset + 1),
                }
            }
            Err(fault) => {
                let (error, violation) = sequence_refusal(topic, index, &batch, fault);
                noticed.extend(violation);
                PartitionResult {
                    log_start_offset: log.log_start,
                    ..PartitionResult::failed(index, error)
                }
            }
        }
    };
    for violation in noticed {
        state.report(violation);
    }
    state.mark_changed(topic, index);
    result
}

fn refused(index: i32, log_start: i64, refusal: Refusal) -> PartitionResult {
    let failed = PartitionResult::failed(index, refusal.error());
    match refusal {
        // Brokers give the log's start with some refusals and not with others.
        Refusal::TooLarge | Refusal::Corrupt(_) => failed,
        Refusal::Invalid(_) | Refusal::Undecodable => PartitionResult {
            log_start_offset: log_start,
            ..failed
        },
        Refusal::Records { errors, .. } => PartitionResult {
            log_start_offset: log_start,
            record_errors: errors,
            ..failed
        },
    }
}

fn sequence_refusal(
    topic: &str,
    partition: i32,
    batch: &StoredBatch,
    fault: SequenceFault,
) -> (ErrorCode, Option<Violation>) {
    let topic = topic.to_owned();
    let (producer_id, epoch, sequence) =
        (batch.producer_id, batch.producer_epoch, batch.base_sequence);
    match fault {
        SequenceFault::InvalidEpoch { last } => (
            ErrorCode::InvalidProducerEpoch,
            Some(Violation::StaleProducerEpoch {
                topic,
                partition,
                producer_id,
                epoch,
                newest: last,
            }),
        ),
        SequenceFault::OutOfOrder { expected } => (
            ErrorCode::OutOfOrderSequenceNumber,
            Some(Violation::OutOfOrderSequence {
                topic,
                partition,
                producer_id,
                epoch,
                sequence,
                expected,
            }),
        ),
        SequenceFault::UnknownProducer => (
            ErrorCode::UnknownProducerId,
            Some(Violation::FirstSequenceNotZero {
                topic,
                partition,
                producer_id,
                sequence,
            }),
        ),
        SequenceFault::OutsideTransaction | SequenceFault::NoTransaction => {
            (ErrorCode::InvalidTxnState, None)
        }
    }
}

/// The one batch that a partition's records must be.
fn only_batch(
    mut records: Bytes,
    version: i16,
) -> Result<StoredBatch, (ErrorCode, Option<InvalidBatch>)> {
    let next = |records: &mut Bytes| match StoredBatch::split_from(records) {
        Ok(batch) => Ok(batch),
        Err(BatchFault::Corrupt) => Err((ErrorCode::CorruptMessage, Some(InvalidBatch::Malformed))),
        Err(BatchFault::OldMagic) => Err((ErrorCode::InvalidRecord, Some(InvalidBatch::OldMagic))),
    };
    let Some(batch) = next(&mut records)? else {
        return Err((ErrorCode::InvalidRecord, None));
    };
    if version < 7 && batch.compression() == ZSTD {
        return Err((
            ErrorCode::UnsupportedCompressionType,
            Some(InvalidBatch::Records),
        ));
    }
    if next(&mut records)?.is_some() {
        return Err((ErrorCode::InvalidRecord, None));
    }
    Ok(batch)
}

fn has_transactional_records(request: &ProduceRequest) -> bool {
    let mut partitions = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    partitions.any(|data| {
        let records = data
            .records
            .as_ref()
            .map(|records| records.to_bytes())
            .unwrap_or_default();
        StoredBatch::split_from(&mut records.clone())
            .is_ok_and(|batch| batch.is_some_and(|b| b.is_transactional()))
    })
}
