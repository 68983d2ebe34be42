//! Batches built, sealed, read back, split and rewritten, without any help from outside.

use std::error::Error;

use bytes::Bytes;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// A record that owns its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    fn append_to(&self, builder: &mut BatchBuilder) -> Result<u32, AppendError> {
        builder.try_append(
            self.timestamp,
            self.key.as_deref(),
            self.value.as_deref(),
            self.headers(),
        )
    }

    fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> + Clone {
        self.headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    fn of(view: RecordView<'_>) -> Self {
        Self {
            timestamp: view.timestamp,
            key: view.key.map(<[u8]>::to_vec),
            value: view.value.map(<[u8]>::to_vec),
            headers: view
                .headers()
                .map(|header| (header.key().into_owned(), header.value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

fn text(timestamp: i64, value: &str) -> Owned {
    Owned {
        timestamp,
        key: None,
        value: Some(value.as_bytes().to_vec()),
        headers: vec![],
    }
}

fn numbered(count: usize, size: usize) -> Vec<Owned> {
    (0..count)
        .map(|i| text(1_000 + i as i64, &format!("{i:>size$}")))
        .collect()
}

fn sealed(records: &[Owned], fields: &BatchFields, compression: Compression) -> SealedBatch {
    let mut builder = BatchBuilder::new(0);
    for (index, record) in records.iter().enumerate() {
        let before = builder.size_bytes();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let size = builder.record_size(record.timestamp, key, value, record.headers());
        assert_eq!(record.append_to(&mut builder), Ok(index as u32));
        assert_eq!(builder.size_bytes() - before, size);
        assert!(size <= BatchBuilder::record_size_upper_bound(key, value, record.headers()));
    }
    let size = builder.size_bytes();
    let mut compressor = Compressor::new(compression).unwrap();
    let batch = builder.seal(fields, &mut compressor).unwrap();
    assert!(builder.is_empty());
    assert_eq!(batch.uncompressed_size_bytes(), size);
    assert_eq!(batch.record_count() as usize, records.len());
    batch
}

fn only(bytes: Bytes) -> RecordBatch {
    let mut batches = Batches::new(bytes);
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none() && !batches.is_truncated());
    batch.verify_crc().unwrap();
    batch
}

fn read(bytes: Bytes) -> Vec<(i64, Owned)> {
    let batch = only(bytes);
    let decoded = batch.decompress(&mut Decompressor::new(), 1 << 24).unwrap();
    let records: Result<Vec<_>, _> = decoded
        .records()
        .map(|r| r.map(|r| (r.offset, Owned::of(r))))
        .collect();
    records.unwrap()
}

fn codecs() -> impl Strategy<Value = Compression> {
    prop::sample::select(Compression::ALL.to_vec())
}

fn payload() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..200))
}

fn records() -> impl Strategy<Value = Vec<Owned>> {
    let headers = prop::collection::vec((".{0,8}", payload()), 0..4);
    let timestamp = prop_oneof![
        any::<i64>(),
        0..2_000_000_000_000i64,
        Just(i64::MIN),
        Just(-1)
    ];
    let record =
        (timestamp, payload(), payload(), headers).prop_map(|(timestamp, key, value, headers)| {
            Owned {
                timestamp,
                key,
                value,
                headers,
            }
        });
    prop::collection::vec(record, 1..20)
}

proptest! {
    #[test]
    fn records_come_back(records in records(), codec in codecs(), base in 0..i64::MAX / 2) {
        let fields = BatchFields { base_offset: base, ..BatchFields::default() };
        let batch = sealed(&records, &fields, codec);
        prop_assert_eq!(batch.max_timestamp(), records.iter().map(|r| r.timestamp).max().unwrap());
        prop_assert_eq!(batch.base_timestamp(), records[0].timestamp);
        let expected: Vec<_> = (base..).zip(records).collect();
        prop_assert_eq!(read(batch.to_bytes()), expected);
    }

    #[test]
    fn parts_hold_what_the_whole_held(
        records in records(),
        codec in codecs(),
        target in 0usize..3000,
        sequence in prop_oneof![Just(-1), 0..100, i32::MAX - 20..i32::MAX],
    ) {
        let fields = BatchFields { base_sequence: sequence, ..BatchFields::default() };
        let batch = sealed(&records, &fields, codec);
        let mut compressor = Compressor::new(codec).unwrap();
        let parts = batch.split(target, &mut compressor, &mut Decompressor::new());
        if records.len() == 1 {
            prop_assert!(matches!(parts, Err(SplitError::SingleRecord)));
            return Ok(());
        }
        let parts = parts.unwrap();
        prop_assert!(parts.len() >= 2);
        let mut next = 0;
        for (range, part) in parts {
            prop_assert_eq!(range.start, next);
            prop_assert_eq!(part.base_sequence(), add_sequence(sequence, next));
            prop_assert!(part.size_bytes() <= target || range.len() == 1);
            let back: Vec<_> = read(part.to_bytes()).into_iter().map(|(_, r)| r).collect();
            prop_assert_eq!(&back, &records[range.start as usize..range.end as usize]);
            next = range.end;
        }
        prop_assert_eq!(next as usize, records.len());
    }

    #[test]
    fn compaction_keeps_offsets(
        records in records(),
        codec in codecs(),
        keep in prop::collection::vec(any::<bool>(), 20),
    ) {
        let fields = BatchFields {
            base_offset: 77, producer_id: 5, producer_epoch: 2, base_sequence: 9,
            ..BatchFields::default()
        };
        let batch = only(sealed(&records, &fields, codec).to_bytes());
        let compacted = batch
            .retain(&mut Decompressor::new(), 1 << 20, |r| keep[(r.offset - 77) as usize])
            .unwrap();
        let expected: Vec<_> =
            (77..).zip(records).zip(&keep).filter(|(_, keep)| **keep).map(|(r, _)| r).collect();
        prop_assert_eq!(compacted.next_offset(), batch.next_offset());
        prop_assert_eq!(compacted.base_offset(), 77);
        prop_assert_eq!(compacted.header().producer_id, 5);
        prop_assert_eq!(compacted.header().base_sequence, 9);
        prop_assert_eq!(read(compacted.bytes().clone()), expected);
    }

    #[test]
    fn flipped_bits_are_noticed(
        records in records(), codec in codecs(), position: prop::sample::Index, bit in 0u8..8,
    ) {
        let mut bytes = sealed(&records, &BatchFields::default(), codec).to_bytes().to_vec();
        let position = position.index(bytes.len());
        bytes[position] ^= 1 << bit;
        let mut batches = Batches::new(bytes.into());
        match batches.next() {
            None => prop_assert!(batches.is_truncated() && (8..12).contains(&position)),
            // Length, magic, and the signs of last offset delta and count.
            Some(Err(_)) => prop_assert!(position < 17 || position == 23 || position == 57),
            // Base offset, length and leader epoch are outside the checksum.
            Some(Ok(batch)) => prop_assert!(batch.verify_crc().is_err() || position < 16),
        }
    }

    #[test]
    fn flipped_bits_behind_a_right_checksum_never_panic(
        records in records(), codec in codecs(), flips: Vec<(prop::sample::Index, u8)>,
    ) {
        let mut bytes = sealed(&records, &BatchFields::default(), codec).to_bytes().to_vec();
        for (position, bit) in flips {
            let position = position.index(bytes.len());
            bytes[position] ^= 1 << (bit % 8);
        }
        for batch in Batches::new(bytes.into()).flatten() {
            if let Ok(decoded) = batch.decompress(&mut Decompressor::new(), 1 << 20) {
                prop_assert!(decoded.records().take(1 << 20).count() < 1 << 20);
            }
        }
    }

    #[test]
    fn noise_never_panics(noise: Vec<u8>) {
        let mut bytes = vec![0; 61];
        bytes[8..12].copy_from_slice(&(49 + noise.len() as i32).to_be_bytes());
        bytes[16] = 2;
        bytes[57..].copy_from_slice(&100i32.to_be_bytes());
        bytes.extend_from_slice(&noise);
        let batch = Batches::new(bytes.into()).next().unwrap().unwrap();
        let decoded = batch.decompress(&mut Decompressor::new(), 1 << 20).unwrap();
        prop_assert!(decoded.records().last().unwrap().is_err());
    }
}

#[rstest]
fn a_batch_cut_anywhere_ends_quietly(
    #[values(Compression::None, Compression::Zstd)] codec: Compression,
) {
    let first = sealed(&numbered(3, 10), &BatchFields::default(), codec).to_bytes();
    let both = Bytes::from([&first[..], &first[..]].concat());
    for end in 0..both.len() {
        let mut batches = Batches::new(both.slice(..end));
        let complete = end / first.len();
        assert_eq!(batches.by_ref().map(Result::unwrap).count(), complete);
        assert_eq!(batches.is_truncated(), end % first.len() != 0);
        assert_eq!(batches.remaining(), end % first.len());
        assert_eq!(batches.position(), complete * first.len());
        let visible = batches.remaining() >= 12;
        assert_eq!(batches.needed_bytes(), visible.then_some(first.len()));
    }
}

#[test]
fn a_producer_is_patched_in_without_touching_the_body() {
    let mut batch = sealed(
        &numbered(100, 50),
        &BatchFields::default(),
        Compression::Lz4,
    );
    let body = batch.body().clone();
    batch.set_producer(i64::MAX - 3, 31, i32::MAX);
    batch.set_transactional(true);
    batch.set_partition_leader_epoch(4);
    assert_eq!(batch.body(), &body);
    assert_eq!(batch.last_sequence(), 98);
    let back = only(batch.to_bytes());
    assert_eq!(back.header(), batch.header());
    assert_eq!(
        (
            back.header().producer_id,
            back.header().producer_epoch,
            back.header().base_sequence
        ),
        (i64::MAX - 3, 31, i32::MAX)
    );
    assert!(back.header().is_transactional() && !back.header().is_control());
    assert_eq!(back.header().partition_leader_epoch, 4);
}

#[test]
fn an_empty_builder_cannot_be_sealed() {
    let mut compressor = Compressor::new(Compression::None).unwrap();
    let result = BatchBuilder::new(10).seal(&BatchFields::default(), &mut compressor);
    assert!(matches!(result, Err(SealError::Empty)));
}

/// What is written can be read: three records, up to the offset before the last.
#[rstest]
#[case(-1, false)]
#[case(i64::MIN, false)]
#[case(0, true)]
#[case(i64::MAX - 3, true)]
#[case(i64::MAX - 2, false)]
#[case(i64::MAX, false)]
fn offsets_are_written_as_far_as_they_are_read(#[case] base_offset: i64, #[case] good: bool) {
    let zero = only(sealed(&numbered(3, 5), &BatchFields::default(), Compression::None).to_bytes());
    let rewritten = zero.with_offsets(base_offset, 1);
    assert_eq!(rewritten.is_ok(), good);
    for codec in [Compression::None, Compression::Lz4] {
        let mut builder = BatchBuilder::new(100);
        for record in numbered(3, 5) {
            record.append_to(&mut builder).unwrap();
        }
        let fields = BatchFields {
            base_offset,
            ..BatchFields::default()
        };
        match builder.seal(&fields, &mut Compressor::new(codec).unwrap()) {
            Ok(batch) => {
                assert!(good);
                let offsets = read(batch.to_bytes());
                assert_eq!(offsets.last().unwrap().0, base_offset + 2);
            }
            Err(error) => {
                assert!(!good);
                let expected = format!(
                    "a batch cannot be sealed where its base offset would be {base_offset}"
                );
                assert_eq!(error.to_string(), expected);
                // Nothing is lost.
                builder
                    .seal(
                        &BatchFields::default(),
                        &mut Compressor::new(codec).unwrap(),
                    )
                    .unwrap();
            }
        }
    }
}

/// What is made is limited, what is shared is not.
#[test]
fn a_limit_is_for_what_is_made() {
    for codec in Compression::ALL {
        let batch = only(sealed(&numbered(3, 5), &BatchFields::default(), codec).to_bytes());
        let size = batch.decompress(&mut Decompressor::new(), 1 << 10).unwrap();
        let limit = size.size_bytes() - 1;
        let decoded = batch.decompress(&mut Decompressor::new(), limit);
        assert_eq!(decoded.is_ok(), batch.is_plain().unwrap(), "{codec}");
        let mut copy = vec![7];
        let copied = batch.decompress_into(&mut copy, &mut Decompressor::new(), limit);
        assert!(copied.is_err() && copy == [7], "{codec}");
        let copied = batch.decompress_into(&mut copy, &mut Decompressor::new(), limit + 1);
        assert!(copied.is_ok() && copy.len() == limit + 2, "{codec}");
    }
}

/// Whoever prints an error and its sources prints nothing twice.
#[test]
fn what_a_text_says_is_no_source() {
    let good = sealed(
        &numbered(1, 5),
        &BatchFields::default(),
        Compression::Snappy,
    )
    .to_bytes();
    let read = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        let batch = Batches::new(bytes.into()).next().unwrap().unwrap();
        batch.decompress(&mut Decompressor::new(), 100)
    };
    let codec = read(22, 6).unwrap_err();
    let frame = read(77, 0xff).unwrap_err();
    let library = read(82, 0xff).unwrap_err();
    let limit = only(good.clone()).retain(&mut Decompressor::new(), 1, |_| true);
    let limit = limit.unwrap_err();
    let errors: [(&dyn Error, &str); 4] = [
        (&codec, "there is no compression codec with the number 6"),
        (&frame, "snappy: a block has a negative length"),
        (&library, "snappy: corrupt input"),
        (&limit, "snappy: more than 1 bytes when decompressed"),
    ];
    for (error, reason) in errors {
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("batch at offset 0: {reason}")),
            "{text}"
        );
        assert!(error.source().is_none(), "{text}");
    }
}

