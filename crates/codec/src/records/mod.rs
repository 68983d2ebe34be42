//! Record batches of message format 2 (magic 2): built, compressed, sealed, read and rewritten. Messages of
//! the old formats 0 and 1 are read.
//!
//! Owns the bytes between a record and the `records` field of a Produce or Fetch message: the
//! 61-byte batch header, the varint-coded records behind it, their checksum and their compression.
//! It knows no topic, no clock, no lock and no I/O; limits and timestamps are passed in.
//!
//! Writing: [`BatchBuilder`] encodes each record once, straight into wire form;
//! [`BatchBuilder::seal`] compresses and yields a [`SealedBatch`], whose body never changes again.
//! Reading: [`Batches`] walks the batches of a fetch response without touching their records,
//! [`RecordBatch::decompress`] makes a [`DecodedBatch`], whose records are borrowed views.
//!
//! References: [Kafka's message format](https://kafka.apache.org/documentation/#recordbatch),
//! KIP-98 (format 2, transactions), KIP-82 (headers), KIP-390 (compression levels),
//! KIP-110 (zstd), KIP-534 (delete horizon).

mod builder;
mod compression;
mod control;
mod crc;
mod error;
mod header;
mod legacy;
mod reader;
mod record;
mod rewrite;
mod sealed;
mod sequence;
#[cfg(test)]
#[cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]
mod tests;
mod varint;

pub use builder::{AppendError, BatchBuilder, BatchFields, SealError};
pub use compression::{
    Compression, CompressionError, CompressionLevel, CompressionLevelError, Compressor,
    Decompressor, Malformed, UnknownCompression,
};
pub use control::{ControlError, ControlRecord, EndTransactionMarker};
pub use error::{BatchError, Field, WrapperFault};
pub use header::{BATCH_HEADER_LEN, BatchHeader, TimestampType};
pub use reader::{Batches, DecodedBatch, RecordBatch};
pub use record::{Cursor, Header, Headers, RecordIter, RecordView};
pub use rewrite::RewriteError;
pub use sealed::{SealedBatch, SplitError};
pub use sequence::{add_sequence, sequence_distance};
