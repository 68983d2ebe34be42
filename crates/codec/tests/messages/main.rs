//! Messages as bytes: every API and version by itself and under damage, the rules of absent fields, and bytes that
//! Kafka's own classes wrote.

mod every_api;
mod golden;
mod hostile;
mod java;
#[cfg(feature = "serde")]
mod json;
mod random;
mod requests;
mod versions;
mod zero_copy;
