//! What is printed of a record, by kcat's format tokens.

use std::str::FromStr;

use super::row::{HeaderItem, Row};
use crate::text;

/// A parsed format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeyLength,
    Value,
    ValueLength,
    /// The value's length in four bytes, big-endian; -1 for null.
    ValueFrame,
    Timestamp,
    Headers,
}

impl Format {
    /// Appends a record in this format. A null key or value is printed as nothing; its length is -1.
    pub(crate) fn write<'a, H>(&self, row: Row<'a, H>, out: &mut Vec<u8>)
    where
        H: IntoIterator<Item = HeaderItem<'a>> + Clone,
    {
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Topic => out.extend_from_slice(row.topic.as_bytes()),
                Piece::Partition => number(row.partition.into(), out),
                Piece::Offset => number(row.offset, out),
                Piece::Key => out.extend_from_slice(row.key.unwrap_or_default()),
                Piece::KeyLength => number(length(row.key), out),
                Piece::Value => out.extend_from_slice(row.value.unwrap_or_default()),
                Piece::ValueLength => number(length(row.value), out),
                Piece::ValueFrame => {
                    // A record is smaller than 2 GiB: its length on the wire has 32 bits.
                    out.extend_from_slice(&(length(row.value) as i32).to_be_bytes());
                }
                Piece::Timestamp => number(row.timestamp, out),
                Piece::Headers => headers(row.headers.clone(), out),
            }
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = tail;
            match first {
                b'\\' => {
                    let (byte, length) = text::escape(tail)?;
                    bytes.push(byte);
                    rest = &tail[length..];
                }
                b'%' => {
                    let [token, tail @ ..] = tail else {
                        return Err("a percent sign at the end".to_owned());
                    };
                    rest = tail;
                    if *token == b'%' {
                        bytes.push(b'%');
                        continue;
                    }
                    if !bytes.is_empty() {
                        pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                    }
                    pieces.push(piece(*token)?);
                }
                byte => bytes.push(*byte),
            }
        }
        if !bytes.is_empty() {
            pieces.push(Piece::Bytes(bytes));
        }
        Ok(Self(pieces))
    }
}

fn piece(token: u8) -> Result<Piece, String> {
    Ok(match token {
        b't' => Piece::Topic,
        b'p' => Piece::Partition,
        b'o' => Piece::Offset,
        b'k' => Piece::Key,
        b'K' => Piece::KeyLength,
        b's' => Piece::Value,
        b'S' => Piece::ValueLength,
        b'R' => Piece::ValueFrame,
        b'T' => Piece::Timestamp,
        b'h' => Piece::Headers,
        other => return Err(format!("unknown token %{}", other.escape_ascii())),
    })
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

/// `name=value,name=value`; a header whose value is null has its name alone.
fn headers<'a>(headers: impl IntoIterator<Item = HeaderItem<'a>>, out: &mut Vec<u8>) {
    for (index, (name, value)) in headers.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
}

/// Appends a number in decimal, without the allocation of `to_string`.
pub(super) fn number(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::super::row::{TestRow, test_row};
    use super::*;

    fn print(format: &str, row: TestRow) -> Vec<u8> {
        let mut out = Vec::new();
        format.parse::<Format>().unwrap().write(row, &mut out);
        out
    }

    #[test]
    fn every_token() {
        let printed = print(r"%t|%p|%o|%k|%K|%s|%S|%T|%h|%%|%R\n\t\\\x07é", test_row());
        let expected = "sales|3|42|shop|4|12.50|5|1600000000123|source=till,empty=,none|%|\
                        \0\0\0\u{5}\n\t\\\u{7}é";
        assert_eq!(String::from_utf8(printed).unwrap(), expected);
    }

    #[test]
    fn null_is_nothing_with_length_minus_one() {
        let row = TestRow {
            key: None,
            value: None,
            headers: Vec::new(),
            ..test_row()
        };
        assert_eq!(
            print("%k,%K,%s,%S,%h,%R", row),
            b",-1,,-1,,\xff\xff\xff\xff"
        );
    }

    #[test]
    fn bytes_that_are_no_text_pass_unchanged() {
        let row = TestRow {
            value: Some(b"\xff\x00\xfe"),
            ..test_row()
        };
        assert_eq!(print("%s", row), b"\xff\x00\xfe");
    }

    #[test]
    fn broken_formats_are_refused() {
        for format in ["%", "%q", "\\", r"\q", "a%"] {
            assert!(format.parse::<Format>().is_err(), "{format}");
        }
    }

    #[test]
    fn numbers_to_their_limits() {
        for n in [0, -1, 9, 10, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            number(n, &mut out);
            assert_eq!(out, n.to_string().into_bytes());
        }
    }
}
