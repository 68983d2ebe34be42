//! Kafka bytes to Rust values and back, without any I/O.
//!
//! Owns the wire format: [`messages`] (one generated struct per Kafka message, all versions), [`frame`] (headers and
//! the length prefix), [`records`] (record batches), [`wire`] (primitive types), [`ErrorCode`] and [`ApiKey`].
//! Knows nothing of sockets, runtimes or clocks.
//!
//! ```
//! use ottla_codec::{frame, messages::metadata::MetadataRequest};
//!
//! let request = MetadataRequest { topics: None, ..Default::default() };
//! let bytes = frame::encode_request(7, Some("docs"), &request, 12)?;
//! assert_eq!(bytes.to_bytes()[4..8], [0, 3, 0, 12]);
//! # Ok::<(), ottla_codec::EncodeError>(())
//! ```
//!
//! With the feature `serde`, off by default, messages are serialised and deserialised in the JSON form of Kafka's own
//! converters: Kafka's field names, bytes as base64, ids as [`Uuid`] displays them. Fields that a version lacks are
//! there with their default.
//!
//! Reference: <https://kafka.apache.org/protocol>, KIP-482 (flexible versions and tagged fields).
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod api_key;
mod error;
mod error_code;
pub mod frame;
#[cfg(feature = "serde")]
mod json;
mod message;
pub mod messages;
pub mod records;
mod uuid;
mod version;
pub mod wire;

pub use api_key::ApiKey;
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use error_code::ErrorCode;
pub use message::{Message, Request, Response, decode_message, encode_message};
pub use uuid::{ParseUuidError, Uuid};
pub use version::VersionRange;
pub use wire::{Encoder, Input, Records, Segments, UnknownTaggedField};