#[test]
fn a_compressing_builder_keeps_its_memory() {
    let mut builder = BatchBuilder::new(4096);
    let mut compressor = Compressor::new(Compression::Lz4).unwrap();
    text(1, "a").append_to(&mut builder).unwrap();
    builder
        .seal(&BatchFields::default(), &mut compressor)
        .unwrap();
    assert!(builder.is_empty() && builder.capacity() >= 4096);
    assert_eq!(builder.size_bytes(), BATCH_HEADER_LEN);
    // The next batch has a base timestamp of its own.
    text(900, "b").append_to(&mut builder).unwrap();
    assert_eq!(builder.base_timestamp(), Some(900));
    assert_eq!(builder.max_timestamp(), Some(900));
}

#[test]
fn a_broker_stamps_and_assigns() {
    let batch =
        only(sealed(&numbered(2, 5), &BatchFields::default(), Compression::Gzip).to_bytes());
    let batch = batch.with_offsets(500, 7).unwrap();
    let batch = batch.with_log_append_time(123_456).unwrap();
    assert_eq!(
        batch.header().timestamp_type(),
        TimestampType::LogAppendTime
    );
    let records = read(batch.bytes().clone());
    assert_eq!(
        records
            .iter()
            .map(|(offset, _)| *offset)
            .collect::<Vec<_>>(),
        [500, 501]
    );
    assert!(
        records
            .iter()
            .all(|(_, record)| record.timestamp == 123_456)
    );
}

