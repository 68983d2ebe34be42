//! Reads all that seven other clients have written, and compares it with what they were told to write.
//!
//! What that was is counted out here and in `records.rs` from the description in `vectors/peers/README.md`; nothing of
//! it has gone through this crate.
#![cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]

#[expect(unreachable_pub, reason = "benches/peers uses it from other crates")]
mod records;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use flate2::read::GzDecoder;
use ottla_codec::records::{Batches, Compression, Decompressor, RecordView, TimestampType};
use rstest::rstest;

use Compression::{Gzip, Lz4, Zstd};
use records::Record;

const LIMIT: usize = 1 << 20;

/// What a client wrote to one partition.
struct Case {
    codec: Compression,
    level: String,
    set: String,
    batches: usize,
    bytes: Bytes,
}

fn file(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/peers");
    let path = dir.join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn cases(client: &str) -> Vec<Case> {
    let mut plain = Vec::new();
    let packed = file(&format!("{client}.batches.gz"));
    GzDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
    let mut plain = Bytes::from(plain);
    let index = String::from_utf8(file(&format!("{client}.txt"))).unwrap();
    let lines = index.lines().filter(|line| !line.starts_with('#'));
    let cases = lines.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [codec, level, set, batches, size] = words[..] else {
            panic!("{line}");
        };
        Case {
            codec: codec.parse().unwrap(),
            level: level.to_owned(),
            set: set.to_owned(),
            batches: batches.parse().unwrap(),
            bytes: plain.split_to(size.parse().unwrap()),
        }
    });
    let cases = cases.collect();
    assert!(plain.is_empty(), "bytes behind the last case");
    cases
}

fn owned(record: &RecordView<'_>) -> Record {
    let bytes = |bytes: &[u8]| bytes.to_vec();
    let header = |header: ottla_codec::records::Header<'_>| {
        let key = str::from_utf8(header.key_bytes).unwrap().to_owned();
        (key, header.value.map(bytes))
    };
    Record {
        timestamp: record.timestamp,
        key: record.key.map(bytes),
        value: record.value.map(bytes),
        headers: record.headers().map(header).collect(),
    }
}

/// Every set with every codec, the compressible ones also at the least and the greatest level of `with_levels`.
fn expected_cases(has_parts: bool, with_levels: &[Compression]) -> BTreeSet<(&str, &str, usize)> {
    let mut expected = BTreeSet::new();
    for codec in Compression::ALL {
        let mut add = |set, levels| expected.insert((codec.name(), set, levels));
        for set in ["one", "map", "noise", "many"] {
            add(set, 1);
        }
        if has_parts {
            add("parts", 1);
        }
        let levels = if with_levels.contains(&codec) { 3 } else { 1 };
        add("lines", levels);
        if codec != Compression::None {
            add("blocks", levels);
        }
    }
    expected
}

#[rstest]
#[case("java", true, &[Gzip, Lz4, Zstd])]
#[case("librdkafka", true, &[Gzip, Lz4, Zstd])]
#[case("franz-go", true, &[Gzip, Lz4, Zstd])]
#[case("rskafka", false, &[])]
#[case("krafka", true, &[Gzip, Zstd])]
#[case("kacrab", true, &[Gzip, Lz4, Zstd])]
#[case("confluent-kafka", true, &[Gzip, Lz4, Zstd])]
fn all_of_it_is_read(
    #[case] client: &str,
    #[case] has_parts: bool,
    #[case] with_levels: &[Compression],
) {
    let cases = cases(client);
    let found: BTreeSet<_> = cases
        .iter()
        .map(|case| {
            let alike = |other: &&Case| (other.codec, &other.set) == (case.codec, &case.set);
            let levels: BTreeSet<&str> = (cases.iter().filter(alike))
                .map(|case| &*case.level)
                .collect();
            (case.codec.name(), &*case.set, levels.len())
        })
        .collect();
    assert_eq!(found, expected_cases(has_parts, with_levels));

    // One decompressor for all, as a fetcher has.
    let mut decompressor = Decompressor::new();
    let mut count = 0;
    for case in &cases {
        let name = format!("{client} {} {} {}", case.codec, case.level, case.set);
        let mut expected = records::of(&case.set).expect("a known set").into_iter();
        let (mut offset, mut batches) = (0, Batches::new(case.bytes.clone()));
        for batch in batches.by_ref().take(case.batches) {
            let batch = batch.unwrap_or_else(|error| panic!("{name}: {error}"));
            batch
                .verify_crc()
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let compression = batch.compression().expect("a known codec");
            // What compression would not make smaller, two of them send as it is.
            let left_plain = ["librdkafka", "franz-go"].contains(&client)
                && ["one", "noise"].contains(&&*case.set);
            let wanted = if left_plain {
                Compression::None
            } else {
                case.codec
            };
            assert_eq!(compression, wanted, "{name}");
            assert_eq!(
                batch.header().timestamp_type(),
                TimestampType::CreateTime,
                "{name}"
            );
            let decoded = batch
                .decompress(&mut decompressor, LIMIT)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let header = batch.header();
            let mut latest = i64::MIN;
            for record in decoded.records() {
                let record = record.unwrap_or_else(|error| panic!("{name} at {offset}: {error}"));
                assert_eq!(record.offset, offset, "{name}");
                assert!(
                    Some(owned(&record)) == expected.next(),
                    "{name}: record {offset} is another"
                );
                latest = latest.max(record.timestamp);
                offset += 1;
                count += 1;
            }
            assert_eq!(
                (batch.next_offset(), header.max_timestamp),
                (offset, latest),
                "{name}"
            );
        }
        assert_eq!(expected.next(), None, "{name}: records are missing");
        assert_eq!(batches.remaining(), 0, "{name}");
    }
    let report = format!(
        "{client}: {} cases with {count} records read\n",
        cases.len()
    );
    std::io::stderr().write_all(report.as_bytes()).unwrap();
}

/// Otherwise the vectors show less than their description says.
#[test]
fn the_large_sets_are_several_blocks_of_every_codec() {
    let mut decompressor = Decompressor::new();
    let is_large = |case: &Case| ["many", "blocks"].contains(&&*case.set);
    for case in cases("java").into_iter().filter(is_large) {
        let batch = Batches::new(case.bytes).next().unwrap().unwrap();
        let plain = batch.decompress(&mut decompressor, LIMIT).unwrap();
        let size = plain.size_bytes();
        assert!(size > 64 << 10, "{} {}: {size}", case.codec, case.set);
    }
    let blocks = records::of("blocks").unwrap();
    let noise = blocks[1].value.as_deref().unwrap();
    let lz4 = cases("java")
        .into_iter()
        .find(|case| (case.codec, &*case.set) == (Lz4, "blocks"));
    let stored = lz4.unwrap().bytes;
    assert!(
        stored.windows(noise.len()).any(|window| window == noise),
        "LZ4 has stored the noise as it is"
    );
}
