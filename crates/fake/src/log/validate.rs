//! What a leader checks before it appends a client's batch, in Kafka's order.
//!
//! Size, checksum and base offset first; then counts, control flag and sequence; then every record. Sequences are
//! judged afterwards, by the producer state. A sink stops before the records.

use ottla_codec::ErrorCode;

use super::batch::StoredBatch;
use super::payload;
use super::records::{RawRecord, read_records};
use crate::topic_config::TopicConfig;
use crate::violations::InvalidBatch;

/// A batch that may be appended.
#[derive(Debug)]
pub(crate) struct Validated {
    /// The batch as the log will hold it.
    pub(crate) placed: StoredBatch,
    /// Something a correct client does not do, which brokers put right silently.
    pub(crate) odd: Option<InvalidBatch>,
}

/// Why a batch is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooLarge,
    Corrupt(InvalidBatch),
    Invalid(InvalidBatch),
    /// The compression is unknown or its data broken, which Kafka has no better answer to than a server error.
    Undecodable,
    /// Single records are at fault; their indices and what is wrong with them.
    Records {
        error: ErrorCode,
        errors: Vec<(i32, &'static str)>,
    },
}

impl Refusal {
    pub(crate) fn error(&self) -> ErrorCode {
        match self {
            Self::TooLarge => ErrorCode::MessageTooLarge,
            Self::Corrupt(_) => ErrorCode::CorruptMessage,
            Self::Invalid(_) => ErrorCode::InvalidRecord,
            Self::Undecodable => ErrorCode::UnknownServerError,
            Self::Records { error, .. } => *error,
        }
    }

    /// What a correct client would not have sent; sizes, keys and timestamps are up to its user.
    pub(crate) fn violation(&self) -> Option<InvalidBatch> {
        match self {
            Self::Corrupt(reason) | Self::Invalid(reason) => Some(*reason),
            Self::Undecodable => Some(InvalidBatch::Records),
            Self::TooLarge | Self::Records { .. } => None,
        }
    }
}

/// Checks all of `batch` but its records, and places it without writing that into its bytes.
pub(crate) fn validate_unread(
    batch: &StoredBatch,
    config: &TopicConfig,
    (offset, leader_epoch): (i64, i32),
) -> Result<Validated, Refusal> {
    if batch.base_offset != 0 {
        return Err(Refusal::Invalid(InvalidBatch::BaseOffset));
    }
    if batch.size() > config.max_message_bytes() {
        return Err(Refusal::TooLarge);
    }
    if !batch.crc_is_valid() {
        return Err(Refusal::Corrupt(InvalidBatch::Checksum));
    }
    if batch.last_offset_delta < 0
        || batch.count <= 0
        || batch.count != batch.last_offset_delta.saturating_add(1)
    {
        return Err(Refusal::Invalid(InvalidBatch::Count));
    }
    if batch.is_control() {
        return Err(Refusal::Invalid(InvalidBatch::Control));
    }
    if batch.has_producer() && batch.base_sequence < 0 {
        return Err(Refusal::Invalid(InvalidBatch::MissingSequence));
    }
    Ok(Validated {
        placed: StoredBatch {
            base_offset: offset,
            leader_epoch,
            ..batch.clone()
        },
        odd: None,
    })
}

/// Checks `batch` and places it at (`offset`, `leader_epoch`).
pub(crate) fn validate(
    batch: &StoredBatch,
    config: &TopicConfig,
    now_ms: i64,
    (offset, leader_epoch): (i64, i32),
) -> Result<Validated, Refusal> {
    validate_unread(batch, config, (offset, leader_epoch))?;
    let malformed = Refusal::Invalid(InvalidBatch::Records);
    let payload = payload::decompress(batch).map_err(|_| Refusal::Undecodable)?;
    let records = read_records(&payload, batch.count).map_err(|_| malformed)?;
    let in_order = records
        .iter()
        .zip(0..)
        .all(|(record, delta)| record.offset_delta == delta);
    check_records(batch, config, now_ms, &records)?;
    let largest = records
        .iter()
        .map(|record| batch.base_timestamp + record.timestamp_delta)
        .max()
        .unwrap_or(-1);
    let odd = if !in_order {
        // Brokers number the records themselves; a reader of these bytes would not.
        Some(InvalidBatch::Records)
    } else if batch.is_log_append_time() {
        Some(InvalidBatch::TimestampType)
    } else if largest != batch.max_timestamp {
        Some(InvalidBatch::MaxTimestamp)
    } else {
        None
    };
    let log_append_time = config.is_log_append_time();
    let max_timestamp = if log_append_time { now_ms } else { largest };
    let mut placed = batch.placed(offset, leader_epoch, log_append_time, max_timestamp);
    if let Some(compression) = config.compression() {
        let again = payload::recompress(&placed, &payload, compression);
        placed = again.map_err(|_| Refusal::Undecodable)?;
    }
    Ok(Validated { placed, odd })
}

fn check_records(
    batch: &StoredBatch,
    config: &TopicConfig,
    now_ms: i64,
    records: &[RawRecord<'_>],
) -> Result<(), Refusal> {
    let compacted = config.is_compacted();
    let timestamps = config.timestamp_range(now_ms);
    let create_time = !config.is_log_append_time();
    let fault = |record: &RawRecord<'_>| {
        let timestamp = batch.base_timestamp.saturating_add(record.timestamp_delta);
        if compacted && record.key.is_none() {
            Some((
                ErrorCode::InvalidRecord,
                "Compacted topic cannot accept message without key",
            ))
        } else if create_time && timestamp != -1 {
            let out_of_range = !timestamps.contains(&timestamp);
            out_of_range.then_some((
                ErrorCode::InvalidTimestamp,
                "Timestamp of message is out of range",
            ))
        } else if batch.is_log_append_time() {
            Some((
                ErrorCode::InvalidTimestamp,
                "Producer should not set timestamp type to LogAppendTime",
            ))
        } else {
            None
        }
    };
    let faults: Vec<_> = records
        .iter()
        .zip(0..)
        .filter_map(|(record, index)| fault(record).map(|fault| (index, fault)))
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    let error = if faults
        .iter()
        .any(|&(_, (error, _))| error == ErrorCode::InvalidTimestamp)
    {
        ErrorCode::InvalidTimestamp
    } else {
        ErrorCode::InvalidRecord
    };
    let errors = faults
        .into_iter()
        .map(|(index, (_, text))| (index, text))
        .collect();
    Err(Refusal::Records { error, errors })
}
