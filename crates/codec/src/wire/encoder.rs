//! Writing primitive types, without copying large payloads.
//!
//! Owns what a value looks like on the wire; which values a message has is the messages' business.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Records, Segments};
use crate::{EncodeError, EncodeErrorKind, Uuid};

/// Payloads from this size on are referred to, smaller ones are copied: below, a copy costs less than a further slice
/// in a vectored write.
const SHARE_FROM: usize = 1024;

/// Writes primitive types one after another.
///
/// Payloads given as [`Bytes`] of 1 KiB and more are kept as they are and not copied; [`Encoder::finish`] weaves them
/// between the bytes written around them.
#[derive(Debug, Default)]
pub struct Encoder {
    written: BytesMut,
    /// Payloads, each with the length that `written` had when it came.
    shared: Vec<(usize, Bytes)>,
    shared_len: usize,
}

impl Encoder {
    /// An empty encoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty encoder with room for `bytes` besides shared payloads.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            written: BytesMut::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// How many bytes have been written, payloads included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.written.len() + self.shared_len
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything written, in order.
    #[must_use]
    pub fn finish(self) -> Segments {
        let mut written = self.written.freeze();
        let mut parts = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut taken = 0;
        for (position, payload) in self.shared {
            if position > taken {
                parts.push(written.split_to(position - taken));
                taken = position;
            }
            parts.push(payload);
        }
        if !written.is_empty() {
            parts.push(written);
        }
        Segments::new(parts)
    }

    /// Overwrites bytes that were written before any shared payload.
    pub(crate) fn patch(&mut self, position: usize, bytes: &[u8]) {
        if let Some(target) = self.written.get_mut(position..position + bytes.len()) {
            target.copy_from_slice(bytes);
        }
    }

    /// One byte.
    pub fn int8(&mut self, value: i8) {
        self.written.put_i8(value);
    }

    /// Two bytes, big-endian.
    pub fn int16(&mut self, value: i16) {
        self.written.put_i16(value);
    }

    /// Four bytes, big-endian.
    pub fn int32(&mut self, value: i32) {
        self.written.put_i32(value);
    }

    /// Eight bytes, big-endian.
    pub fn int64(&mut self, value: i64) {
        self.written.put_i64(value);
    }

    /// Two bytes, big-endian.
    pub fn uint16(&mut self, value: u16) {
        self.written.put_u16(value);
    }

    /// Four bytes, big-endian.
    pub fn uint32(&mut self, value: u32) {
        self.written.put_u32(value);
    }

    /// Eight bytes, IEEE 754, big-endian.
    pub fn float64(&mut self, value: f64) {
        self.written.put_f64(value);
    }

    /// One byte, 0 or 1.
    pub fn boolean(&mut self, value: bool) {
        self.written.put_u8(value.into());
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.written.put_slice(&value.0);
    }

    /// Seven bits a byte, lowest first.
    pub fn unsigned_varint(&mut self, value: u32) {
        self.base128(value.into());
    }

    /// Zigzag, then as [`Self::unsigned_varint`].
    pub fn varint(&mut self, value: i32) {
        self.unsigned_varint((value << 1 ^ value >> 31) as u32);
    }

    /// Zigzag, then seven bits a byte, lowest first.
    pub fn varlong(&mut self, value: i64) {
        self.base128((value << 1 ^ value >> 63) as u64);
    }

    fn base128(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.written.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.written.put_u8(value as u8);
    }

    /// A string: its length in bytes (two bytes, or a varint when `flexible`), then UTF-8.
    ///
    /// # Errors
    /// When it is longer than 32767 bytes; flexible versions have the same limit.
    pub fn string(&mut self, value: &str, flexible: bool) -> Result<(), EncodeError> {
        self.nullable_string(Some(value), flexible)
    }

