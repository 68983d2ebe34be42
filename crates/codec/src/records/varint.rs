//! Zigzag varints (32 bits) and varlongs (64 bits), as protocol buffers write signed numbers.
//!
//! Reference: `ByteUtils` in Kafka, and
//! <https://protobuf.dev/programming-guides/encoding/#signed-ints>.

/// Why a varint could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VarintError {
    /// The bytes end inside the number.
    Truncated,
    /// The number does not end within the bytes its type may take, or has bits beyond its type.
    Overlong,
}

pub(crate) const fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

pub(crate) const fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag32(value: u32) -> i32 {
    ((value >> 1) as i32) ^ -((value & 1) as i32)
}

const fn unzigzag64(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Encoded length in bytes, 1 to 5.
pub(crate) const fn varint_len(value: i32) -> usize {
    unsigned_len(zigzag32(value) as u64)
}

/// Encoded length in bytes, 1 to 10.
pub(crate) const fn varlong_len(value: i64) -> usize {
    unsigned_len(zigzag64(value))
}

const fn unsigned_len(value: u64) -> usize {
    // ceil(bits / 7) without a division: 9/64 is close enough to 1/7 for 1..=64 bits.
    let bits = 64 - (value | 1).leading_zeros() as usize;
    (bits * 9 + 64) >> 6
}

/// Reads a varint off the front of `input`.
#[inline]
pub(crate) fn read_varint(input: &mut &[u8]) -> Result<i32, VarintError> {
    match read_short(input) {
        Some(value) => Ok(unzigzag32(value)),
        None => read_unsigned(input, 5).and_then(|value| {
            u32::try_from(value)
                .map(unzigzag32)
                .map_err(|_| VarintError::Overlong)
        }),
    }
}

/// Reads a varlong off the front of `input`.
#[inline]
pub(crate) fn read_varlong(input: &mut &[u8]) -> Result<i64, VarintError> {
    match read_short(input) {
        Some(value) => Ok(unzigzag64(u64::from(value))),
        None => read_unsigned(input, 10).map(unzigzag64),
    }
}

/// A number of one or two bytes, as nearly all in a record are.
#[inline]
fn read_short(input: &mut &[u8]) -> Option<u32> {
    match *input {
        [first, rest @ ..] if *first < 0x80 => {
            *input = rest;
            Some(u32::from(*first))
        }
        [first, second, rest @ ..] if *second < 0x80 => {
            *input = rest;
            Some(u32::from(*first & 0x7f) | u32::from(*second) << 7)
        }
        _ => None,
    }
}

#[inline(never)]
fn read_unsigned(input: &mut &[u8], max_bytes: usize) -> Result<u64, VarintError> {
    let mut value = 0u64;
    let mut shift = 0u32;
    for (index, &byte) in input.iter().enumerate().take(max_bytes) {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if shift == 63 && bits > 1 {
            return Err(VarintError::Overlong);
        }
        value |= bits << shift;
        if byte < 0x80 {
            *input = input.get(index + 1..).unwrap_or_default();
            return Ok(value);
        }
        shift += 7;
    }
    if input.len() < max_bytes {
        Err(VarintError::Truncated)
    } else {
        Err(VarintError::Overlong)
    }
}

/// Numbers on their way into a buffer. They gather in a register and are stored eight bytes at a
/// time: single bytes put together in memory and copied from there make the copy wait for each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    /// The bytes not yet stored, the first one lowest.
    bits: u64,
    /// How many there are, at most eight.
    len: usize,
}

impl Numbers {
    /// How far beyond its final length a buffer is written to.
    pub(crate) const SLACK: usize = 8;

    #[inline]
    pub(crate) fn varint(&mut self, target: &mut Vec<u8>, value: i32) {
        self.unsigned(target, u64::from(zigzag32(value)));
    }

    #[inline]
    pub(crate) fn varlong(&mut self, target: &mut Vec<u8>, value: i64) {
        self.unsigned(target, zigzag64(value));
    }

    #[inline]
    pub(crate) fn byte(&mut self, target: &mut Vec<u8>, byte: u8) {
        self.put(target, u64::from(byte), 1);
    }

