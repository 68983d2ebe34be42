//! Sealing batches: the one place where a producer compresses, and the compressors it keeps for it.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use ottla_codec::records::{
    self, BatchBuilder, BatchFields, CompressionLevel, Compressor, Decompressor, SealedBatch,
    TimestampType,
};

use crate::error::{Error, ErrorKind, Result};

/// How a producer compresses its batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all. The default.
    #[default]
    None,
    /// gzip: small and slow.
    Gzip,
    /// snappy: fast, in the framing that Java uses.
    Snappy,
    /// LZ4: fast.
    Lz4,
    /// zstd: about as fast as LZ4 at low levels and smaller than gzip.
    Zstd,
}

impl Compression {
    pub(crate) const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec's name in Kafka's properties.
    pub fn name(self) -> &'static str {
        self.codec().name()
    }

    fn codec(self) -> records::Compression {
        match self {
            Self::None => records::Compression::None,
            Self::Gzip => records::Compression::Gzip,
            Self::Snappy => records::Compression::Snappy,
            Self::Lz4 => records::Compression::Lz4,
            Self::Zstd => records::Compression::Zstd,
        }
    }
}

/// Batches below this size are compressed where they come up: moving them costs more.
const SMALL: usize = 8 * 1024;

/// Seals and splits batches with compressors that it keeps.
#[derive(Debug)]
pub(crate) struct Sealer {
    settings: CompressionLevel,
    /// As many as were ever in use at a time.
    idle: Mutex<Vec<Compressor>>,
}

impl Sealer {
    /// # Errors
    /// The codec is not part of this build, or has no such level.
    pub(crate) fn new(compression: Compression, level: Option<i32>) -> Result<Self> {
        let codec = compression.codec();
        let settings = match level {
            // A level for a codec without levels means nothing and harms nobody.
            Some(level) if codec.levels().is_some() => CompressionLevel::new(codec, level)
                .map_err(|error| invalid("compression.level", error.to_string()))?,
            Some(_) | None => CompressionLevel::from(codec),
        };
        if level.is_some() && !settings.has_effect() {
            tracing::warn!(
                codec = codec.name(),
                "a compression level has no effect here"
            );
        }
        let first = Compressor::new(settings)
            .map_err(|error| invalid("compression.type", error.to_string()))?;
        Ok(Self {
            settings,
            idle: Mutex::new(vec![first]),
        })
    }

    /// Whether sealing a batch of this size is work for a thread of its own.
    pub(crate) fn is_heavy(&self, size: usize) -> bool {
        self.settings.compression() != records::Compression::None && size >= SMALL
    }

    /// Compresses and closes a batch.
    ///
    /// # Errors
    /// Compressing failed.
    pub(crate) fn seal(&self, mut builder: BatchBuilder) -> Result<SealedBatch> {
        let fields = BatchFields {
            base_offset: 0,
            partition_leader_epoch: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            is_transactional: false,
            is_control: false,
            timestamp_type: TimestampType::CreateTime,
        };
        self.with_compressor(|compressor| {
            builder
                .seal(&fields, compressor)
                .map_err(|error| Error::invalid_argument(error.to_string()))
        })
    }

    /// Cuts a batch into parts of at most `target` bytes.
    ///
    /// # Errors
    /// It holds a single record, or compressing failed.
    pub(crate) fn split(
        &self,
        batch: &SealedBatch,
        target: usize,
    ) -> Result<Vec<(Range<u32>, SealedBatch)>> {
        self.with_compressor(|compressor| {
            batch
                .split(target, compressor, &mut Decompressor::new())
                .map_err(|error| Error::invalid_argument(error.to_string()))
        })
    }

    fn with_compressor<T>(&self, work: impl FnOnce(&mut Compressor) -> Result<T>) -> Result<T> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut compressor = match idle {
            Some(compressor) => compressor,
            None => Compressor::new(self.settings)
                .map_err(|error| invalid("compression.type", error.to_string()))?,
        };
        let done = work(&mut compressor);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(compressor);
        done
    }
}

fn invalid(property: &str, reason: String) -> Error {
    ErrorKind::InvalidConfig {
        property: property.to_owned(),
        reason,
    }
    .into()
}
