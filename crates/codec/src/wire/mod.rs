//! Kafka's primitive types on the wire.
//!
//! Owns the only use of nom: parsers from an [`Input`] to a value and the rest, and the [`Encoder`] that does the
//! reverse. Knows neither messages nor headers; the generated code calls into here for all work. Nothing here trusts a
//! length: it is held against the bytes that remain before anything is sliced or reserved.
//!
//! Reference: <https://kafka.apache.org/protocol#protocol_types>.

mod encoder;
mod input;
mod node_ids;
mod parse;
mod records;
mod segments;
mod tagged;

pub use encoder::{EncodeResultExt, Encoder};
pub use input::Input;
pub use node_ids::NodeIds;
pub use parse::{
    Parsed, ParsedExt, WireError, array, boolean, bytes, fixed_array, float64, int8, int16, int32,
    int64, node_ids, null_only_if, nullable_array, nullable_bytes, nullable_fixed_array,
    nullable_records, nullable_string, nullable_string_array, nullable_struct, records, string,
    string_array, uint16, uint32, unsigned_varint, uuid, varint, varlong,
};
pub(crate) use parse::{assert_bounded, decode_error};
pub use records::Records;
pub use segments::Segments;
pub(crate) use tagged::TaggedFields;
pub use tagged::{UnknownTaggedField, tagged_fields, unknown_tagged_fields};

#[cfg(test)]
mod tests;