#[test]
fn control_records_are_written_and_read() {
    for commit in [true, false] {
        let (key, value) = ControlRecord::end_transaction(commit, 12);
        let record = Owned {
            timestamp: 5,
            key: Some(key.into()),
            value: Some(value.into()),
            headers: vec![],
        };
        let fields = BatchFields {
            is_control: true,
            is_transactional: true,
            ..BatchFields::default()
        };
        let batch = only(sealed(&[record], &fields, Compression::None).to_bytes());
        assert!(batch.header().is_control());
        let decoded = batch.decompress(&mut Decompressor::new(), 0).unwrap();
        let view = decoded.records().next().unwrap().unwrap();
        let marker = EndTransactionMarker {
            version: 0,
            coordinator_epoch: 12,
        };
        let expected = if commit {
            ControlRecord::Commit(marker)
        } else {
            ControlRecord::Abort(marker)
        };
        assert_eq!(ControlRecord::parse(&view), Ok(expected));
    }
}

#[test]
fn parts_of_records_are_shared_not_copied() {
    let batch = only(sealed(&numbered(2, 5), &BatchFields::default(), Compression::Lz4).to_bytes());
    let decoded = batch.decompress(&mut Decompressor::new(), 1 << 10).unwrap();
    let view = decoded.records().nth(1).unwrap().unwrap();
    let value = decoded.share(view.value.unwrap());
    assert_eq!(value.as_ptr(), view.value.unwrap().as_ptr());
    assert_eq!(value, "    1");
    assert_eq!(decoded.share(b"elsewhere"), "elsewhere");
    assert_eq!(decoded.share(b""), "");
}

