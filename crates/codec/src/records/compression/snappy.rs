//! Snappy in the framing of xerial's Java library, which is what Kafka means by snappy.
//!
//! A 16-byte header (magic, version, lowest compatible version), then blocks: a big-endian length
//! and that many bytes of raw snappy, up to 32 KiB of plain bytes each. Some clients write raw
//! snappy without any framing; that is read too.

use std::fmt;

use super::error::{FrameSnafu, LimitExceededSnafu};
use super::{Compression, CompressionError, Malformed, room};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
/// Java's block size.
const BLOCK_SIZE: usize = 32 * 1024;
/// A block that announces more than this many plain bytes per compressed byte lies: the longest
/// copy, 64 bytes, takes at least two.
const MAX_RATIO: usize = 64;

pub(super) struct Encoder {
    context: snap::raw::Encoder,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self {
            context: snap::raw::Encoder::new(),
        }
    }

    pub(super) fn compress(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        output.extend_from_slice(&HEADER);
        for block in input.chunks(BLOCK_SIZE) {
            let start = output.len();
            output.resize(start + 4 + snap::raw::max_compress_len(block.len()), 0);
            let (length, body) = output
                .get_mut(start..)
                .and_then(|tail| tail.split_first_chunk_mut::<4>())
                .ok_or_else(|| malformed(Malformed::BlockSize))?;
            let written = self.context.compress(block, body).map_err(library)?;
            // A block is at most 32 KiB, so its length fits.
            *length = (written as u32).to_be_bytes();
            output.truncate(start + 4 + written);
        }
        Ok(())
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("snappy::Encoder").finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    context: snap::raw::Decoder,
}

impl Decoder {
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        limit: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        if !input.starts_with(&MAGIC) {
            return self.block(input, limit, output);
        }
        let mut rest = input;
        while !rest.is_empty() {
            // Streams may be put behind each other, each with its header.
            if rest.starts_with(&MAGIC) {
                rest = skip_header(rest)?;
                continue;
            }
            // Not even a length: whatever it is, it is no block.
            let (length, tail) = rest
                .split_first_chunk::<4>()
                .ok_or_else(|| malformed(Malformed::Trailing))?;
            let length = i32::from_be_bytes(*length);
            let length = usize::try_from(length).map_err(|_| malformed(Malformed::BlockLength))?;
            let (block, tail) = tail
                .split_at_checked(length)
                .ok_or_else(|| malformed(Malformed::Truncated))?;
            self.block(block, limit, output)?;
            rest = tail;
        }
        Ok(())
    }

    fn block(
        &mut self,
        block: &[u8],
        limit: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let plain = snap::raw::decompress_len(block).map_err(library)?;
        if plain > block.len().saturating_mul(MAX_RATIO) {
            return Err(malformed(Malformed::BlockSize));
        }
        let start = output.len();
        let end = start.saturating_add(plain);
        if end > limit {
            return LimitExceededSnafu {
                compression: Compression::Snappy,
                limit,
            }
            .fail();
        }
        room::reserve(output, plain, limit);
        output.resize(end, 0);
        let target = output.get_mut(start..).unwrap_or_default();
        let written = self.context.decompress(block, target).map_err(library)?;
        if written != plain {
            return Err(malformed(Malformed::ContentSize));
        }
        Ok(())
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("snappy::Decoder").finish_non_exhaustive()
    }
}

fn malformed(reason: Malformed) -> CompressionError {
    FrameSnafu {
        compression: Compression::Snappy,
        reason,
    }
    .build()
}

/// The library names itself in its texts, as the error that they become a part of does.
fn library(error: snap::Error) -> CompressionError {
    match error {
        snap::Error::Empty => malformed(Malformed::Truncated),
        other => {
            let text = other.to_string();
            let text = text.strip_prefix("snappy: ").unwrap_or(&text);
            CompressionError::library(Compression::Snappy, text)
        }
    }
}

fn skip_header(input: &[u8]) -> Result<&[u8], CompressionError> {
    let (header, rest) = input
        .split_first_chunk::<16>()
        .ok_or_else(|| malformed(Malformed::Truncated))?;
    let [.., c0, c1, c2, c3] = *header;
    // The version that wrote it may be newer, as long as version 1 can read it.
    if i32::from_be_bytes([c0, c1, c2, c3]) > 1 {
        return Err(malformed(Malformed::Unsupported));
    }
    Ok(rest)
}
