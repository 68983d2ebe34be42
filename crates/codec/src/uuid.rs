//! Kafka's ids of 16 bytes (KIP-516).

use std::{fmt, str::FromStr};

use snafu::Snafu;

/// A topic, directory or client-instance id: 16 bytes, all zero when absent.
///
/// Displayed, and parsed, as Kafka writes it: URL-safe base64 without padding, 22 characters.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LEN: usize = 22;

impl Uuid {
    /// The absent id.
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is the absent id.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        u128::from_be_bytes(self.0) == 0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        // 128 bits are 21 digits of 6 bits and a last one that holds 2 bits, left aligned.
        let bits = u128::from_be_bytes(self.0);
        for digit in 0..TEXT_LEN {
            let shift = 122 - 6 * digit as i32;
            let value = if shift >= 0 {
                bits >> shift
            } else {
                bits << -shift
            };
            let symbol = ALPHABET
                .get((value & 0x3f) as usize)
                .copied()
                .unwrap_or(b'A');
            f.write_char(char::from(symbol))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 22 characters of URL-safe base64.
#[derive(Debug, Snafu, PartialEq, Eq)]
#[snafu(display("not an id: 22 characters of URL-safe base64 expected"))]
pub struct ParseUuidError;

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let (digits, &[last]) = text
            .as_bytes()
            .split_at_checked(TEXT_LEN - 1)
            .ok_or(ParseUuidError)?
        else {
            return Err(ParseUuidError);
        };
        let value = |symbol: u8| {
            ALPHABET
                .iter()
                .position(|&s| s == symbol)
                .ok_or(ParseUuidError)
        };
        let mut bits = 0u128;
        for &symbol in digits {
            bits = bits << 6 | value(symbol)? as u128;
        }
        let last = value(last)? as u128;
        if last & 0xf != 0 {
            return Err(ParseUuidError);
        }
        Ok(Self((bits << 2 | last >> 4).to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_all_a() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert!(Uuid::ZERO.is_zero());
    }

    /// Text from `org.apache.kafka.common.Uuid.toString()`.
    #[test]
    fn displays_as_java_does() {
        let id = Uuid(0xfbff_f0e1_d2c3_b4a5_9687_7869_5a4b_3c2d_u128.to_be_bytes());
        assert_eq!(id.to_string(), "-__w4dLDtKWWh3hpWks8LQ");
        assert_eq!("-__w4dLDtKWWh3hpWks8LQ".parse(), Ok(id));
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAAAA=",
            "+AAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text:?}");
        }
    }
}
