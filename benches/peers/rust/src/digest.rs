//! A number for records, the same in every language: 64-bit FNV-1a over all that a record consists of.

use std::fmt;

use crate::records::Record;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// That of records in this order.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let mut digest = Self::default();
        for record in records {
            let headers = record
                .headers
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_deref()));
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            digest.add(record.timestamp, key, value, headers);
        }
        digest
    }

    /// The next record: numbers are big-endian, what can be null behind its length, or -1, in 32 bits.
    pub fn add<'a>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) {
        self.bytes(&timestamp.to_be_bytes());
        self.nullable(key);
        self.nullable(value);
        self.number(headers.len() as i32);
        for (key, value) in headers {
            self.nullable(Some(key.as_bytes()));
            self.nullable(value);
        }
    }

    fn nullable(&mut self, bytes: Option<&[u8]>) {
        self.number(bytes.map_or(-1, |bytes| bytes.len() as i32));
        self.bytes(bytes.unwrap_or_default());
    }

    fn number(&mut self, number: i32) {
        self.bytes(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
