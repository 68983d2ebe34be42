//! Zstandard, through the C library.
//!
//! Frames are decompressed in one go, with the output as the window: whatever window size a frame
//! asks for costs nothing, and a frame without a content size (Java streams, so it never knows
//! one) is bounded from its block headers before anything is allocated.
//!
//! Reference: RFC 8878.

use std::fmt;
use std::io::Cursor;

use zstd::bulk;

use super::error::{FrameSnafu, LimitExceededSnafu};
use super::{Compression, CompressionError, Malformed};

const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
/// No block has more plain bytes than this.
const MAX_BLOCK: u64 = 128 * 1024;

pub(super) struct Encoder {
    level: i32,
    context: Option<bulk::Compressor<'static>>,
}

impl Encoder {
    pub(super) fn new(level: i32) -> Self {
        Self {
            level,
            context: None,
        }
    }

    pub(super) fn compress(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let library = |error| CompressionError::library(Compression::Zstd, error);
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(bulk::Compressor::new(self.level).map_err(library)?),
        };
        if output.is_empty() {
            output.reserve(zstd::compress_bound(input.len()));
            context.compress_to_buffer(input, output).map_err(library)?;
        } else {
            output.extend_from_slice(&context.compress(input).map_err(library)?);
        }
        Ok(())
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("zstd::Encoder")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    context: Option<bulk::Decompressor<'static>>,
}

impl Decoder {
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        limit: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let library = |error| CompressionError::library(Compression::Zstd, error);
        let bound = upper_bound(input).map_err(|reason| {
            FrameSnafu {
                compression: Compression::Zstd,
                reason,
            }
            .build()
        })?;
        let begin = output.len();
        let most = limit.saturating_sub(begin);
        let exceeded = LimitExceededSnafu {
            compression: Compression::Zstd,
            limit,
        };
        if bound.least > most as u64 {
            return exceeded.fail();
        }
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(bulk::Decompressor::new().map_err(library)?),
        };
        let room = usize::try_from(bound.most).unwrap_or(usize::MAX).min(most);
        output.reserve_exact(room);
        let mut behind = Cursor::new(&mut *output);
        behind.set_position(begin as u64);
        match context.decompress_to_buffer(input, &mut behind) {
            Ok(_) if output.len() <= limit => Ok(()),
            Ok(_) => exceeded.fail(),
            // All that the blocks can hold has room, unless the limit took it away.
            Err(_) if bound.most > most as u64 => exceeded.fail(),
            Err(error) => Err(library(error)),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("zstd::Decoder").finish_non_exhaustive()
    }
}

/// How many plain bytes the frames can hold.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    /// What stored and repeated blocks hold for sure.
    least: u64,
    most: u64,
}

/// Walks the frames' and blocks' headers, without decompressing anything.
fn upper_bound(mut input: &[u8]) -> Result<Bound, Malformed> {
    let mut bound = Bound { least: 0, most: 0 };
    let (mut too_short, mut no_frame) = (Malformed::Truncated, Malformed::Magic);
    loop {
        let magic = little_endian(&mut input, 4).map_err(|_| too_short)? as u32;
        if magic & !0xf == SKIPPABLE_MAGIC {
            let length = little_endian(&mut input, 4)?;
            skip(&mut input, length)?;
        } else if magic == MAGIC {
            frame_bound(&mut input, &mut bound)?;
        } else {
            return Err(no_frame);
        }
        if input.is_empty() {
            return Ok(bound);
        }
        // Only another frame may follow.
        (too_short, no_frame) = (Malformed::Trailing, Malformed::Trailing);
    }
}

fn frame_bound(input: &mut &[u8], bound: &mut Bound) -> Result<(), Malformed> {
    let descriptor = little_endian(input, 1)? as u8;
    let single_segment = descriptor & 0x20 != 0;
    let has_checksum = descriptor & 0x04 != 0;
    if !single_segment {
        skip(input, 1)?;
    }
    let dictionary_id = [0, 1, 2, 4]
        .get(usize::from(descriptor & 3))
        .copied()
        .unwrap_or(0);
    skip(input, dictionary_id)?;
    let content_size = match (descriptor >> 6, single_segment) {
        (0, false) => None,
        (0, true) => Some(little_endian(input, 1)?),
        (1, _) => Some(little_endian(input, 2)? + 256),
        (2, _) => Some(little_endian(input, 4)?),
        _ => Some(little_endian(input, 8)?),
    };
    let (mut least, mut most) = (0u64, 0u64);
    loop {
        let header = little_endian(input, 3)?;
        let (last, kind, size) = (header & 1 != 0, (header >> 1) & 3, header >> 3);
        match kind {
            0 | 1 => {
                least += size;
                most += size;
                skip(input, if kind == 0 { size } else { 1 })?;
            }
            2 => {
                most += MAX_BLOCK;
                skip(input, size)?;
            }
            _ => return Err(Malformed::Unsupported),
        }
        if last {
            break;
        }
    }
    if has_checksum {
        skip(input, 4)?;
    }
    // The blocks are the truth; an announced size within their bound makes it tighter, and the
    // library checks it.
    if let Some(size) = content_size {
        if size < least || size > most {
            return Err(Malformed::ContentSize);
        }
        (least, most) = (size, size);
    }
    bound.least = bound.least.saturating_add(least);
    bound.most = bound.most.saturating_add(most);
    Ok(())
}

fn little_endian(input: &mut &[u8], count: usize) -> Result<u64, Malformed> {
    let (head, tail) = input.split_at_checked(count).ok_or(Malformed::Truncated)?;
    *input = tail;
    Ok(head
        .iter()
        .rev()
        .fold(0, |value, &byte| (value << 8) | u64::from(byte)))
}

fn skip(input: &mut &[u8], count: u64) -> Result<(), Malformed> {
    let count = usize::try_from(count).map_err(|_| Malformed::Truncated)?;
    *input = input.get(count..).ok_or(Malformed::Truncated)?;
    Ok(())
}
