//! The codecs of record batches, behind contexts that are made once and reused.
//!
//! Owns framing where Kafka's differs from a library's: snappy's xerial blocks and the kind of
//! LZ4 frame that Java accepts. Refuses to know batches; bytes go in and bytes come out.
//! Output sizes are bounded by the caller; sizes found in the input are hints that are checked.
//!
//! References: `org.apache.kafka.common.compress`, KIP-390 (levels), KIP-110 (zstd).

mod codec;
mod compressor;
mod decompressor;
mod error;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(any(feature = "gzip", feature = "snappy", feature = "lz4"))]
mod room;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(test)]
#[cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

pub use codec::{Compression, CompressionLevel, CompressionLevelError, UnknownCompression};
pub use compressor::Compressor;
pub use decompressor::Decompressor;
pub use error::{CompressionError, Malformed};
