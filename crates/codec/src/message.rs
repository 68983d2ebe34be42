//! What all messages have in common, and encoding or decoding one that stands by itself.
//!
//! Frames, with their headers and lengths, are [`frame`](crate::frame)'s.

use std::fmt::Debug;

use bytes::Bytes;

use crate::{
    ApiKey, DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, VersionRange,
    wire::{self, Encoder, Input, Segments},
};

/// A Kafka message: one struct for all its versions.
pub trait Message: Sized + Clone + Debug + Default + PartialEq + Send + Sync + 'static {
    /// The schema's name, for example `ProduceRequest`.
    const NAME: &'static str;
    /// The stable versions.
    const VERSIONS: VersionRange;
    /// Every version that can be encoded and decoded: [`Self::VERSIONS`], and where Kafka marks its highest version
    /// as unstable, that one too.
    const ALL_VERSIONS: VersionRange = Self::VERSIONS;

    /// Whether `version` has compact lengths and tagged fields (KIP-482).
    fn is_flexible(version: i16) -> bool;

    /// Appends the message. `version` must be one of [`Self::ALL_VERSIONS`].
    ///
    /// # Errors
    /// When a value cannot be expressed in `version`, see [`EncodeErrorKind`]. What was appended until then stays.
    fn encode(&self, out: &mut Encoder, version: i16) -> Result<(), EncodeError>;

    /// Reads the message off the start of `input`; the rest is returned beside it.
    /// `version` must be one of [`Self::ALL_VERSIONS`].
    ///
    /// # Errors
    /// When the bytes are not such a message.
    fn decode(input: Input<'_>, version: i16) -> wire::Parsed<'_, Self>;
}

/// What a client asks a broker.
pub trait Request: Message {
    /// The API's key, the same as the response's.
    const KEY: ApiKey;
    /// What the broker answers.
    type Response: Response;
}

/// What a broker answers.
pub trait Response: Message {
    /// The API's key, the same as the request's.
    const KEY: ApiKey;

    /// For how many milliseconds the broker wants no further request on this connection (KIP-219); 0 when the
    /// response has no such field.
    fn throttle_time_ms(&self) -> i32 {
        0
    }
}

/// Decodes a message that takes up all of `bytes`.
///
/// # Errors
/// When `bytes` are not such a message, have something after it, or `version` is not known.
pub fn decode_message<M: Message>(bytes: &Bytes, version: i16) -> Result<M, DecodeError> {
    decode_rest(Input::new(bytes), version)
}

/// Encodes a message by itself, without header or length.
///
/// # Errors
/// When a value cannot be expressed in `version`, or `version` is not known.
pub fn encode_message<M: Message>(message: &M, version: i16) -> Result<Segments, EncodeError> {
    let mut out = Encoder::new();
    encode_into(message, &mut out, version)?;
    Ok(out.finish())
}

pub(crate) fn decode_rest<M: Message>(input: Input<'_>, version: i16) -> Result<M, DecodeError> {
    if !M::ALL_VERSIONS.contains(version) {
        let kind = DecodeErrorKind::UnsupportedVersion { version };
        return Err(DecodeError {
            message: M::NAME,
            field: "",
            offset: input.offset(),
            kind,
        });
    }
    let (rest, message) =
        M::decode(input, version).map_err(|error| wire::decode_error(M::NAME, error))?;
    if rest.is_empty() {
        Ok(message)
    } else {
        let kind = DecodeErrorKind::TrailingBytes { extra: rest.len() };
        Err(DecodeError {
            message: M::NAME,
            field: "",
            offset: rest.offset(),
            kind,
        })
    }
}

pub(crate) fn encode_into<M: Message>(
    message: &M,
    out: &mut Encoder,
    version: i16,
) -> Result<(), EncodeError> {
    if !M::ALL_VERSIONS.contains(version) {
        let kind = EncodeErrorKind::UnsupportedVersion { version };
        return Err(EncodeError {
            message: M::NAME,
            field: "",
            kind,
        });
    }
    message
        .encode(out, version)
        .map_err(|error| error.in_message(M::NAME))
}
