//! A record as one line of JSON, with kcat's field names.
//!
//! `{"topic":"t","partition":0,"offset":1,"tstype":"create","ts":1,"headers":["name","value"],"key":"k",
//! "payload":"v"}`: `headers` has names and values in turn and is left out when there are none; null keys
//! and values are null. JSON has no bytes, so those that are not UTF-8 stand as `{"base64":"…"}` where a
//! string would: nothing is lost, and nobody takes them for text.

use super::format::number;
use super::row::{HeaderItem, Row};

/// Appends a record as one line.
pub(crate) fn write<'a, H>(row: Row<'a, H>, out: &mut Vec<u8>)
where
    H: IntoIterator<Item = HeaderItem<'a>>,
{
    out.extend_from_slice(b"{\"topic\":");
    string(row.topic, out);
    out.extend_from_slice(b",\"partition\":");
    number(row.partition.into(), out);
    out.extend_from_slice(b",\"offset\":");
    number(row.offset, out);
    let kind: &[u8] = match row.timestamp {
        ..0 => b"unknown",
        _ if row.log_append_time => b"logappend",
        _ => b"create",
    };
    out.extend_from_slice(b",\"tstype\":\"");
    out.extend_from_slice(kind);
    out.extend_from_slice(b"\",\"ts\":");
    number(row.timestamp, out);
    let mut headers = row.headers.into_iter().peekable();
    if headers.peek().is_some() {
        out.extend_from_slice(b",\"headers\":[");
        for (index, (name, value)) in headers.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            string(&name, out);
            out.push(b',');
            bytes(value, out);
        }
        out.push(b']');
    }
    out.extend_from_slice(b",\"key\":");
    bytes(row.key, out);
    out.extend_from_slice(b",\"payload\":");
    bytes(row.value, out);
    out.extend_from_slice(b"}\n");
}

fn bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => out.extend_from_slice(b"null"),
        Some((Ok(text), _)) => string(text, out),
        Some((Err(_), bytes)) => {
            out.extend_from_slice(b"{\"base64\":\"");
            base64(bytes, out);
            out.extend_from_slice(b"\"}");
        }
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"\\u00",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        out.extend_from_slice(escape);
        if escape == b"\\u00" {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
        }
        plain = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|index| u32::from(chunk.get(index).copied().unwrap_or(0)));
        let group = a << 16 | b << 8 | c;
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            out.push(if index <= chunk.len() {
                ALPHABET[(group >> shift & 63) as usize]
            } else {
                b'='
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::row::{TestRow, test_row};
    use super::*;

    fn print(row: TestRow) -> String {
        let mut out = Vec::new();
        write(row, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.ends_with('\n') && !text.trim_end().contains('\n'),
            "not one line: {text:?}"
        );
        text
    }

    fn parse(row: TestRow) -> Value {
        serde_json::from_str(&print(row)).unwrap()
    }

    #[test]
    fn a_record_is_what_kcat_makes_of_it() {
        let printed = print(test_row());
        assert_eq!(
            printed,
            "{\"topic\":\"sales\",\"partition\":3,\"offset\":42,\"tstype\":\"create\",\"ts\":1600000000123,\
             \"headers\":[\"source\",\"till\",\"empty\",\"\",\"none\",null],\
             \"key\":\"shop\",\"payload\":\"12.50\"}\n"
        );
        let row = TestRow {
            headers: vec![],
            log_append_time: true,
            ..test_row()
        };
        let value = parse(row);
        assert_eq!(
            (&value["headers"], &value["tstype"]),
            (&Value::Null, &json!("logappend"))
        );
    }

    #[test]
    fn every_character_survives() {
        let text: &'static str = (0..0x180_u32)
            .filter_map(char::from_u32)
            .collect::<String>()
            .leak();
        let row = TestRow {
            value: Some(text.as_bytes()),
            ..test_row()
        };
        assert_eq!(parse(row)["payload"], json!(text));
    }

    #[test]
    fn null_and_empty_differ() {
        let value = parse(TestRow {
            key: None,
            value: Some(b""),
            ..test_row()
        });
        assert_eq!(
            (&value["key"], &value["payload"]),
            (&Value::Null, &json!(""))
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        for (bytes, expected) in [
            (&b"\xff"[..], "/w=="),
            (b"\xff\x00", "/wA="),
            (b"\xff\x00\xfe", "/wD+"),
            (b"\xff\x00\xfe\x01", "/wD+AQ=="),
        ] {
            let value = parse(TestRow {
                value: Some(bytes),
                ..test_row()
            });
            assert_eq!(value["payload"], json!({ "base64": expected }));
        }
    }
}
