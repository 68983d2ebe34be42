//! Batches as they stand in a log, for unit tests.

use bytes::Bytes;
use ottla_codec::records::{
    BatchBuilder, BatchFields, Batches, Compression, Compressor, ControlRecord, Decompressor,
    RecordBatch,
};

/// A batch of `count` records from `base` on, each with its offset as its value.
pub(super) fn batch(base: i64, count: i64) -> RecordBatch {
    compressed(base, count, Compression::None)
}

/// The same, compressed.
pub(super) fn compressed(base: i64, count: i64, compression: Compression) -> RecordBatch {
    build(base, count, compression, |_| {})
}

/// A compressed batch of `count` records from `base` on, each with this many bytes as its value.
pub(super) fn sized(base: i64, count: i64, size: usize, compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(1024);
    let value = vec![b'x'; size];
    for offset in base..base + count {
        builder.try_append(offset, None, Some(&value), []).unwrap();
    }
    let fields = BatchFields {
        base_offset: base,
        partition_leader_epoch: 0,
        ..BatchFields::default()
    };
    seal(&mut builder, &fields, compression)
}

/// A batch of a transaction.
pub(super) fn transactional(base: i64, count: i64, producer_id: i64) -> RecordBatch {
    build(base, count, Compression::None, |fields| {
        fields.producer_id = producer_id;
        fields.producer_epoch = 0;
        fields.base_sequence = 0;
        fields.is_transactional = true;
    })
}

/// The end of a transaction.
pub(super) fn marker(base: i64, producer_id: i64, commit: bool) -> RecordBatch {
    let (key, value) = ControlRecord::end_transaction(commit, 0);
    let mut builder = BatchBuilder::new(64);
    builder.try_append(0, Some(&key), Some(&value), []).unwrap();
    let fields = BatchFields {
        base_offset: base,
        partition_leader_epoch: 0,
        producer_id,
        producer_epoch: 0,
        is_transactional: true,
        is_control: true,
        ..BatchFields::default()
    };
    seal(&mut builder, &fields, Compression::None)
}

/// What compaction leaves of a batch.
pub(super) fn compacted(batch: &RecordBatch, keep: impl Fn(i64) -> bool) -> RecordBatch {
    batch
        .retain(&mut Decompressor::new(), 1 << 20, |record| {
            keep(record.offset)
        })
        .unwrap()
}

/// The batches' bytes, one behind the other.
pub(super) fn bytes(batches: &[RecordBatch]) -> Bytes {
    let all: Vec<&[u8]> = batches.iter().map(|batch| &batch.bytes()[..]).collect();
    Bytes::from(all.concat())
}

/// The same with one byte of the last batch flipped, behind its header.
pub(super) fn damaged(batches: &[RecordBatch]) -> Bytes {
    let mut bytes = bytes(batches).to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 0xff;
    Bytes::from(bytes)
}

fn build(
    base: i64,
    count: i64,
    compression: Compression,
    change: impl FnOnce(&mut BatchFields),
) -> RecordBatch {
    let mut builder = BatchBuilder::new(1024);
    for offset in base..base + count {
        let value = offset.to_string();
        builder
            .try_append(offset, None, Some(value.as_bytes()), [])
            .unwrap();
    }
    let mut fields = BatchFields {
        base_offset: base,
        partition_leader_epoch: 0,
        ..BatchFields::default()
    };
    change(&mut fields);
    seal(&mut builder, &fields, compression)
}

fn seal(builder: &mut BatchBuilder, fields: &BatchFields, with: Compression) -> RecordBatch {
    let mut compressor = Compressor::new(with).unwrap();
    let sealed = builder.seal(fields, &mut compressor).unwrap();
    Batches::new(sealed.to_bytes()).next().unwrap().unwrap()
}
