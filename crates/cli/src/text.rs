//! Bytes given on the command line, with kcat's escapes; and a little grammar.

use std::fmt;

/// Bytes that were written with escapes: `\n`, `\r`, `\t`, `\0`, `\\`, `\xNN`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<u8>);

impl Text {
    /// Parses bytes of which there must be at least one.
    pub(crate) fn nonempty(text: &str) -> Result<Self, String> {
        let bytes = unescape(text)?;
        if bytes.is_empty() {
            return Err("it is empty".to_owned());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'\\' {
            let (byte, length) = escape(tail)?;
            out.push(byte);
            rest = &tail[length..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    Ok(out)
}

/// The byte that the text after a backslash stands for, and the length of that text.
pub(crate) fn escape(after: &[u8]) -> Result<(u8, usize), String> {
    match after {
        [b'n', ..] => Ok((b'\n', 1)),
        [b'r', ..] => Ok((b'\r', 1)),
        [b't', ..] => Ok((b'\t', 1)),
        [b'0', ..] => Ok((0, 1)),
        [b'\\', ..] => Ok((b'\\', 1)),
        [b'x', high, low, ..] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => Ok(((high * 16 + low) as u8, 3)),
                _ => Err("\\x is followed by two hexadecimal digits".to_owned()),
            }
        }
        [b'x', ..] => Err("\\x is followed by two hexadecimal digits".to_owned()),
        [other, ..] => Err(format!("unknown escape \\{}", other.escape_ascii())),
        [] => Err("a backslash at the end".to_owned()),
    }
}

/// A number of things, with their noun in the right form.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_bytes() {
        let text = Text::nonempty(r"a\t\n\r\0\\\x00\xfFé").unwrap();
        assert_eq!(text.0, b"a\t\n\r\0\\\x00\xff\xc3\xa9");
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["", "\\", r"\q", r"\x", r"\x1", r"\xg0"] {
            assert!(Text::nonempty(text).is_err(), "{text}");
        }
    }
}
