//! Compressed bytes to plain bytes.

use super::{Compression, CompressionError};

/// Decompresses every codec of the build, keeping contexts between calls. One per task or thread.
#[derive(Debug, Default)]
pub struct Decompressor {
    #[cfg(feature = "gzip")]
    gzip: super::gzip::Decoder,
    #[cfg(feature = "snappy")]
    snappy: super::snappy::Decoder,
    #[cfg(feature = "zstd")]
    zstd: super::zstd::Decoder,
}

impl Decompressor {
    /// A decompressor; contexts are made when first needed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The plain bytes, at most `limit` of them.
    ///
    /// # Errors
    /// The codec is not part of this build, the bytes are broken, or there would be more than
    /// `limit` plain bytes.
    pub fn decompress(
        &mut self,
        compression: Compression,
        input: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, CompressionError> {
        let mut output = Vec::new();
        self.append(compression, input, limit, &mut output)?;
        // Whoever keeps them accounts for these bytes by length: do not hold much more than that.
        if output.capacity() - output.len() > output.len() / 4 + 1024 {
            output.shrink_to_fit();
        }
        Ok(output)
    }

    /// [`decompress`](Self::decompress) for message format 0, where the header's checksum in LZ4 frames
    /// is of the wrong bytes.
    pub(in crate::records) fn decompress_format_0(
        &mut self,
        compression: Compression,
        input: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, CompressionError> {
        #[cfg(feature = "lz4")]
        if compression == Compression::Lz4 {
            let mut output = Vec::new();
            super::lz4::decompress(input, false, limit, &mut output)?;
            return Ok(output);
        }
        self.decompress(compression, input, limit)
    }

    /// Appends the plain bytes, at most `limit` of them, to `output`, which is left as it was if they
    /// cannot be had. Its memory stays where it is if it has room for more than `limit` bytes.
    ///
    /// # Errors
    /// As [`decompress`](Self::decompress).
    pub fn append(
        &mut self,
        compression: Compression,
        input: &[u8],
        limit: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let begin = output.len();
        let appended = self.append_up_to(begin.saturating_add(limit), compression, input, output);
        if appended.is_err() {
            output.truncate(begin);
        }
        match appended {
            Err(CompressionError::LimitExceeded { .. }) => {
                super::error::LimitExceededSnafu { compression, limit }.fail()
            }
            other => other,
        }
    }

    /// Appends until `output` has `limit` bytes, those from before included.
    fn append_up_to(
        &mut self,
        limit: usize,
        compression: Compression,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        match compression {
            Compression::None => {
                if input.len() > limit.saturating_sub(output.len()) {
                    return super::error::LimitExceededSnafu { compression, limit }.fail();
                }
                output.extend_from_slice(input);
                Ok(())
            }
            #[cfg(feature = "gzip")]
            Compression::Gzip => self.gzip.decompress(input, limit, output),
            #[cfg(feature = "snappy")]
            Compression::Snappy => self.snappy.decompress(input, limit, output),
            #[cfg(feature = "lz4")]
            Compression::Lz4 => super::lz4::decompress(input, true, limit, output),
            #[cfg(feature = "zstd")]
            Compression::Zstd => self.zstd.decompress(input, limit, output),
            #[allow(unreachable_patterns, reason = "reached when a codec is left out")]
            compression => {
                let feature = compression.name();
                super::error::NotEnabledSnafu {
                    compression,
                    feature,
                }
                .fail()
            }
        }
    }
}
