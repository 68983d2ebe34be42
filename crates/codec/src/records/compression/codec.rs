//! The codecs' names, numbers and levels.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use snafu::Snafu;

/// How a batch's records are compressed. The format has room for three more codecs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all. The default, as in Java.
    #[default]
    None,
    /// gzip (feature `gzip`).
    Gzip,
    /// Snappy in xerial framing (feature `snappy`).
    Snappy,
    /// LZ4 frames (feature `lz4`).
    Lz4,
    /// Zstandard (feature `zstd`); brokers take it from 2.1 on.
    Zstd,
}

impl Compression {
    /// All codecs, by number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec's number in a batch's attributes.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with this number.
    ///
    /// # Errors
    /// There is none.
    pub const fn from_id(id: u8) -> Result<Self, UnknownCompression> {
        match id {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            _ => Err(UnknownCompression::Id { id }),
        }
    }

    /// Kafka's name for it, as in `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Whether this build can compress and decompress it.
    #[must_use]
    pub const fn is_enabled(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// The levels that may be set for it, as KIP-390 has them; gzip also takes -1, its default.
    #[must_use]
    pub const fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some(1..=9),
            Self::Lz4 => Some(1..=17),
            Self::Zstd => Some(-131_072..=22),
        }
    }

    const fn default_level(self) -> i32 {
        match self {
            Self::None | Self::Snappy => 0,
            Self::Gzip => -1,
            Self::Lz4 => 9,
            Self::Zstd => 3,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| UnknownCompression::Name {
                name: name.to_owned(),
            })
    }
}

/// A codec that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[non_exhaustive]
pub enum UnknownCompression {
    /// By its number in a batch's attributes.
    #[snafu(display("there is no compression codec with the number {id}"))]
    Id {
        /// The number.
        id: u8,
    },
    /// By its name in a configuration.
    #[snafu(display(
        "there is no compression codec {name:?}; use none, gzip, snappy, lz4 or zstd"
    ))]
    Name {
        /// The name.
        name: String,
    },
}

/// A codec and how hard it tries: a level that the codec has, checked when made.
#[doc(alias = "compression.gzip.level")]
#[doc(alias = "compression.lz4.level")]
#[doc(alias = "compression.zstd.level")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CompressionLevel {
    compression: Compression,
    level: i32,
}

impl CompressionLevel {
    /// A codec at a level of its own: gzip 1 to 9 or -1, lz4 1 to 17, zstd -131072 to 22.
    ///
    /// # Errors
    /// The codec has no such level, or no levels at all.
    pub fn new(compression: Compression, level: i32) -> Result<Self, CompressionLevelError> {
        let Some(levels) = compression.levels() else {
            return NoLevelsSnafu { compression }.fail();
        };
        let is_default = level == compression.default_level();
        if !levels.contains(&level) && !is_default {
            let (min, max) = (*levels.start(), *levels.end());
            return OutOfRangeSnafu {
                compression,
                level,
                min,
                max,
            }
            .fail();
        }
        Ok(Self { compression, level })
    }

    /// The codec.
    #[must_use]
    pub const fn compression(self) -> Compression {
        self.compression
    }

    /// The level; for gzip -1 stands for the library's default, for none and snappy it is 0.
    #[must_use]
    pub const fn level(self) -> i32 {
        self.level
    }

    /// Whether levels of this codec change anything in this build. LZ4's do not: the library has
    /// only the fast method, which is what Java uses at its default level.
    #[must_use]
    pub const fn has_effect(self) -> bool {
        matches!(self.compression, Compression::Gzip | Compression::Zstd)
    }
}

impl From<Compression> for CompressionLevel {
    /// The codec at its default level: gzip -1, lz4 9, zstd 3.
    fn from(compression: Compression) -> Self {
        Self {
            compression,
            level: compression.default_level(),
        }
    }
}

/// A level that a codec does not have.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[non_exhaustive]
pub enum CompressionLevelError {
    /// The codec has levels, but not this one.
    #[snafu(display("{compression} has levels {min} to {max}, not {level}"))]
    OutOfRange {
        /// The codec.
        compression: Compression,
        /// The level asked for.
        level: i32,
        /// Its lowest level.
        min: i32,
        /// Its highest level.
        max: i32,
    },
    /// The codec has no levels.
    #[snafu(display("{compression} has no levels"))]
    NoLevels {
        /// The codec.
        compression: Compression,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_come_back() {
        for codec in Compression::ALL {
            assert_eq!(codec.to_string().parse(), Ok(codec));
            assert_eq!(Compression::from_id(codec.id()), Ok(codec));
        }
        assert_eq!(
            Compression::from_id(5),
            Err(UnknownCompression::Id { id: 5 })
        );
        assert!("LZ4".parse::<Compression>().is_err());
    }

    #[test]
    fn levels_are_those_of_kip_390() {
        let ok = |codec, level| CompressionLevel::new(codec, level).is_ok();
        assert!(ok(Compression::Gzip, -1) && ok(Compression::Gzip, 1) && ok(Compression::Gzip, 9));
        assert!(!ok(Compression::Gzip, 0) && !ok(Compression::Gzip, 10));
        assert!(ok(Compression::Lz4, 1) && ok(Compression::Lz4, 17) && !ok(Compression::Lz4, 18));
        assert!(ok(Compression::Zstd, -131_072) && ok(Compression::Zstd, 22));
        assert!(!ok(Compression::Zstd, 23) && !ok(Compression::Zstd, -131_073));
        assert_eq!(
            CompressionLevel::new(Compression::Snappy, 1),
            Err(CompressionLevelError::NoLevels {
                compression: Compression::Snappy
            })
        );
    }

    #[test]
    fn a_codec_left_out_is_named_with_its_feature() {
        use super::super::{CompressionError, Compressor, Decompressor};

        for codec in Compression::ALL
            .into_iter()
            .filter(|codec| !codec.is_enabled())
        {
            for error in [
                Compressor::new(codec).map(drop).unwrap_err(),
                Decompressor::new()
                    .decompress(codec, &[], 0)
                    .map(drop)
                    .unwrap_err(),
            ] {
                let CompressionError::NotEnabled {
                    compression,
                    feature,
                } = error
                else {
                    panic!("{error}");
                };
                assert_eq!((compression, feature), (codec, codec.name()));
            }
        }
    }
}
