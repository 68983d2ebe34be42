//! Plain bytes to compressed bytes.

use bytes::Bytes;

use super::{Compression, CompressionError, CompressionLevel};

/// Compresses with one codec at one level, keeping the codec's context between calls.
///
/// One per sender or per thread: it is `Send`, and contexts hold up to a few hundred KiB (zstd at
/// high levels: some MiB), made at the first call, and room for what the largest input may
/// compress to, up to 1 MiB of it.
#[derive(Debug)]
pub struct Compressor {
    settings: CompressionLevel,
    codec: Codec,
    /// Where [`compress_exact`](Self::compress_exact) compresses to.
    room: Vec<u8>,
}

/// A compressor keeps this much room between two calls.
const MOST_ROOM: usize = 1024 * 1024;

#[derive(Debug)]
enum Codec {
    None,
    #[cfg(feature = "gzip")]
    Gzip(super::gzip::Encoder),
    #[cfg(feature = "snappy")]
    Snappy(Box<super::snappy::Encoder>),
    #[cfg(feature = "lz4")]
    Lz4(super::lz4::Encoder),
    #[cfg(feature = "zstd")]
    Zstd(super::zstd::Encoder),
}

impl Compressor {
    /// A compressor for this codec and level.
    ///
    /// # Errors
    /// The codec is not part of this build.
    pub fn new(settings: impl Into<CompressionLevel>) -> Result<Self, CompressionError> {
        let settings = settings.into();
        let codec = match settings.compression() {
            Compression::None => Codec::None,
            #[cfg(feature = "gzip")]
            Compression::Gzip => Codec::Gzip(super::gzip::Encoder::new(settings.level())),
            #[cfg(feature = "snappy")]
            Compression::Snappy => Codec::Snappy(Box::new(super::snappy::Encoder::new())),
            #[cfg(feature = "lz4")]
            Compression::Lz4 => Codec::Lz4(super::lz4::Encoder::new()),
            #[cfg(feature = "zstd")]
            Compression::Zstd => Codec::Zstd(super::zstd::Encoder::new(settings.level())),
            #[allow(unreachable_patterns, reason = "reached when a codec is left out")]
            compression => {
                let feature = compression.name();
                return super::error::NotEnabledSnafu {
                    compression,
                    feature,
                }
                .fail();
            }
        };
        Ok(Self {
            settings,
            codec,
            room: Vec::new(),
        })
    }

    /// The codec.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.settings.compression()
    }

    /// The codec and its level.
    #[must_use]
    pub fn settings(&self) -> CompressionLevel {
        self.settings
    }

    /// Appends `input`, compressed, to `output`.
    ///
    /// # Errors
    /// The library failed, which for a compressor means that memory ran out.
    pub fn compress(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), CompressionError> {
        match &mut self.codec {
            Codec::None => {
                output.extend_from_slice(input);
                Ok(())
            }
            #[cfg(feature = "gzip")]
            Codec::Gzip(encoder) => encoder.compress(input, output),
            #[cfg(feature = "snappy")]
            Codec::Snappy(encoder) => encoder.compress(input, output),
            #[cfg(feature = "lz4")]
            Codec::Lz4(encoder) => encoder.compress(input, output),
            #[cfg(feature = "zstd")]
            Codec::Zstd(encoder) => encoder.compress(input, output),
        }
    }

    /// Compresses `input` into memory of exactly the result's size.
    ///
    /// A codec wants room for the worst case, which is more than its input. Were each result to
    /// shrink to its size in its own room, as many holes of odd sizes would be left in the heap:
    /// the room stays here, and the result is copied out.
    ///
    /// # Errors
    /// As [`compress`](Self::compress).
    pub(in super::super) fn compress_exact(
        &mut self,
        input: &[u8],
    ) -> Result<Bytes, CompressionError> {
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        self.compress(input, &mut room)?;
        let exact = Bytes::copy_from_slice(&room);
        if room.capacity() <= MOST_ROOM {
            self.room = room;
        }
        Ok(exact)
    }
}
