//! Reads logs of the old message formats that Kafka's own classes wrote, and compares the records with what those
//! classes read. See `vectors/README.md`.
#![cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use ottla_codec::records::{
    BatchError, Batches, Compression, Decompressor, RecordView, TimestampType, WrapperFault,
};

#[path = "vectors/directory.rs"]
mod directory;
#[path = "vectors/text.rs"]
#[expect(dead_code, reason = "what only batches have")]
mod text;

const LIMIT: usize = 1 << 20;

/// A log, and what Java reads from it.
struct Vector {
    name: String,
    log: Bytes,
    expected: Result<String, String>,
}

fn vectors() -> Vec<Vector> {
    let dir = directory::vectors().join("message-sets");
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .filter_map(|entry| {
            let name = entry.expect("an entry").file_name().into_string().ok()?;
            name.strip_suffix(".bin").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(
        names.len() > 90,
        "only {} in {}",
        names.len(),
        dir.display()
    );
    let read = |path: &Path| fs::read_to_string(path).ok();
    names
        .into_iter()
        .map(|name| {
            let file = |extension| dir.join(&name).with_extension(extension);
            let error = || read(&file("error")).expect("records or an error");
            Vector {
                log: fs::read(file("bin")).expect("a log").into(),
                expected: read(&file("records")).ok_or_else(error),
                name,
            }
        })
        .collect()
}

/// The records as Java's list has them.
fn dump(log: &Bytes, decompressor: &mut Decompressor) -> Result<String, BatchError> {
    let mut out = String::new();
    for batch in Batches::new(log.clone()) {
        let batch = batch?;
        batch.verify_crc()?;
        let decoded = batch.decompress(decompressor, LIMIT)?;
        let appended = decoded.header().timestamp_type() == TimestampType::LogAppendTime;
        let mut count = 0;
        for record in decoded.records() {
            let RecordView {
                offset,
                timestamp,
                key,
                value,
                ..
            } = record?;
            let stamped = if appended { "append" } else { "create" };
            let (key, value) = (text::text(key), text::text(value));
            writeln!(out, "{offset} {timestamp} {stamped} {key} {value}").expect("a string grows");
            count += 1;
        }
        assert_eq!(decoded.header().records_count, count);
        if batch.compression()? != Compression::None {
            writeln!(out, "next {}", batch.next_offset()).expect("a string grows");
        }
    }
    Ok(out)
}

#[test]
fn every_record_is_as_java_reads_it() {
    // One decompressor for all, as a fetcher has.
    let mut decompressor = Decompressor::new();
    let (mut logs, mut records, mut refused) = (0, 0, 0);
    for Vector {
        name,
        log,
        expected,
    } in vectors()
    {
        let read = dump(&log, &mut decompressor);
        match (read, expected) {
            (Ok(read), Ok(expected)) => {
                assert!(read == expected, "{name}:\n{read}\nJava:\n{expected}");
                records += read
                    .lines()
                    .filter(|line| !line.starts_with("next"))
                    .count();
                logs += 1;
            }
            (Err(BatchError::Wrapper { reason, .. }), Err(expected)) => {
                let is_same = match reason {
                    WrapperFault::Empty => expected.contains("no inner records"),
                    WrapperFault::Nested => expected.contains("must not be compressed"),
                    WrapperFault::Offset { last } => {
                        expected.contains(&format!("inner message offset '{last}'"))
                    }
                    _ => false,
                };
                assert!(is_same, "{name}: {reason}\nJava: {expected}");
                refused += 1;
            }
            (read, expected) => panic!("{name}: {read:?}\nJava: {expected:?}"),
        }
    }
    let report =
        format!("message sets: {logs} logs with {records} records read, {refused} refused\n");
    std::io::stderr().write_all(report.as_bytes()).unwrap();
}

/// The header's checksum in an LZ4 frame is wrong in format 0, and must not be in format 1.
#[test]
fn only_format_0_may_have_a_wrong_frame_checksum() {
    for Vector { name, log, .. } in vectors() {
        if name != "v0-lz4" && name != "v1-lz4" {
            continue;
        }
        let batch = Batches::new(log)
            .next()
            .expect("a batch")
            .expect("a header");
        // Offset, length, checksum, magic, attributes, timestamp, null key, length of the value.
        let value_at = if batch.magic() == 0 { 26 } else { 34 };
        let plain =
            Decompressor::new().decompress(Compression::Lz4, &batch.bytes()[value_at..], LIMIT);
        assert_eq!(plain.is_ok(), batch.magic() == 1, "{name}");
    }
}

/// The position behind a batch is known before it is decompressed.
#[test]
fn headers_tell_the_next_offset() {
    for vector in vectors() {
        // What a producer sends has no offset yet.
        if vector.expected.is_err() || vector.name.ends_with("-producer") {
            continue;
        }
        for batch in Batches::new(vector.log) {
            let batch = batch.expect("valid");
            let decoded = batch
                .decompress(&mut Decompressor::new(), LIMIT)
                .expect("valid");
            assert_eq!(decoded.header().next_offset(), batch.next_offset());
            assert!(decoded.header().base_offset <= batch.base_offset());
        }
    }
}

#[test]
fn a_run_of_messages_is_one_batch_and_a_long_one_several() {
    for Vector { name, log, .. } in vectors() {
        let batches: Vec<_> = Batches::new(log)
            .map(|batch| batch.expect("valid"))
            .collect();
        let counts: Vec<_> = batches.iter().map(|batch| batch.records_count()).collect();
        let expected: &[u32] = match &name[..] {
            "v0-none" | "v1-none" => &[10],
            "v1-none-append-time" => &[10, 10],
            // Before the large one, which is alone, and behind it.
            "v0-none-run" => &[11, 1, 4],
            "v0-gzip" => &[1],
            _ => continue,
        };
        assert_eq!(counts, expected, "{name}");
    }
}

#[test]
fn cut_short_they_end_quietly_and_never_as_something_else() {
    for Vector { name, log, .. } in vectors() {
        for end in (0..log.len()).filter(|_| log.len() < 2000) {
            let mut batches = Batches::new(log.slice(..end));
            let whole: usize = batches
                .by_ref()
                .map(|batch| batch.expect("valid").bytes().len())
                .sum();
            assert_eq!(whole + batches.remaining(), end, "{name} cut at {end}");
            assert_eq!(batches.is_truncated(), whole < end);
        }
    }
}

/// Whatever is damaged is noticed: by the walk, by a checksum, or it is an offset, which nothing covers.
#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let mut decompressor = Decompressor::new();
    for Vector { name, log, .. } in vectors() {
        let Ok(good) = dump(&log, &mut decompressor) else {
            continue;
        };
        if log.len() > 250 {
            continue;
        }
        let offsets = offsets(&log);
        for position in 0..log.len() {
            for bit in 0..8 {
                let mut bytes = log.to_vec();
                bytes[position] ^= 1 << bit;
                let bytes = Bytes::from(bytes);
                let mut batches = Batches::new(bytes.clone());
                let complete =
                    batches.by_ref().all(|batch| batch.is_ok()) && batches.remaining() == 0;
                let read = dump(&bytes, &mut decompressor);
                let is_offset = offsets.iter().any(|range| range.contains(&position));
                assert!(
                    !complete || is_offset || read.is_err(),
                    "{name}, bit {bit} of byte {position}: {read:?}, not {good}"
                );
            }
        }
    }
}

/// Where the offsets of messages are, wrappers included, but not of what is in them.
fn offsets(log: &[u8]) -> Vec<Range<usize>> {
    let mut offsets = Vec::new();
    let mut at = 0;
    while at < log.len() {
        offsets.push(at..at + 8);
        let length = log[at + 8..at + 12].try_into().expect("four bytes");
        at += 12 + u32::from_be_bytes(length) as usize;
    }
    offsets
}
