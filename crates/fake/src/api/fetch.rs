//! Fetch: what of the logs a client may read, how much of it, and when to answer.
//!
//! # References
//! - KIP-227 (sessions), KIP-320 (truncation), KIP-392 (follower fetching), KIP-516 (topic ids), KIP-951 (hints)

use std::time::Duration;

use ottla_codec::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use ottla_codec::{ErrorCode, Records};

use super::Outcome;
use super::hints;
use super::purgatory::Parked;
use super::sessions::{Answers, SessionContext, Wanted};
use crate::state::{RequestContext, State};
use crate::topic::Partition;

/// `fetch.max.bytes` of Kafka.
const BROKER_MAX_BYTES: i32 = 57_671_680;

/// A fetch that has been taken in and may have to wait.
#[derive(Clone, Debug)]
pub(crate) struct PendingFetch {
    session: SessionContext,
    /// Partitions that exist; what happens to them may end the wait.
    pub(crate) wanted: Vec<Wanted>,
    /// Partitions that did not exist when the fetch came. Their errors wait with the rest, and come last.
    unknown: Vec<(Wanted, ErrorCode)>,
    by_topic_id: bool,
    min_bytes: usize,
    max_bytes: i32,
    read_committed: bool,
    rack: Option<String>,
    leader_only: bool,
}

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: FetchRequest,
) -> Outcome {
    let by_topic_id = context.version >= 13;
    let wanted = wanted(state, &request);
    let forgotten = forgotten(&request);
    let Some(broker) = state.brokers.get_mut(&context.broker) else {
        return Outcome::Close;
    };
    let session = (request.session_id, request.session_epoch);
    let (session, mut wanted) =
        match broker
            .sessions
            .begin(session, by_topic_id, wanted, &forgotten)
        {
            Ok(begun) => begun,
            Err(error) => {
                return Outcome::respond(FetchResponse {
                    error_code: error.code(),
                    ..Default::default()
                });
            }
        };
    for wanted in wanted.iter_mut().filter(|wanted| wanted.topic.is_empty()) {
        // A topic that the session asked for before it existed.
        wanted.topic = state
            .topic_names
            .get(&wanted.topic_id)
            .cloned()
            .unwrap_or_default();
    }
    let mut unknown = Vec::new();
    wanted.retain(|wanted| match existing(state, by_topic_id, wanted) {
        Ok(_) => true,
        Err(error) => {
            unknown.push((wanted.clone(), error));
            false
        }
    });
    // Brokers look ids up first, and then partitions.
    unknown.sort_by_key(|(_, error)| *error != ErrorCode::UnknownTopicId);
    let max_bytes = request.max_bytes.min(BROKER_MAX_BYTES);
    let fetch = PendingFetch {
        session,
        wanted,
        unknown,
        by_topic_id,
        min_bytes: usize::try_from(request.min_bytes.min(max_bytes)).unwrap_or(0),
        max_bytes,
        read_committed: request.isolation_level == 1,
        rack: (context.version >= 11).then_some(request.rack_id),
        // Since follower fetching (v11) a client may read from any replica.
        leader_only: context.version < 11,
    };
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let answers = read_all(state, context, &fetch);
    if wait.is_zero() || fetch.wanted.is_empty() || is_enough(&answers, &fetch) {
        return Outcome::Respond(Box::new(complete(state, context, fetch, answers)));
    }
    Outcome::Park(Parked::fetch(fetch, wait))
}

/// Whether what a fetch finds when it arrives is worth an answer. Unlike later, a batch counts with all its bytes even
/// if it is larger than its partition's limit.
fn is_enough(answers: &Answers, fetch: &PendingFetch) -> bool {
    let needs_answer = |answer: &PartitionData| {
        answer.error_code != ErrorCode::None.code()
            || answer.preferred_read_replica >= 0
            || answer.diverging_epoch.end_offset >= 0
    };
    let bytes: usize = answers.iter().map(|(_, answer)| size(answer)).sum();
    bytes >= fetch.min_bytes || answers.iter().any(|(_, answer)| needs_answer(answer))
}