#[test]
fn a_cursor_goes_on_where_it_stopped() {
    let batch =
        only(sealed(&numbered(5, 3), &BatchFields::default(), Compression::None).to_bytes());
    let decoded = batch.decompress(&mut Decompressor::new(), 0).unwrap();
    let mut cursor = Cursor::default();
    decoded.next_record(&mut cursor).unwrap().unwrap();
    decoded.next_record(&mut cursor).unwrap().unwrap();
    assert_eq!(cursor.record_index(), 2);
    let rest: Vec<_> = decoded
        .records_from(cursor)
        .map(|r| r.unwrap().offset)
        .collect();
    assert_eq!(rest, [2, 3, 4]);
}

/// A batch of two records around one with these bytes behind its length.
fn with_broken_record(record: &[u8]) -> BatchError {
    let mut body = vec![16, 0, 0, 0, 1, 2, b'x', 0];
    body[0] = (body.len() as u8 - 1) * 2;
    body.push(record.len() as u8 * 2);
    body.extend_from_slice(record);
    let mut bytes = vec![0; 61];
    bytes[7] = 90;
    bytes[8..12].copy_from_slice(&(49 + body.len() as i32).to_be_bytes());
    bytes[16] = 2;
    bytes[23..27].copy_from_slice(&9i32.to_be_bytes());
    bytes[57..].copy_from_slice(&2i32.to_be_bytes());
    bytes.extend_from_slice(&body);
    let batch = Batches::new(bytes.into()).next().unwrap().unwrap();
    let decoded = batch.decompress(&mut Decompressor::new(), 0).unwrap();
    let mut records = decoded.records();
    records.next().unwrap().unwrap();
    let error = records.next().unwrap().unwrap_err();
    assert!(records.next().is_none());
    error
}

