//! gzip: the library's raw deflate streams in gzip members (RFC 1952).
//!
//! The member's header and trailer are read here, so that the inflate state can be reset and
//! kept, and several members behind each other are read as Java's `GZIPInputStream` does.

use std::fmt;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::{FrameSnafu, LimitExceededSnafu};
use super::{Compression, CompressionError, Malformed, room};

/// What a member begins with.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
const WINDOW_BITS: u8 = 15;
/// Deflate cannot do better than 1032 to 1; the first guess is far below.
const FIRST_GUESS: usize = 4;

pub(super) struct Encoder {
    level: flate2::Compression,
    context: Option<Compress>,
}

impl Encoder {
    pub(super) fn new(level: i32) -> Self {
        let level = match u32::try_from(level) {
            Ok(level) => flate2::Compression::new(level),
            Err(_) => flate2::Compression::default(),
        };
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
        let level = self.level;
        let context = self
            .context
            .get_or_insert_with(|| Compress::new_gzip(level, WINDOW_BITS));
        context.reset();
        output.reserve(input.len() / 2 + 64);
        loop {
            let done = usize::try_from(context.total_in()).unwrap_or(usize::MAX);
            let rest = input.get(done..).unwrap_or_default();
            let status = context
                .compress_vec(rest, output, FlushCompress::Finish)
                .map_err(|error| CompressionError::library(Compression::Gzip, error))?;
            if status == Status::StreamEnd {
                return Ok(());
            }
            // Not finished means that the output is full.
            output.reserve(rest.len() / 2 + 64);
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("gzip::Encoder")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    context: Option<Decompress>,
}

impl Decoder {
    pub(super) fn decompress(
        &mut self,
        mut input: &[u8],
        limit: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        loop {
            input = skip_header(input).map_err(malformed)?;
            let start = output.len();
            input = self.inflate(input, limit, output)?;
            let plain = output.get(start..).unwrap_or_default();
            let (trailer, rest) = input
                .split_first_chunk::<8>()
                .ok_or_else(|| malformed(Malformed::Truncated))?;
            let [c0, c1, c2, c3, s0, s1, s2, s3] = *trailer;
            if crc32fast::hash(plain) != u32::from_le_bytes([c0, c1, c2, c3]) {
                return Err(malformed(Malformed::ContentChecksum));
            }
            if plain.len() as u32 != u32::from_le_bytes([s0, s1, s2, s3]) {
                return Err(malformed(Malformed::ContentSize));
            }
            if rest.is_empty() {
                return Ok(());
            }
            if !rest.starts_with(&MAGIC) {
                return Err(malformed(Malformed::Trailing));
            }
            input = rest;
        }
    }

    /// Inflates one deflate stream and returns what is behind it.
    fn inflate<'a>(
        &mut self,
        input: &'a [u8],
        limit: usize,
        output: &mut Vec<u8>,
    ) -> Result<&'a [u8], CompressionError> {
        let context = self.context.get_or_insert_with(|| Decompress::new(false));
        context.reset(false);
        let mut wanted = input.len().saturating_mul(FIRST_GUESS);
        loop {
            // One byte beyond the limit tells a batch that just fits from one that does not.
            let most = limit.saturating_sub(output.len()).saturating_add(1);
            room::reserve(output, wanted.max(64).min(most), limit);
            let done = usize::try_from(context.total_in()).unwrap_or(usize::MAX);
            let rest = input.get(done..).unwrap_or_default();
            let before = output.len();
            let status = context
                .decompress_vec(rest, output, FlushDecompress::None)
                .map_err(|error| CompressionError::library(Compression::Gzip, error))?;
            if output.len() > limit {
                return LimitExceededSnafu {
                    compression: Compression::Gzip,
                    limit,
                }
                .fail();
            }
            let done = usize::try_from(context.total_in()).unwrap_or(usize::MAX);
            let rest = input.get(done..).unwrap_or_default();
            if status == Status::StreamEnd {
                return Ok(rest);
            }
            if rest.is_empty() && output.len() < output.capacity() {
                return Err(malformed(Malformed::Truncated));
            }
            if output.len() == before && output.len() < output.capacity() {
                return Err(malformed(Malformed::Truncated));
            }
            wanted = output.len();
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("gzip::Decoder").finish_non_exhaustive()
    }
}

fn malformed(reason: Malformed) -> CompressionError {
    FrameSnafu {
        compression: Compression::Gzip,
        reason,
    }
    .build()
}

/// What follows the header of a gzip member.
fn skip_header(input: &[u8]) -> Result<&[u8], Malformed> {
    const HEADER_CHECKSUM: u8 = 0x02;
    const EXTRA: u8 = 0x04;
    const NAME: u8 = 0x08;
    const COMMENT: u8 = 0x10;
    const RESERVED: u8 = 0xe0;

    let Some((&[id1, id2, method, flags, ..], mut rest)) = input.split_first_chunk::<10>() else {
        return Err(Malformed::Truncated);
    };
    if [id1, id2] != MAGIC {
        return Err(Malformed::Magic);
    }
    if method != 8 || flags & RESERVED != 0 {
        return Err(Malformed::Unsupported);
    }
    if flags & EXTRA != 0 {
        let (length, tail) = rest.split_first_chunk::<2>().ok_or(Malformed::Truncated)?;
        rest = tail
            .get(usize::from(u16::from_le_bytes(*length))..)
            .ok_or(Malformed::Truncated)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest
                .iter()
                .position(|&byte| byte == 0)
                .ok_or(Malformed::Truncated)?;
            rest = rest.get(end + 1..).ok_or(Malformed::Truncated)?;
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        let header = input
            .get(..input.len() - rest.len())
            .ok_or(Malformed::Truncated)?;
        let (stored, tail) = rest.split_first_chunk::<2>().ok_or(Malformed::Truncated)?;
        if crc32fast::hash(header) as u16 != u16::from_le_bytes(*stored) {
            return Err(Malformed::HeaderChecksum);
        }
        rest = tail;
    }
    Ok(rest)
}