/// Whether a fetch must not wait any longer: enough bytes, an error, a truncation, or a replica to go to.
pub(crate) fn is_ready(state: &State, context: &RequestContext, fetch: &PendingFetch) -> bool {
    let mut bytes = 0;
    for wanted in &fetch.wanted {
        let Ok(partition) = find(state, context, fetch, wanted) else {
            return true;
        };
        let Some(bound) = bound(partition, context.broker, fetch, wanted) else {
            return true;
        };
        if preferred_replica(state, partition, context.broker, fetch, wanted).is_some()
            || diverging(partition, wanted).is_none_or(|diverging| diverging.end_offset >= 0)
        {
            return true;
        }
        let max_bytes = usize::try_from(wanted.max_bytes.min(fetch.max_bytes)).unwrap_or(0);
        bytes += partition
            .log
            .readable_bytes(wanted.fetch_offset, max_bytes, bound);
        if bytes >= fetch.min_bytes {
            return true;
        }
    }
    bytes >= fetch.min_bytes
}

/// Reads the logs and makes the answer.
pub(crate) fn answer(
    state: &mut State,
    context: &RequestContext,
    fetch: PendingFetch,
) -> FetchResponse {
    let answers = read_all(state, context, &fetch);
    complete(state, context, fetch, answers)
}

