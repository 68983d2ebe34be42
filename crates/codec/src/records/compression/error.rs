//! What can go wrong between compressed and plain bytes.

use std::error::Error;

use snafu::Snafu;

use super::Compression;

/// Bytes that could not be compressed or decompressed.
///
/// Its text says all there is, so it has no source.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(super)))]
#[non_exhaustive]
pub enum CompressionError {
    /// This build leaves the codec out.
    #[snafu(display("{compression} is not part of this build: enable the feature \"{feature}\""))]
    NotEnabled {
        /// The codec.
        compression: Compression,
        /// The feature of this crate that brings it.
        feature: &'static str,
    },
    /// The plain bytes would be more than the caller allows.
    #[snafu(display("{compression}: more than {limit} bytes when decompressed"))]
    LimitExceeded {
        /// The codec.
        compression: Compression,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The frame around the compressed bytes is broken.
    #[snafu(display("{compression}: {reason}"))]
    Frame {
        /// The codec.
        compression: Compression,
        /// What is wrong with it.
        reason: Malformed,
    },
    /// The codec's library refused.
    #[snafu(display("{compression}: {source}"))]
    Library {
        /// The codec.
        compression: Compression,
        /// What the library says.
        #[snafu(source(false))]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Snafu)]
#[non_exhaustive]
pub enum Malformed {
    /// It ends too early.
    #[snafu(display("the compressed bytes end too early"))]
    Truncated,
    /// There are bytes behind its end.
    #[snafu(display("there are bytes behind the end of the compressed bytes"))]
    Trailing,
    /// It does not start as it should.
    #[snafu(display("the compressed bytes do not start as they should"))]
    Magic,
    /// It is of a version, or uses a feature, that is not known.
    #[snafu(display("unsupported version or feature"))]
    Unsupported,
    /// A block has a negative length.
    #[snafu(display("a block has a negative length"))]
    BlockLength,
    /// A block is larger than its frame allows.
    #[snafu(display("a block is larger than allowed"))]
    BlockSize,
    /// The checksum of the frame's header is wrong.
    #[snafu(display("wrong header checksum"))]
    HeaderChecksum,
    /// The checksum of a block is wrong.
    #[snafu(display("wrong block checksum"))]
    BlockChecksum,
    /// The checksum of the plain bytes is wrong.
    #[snafu(display("wrong content checksum"))]
    ContentChecksum,
    /// The plain bytes are not as many as the frame says.
    #[snafu(display("the content has another size than announced"))]
    ContentSize,
}

impl CompressionError {
    /// A library's error.
    #[allow(dead_code, reason = "not used when all codecs are left out")]
    pub(super) fn library(
        compression: Compression,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Library {
            compression,
            source: source.into(),
        }
    }
}
