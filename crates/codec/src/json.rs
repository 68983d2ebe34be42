//! The messages' JSON form, which is that of Kafka's own converters: bytes are base64, ids as [`Uuid`] displays them.
//!
//! The attributes that say so are generated with the messages. What Kafka's converters lose is kept: tagged fields that
//! the schema does not have, where there are any, record data, and numbers that are none, which they write and cannot
//! read. As there, a key that is no field's is left unread; other than there, a field without a key has its default.

use std::fmt;

use ::bytes::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{NodeIds, Records, Uuid};

/// For `serde(with)`: a field of bytes.
pub(crate) mod bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        decode(&String::deserialize(from)?)
    }
}

/// For `serde(with)`: a field of bytes or null.
pub(crate) mod nullable_bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Bytes>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(content) => bytes::serialize(content, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Bytes>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.as_deref().map(decode).transpose()
    }
}

/// For `serde(with)`: a number. What JSON has none for is text, as Java's JSON library writes it.
pub(crate) mod float64 {
    use super::*;

    const NOT_FINITE: [(&str, f64); 3] = [
        ("NaN", f64::NAN),
        ("Infinity", f64::INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
    ];

    pub(crate) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        let text = NOT_FINITE
            .iter()
            .find(|(_, other)| value == other || value.is_nan() && other.is_nan());
        match text {
            Some((text, _)) if to.is_human_readable() => to.serialize_str(text),
            _ => to.serialize_f64(*value),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        if from.is_human_readable() {
            from.deserialize_any(Number)
        } else {
            f64::deserialize(from)
        }
    }

    struct Number;

    impl Visitor<'_> for Number {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\"")
        }

        fn visit_f64<E>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        fn visit_i64<E>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_u64<E>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
            let value = NOT_FINITE.iter().find(|(name, _)| *name == text);
            let unexpected = || E::invalid_value(Unexpected::Str(text), &self);
            value.map(|(_, value)| *value).ok_or_else(unexpected)
        }
    }
}

fn decode<E: Error>(text: &str) -> Result<Bytes, E> {
    STANDARD.decode(text).map(Bytes::from).map_err(E::custom)
}

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(&self.to_bytes(), to)
    }
}

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        bytes::deserialize(from).map(Self::from)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for NodeIds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(to)
    }
}

impl<'de> Deserialize<'de> for NodeIds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self::from)
    }
}