#[rstest]
#[case(&[], "attributes is cut short")]
#[case(&[0], "timestamp delta is cut short")]
#[case(&[0, 0x80], "timestamp delta is cut short")]
#[case(&[0, 0, 1], "offset delta has the impossible value -1")]
#[case(&[0, 0, 20], "offset delta has the impossible value 10")]
#[case(&[0, 0, 2, 3], "key length has the impossible value -2")]
#[case(&[0, 0, 2, 8, 1, 2], "key is cut short")]
#[case(&[0, 0, 2, 1, 0xff, 0xff, 0xff, 0xff, 0x7f], "value length is no valid varint")]
#[case(&[0, 0, 2, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f], "value is cut short")]
#[case(&[0, 0, 2, 1, 1, 1], "headers count has the impossible value -1")]
#[case(&[0, 0, 2, 1, 1, 4, 0, 1], "headers count has the impossible value 2")]
#[case(&[0, 0, 2, 1, 1, 2, 1, 1], "header key length has the impossible value -1")]
#[case(&[0, 0, 2, 1, 1, 2, 2, b'k'], "header value length is cut short")]
#[case(&[0, 0, 2, 1, 1, 2, 2, b'k', 4, 0], "header value is cut short")]
#[case(&[0, 0, 2, 1, 1, 0, 0], "1 bytes behind its last field")]
fn errors_name_batch_record_and_field(#[case] record: &[u8], #[case] expected: &str) {
    let error = with_broken_record(record).to_string();
    assert!(
        error.starts_with("batch at offset 90, record 1: "),
        "{error}"
    );
    assert!(error.ends_with(expected), "{error}");
}

