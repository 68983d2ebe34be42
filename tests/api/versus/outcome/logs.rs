//! What is said of logs: Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, DeleteRecords, InitProducerId.

use ottla_codec::Records;
use ottla_codec::messages::delete_records::DeleteRecordsResponse;
use ottla_codec::messages::fetch::{FetchResponse, PartitionData};
use ottla_codec::messages::init_producer_id::InitProducerIdResponse;
use ottla_codec::messages::list_offsets::ListOffsetsResponse;
use ottla_codec::messages::offset_for_leader_epoch::OffsetForLeaderEpochResponse;
use ottla_codec::messages::produce::{PartitionProduceResponse, ProduceResponse};
use ottla_codec::records::{Batches, TimestampType};

use super::names::{Names, Outcome, code, join, sorted, time, unless};

impl Outcome for ProduceResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        let answers = self.responses.iter().flat_map(|topic| {
            let name = names.topic(&topic.name, topic.topic_id);
            let partitions = topic.partition_responses.iter();
            partitions.map(move |answer| format!("{name}/{}", produced(answer)))
        });
        sorted(answers)
    }
}

fn produced(answer: &PartitionProduceResponse) -> String {
    let errors = answer.record_errors.iter();
    let errors: String = errors
        .map(|error| format!(" record={}", error.batch_index))
        .collect();
    format!(
        "{} {} base={} start={}{}{}{errors}",
        answer.index,
        code(answer.error_code),
        answer.base_offset,
        answer.log_start_offset,
        if answer.log_append_time_ms == -1 {
            String::new()
        } else {
            format!(" appended={}", time(answer.log_append_time_ms))
        },
        leader(
            answer.current_leader.leader_id,
            answer.current_leader.leader_epoch
        ),
    )
}

pub(crate) fn leader(id: i32, epoch: i32) -> String {
    if (id, epoch) == (-1, -1) {
        String::new()
    } else {
        format!(" leader={id}@{epoch}")
    }
}

impl Outcome for FetchResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        let session = match (self.session_id, names.sessions.get(&self.session_id)) {
            (0, _) => String::new(),
            (_, Some(name)) => format!("session {name}: "),
            (_, None) => "a new session: ".to_owned(),
        };
        if self.error_code != 0 {
            assert!(self.responses.is_empty());
            return format!("{session}{}", code(self.error_code));
        }
        let answers = self.responses.iter().flat_map(|topic| {
            let name = names.topic(&topic.topic, topic.topic_id);
            let partitions = topic.partitions.iter();
            partitions.map(move |answer| format!("{name}/{}", fetched(answer)))
        });
        let endpoints = self.node_endpoints.iter();
        let endpoints: String = endpoints
            .map(|endpoint| format!(" endpoint={}", endpoint.node_id))
            .collect();
        format!("{session}{}{endpoints}", join(answers))
    }
}

fn fetched(answer: &PartitionData) -> String {
    let aborted = match &answer.aborted_transactions {
        None => String::new(),
        Some(aborted) => format!(" aborted={}", aborted.len()),
    };
    format!(
        "{} {} hw={} lso={} start={}{}{}{}{aborted} {}",
        answer.partition_index,
        code(answer.error_code),
        answer.high_watermark,
        answer.last_stable_offset,
        answer.log_start_offset,
        unless("replica", answer.preferred_read_replica, -1),
        leader(
            answer.current_leader.leader_id,
            answer.current_leader.leader_epoch
        ),
        if answer.diverging_epoch.end_offset == -1 {
            String::new()
        } else {
            format!(
                " diverging={}@{}",
                answer.diverging_epoch.end_offset, answer.diverging_epoch.epoch
            )
        },
        batches(answer.records.as_ref()),
    )
}

/// `[first-last:records@epoch …]` (with an L if the times are the broker's), and whether an incomplete batch follows.
pub(crate) fn batches(records: Option<&Records>) -> String {
    let Some(records) = records else {
        return "null".to_owned();
    };
    let mut batches = Batches::new(records.to_bytes());
    let mut items = Vec::new();
    for batch in &mut batches {
        match batch {
            Ok(batch) => {
                batch.verify_crc().expect("an intact batch");
                let header = batch.header();
                items.push(format!(
                    "{}-{}:{}@{}{}",
                    batch.base_offset(),
                    batch.last_offset(),
                    batch.records_count(),
                    header.partition_leader_epoch,
                    match header.timestamp_type() {
                        TimestampType::CreateTime => "",
                        TimestampType::LogAppendTime => "L",
                    }
                ));
            }
            Err(error) => {
                items.push(format!("{error:?}"));
                break;
            }
        }
    }
    if batches.remaining() > 0 {
        items.push("part".to_owned());
    }
    format!("[{}]", items.join(" "))
}

impl Outcome for InitProducerIdResponse {
    fn outcome(&self, _version: i16, _names: &Names) -> String {
        let id = if self.producer_id < 0 {
            "no id"
        } else {
            "an id"
        };
        format!(
            "{} {id} epoch={}",
            code(self.error_code),
            self.producer_epoch
        )
    }
}

impl Outcome for ListOffsetsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        sorted(self.topics.iter().flat_map(|topic| {
            let name = names.name(&topic.name);
            topic.partitions.iter().map(move |answer| {
                format!(
                    "{name}/{} {} offset={} epoch={} time={}",
                    answer.partition_index,
                    code(answer.error_code),
                    answer.offset,
                    answer.leader_epoch,
                    time(answer.timestamp)
                )
            })
        }))
    }
}

impl Outcome for OffsetForLeaderEpochResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        join(self.topics.iter().flat_map(|topic| {
            let name = names.name(&topic.topic);
            topic.partitions.iter().map(move |answer| {
                format!(
                    "{name}/{} {} end={} epoch={}",
                    answer.partition,
                    code(answer.error_code),
                    answer.end_offset,
                    answer.leader_epoch
                )
            })
        }))
    }
}

impl Outcome for DeleteRecordsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        join(self.topics.iter().flat_map(|topic| {
            let name = names.name(&topic.name);
            topic.partitions.iter().map(move |answer| {
                format!(
                    "{name}/{} {} low={}",
                    answer.partition_index,
                    code(answer.error_code),
                    answer.low_watermark
                )
            })
        }))
    }
}
