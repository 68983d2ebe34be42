#[cfg(feature = "gzip")]
use super::super::Compressor;
use super::super::{Batches, RecordBatch};
use super::*;
use rstest::rstest;

/// An entry as Kafka lays it out, its checksum right.
fn entry(
    magic: u8,
    offset: i64,
    attributes: u8,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let mut checked = vec![magic, attributes];
    if magic > 0 {
        checked.extend_from_slice(&1000i64.wrapping_add(offset).to_be_bytes());
    }
    for part in [key, value] {
        let length = part.map_or(-1, |part| part.len() as i32);
        checked.extend_from_slice(&length.to_be_bytes());
        checked.extend_from_slice(part.unwrap_or_default());
    }
    framed(offset, &checked)
}

fn framed(offset: i64, checked: &[u8]) -> Vec<u8> {
    let length = 4 + checked.len() as i32;
    [
        &offset.to_be_bytes()[..],
        &length.to_be_bytes(),
        &crc32fast::hash(checked).to_be_bytes(),
        checked,
    ]
    .concat()
}

fn plain(magic: u8, offset: i64) -> Vec<u8> {
    entry(magic, offset, 0, Some(b"k"), Some(b"v"))
}

fn batch(bytes: &[u8]) -> RecordBatch {
    let mut batches = Batches::new(bytes.to_vec().into());
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none() && batches.remaining() == 0);
    batch
}

fn offsets(batch: &RecordBatch) -> Result<Vec<i64>, BatchError> {
    batch.verify_crc()?;
    let decoded = batch.decompress(&mut Decompressor::new(), 1 << 20)?;
    decoded.records().map(|record| Ok(record?.offset)).collect()
}

#[test]
fn a_run_is_one_batch_and_its_header_speaks_for_all() {
    let run = [plain(1, 5), plain(1, 7), plain(1, 100)].concat();
    let run = batch(&run);
    assert_eq!((run.base_offset(), run.next_offset()), (5, 101));
    assert_eq!((run.magic(), run.records_count()), (1, 3));
    assert_eq!(run.header().max_timestamp, 1100);
    assert_eq!(run.header().size_bytes(), run.bytes().len());
    assert!(!run.is_plain().unwrap());
    assert_eq!(offsets(&run).unwrap(), [5, 7, 100]);
    let size = run.bytes().len();
    let decoded = run.decompress(&mut Decompressor::new(), size).unwrap();
    assert!(decoded.size_bytes() < size);
    assert!(run.decompress(&mut Decompressor::new(), size - 1).is_err());
    let record = decoded.records().nth(1).unwrap().unwrap();
    assert_eq!(
        (record.timestamp, record.key, record.value),
        (1007, Some(&b"k"[..]), Some(&b"v"[..]))
    );
    assert_eq!(record.headers().count(), 0);
}

/// Whatever one header cannot speak for begins another batch.
#[rstest]
#[case::format(plain(0, 6))]
#[case::time_of_appending(entry(1, 6, 0x08, None, None))]
#[case::same_offset(plain(1, 5))]
#[case::earlier_offset(plain(1, 4))]
#[case::offset_too_far(plain(1, 5 + i64::from(i32::MAX)))]
#[case::too_large(entry(1, 6, 0, None, Some(&[0; RUN_BYTES])))]
fn a_run_ends(#[case] next: Vec<u8>) {
    let bytes = [plain(1, 5), next].concat();
    let batches: Result<Vec<_>, _> = Batches::new(bytes.into()).collect();
    assert_eq!(batches.unwrap().len(), 2);
}

#[test]
fn times_of_appending_are_one_to_a_batch() {
    let stamped = |offset, timestamp: i64| {
        let mut checked = vec![1, 0x08];
        checked.extend_from_slice(&timestamp.to_be_bytes());
        checked.extend_from_slice(&[0xff; 8]);
        framed(offset, &checked)
    };
    let bytes = [stamped(1, 70), stamped(2, 70), stamped(3, 71)].concat();
    let counts: Vec<_> = Batches::new(bytes.into())
        .map(|batch| batch.unwrap().records_count())
        .collect();
    assert_eq!(counts, [2, 1]);
}

#[rstest]
#[case::length(&[&[0; 8][..], &[0, 0, 0, 13], &[0; 13]].concat(), "length 13 is below the minimum")]
#[case::length_of_format_1(&framed(3, &[1; 17]), "length 21 is below the minimum")]
#[case::offset(&plain(1, -1), "base offset has the impossible value -1")]
#[case::last_offset(&plain(1, i64::MAX), "base offset has the impossible value 9223372036854775807")]
#[case::magic(&plain(3, 0), "unknown message format 3")]
fn hostile_entries_are_refused(#[case] bytes: &[u8], #[case] expected: &str) {
    let bytes = [plain(0, 2), bytes.to_vec()].concat();
    let mut batches = Batches::new(bytes.into());
    batches.next().unwrap().unwrap();
    let error = batches.next().unwrap().unwrap_err().to_string();
    assert!(error.ends_with(expected), "{error}");
    assert!(batches.next().is_none());
}

