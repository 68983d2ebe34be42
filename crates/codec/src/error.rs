//! What can be wrong with bytes that are decoded, or with values that are encoded.
//!
//! Every error names its message and field; a decoding one the byte offset in the frame as well.

use std::fmt;

use snafu::Snafu;

/// Bytes that are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Snafu)]
#[snafu(display("cannot decode {message}{}: {kind}, at byte {offset}", Field(field)))]
pub struct DecodeError {
    /// The message, for example `FetchResponse`.
    pub message: &'static str,
    /// The innermost field that was being read: `acks` in the message itself, `TopicProduceData.name` in a nested
    /// struct, empty when it was none in particular.
    pub field: &'static str,
    /// Where the field's bytes start, counted from the first byte of the frame or buffer given to the decoder.
    pub offset: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Snafu)]
#[snafu(module)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The value needs more bytes than there are.
    #[snafu(display("{needed} bytes needed, {remaining} remain"))]
    Truncated {
        /// Bytes that the value takes.
        needed: u64,
        /// Bytes that are left.
        remaining: usize,
    },
    /// A negative length that does not stand for null.
    #[snafu(display("negative length {length}"))]
    NegativeLength {
        /// The length as read.
        length: i64,
    },
    /// Null where this version of the message does not allow it.
    #[snafu(display("null is not allowed in this version"))]
    UnexpectedNull,
    /// A variable-length integer with too many bytes or bits.
    #[snafu(display("variable-length integer is too long"))]
    OverlongVarint,
    /// A string that is not UTF-8.
    #[snafu(display("string is not UTF-8"))]
    InvalidUtf8,
    /// A string that is longer than the protocol allows.
    #[snafu(display("a string of {length} bytes is longer than the protocol allows"))]
    StringTooLong {
        /// Bytes of the string.
        length: usize,
    },
    /// A known tagged field is longer than its content.
    #[snafu(display("{extra} bytes too many in a tagged field"))]
    TaggedFieldLength {
        /// Bytes left over.
        extra: usize,
    },
    /// Tagged fields out of order, or one that occurs twice (KIP-482). Java reads them, but would not write them.
    #[snafu(display("tag {tag} does not come after the tags before it"))]
    TagOrder {
        /// The tag that is not greater than the one before it.
        tag: u32,
    },
    /// The message ended before its bytes did.
    #[snafu(display("{extra} bytes left over after the message"))]
    TrailingBytes {
        /// Bytes left over.
        extra: usize,
    },
    /// A version that this crate has no layout for.
    #[snafu(display("version {version} is not supported"))]
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
    },
    /// An API key that this crate has no messages for.
    #[snafu(display("API key {key} is not supported"))]
    UnsupportedApi {
        /// The key as read.
        key: i16,
    },
    /// The parser library refused the bytes.
    #[snafu(display("malformed bytes ({kind:?})"))]
    Malformed {
        /// The parser's own classification.
        kind: nom::error::ErrorKind,
    },
}

/// A value that cannot be written in the version asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Snafu)]
#[snafu(display("cannot encode {message}{}: {kind}", Field(field)))]
pub struct EncodeError {
    /// The message, for example `FetchRequest`.
    pub message: &'static str,
    /// The field: `acks` in the message itself, `TopicProduceData.name` in a nested struct.
    pub field: &'static str,
    /// Why it cannot be written.
    pub kind: EncodeErrorKind,
}

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Snafu)]
#[snafu(module)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// The field has no place in this version, differs from its default, and must not be lost silently.
    #[snafu(display("version {version} has no such field, and its value is not the default"))]
    NotInVersion {
        /// The version asked for.
        version: i16,
    },
    /// The field is null in a version that does not allow it.
    #[snafu(display("null is not allowed in version {version}"))]
    NullNotAllowed {
        /// The version asked for.
        version: i16,
    },
    /// A string, byte field or array is longer than its length prefix can say.
    #[snafu(display("length {length} is more than the protocol allows"))]
    TooLong {
        /// Bytes or elements.
        length: usize,
    },
    /// An unknown tagged field has the tag of another field of the same struct.
    #[snafu(display("tag {tag} occurs twice, or is that of a field of its own"))]
    DuplicateTag {
        /// The tag.
        tag: u32,
    },
    /// A version that this crate has no layout for.
    #[snafu(display("version {version} is not supported"))]
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
    },
    /// An API that this crate does not know.
    #[snafu(display("no API has the key {key}"))]
    UnsupportedApi {
        /// The key given.
        key: i16,
    },
}

impl EncodeError {
    /// The error of a field that `version` has no place for.
    pub(crate) fn not_in_version(field: &'static str, version: i16) -> Self {
        Self {
            message: "",
            field,
            kind: EncodeErrorKind::NotInVersion { version },
        }
    }

    /// The error of a field that is null although `version` does not allow it.
    pub(crate) fn null_not_allowed(field: &'static str, version: i16) -> Self {
        Self {
            message: "",
            field,
            kind: EncodeErrorKind::NullNotAllowed { version },
        }
    }

    pub(crate) fn in_message(self, message: &'static str) -> Self {
        Self { message, ..self }
    }
}

struct Field<'a>(&'a &'static str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ", field {}", self.0)
        }
    }
}
