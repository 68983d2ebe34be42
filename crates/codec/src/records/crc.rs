//! CRC-32C of two byte strings put together, from the checksums of each.
//!
//! A sealed batch's body never changes while its header may: the producer id, epoch and sequence
//! are written again after a fence or an epoch bump. With the body's checksum and its length's
//! operator kept, the batch's checksum is recomputed from 40 header bytes alone.
//!
//! Appending `n` zero bytes to a message multiplies its CRC, read as a polynomial over GF(2), by
//! x^(8n) modulo the CRC's polynomial. Reference: zlib's `crc32_combine_gen`.

/// CRC-32C's polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// x^(2^k) modulo the polynomial, for k from 0 to 30; x^(2^31) is x again.
const POWERS: [u32; 31] = powers();

/// The checksum of a byte string that can be put behind any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TailCrc {
    crc: u32,
    /// x^(8 * length) modulo the polynomial.
    shift: u32,
}

impl TailCrc {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            crc: crc32c::crc32c(bytes),
            shift: shift_by_bytes(bytes.len() as u64),
        }
    }

    /// The checksum of `head` followed by these bytes.
    pub(crate) fn after(self, head: &[u8]) -> u32 {
        multiply(self.shift, crc32c::crc32c(head)) ^ self.crc
    }
}

/// a * b modulo the polynomial, both bit-reversed.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 1 << 31;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 != 0 {
            (b >> 1) ^ POLYNOMIAL
        } else {
            b >> 1
        };
        bit >>= 1;
    }
    product
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn powers() -> [u32; 31] {
    let mut table = [0; 31];
    let mut power = 1 << 30;
    let mut k = 0;
    while k < table.len() {
        table[k] = power;
        power = multiply(power, power);
        k += 1;
    }
    table
}

fn shift_by_bytes(bytes: u64) -> u32 {
    // x^(8n) is the product of x^(2^(k+3)) over the bits k of n.
    let mut shift = 1 << 31;
    for (k, power) in POWERS.iter().cycle().skip(3).take(61).enumerate() {
        if bytes >> k == 0 {
            break;
        }
        if (bytes >> k) & 1 == 1 {
            shift = multiply(*power, shift);
        }
    }
    shift
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn same_as_in_one_go_for_every_length_of_two() {
        let bytes: Vec<u8> = (0..1 << 18)
            .map(|i: u32| (i * 7 + (i >> 8)) as u8)
            .collect();
        for tail in (0..18).flat_map(|bits| [(1usize << bits) - 1, 1 << bits]) {
            let (head, tail) = bytes.split_at(bytes.len() - tail);
            assert_eq!(TailCrc::new(tail).after(head), crc32c::crc32c(&bytes));
        }
    }

    #[test]
    fn lengths_beyond_memory_agree_with_the_general_method() {
        for length in [1usize << 31, (1 << 31) + 61, u32::MAX as usize] {
            assert_eq!(
                multiply(shift_by_bytes(length as u64), 0x1234_5678) ^ 0xdead_beef,
                crc32c::crc32c_combine(0x1234_5678, 0xdead_beef, length),
            );
        }
    }

    proptest! {
        #[test]
        fn same_as_in_one_go(head: Vec<u8>, tail: Vec<u8>) {
            let both = [head.as_slice(), tail.as_slice()].concat();
            prop_assert_eq!(TailCrc::new(&tail).after(&head), crc32c::crc32c(&both));
        }
    }
}
