//! LZ4 frames, of the kind that Java writes and accepts.
//!
//! Written: independent blocks of 64 KiB, no checksums but the header's, no content size. Read:
//! every block size, linked blocks, block and content checksums, content size.
//!
//! Reference: <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>.

use std::fmt;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};
use twox_hash::XxHash32;

use super::error::{FrameSnafu, LimitExceededSnafu};
use super::{Compression, CompressionError, Malformed, room};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Magic, flags (version 1, independent blocks), block size 64 KiB, checksum of these two.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK_SIZE: usize = 64 * 1024;
/// How far back a block may refer to the ones before it.
const WINDOW: usize = 64 * 1024;
/// Set in a block's length if it is stored as it is.
const STORED: u32 = 1 << 31;
/// A compressed byte stands for at most 255 plain ones.
const MAX_RATIO: usize = 255;

pub(super) struct Encoder {
    table: Option<CompressTable>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { table: None }
    }

    pub(super) fn compress(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let table = self.table.get_or_insert_with(CompressTable::large);
        output.extend_from_slice(&HEADER);
        for block in input.chunks(BLOCK_SIZE) {
            let start = output.len();
            output.resize(start + 4 + get_maximum_output_size(block.len()), 0);
            let (length, body) = output
                .get_mut(start..)
                .and_then(|tail| tail.split_first_chunk_mut::<4>())
                .ok_or_else(|| malformed(Malformed::BlockSize))?;
            let written = compress_into_with_table(block, body, table)
                .map_err(|error| CompressionError::library(Compression::Lz4, error))?;
            if written < block.len() {
                *length = (written as u32).to_le_bytes();
                output.truncate(start + 4 + written);
            } else {
                output.truncate(start);
                output.extend_from_slice(&(block.len() as u32 | STORED).to_le_bytes());
                output.extend_from_slice(block);
            }
        }
        output.extend_from_slice(&[0; 4]);
        Ok(())
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("lz4::Encoder").finish_non_exhaustive()
    }
}

/// Appends the plain bytes of one frame, until `output` has `limit` bytes; stateless, as the output
/// itself is the window. Unless `header_checksum`, that of the frame's header is not looked at.
// Inlined into its one caller it becomes too large for its inner loop's copies to be inlined.
#[inline(never)]
pub(super) fn decompress(
    input: &[u8],
    header_checksum: bool,
    limit: usize,
    output: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let (frame, mut rest) = Frame::parse(input, header_checksum).map_err(malformed)?;
    let begin = output.len();
    let guess = input.len().saturating_mul(3);
    output.reserve(guess.min(limit.saturating_sub(begin)));
    loop {
        let length = u32::from_le_bytes(*take(&mut rest).map_err(malformed)?);
        if length == 0 {
            break;
        }
        let (length, stored) = (length & !STORED, length & STORED != 0);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > frame.block_size {
            return Err(malformed(Malformed::BlockSize));
        }
        let (block, tail) = rest
            .split_at_checked(length)
            .ok_or_else(|| malformed(Malformed::Truncated))?;
        rest = tail;
        if frame.block_checksums {
            let checksum = u32::from_le_bytes(*take(&mut rest).map_err(malformed)?);
            if checksum != XxHash32::oneshot(0, block) {
                return Err(malformed(Malformed::BlockChecksum));
            }
        }
        if !stored {
            frame.decompress_block(block, begin, limit, output)?;
        } else if block.len() > limit.saturating_sub(output.len()) {
            return LimitExceededSnafu {
                compression: Compression::Lz4,
                limit,
            }
            .fail();
        } else {
            room::reserve(output, block.len(), limit);
            output.extend_from_slice(block);
        }
    }
    let plain = output.get(begin..).unwrap_or_default();
    if frame
        .content_size
        .is_some_and(|size| size != plain.len() as u64)
    {
        return Err(malformed(Malformed::ContentSize));
    }
    if frame.content_checksum {
        let checksum = u32::from_le_bytes(*take(&mut rest).map_err(malformed)?);
        if checksum != XxHash32::oneshot(0, plain) {
            return Err(malformed(Malformed::ContentChecksum));
        }
    }
    if !rest.is_empty() {
        return Err(malformed(Malformed::Trailing));
    }
    Ok(())
}

struct Frame {
    linked: bool,
    block_checksums: bool,
    content_size: Option<u64>,
    content_checksum: bool,
    block_size: usize,
}

impl Frame {
    fn parse(input: &[u8], header_checksum: bool) -> Result<(Self, &[u8]), Malformed> {
        const VERSION_MASK: u8 = 0xc0;
        const VERSION: u8 = 0x40;
        const INDEPENDENT: u8 = 0x20;
        const BLOCK_CHECKSUMS: u8 = 0x10;
        const CONTENT_SIZE: u8 = 0x08;
        const CONTENT_CHECKSUM: u8 = 0x04;
        const RESERVED: u8 = 0x02;
        const DICTIONARY: u8 = 0x01;

        let mut rest = input;
        if *take::<4>(&mut rest)? != MAGIC {
            return Err(Malformed::Magic);
        }
        let described = rest;
        let [flags, block_descriptor] = *take::<2>(&mut rest)?;
        if flags & VERSION_MASK != VERSION || flags & (RESERVED | DICTIONARY) != 0 {
            return Err(Malformed::Unsupported);
        }
        let block_size = match block_descriptor {
            0x40 => 64 * 1024,
            0x50 => 256 * 1024,
            0x60 => 1024 * 1024,
            0x70 => 4 * 1024 * 1024,
            _ => return Err(Malformed::Unsupported),
        };
        let content_size = if flags & CONTENT_SIZE != 0 {
            Some(u64::from_le_bytes(*take(&mut rest)?))
        } else {
            None
        };
        let descriptor = described
            .get(..described.len() - rest.len())
            .unwrap_or_default();
        let [checksum] = *take::<1>(&mut rest)?;
        if header_checksum && (XxHash32::oneshot(0, descriptor) >> 8) as u8 != checksum {
            return Err(Malformed::HeaderChecksum);
        }
        let frame = Self {
            linked: flags & INDEPENDENT == 0,
            block_checksums: flags & BLOCK_CHECKSUMS != 0,
            content_size,
            content_checksum: flags & CONTENT_CHECKSUM != 0,
            block_size,
        };
        Ok((frame, rest))
    }

    fn decompress_block(
        &self,
        block: &[u8],
        begin: usize,
        limit: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let start = output.len();
        let most = self.block_size.min(block.len().saturating_mul(MAX_RATIO));
        let available = most.min(limit.saturating_sub(start));
        room::reserve(output, available, limit);
        output.resize(start + available, 0);
        let (before, target) = output.split_at_mut(start);
        let result = if self.linked {
            let window = before
                .get(start.saturating_sub(WINDOW).max(begin)..)
                .unwrap_or_default();
            decompress_into_with_dict(block, target, window)
        } else {
            decompress_into(block, target)
        };
        match result {
            Ok(written) => {
                output.truncate(start + written);
                Ok(())
            }
            // Where the caller's limit is what made the room small, it is to blame.
            Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if available < most => {
                LimitExceededSnafu {
                    compression: Compression::Lz4,
                    limit,
                }
                .fail()
            }
            Err(error) => Err(CompressionError::library(Compression::Lz4, error)),
        }
    }
}

fn malformed(reason: Malformed) -> CompressionError {
    FrameSnafu {
        compression: Compression::Lz4,
        reason,
    }
    .build()
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Malformed> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
    *rest = tail;
    Ok(head)
}