/// The answer of what was read, through the fetch's session.
fn complete(
    state: &mut State,
    context: &RequestContext,
    fetch: PendingFetch,
    mut answers: Answers,
) -> FetchResponse {
    for (wanted, error) in &fetch.unknown {
        answers.push((wanted.clone(), failed(state, context, wanted, *error)));
    }
    let Some(broker) = state.brokers.get_mut(&context.broker) else {
        return FetchResponse::default();
    };
    let completed =
        broker
            .sessions
            .complete(fetch.session, fetch.by_topic_id, answers, &mut state.rng);
    let (session_id, answers) = match completed {
        Ok(completed) => completed,
        Err((session_id, error)) => {
            return FetchResponse {
                session_id,
                error_code: error.code(),
                ..Default::default()
            };
        }
    };
    let leaders = answers
        .iter()
        .map(|(_, answer)| answer.current_leader.leader_id);
    let endpoints = hints::endpoints(state, leaders.filter(|&leader| leader >= 0).collect());
    FetchResponse {
        session_id,
        responses: by_topic(answers),
        node_endpoints: endpoints
            .into_iter()
            .map(|endpoint| NodeEndpoint {
                node_id: endpoint.id,
                host: endpoint.host,
                port: endpoint.port,
                rack: endpoint.rack,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn read_all(state: &State, context: &RequestContext, fetch: &PendingFetch) -> Answers {
    let mut at_least_one = true;
    let mut left = fetch.max_bytes;
    let mut answers = Vec::with_capacity(fetch.wanted.len() + fetch.unknown.len());
    for wanted in &fetch.wanted {
        let answer = read(state, context, fetch, wanted, left, at_least_one);
        let size = size(&answer);
        at_least_one &= size == 0;
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        left = left.saturating_sub(size).max(0);
        answers.push((wanted.clone(), answer));
    }
    answers
}

fn size(answer: &PartitionData) -> usize {
    answer.records.as_ref().map_or(0, Records::len)
}

fn read(
    state: &State,
    context: &RequestContext,
    fetch: &PendingFetch,
    wanted: &Wanted,
    left: i32,
    at_least_one: bool,
) -> PartitionData {
    let partition = match find(state, context, fetch, wanted) {
        Ok(found) => found,
        Err(error) => return failed(state, context, wanted, error),
    };
    let log = &partition.log;
    let high_watermark = log
        .high_watermark()
        .min(partition.log_end_on(context.broker));
    let answer = PartitionData {
        partition_index: wanted.partition,
        high_watermark,
        last_stable_offset: log.last_stable_offset().min(high_watermark),
        log_start_offset: log.log_start,
        aborted_transactions: None,
        records: Some(Records::default()),
        ..Default::default()
    };
    if let Some(replica) = preferred_replica(state, partition, context.broker, fetch, wanted) {
        return PartitionData {
            preferred_read_replica: replica,
            ..answer
        };
    }
    // A truncated client is told so even if its offset lies beyond the log's end, but not below its start.
    let out_of_range = || failed(state, context, wanted, ErrorCode::OffsetOutOfRange);
    match diverging(partition, wanted) {
        None => return out_of_range(),
        Some(_) if wanted.fetch_offset < log.log_start => return out_of_range(),
        Some(diverging) if diverging.end_offset >= 0 => {
            return PartitionData {
                diverging_epoch: diverging,
                ..answer
            };
        }
        Some(_) => {}
    }
    let Some(bound) = bound(partition, context.broker, fetch, wanted) else {
        return out_of_range();
    };
    let max_bytes = match usize::try_from(wanted.max_bytes.min(left)) {
        Ok(max_bytes) => max_bytes,
        Err(_) if wanted.fetch_offset == bound => 0,
        Err(_) => return failed(state, context, wanted, ErrorCode::UnknownServerError),
    };
    let records = log.read(wanted.fetch_offset, max_bytes, at_least_one, bound);
    let aborted = fetch.read_committed.then(|| {
        let aborted = log.aborted_between(wanted.fetch_offset, bound);
        let aborted = aborted.map(|txn| AbortedTransaction {
            producer_id: txn.producer_id,
            first_offset: txn.first_offset,
            ..Default::default()
        });
        aborted.collect()
    });
    PartitionData {
        records: Some(Records::from(records)),
        aborted_transactions: aborted,
        ..answer
    }
}

/// The partition, if this broker may serve it at all.
fn find<'s>(
    state: &'s State,
    context: &RequestContext,
    fetch: &PendingFetch,
    wanted: &Wanted,
) -> Result<&'s Partition, ErrorCode> {
    let partition = existing(state, fetch.by_topic_id, wanted)?;
    partition.check_read(
        context.broker,
        wanted.current_leader_epoch,
        fetch.leader_only,
    )?;
    Ok(partition)
}

fn existing<'s>(
    state: &'s State,
    by_topic_id: bool,
    wanted: &Wanted,
) -> Result<&'s Partition, ErrorCode> {
    if by_topic_id && !state.topic_names.contains_key(&wanted.topic_id) {
        return Err(ErrorCode::UnknownTopicId);
    }
    let topic = state.resolve_topic(&wanted.topic, wanted.topic_id)?;
    topic
        .partition(wanted.partition)
        .ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// The offset below which the client may read; `None` if its own lies outside the log.
fn bound(partition: &Partition, broker: i32, fetch: &PendingFetch, wanted: &Wanted) -> Option<i64> {
    let log = &partition.log;
    let end = partition.log_end_on(broker);
    if !(log.log_start..=end).contains(&wanted.fetch_offset) {
        return None;
    }
    let readable = if fetch.read_committed {
        log.last_stable_offset()
    } else {
        log.high_watermark()
    };
    Some(readable.min(end))
}

/// Where the client's log and this one part ways (KIP-320): an end offset of -1 when they do not, `None` when the
/// client's epoch is unknown here.
fn diverging(partition: &Partition, wanted: &Wanted) -> Option<EpochEndOffset> {
    let none = EpochEndOffset::default();
    if wanted.last_fetched_epoch < 0 {
        return Some(none);
    }
    let (epoch, end_offset) = partition
        .log
        .epochs
        .end_offset_for(wanted.last_fetched_epoch, partition.log.log_end);
    if epoch < 0 || end_offset < 0 {
        return None;
    }
    if epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset {
        return Some(EpochEndOffset {
            epoch,
            end_offset,
            ..Default::default()
        });
    }
    Some(none)
}

/// The in-sync replica in the client's rack that the leader sends it to (KIP-392), if the client is not there yet.
fn preferred_replica(
    state: &State,
    partition: &Partition,
    broker: i32,
    fetch: &PendingFetch,
    wanted: &Wanted,
) -> Option<i32> {
    let rack = fetch.rack.as_deref().filter(|rack| !rack.is_empty())?;
    if !partition.is_led_by(broker) {
        return None;
    }
    let in_rack = |id: i32| {
        state
            .brokers
            .get(&id)
            .is_some_and(|b| b.running && b.rack.as_deref() == Some(rack))
    };
    if in_rack(broker) {
        return None;
    }
    // Of several, Kafka takes the one that is furthest; these are all equal unless held back.
    let caught_up = partition.isr.iter().copied().filter(|&replica| {
        in_rack(replica)
            && partition.log_end_on(replica) >= wanted.fetch_offset
            && partition.log.log_start <= wanted.fetch_offset
    });
    caught_up.max_by_key(|&replica| (partition.log_end_on(replica), std::cmp::Reverse(replica)))
}

fn failed(
    state: &State,
    context: &RequestContext,
    wanted: &Wanted,
    error: ErrorCode,
) -> PartitionData {
    let hinted = matches!(
        error,
        ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
    );
    let (leader_id, leader_epoch) = if hinted && context.version >= 16 {
        hints::current_leader(state, context.broker, &wanted.topic, wanted.partition)
    } else {
        (-1, -1)
    };
    let is_unknown = matches!(
        error,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId
    );
    PartitionData {
        partition_index: wanted.partition,
        error_code: error.code(),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        current_leader: LeaderIdAndEpoch {
            leader_id,
            leader_epoch,
            ..Default::default()
        },
        // Brokers leave the list empty for partitions they do not know, and out for those they may not read.
        aborted_transactions: is_unknown.then(Vec::new),
        records: Some(Records::default()),
        ..Default::default()
    }
}

/// Groups answers by topic; one topic's answers need not be neighbours in a session.
fn by_topic(answers: Vec<(Wanted, PartitionData)>) -> Vec<FetchableTopicResponse> {
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    for (wanted, answer) in answers {
        // Like Kafka, only neighbours share a topic entry, so that the order of partitions is kept.
        match topics.last_mut() {
            Some(last) if last.topic == wanted.topic && last.topic_id == wanted.topic_id => {
                last.partitions.push(answer)
            }
            _ => topics.push(FetchableTopicResponse {
                topic: wanted.topic,
                topic_id: wanted.topic_id,
                partitions: vec![answer],
                ..Default::default()
            }),
        }
    }
    topics
}

/// What is asked for; a partition that is named twice counts as named last, where it was named first.
fn wanted(state: &State, request: &FetchRequest) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    let topics = request.topics.iter().flat_map(|topic| {
        let name = state
            .topic_names
            .get(&topic.topic_id)
            .unwrap_or(&topic.topic);
        topic.partitions.iter().map(move |partition| Wanted {
            topic: name.clone(),
            topic_id: topic.topic_id,
            partition: partition.partition,
            current_leader_epoch: partition.current_leader_epoch,
            fetch_offset: partition.fetch_offset,
            last_fetched_epoch: partition.last_fetched_epoch,
            max_bytes: partition.partition_max_bytes,
        })
    });
    for wanted in topics {
        match all.iter_mut().find(|earlier| earlier.is_same(&wanted)) {
            Some(earlier) => *earlier = wanted,
            None => all.push(wanted),
        }
    }
    all
}

fn forgotten(request: &FetchRequest) -> Vec<Wanted> {
    let topics = request.forgotten_topics_data.iter().flat_map(|topic| {
        topic.partitions.iter().map(|&partition| Wanted {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partition,
            current_leader_epoch: -1,
            fetch_offset: -1,
            last_fetched_epoch: -1,
            max_bytes: 0,
        })
    });
    topics.collect()
}