    /// A [`Self::string`] or null.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn nullable_string(
        &mut self,
        value: Option<&str>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        let length = match value {
            None => -1,
            Some(text) => i16::try_from(text.len()).map_err(|_| too_long(text.len()))?,
        };
        if flexible {
            self.unsigned_varint((i32::from(length) + 1) as u32);
        } else {
            self.int16(length);
        }
        self.written.put_slice(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// Bytes after their length (four bytes, or a varint when `flexible`).
    ///
    /// # Errors
    /// When there are more than 2147483647.
    pub fn bytes(&mut self, value: &Bytes, flexible: bool) -> Result<(), EncodeError> {
        self.nullable_bytes(Some(value), flexible)
    }

    /// [`Self::bytes`] or null.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn nullable_bytes(
        &mut self,
        value: Option<&Bytes>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        self.length(value.map(Bytes::len), flexible)?;
        self.payload(value);
        Ok(())
    }

    /// Record data: [`Self::bytes`] of another name.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn records(&mut self, value: &Records, flexible: bool) -> Result<(), EncodeError> {
        self.nullable_records(Some(value), flexible)
    }

    /// [`Self::records`] or null.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn nullable_records(
        &mut self,
        value: Option<&Records>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        self.length(value.map(Records::len), flexible)?;
        self.payload(value.into_iter().flat_map(Records::parts));
        Ok(())
    }

    /// An array of a partition's brokers.
    ///
    /// # Errors
    /// As [`Self::array_len`].
    pub fn node_ids(&mut self, ids: &[i32], flexible: bool) -> Result<(), EncodeError> {
        self.array_len(ids.len(), flexible)?;
        ids.iter().for_each(|id| self.int32(*id));
        Ok(())
    }

    /// The count before an array's elements.
    ///
    /// # Errors
    /// When it is more than 2147483647.
    pub fn array_len(&mut self, count: usize, flexible: bool) -> Result<(), EncodeError> {
        self.length(Some(count), flexible)
    }

    /// The count before an array's elements, or null.
    ///
    /// # Errors
    /// As [`Self::array_len`].
    pub fn nullable_array_len(
        &mut self,
        count: Option<usize>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        self.length(count, flexible)
    }

    /// The byte before a nullable struct that says whether it follows (KIP-893).
    pub fn presence(&mut self, present: bool) {
        self.int8(if present { 1 } else { -1 });
    }

    fn length(&mut self, length: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        let length = match length {
            None => -1,
            Some(length) => i32::try_from(length).map_err(|_| too_long(length))?,
        };
        if flexible {
            self.unsigned_varint((i64::from(length) + 1) as u32);
        } else {
            self.int32(length);
        }
        Ok(())
    }

    fn payload<'b>(&mut self, parts: impl IntoIterator<Item = &'b Bytes>) {
        for part in parts {
            if part.len() < SHARE_FROM {
                self.written.put_slice(part);
            } else {
                self.shared_len += part.len();
                self.shared.push((self.written.len(), part.clone()));
            }
        }
    }

    /// All that `other` has written.
    pub(super) fn append(&mut self, other: Self) {
        let shift = self.written.len();
        self.written.put_slice(&other.written);
        self.shared_len += other.shared_len;
        self.shared.extend(
            other
                .shared
                .into_iter()
                .map(|(position, payload)| (position + shift, payload)),
        );
    }

    /// Bytes without a length.
    pub(crate) fn raw(&mut self, bytes: &Bytes) {
        self.payload([bytes]);
    }
}

fn too_long(length: usize) -> EncodeError {
    EncodeError {
        message: "",
        field: "",
        kind: EncodeErrorKind::TooLong { length },
    }
}

/// Names the field an encoding error belongs to.
pub trait EncodeResultExt {
    /// Names the field, unless an inner one has been named.
    ///
    /// # Errors
    /// The same as before.
    fn field(self, name: &'static str) -> Result<(), EncodeError>;
}

impl EncodeResultExt for Result<(), EncodeError> {
    fn field(self, name: &'static str) -> Self {
        self.map_err(|error| {
            if error.field.is_empty() {
                EncodeError {
                    field: name,
                    ..error
                }
            } else {
                error
            }
        })
    }
}
