//! The description of batches that `xtask/java/BatchVectors.java` writes and reads.

use std::fmt::Write;

use ottla_codec::records::{DecodedBatch, RecordBatch, TimestampType, add_sequence};

/// One line of the manifest: the batch's header.
pub(crate) fn describe(name: &str, list: &str, batch: &RecordBatch) -> String {
    let header = batch.header();
    let timestamp_type = match header.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    // Java counts the last sequence from the offsets, which compaction leaves alone.
    let last_sequence = add_sequence(
        header.base_sequence,
        header.last_offset_delta.unsigned_abs(),
    );
    format!(
        "{name} records={list} base_offset={} size={} leader_epoch={} crc={} compression={} \
         timestamp_type={timestamp_type} transactional={} control={} delete_horizon={} \
         last_offset={} next_offset={} max_timestamp={} producer_id={} producer_epoch={} \
         base_sequence={} last_sequence={last_sequence} count={}",
        batch.base_offset(),
        header.size_bytes(),
        header.partition_leader_epoch,
        header.crc,
        batch.compression().expect("a known codec"),
        header.is_transactional(),
        header.is_control(),
        header.delete_horizon_ms().unwrap_or(-1),
        batch.last_offset(),
        batch.next_offset(),
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        batch.records_count(),
    )
}

/// A line for each record: offset, timestamp, key, value and headers.
pub(crate) fn dump(batch: &DecodedBatch) -> String {
    let mut out = String::new();
    for record in batch.records() {
        let record = record.expect("a valid record");
        let delta = record.offset - batch.header().base_offset;
        write!(out, "{delta} {} ", record.timestamp).expect("a string grows");
        out += &text(record.key);
        out.push(' ');
        out += &text(record.value);
        for header in record.headers() {
            out.push(' ');
            out += &text(Some(header.key_bytes));
            out.push('=');
            out += &text(header.value);
        }
        out.push('\n');
    }
    out
}

/// Null as ~, bytes that are not plain as %XX, and what repeats itself as unit*count.
pub(crate) fn text(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "~".to_owned();
    };
    if bytes.len() >= 64 {
        for unit in (1..=32).filter(|unit| bytes.len() % unit == 0) {
            if bytes[unit..] == bytes[..bytes.len() - unit] {
                return format!("{}*{}", escape(&bytes[..unit]), bytes.len() / unit);
            }
        }
    }
    escape(bytes)
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' {
            out.push(byte as char);
        } else {
            write!(out, "%{byte:02x}").expect("a string grows");
        }
    }
    out
}
