//! Kafka bytes to Rust values and back, without any I/O.
//!
//! Owns the wire format: [`messages`] (one generated struct per Kafka message, all versions), [`frame`] (headers and
//! the length prefix), [`records`] (record batches), [`wire`] (primitive types), [`ErrorCode`] and [`ApiKey`].
//! Knows nothing of sockets, runtimes or clocks.
//!
//! # A message
//!
//! Requests and responses are plain structs, one for all versions of a message; [`messages`] lists them with their
//! versions. What a version lacks keeps its default, and a value that a version cannot express is an error rather than
//! lost, unless the schema calls its field ignorable (the fields' docs say so): such a field is left out, as in Java. A
//! client encodes requests and decodes responses, and a broker, or a proxy, the other way round:
//!
//! ```
//! use ottla_codec::frame;
//! use ottla_codec::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
//! use ottla_codec::{ErrorCode, Request as _, decode_message};
//!
//! let topic = MetadataRequestTopic { name: Some("orders".into()), ..Default::default() };
//! let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
//! let frame = frame::encode_request(7, Some("docs"), &request, 12)?;
//!
//! // The broker's side: what is behind the length.
//! let (header, body) = frame::decode_request_header(&frame.to_bytes().slice(4..))?;
//! assert_eq!((header.request_api_key, header.correlation_id), (MetadataRequest::KEY as i16, 7));
//! assert_eq!(decode_message::<MetadataRequest>(&body, header.request_api_version)?, request);
//! let response = MetadataResponse { controller_id: 1, ..Default::default() };
//! let frame = frame::encode_response(header.correlation_id, &response, 12)?;
//!
//! // The client's side again.
//! let frame = frame.to_bytes().slice(4..);
//! let (correlation_id, response) = frame::decode_response::<MetadataRequest>(&frame, 12)?;
//! assert_eq!((correlation_id, response.controller_id), (7, 1));
//! assert!(ErrorCode::from_code(response.error_code).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A batch of records
//!
//! [`records`] builds batches and reads them; records are views of the batch's bytes, and nothing is allocated for one.
//!
//! ```
//! # #[cfg(feature = "lz4")] {
//! use ottla_codec::records::{
//!     BatchBuilder, BatchFields, Batches, Compression, Compressor, Decompressor,
//! };
//!
//! let mut builder = BatchBuilder::new(16 * 1024);
//! let header = ("trace", Some(&b"4bf92f35"[..]));
//! builder.try_append(1_777_893_742_000, Some(b"key"), Some(b"value"), [header])?;
//! builder.try_append(1_777_893_742_001, Some(b"key"), None, [])?;
//! let mut compressor = Compressor::new(Compression::Lz4)?;
//! let batch = builder.seal(&BatchFields::default(), &mut compressor)?;
//!
//! // `batch.records()` is what a produce request takes; a fetch response holds one batch after another.
//! let mut decompressor = Decompressor::new();
//! for batch in Batches::new(batch.to_bytes()) {
//!     let batch = batch?;
//!     batch.verify_crc()?;
//!     let batch = batch.decompress(&mut decompressor, 1 << 20)?;
//!     for record in batch.records() {
//!         let record = record?;
//!         println!("{} at {}: {:?}", record.offset, record.timestamp, record.value);
//!     }
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Bytes from strangers
//!
//! Whatever the bytes are, decoding returns: a value, or an error that names message, field and byte; of records it names
//! batch, record and field. A message takes at most 64 times its bytes and 64 KiB of memory; decompressing yields no more
//! than the limit that it is given, and may take twice that while its buffer grows, as it does for the old message
//! formats, whose records are written anew in the current one.
//!
//! Where Kafka's own classes read on, this is an error too: strings that are not UTF-8, which they replace; tagged fields
//! twice or out of order, and a known one with bytes left over, none of which they would write.
//!
//! # Other clients
//!
//! What is written suits the narrowest reader that was found: LZ4 in independent blocks of 64 KiB without checksums,
//! snappy in xerial's framing. What is read is more: blocks of every size, linked or not, with checksums; snappy in
//! either form; batches left plain. Batches by seven other clients are among the tests, and `cargo xtask peers interop`
//! has those clients read ours.
//!
//! # Features
//!
//! `gzip`, `snappy`, `lz4` and `zstd`, all on by default, are the compression libraries; only `zstd` needs a C compiler.
//! A batch in a codec that was left out is read up to its records, and an error says which feature is missing.
//!
//! With the feature `serde`, off by default, messages are serialised and deserialised in the JSON form of Kafka's own
//! converters: Kafka's field names, bytes as base64, ids as [`Uuid`] displays them. Fields that a version lacks are
//! there with their default. What is read is a message or an error, but as in Java a key that is no field's is left
//! unread; other than in Java, a field may be missing and then has its default, and a number that is none, for which
//! JSON has only text (`"NaN"`), is read as it is written.
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
mod prefixed;
pub mod records;
mod uuid;
mod version;
pub mod wire;

pub use api_key::ApiKey;
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use error_code::ErrorCode;
pub use message::{Message, Request, Response, decode_message, encode_message};
pub use prefixed::{decode_prefixed, encode_prefixed};
pub use uuid::{ParseUuidError, Uuid};
pub use version::VersionRange;
pub use wire::{Encoder, Input, NodeIds, Records, Segments, UnknownTaggedField};

/// The examples in the readme, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
