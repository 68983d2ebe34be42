//! Schemas as Rust: definition, default, debug form, encoding, decoding.
//!
//! The text need not be well laid out, rustfmt follows. All real work is in calls into the codec's `wire` module.

mod condition;
mod decode;
mod definition;
mod encode;
mod field;
mod file;
mod least;

pub(super) use file::{api, data, provenance};