    #[inline(always)]
    fn unsigned(&mut self, target: &mut Vec<u8>, mut value: u64) {
        if value >= 1 << 14 {
            (*self, value) = self.leading(target, value);
        }
        if value < 1 << 7 {
            self.put(target, value, 1);
        } else {
            self.put(target, (value & 0x7f) | 0x80 | (value >> 7) << 8, 2);
        }
    }

    /// Takes what is before the last two bytes of a long number, and gives back what is left of it. By value: the
    /// numbers stay in registers only if nothing ever points to them.
    #[cold]
    fn leading(mut self, target: &mut Vec<u8>, mut value: u64) -> (Self, u64) {
        while value >= 1 << 14 {
            self.put(target, (value & 0x7f) | 0x80, 1);
            value >>= 7;
        }
        (self, value)
    }

    /// Takes one or two bytes.
    #[inline(always)]
    fn put(&mut self, target: &mut Vec<u8>, bytes: u64, count: usize) {
        if self.len > 6 {
            self.store(target);
        }
        self.bits |= bytes << (8 * self.len);
        self.len += count;
    }

    /// Stores what has gathered, before other bytes follow it.
    #[inline(always)]
    pub(crate) fn store(&mut self, target: &mut Vec<u8>) {
        let end = target.len() + self.len;
        target.extend_from_slice(&self.bits.to_le_bytes());
        target.truncate(end);
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: i64) -> Vec<u8> {
        let (mut numbers, mut bytes) = (Numbers::default(), Vec::new());
        numbers.varlong(&mut bytes, value);
        numbers.store(&mut bytes);
        bytes
    }

    #[test]
    fn known_bytes() {
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(-1), [1]);
        assert_eq!(encoded(63), [0x7e]);
        assert_eq!(encoded(-64), [0x7f]);
        assert_eq!(encoded(64), [0x80, 0x01]);
        assert_eq!(
            encoded(i64::MAX),
            [0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1]
        );
        assert_eq!(
            encoded(i64::MIN),
            [0xff, 255, 255, 255, 255, 255, 255, 255, 255, 1]
        );
    }

    #[test]
    fn hostile_bytes() {
        assert_eq!(read_varint(&mut &[][..]), Err(VarintError::Truncated));
        assert_eq!(
            read_varint(&mut &[0x80; 4][..]),
            Err(VarintError::Truncated)
        );
        assert_eq!(read_varint(&mut &[0x80; 5][..]), Err(VarintError::Overlong));
        assert_eq!(
            read_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]),
            Err(VarintError::Overlong)
        );
        assert_eq!(
            read_varlong(&mut &[0x80; 9][..]),
            Err(VarintError::Truncated)
        );
        assert_eq!(
            read_varlong(&mut &[0x80; 10][..]),
            Err(VarintError::Overlong)
        );
        assert_eq!(
            read_varlong(&mut &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2][..]),
            Err(VarintError::Overlong)
        );
    }

    proptest! {
        #[test]
        fn varlongs_come_back(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            let bytes = encoded(value);
            prop_assert_eq!(bytes.len(), varlong_len(value));
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read_varlong(&mut rest), Ok(value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn varints_come_back(value: i32, shift in 0u32..32) {
            let value = value >> shift;
            let (mut numbers, mut bytes) = (Numbers::default(), Vec::new());
            numbers.varint(&mut bytes, value);
            numbers.store(&mut bytes);
            prop_assert_eq!(bytes.len(), varint_len(value));
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read_varint(&mut rest), Ok(value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn numbers_gather_in_order(values: Vec<(i64, u8, bool)>) {
            let (mut numbers, mut bytes) = (Numbers::default(), vec![9]);
            for (value, byte, store) in &values {
                numbers.varlong(&mut bytes, *value >> (byte % 64));
                numbers.byte(&mut bytes, *byte);
                numbers.varint(&mut bytes, *value as i32);
                if *store {
                    numbers.store(&mut bytes);
                }
            }
            numbers.store(&mut bytes);
            let mut rest = &bytes[1..];
            for (value, byte, _) in values {
                prop_assert_eq!(read_varlong(&mut rest), Ok(value >> (byte % 64)));
                prop_assert_eq!(rest[0], byte);
                rest = &rest[1..];
                prop_assert_eq!(read_varint(&mut rest), Ok(value as i32));
            }
            prop_assert!(rest.is_empty());
        }
    }
}