#[rstest]
#[case(8, &[0, 0, 0, 13], "length 13 is below the minimum")]
#[case(8, &[0, 0, 0, 48], "length 48 is below the minimum")]
#[case(8, &[0xff, 0xff, 0xff, 0xff], "length -1 is below the minimum")]
#[case(16, &[3], "unknown message format 3")]
#[case(16, &[0xff], "unknown message format -1")]
#[case(0, &[0xff], "base offset has the impossible value -72057594037927936")]
#[case(0, &[0x7f, 255, 255, 255, 255, 255, 255, 255], "base offset has the impossible value 9223372036854775807")]
#[case(0, &[0x7f, 255, 255, 255, 255, 255, 255, 253], "base offset has the impossible value 9223372036854775805")]
#[case(23, &[0xff, 0xff, 0xff, 0xff], "last offset delta has the impossible value -1")]
#[case(57, &[0x80, 0, 0, 0], "records count has the impossible value -2147483648")]
fn hostile_headers_are_refused(#[case] at: usize, #[case] bytes: &[u8], #[case] expected: &str) {
    let good = sealed(&numbered(3, 5), &BatchFields::default(), Compression::None).to_bytes();
    let mut second = good.to_vec();
    second[at..at + bytes.len()].copy_from_slice(bytes);
    let mut batches = Batches::new([&good[..], &second[..]].concat().into());
    batches.next().unwrap().unwrap();
    let error = batches.next().unwrap().unwrap_err().to_string();
    assert!(error.contains(&format!("(byte {})", good.len())), "{error}");
    assert!(error.ends_with(expected), "{error}");
    assert!(batches.next().is_none() && !batches.is_truncated());
}

#[test]
fn an_unknown_codec_is_named() {
    let mut bytes = sealed(&numbered(1, 5), &BatchFields::default(), Compression::None)
        .to_bytes()
        .to_vec();
    bytes[22] = 6;
    let batch = Batches::new(bytes.into()).next().unwrap().unwrap();
    let error = batch.decompress(&mut Decompressor::new(), 100).unwrap_err();
    assert_eq!(
        error.to_string(),
        "batch at offset 0: there is no compression codec with the number 6"
    );
}

#[test]
fn bytes_behind_the_last_record_are_an_error() {
    let batch = sealed(&numbered(3, 5), &BatchFields::default(), Compression::None);
    let mut bytes = batch.to_bytes().to_vec();
    bytes[60] = 2;
    let batch = Batches::new(bytes.into()).next().unwrap().unwrap();
    let decoded = batch.decompress(&mut Decompressor::new(), 0).unwrap();
    let mut records = decoded.records().skip(2);
    let error = records.next().unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            BatchError::TrailingInBatch {
                count: 2,
                extra: 12,
                ..
            }
        ),
        "{error}"
    );
    assert!(records.next().is_none());
}
