//! Settings by name: the properties of Java's and librdkafka's clients.
//!
//! Each builder has its own table of properties beside its setters; this module applies the tables and
//! knows the names that mean nothing here.

mod file;
pub(crate) mod jaas;
mod known;
pub(crate) mod properties;

pub use file::parse_properties;