#[rstest]
#[case::key_length(&[0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0], "key length has the impossible value -2147483648")]
#[case::key(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0], "value length is cut short")]
#[case::value(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "value is cut short")]
#[case::behind(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], "1 bytes behind its last field")]
fn hostile_messages_are_refused(#[case] checked: &[u8], #[case] expected: &str) {
    let error = offsets(&batch(&framed(4, checked)))
        .unwrap_err()
        .to_string();
    assert_eq!(error, format!("batch at offset 4, record 0: {expected}"));
}

#[cfg(feature = "gzip")]
fn wrapper(magic: u8, offset: i64, content: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    let mut compressor = Compressor::new(Compression::Gzip).unwrap();
    compressor.compress(content, &mut value).unwrap();
    entry(magic, offset, Compression::Gzip.id(), None, Some(&value))
}

#[cfg(feature = "gzip")]
#[test]
fn offsets_in_a_wrapper_are_relative_from_format_1_on() {
    let content = |magic| [plain(magic, 10), plain(magic, 12)].concat();
    let old = batch(&wrapper(0, 12, &content(0)));
    assert_eq!(
        (old.base_offset(), old.next_offset(), old.records_count()),
        (12, 13, 1)
    );
    assert_eq!(offsets(&old).unwrap(), [10, 12]);
    let relative = batch(&wrapper(1, 512, &content(1)));
    assert_eq!(offsets(&relative).unwrap(), [510, 512]);
    let decoded = relative.decompress(&mut Decompressor::new(), 1000).unwrap();
    let header = decoded.header();
    assert_eq!(
        (
            header.base_offset,
            header.last_offset_delta,
            header.records_count
        ),
        (510, 2, 2)
    );
}

#[cfg(feature = "gzip")]
#[rstest]
#[case::null(entry(1, 9, 1, None, None), "without a value")]
#[case::empty(wrapper(1, 9, &[]), "without messages in it")]
#[case::nested(wrapper(1, 9, &wrapper(1, 0, &plain(1, 0))), "within a compressed message")]
#[case::offset(wrapper(1, 9, &plain(1, 10)), "before the last message in it, 10")]
#[case::order(wrapper(1, 9, &[plain(1, 3), plain(1, 3)].concat()), "with messages out of order")]
#[case::far(wrapper(1, i64::MAX - 1, &[plain(1, 0), plain(1, 1 << 40)].concat()), "with messages out of order")]
#[case::negative(wrapper(0, 9, &plain(0, -1)), "with messages out of order")]
#[case::last_offset(wrapper(0, 9, &plain(0, i64::MAX)), "with messages out of order")]
#[case::format_2(wrapper(1, 9, &plain(2, 3)), "message at offset 9: a compressed message with something of message format 2 in it")]
#[case::length(wrapper(1, 9, &[&[0; 8][..], &[0, 0, 0, 13], &[0; 13]].concat()), "message at offset 9: a compressed message with one of impossible length 13 in it")]
#[case::cut_short(wrapper(1, 9, &plain(1, 0)[..20]), "batch at offset 9, record 0: length is cut short")]
#[case::checksum(wrapper(1, 9, &[&plain(1, 0)[..35], b"!"].concat()), "its header says 0x")]
#[case::zstd(
    entry(1, 9, 4, None, Some(b"")),
    "no compression codec with the number 4"
)]
#[case::codec(
    entry(1, 9, 7, None, Some(b"")),
    "no compression codec with the number 7"
)]
#[case::frame(entry(1, 9, 1, None, Some(b"plain")), "gzip: ")]
fn hostile_wrappers_are_refused(#[case] bytes: Vec<u8>, #[case] expected: &str) {
    let error = offsets(&batch(&bytes)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[cfg(feature = "gzip")]
#[test]
fn a_wrapper_keeps_to_the_limit() {
    let bomb = wrapper(1, 9, &entry(1, 0, 0, None, Some(&[0; 100_000])));
    let error = batch(&bomb)
        .decompress(&mut Decompressor::new(), 99_999)
        .unwrap_err();
    assert!(matches!(error, BatchError::Decompress { .. }), "{error}");
}

/// An old wrapper and one message of every length: nothing panics, whatever is cut off or changed.
#[cfg(feature = "gzip")]
#[test]
fn damage_never_panics() {
    let mut rng = fastrand::Rng::with_seed(4);
    let content = [plain(1, 0), plain(1, 1)].concat();
    let good = [plain(0, 1), wrapper(1, 9, &content), plain(1, 10)].concat();
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        bytes.truncate(rng.usize(..=bytes.len()));
        for batch in Batches::new(bytes.into()).flatten() {
            let decoded = batch.decompress(&mut Decompressor::new(), 1 << 16);
            if let Ok(decoded) = decoded {
                assert!(decoded.records().all(|record| record.is_ok()));
            }
        }
    }
}

#[test]
fn an_old_batch_is_not_rewritten() {
    let error = batch(&plain(0, 1)).with_offsets(3, 4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a batch of message format 0 cannot be rewritten"
    );
}
