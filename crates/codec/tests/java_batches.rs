//! Reads batches that Kafka's own classes wrote and compares every field with what those classes
//! say about them. See `vectors/README.md`.
#![cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]

use std::fs;
use std::io::Write as _;

use bytes::Bytes;
use ottla_codec::records::{
    BatchError, Batches, ControlRecord, Decompressor, EndTransactionMarker, RecordBatch,
};

#[path = "vectors/directory.rs"]
mod directory;
#[path = "vectors/text.rs"]
mod text;

const LIMIT: usize = 1 << 20;

fn file(name: &str) -> Vec<u8> {
    let path = directory::vectors().join("batches").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(name: &str) -> RecordBatch {
    let mut batches = Batches::new(file(&format!("{name}.bin")).into());
    let batch = batches.next().expect("a batch").expect("a valid header");
    assert!(batches.next().is_none() && batches.remaining() == 0);
    batch
}

/// Name and record list of each vector, and its line of the manifest.
fn manifest() -> Vec<(String, String, String)> {
    let text = String::from_utf8(file("manifest.txt")).expect("ASCII");
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().expect("a name").to_owned();
            let list = words.next().and_then(|word| word.strip_prefix("records="));
            (name, list.expect("a list").to_owned(), line.to_owned())
        })
        .collect()
}

#[test]
fn every_field_is_as_java_reads_it() {
    // One decompressor for all, as a fetcher has.
    let mut decompressor = Decompressor::new();
    let vectors = manifest();
    assert!(vectors.len() > 40, "only {} vectors", vectors.len());
    let mut records = 0;
    for (name, list, line) in &vectors {
        let batch = read(name);
        records += batch.records_count();
        batch
            .verify_crc()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(text::describe(name, list, &batch), *line);
        let decoded = batch
            .decompress(&mut decompressor, LIMIT)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = String::from_utf8(file(&format!("{list}.records"))).expect("ASCII");
        assert!(
            text::dump(&decoded) == expected,
            "{name}: the records differ from Java's"
        );
    }
    let report = format!("batches: {} with {records} records read\n", vectors.len());
    std::io::stderr().write_all(report.as_bytes()).unwrap();
}

#[test]
fn all_of_them_behind_each_other_are_one_response() {
    let vectors = manifest();
    let response: Vec<u8> = vectors
        .iter()
        .flat_map(|(name, ..)| file(&format!("{name}.bin")))
        .collect();
    let mut batches = Batches::new(response.into());
    let read: Result<Vec<_>, _> = batches.by_ref().collect();
    assert_eq!(read.expect("valid").len(), vectors.len());
    assert!(!batches.is_truncated());
}

#[test]
fn markers_name_the_coordinators_epoch() {
    for (name, coordinator_epoch) in [("commit", 0), ("abort", i32::MAX)] {
        let batch = read(name);
        assert!(batch.header().is_control() && batch.header().is_transactional());
        let decoded = batch
            .decompress(&mut Decompressor::new(), LIMIT)
            .expect("uncompressed");
        let record = decoded
            .records()
            .next()
            .expect("a record")
            .expect("a valid record");
        let marker = EndTransactionMarker {
            version: 0,
            coordinator_epoch,
        };
        let expected = match name {
            "commit" => ControlRecord::Commit(marker),
            _ => ControlRecord::Abort(marker),
        };
        assert_eq!(ControlRecord::parse(&record), Ok(expected));
        let (key, value) = ControlRecord::end_transaction(name == "commit", coordinator_epoch);
        assert_eq!(
            (record.key, record.value),
            (Some(&key[..]), Some(&value[..]))
        );
    }
}

#[test]
fn cut_short_they_end_quietly_and_never_as_something_else() {
    for (name, ..) in manifest() {
        let bytes = Bytes::from(file(&format!("{name}.bin")));
        // Every cut of the small ones, and those in the header of all.
        for end in (0..bytes.len()).filter(|end| *end < 70 || bytes.len() < 1000) {
            let mut batches = Batches::new(bytes.slice(..end));
            assert!(batches.next().is_none(), "{name} cut at {end}");
            assert_eq!(batches.is_truncated(), end > 0);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let mut decompressor = Decompressor::new();
    for (name, ..) in manifest() {
        let good = file(&format!("{name}.bin"));
        for position in (0..good.len()).filter(|_| good.len() < 400) {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[position] ^= 1 << bit;
                let mut batches = Batches::new(bytes.into());
                match batches.next() {
                    None => assert!(batches.is_truncated() && (8..12).contains(&position)),
                    // Length, magic, and the signs of last offset delta and count.
                    Some(Err(_)) => assert!(position < 17 || position == 23 || position == 57),
                    // Base offset, length and leader epoch lie before what is checked.
                    Some(Ok(batch)) if position < 16 && !(8..12).contains(&position) => {
                        batch.verify_crc().expect("not covered");
                    }
                    Some(Ok(batch)) => {
                        let error = batch.verify_crc().expect_err("covered");
                        assert!(matches!(error, BatchError::Crc { .. }));
                        // Whoever does not check meets errors or other records, never a panic.
                        if let Ok(decoded) = batch.decompress(&mut decompressor, LIMIT) {
                            assert!(decoded.records().count() <= good.len().max(LIMIT));
                        }
                    }
                }
            }
        }
    }
}
