//! Record data as a field of a message; what is in it is [`records`](crate::records)' business.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// The record data of one partition: whole record batches, seen as one run of bytes.
///
/// It has up to two parts, so that a batch whose header was patched need not be copied behind it. Equality is about
/// content, and the debug form shows lengths only.
#[derive(Clone, Default)]
pub struct Records {
    head: Bytes,
    body: Bytes,
}

impl Records {
    /// `head` and then `body`.
    #[must_use]
    pub fn from_parts(head: Bytes, body: Bytes) -> Self {
        Self { head, body }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Both parts, in order; either may be empty.
    #[must_use]
    pub fn parts(&self) -> [&Bytes; 2] {
        [&self.head, &self.body]
    }

    /// One run of bytes; copies only when both parts hold some.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.head.is_empty() {
            self.body.clone()
        } else if self.body.is_empty() {
            self.head.clone()
        } else {
            let mut joined = BytesMut::with_capacity(self.len());
            joined.extend_from_slice(&self.head);
            joined.extend_from_slice(&self.body);
            joined.freeze()
        }
    }
}

impl From<Bytes> for Records {
    fn from(body: Bytes) -> Self {
        Self {
            head: Bytes::new(),
            body,
        }
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .head
                .iter()
                .chain(&self.body)
                .eq(other.head.iter().chain(&other.body))
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes)", self.len())
    }
}
