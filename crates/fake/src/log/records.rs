//! Records inside a decompressed batch: read and written by the cluster's own hand.
//!
//! The cluster is what tests hold a client's encoder against, so it reads records without it. A record can
//! also be copied as it stands, which is how compaction keeps some and drops others.
//!
//! # References
//! - Record: <https://kafka.apache.org/documentation/#record>

use bytes::{BufMut, BytesMut};

/// The records section is not what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One record, borrowed from its batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawRecord<'a> {
    /// The whole record, its length prefix included.
    pub(crate) raw: &'a [u8],
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// Reads exactly `count` records, which must be all of `payload`.
pub(crate) fn read_records(payload: &[u8], count: i32) -> Result<Vec<RawRecord<'_>>, Malformed> {
    let mut rest = payload;
    let count = usize::try_from(count).map_err(|_| Malformed)?;
    let mut records = Vec::with_capacity(count.min(payload.len() / 6));
    for _ in 0..count {
        records.push(read_record(&mut rest)?);
    }
    if rest.is_empty() {
        Ok(records)
    } else {
        Err(Malformed)
    }
}

/// Appends one record in wire form.
pub(crate) fn write_record(
    out: &mut BytesMut,
    offset_delta: i32,
    timestamp_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
) {
    let mut body =
        BytesMut::with_capacity(32 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
    body.put_i8(0);
    put_varint(&mut body, timestamp_delta);
    put_varint(&mut body, i64::from(offset_delta));
    put_field(&mut body, key);
    put_field(&mut body, value);
    put_varint(&mut body, i64::try_from(headers.len()).unwrap_or(i64::MAX));
    for (name, value) in headers {
        put_field(&mut body, Some(name));
        put_field(&mut body, *value);
    }
    put_varint(out, i64::try_from(body.len()).unwrap_or(i64::MAX));
    out.put_slice(&body);
}

fn read_record<'a>(rest: &mut &'a [u8]) -> Result<RawRecord<'a>, Malformed> {
    let whole = *rest;
    let length = usize::try_from(take_varint(rest)?).map_err(|_| Malformed)?;
    let mut body = take(rest, length)?;
    let raw = whole.get(..whole.len() - rest.len()).ok_or(Malformed)?;
    let _attributes = take(&mut body, 1)?;
    let timestamp_delta = take_varint(&mut body)?;
    let offset_delta = i32::try_from(take_varint(&mut body)?).map_err(|_| Malformed)?;
    let key = take_field(&mut body)?;
    let value = take_field(&mut body)?;
    let header_count = usize::try_from(take_varint(&mut body)?).map_err(|_| Malformed)?;
    let mut headers = Vec::with_capacity(header_count.min(body.len()));
    for _ in 0..header_count {
        let name = take_field(&mut body)?.ok_or(Malformed)?;
        headers.push((name, take_field(&mut body)?));
    }
    if body.is_empty() {
        Ok(RawRecord {
            raw,
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
        })
    } else {
        Err(Malformed)
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = left;
    Ok(taken)
}

fn take_field<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    match take_varint(rest)? {
        -1 => Ok(None),
        length => take(rest, usize::try_from(length).map_err(|_| Malformed)?).map(Some),
    }
}

fn take_varint(rest: &mut &[u8]) -> Result<i64, Malformed> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, left) = rest.split_first().ok_or(Malformed)?;
        *rest = left;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    Err(Malformed)
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

fn put_field(out: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, i64::try_from(bytes.len()).unwrap_or(i64::MAX));
            out.put_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = BytesMut::new();
        let headers = [(&b"a"[..], Some(&b"1"[..])), (b"a", None)];
        write_record(&mut out, 0, -3, None, Some(b"value"), &headers);
        write_record(&mut out, 7, i64::MAX, Some(b""), None, &[]);
        let records = read_records(&out, 2).unwrap();
        assert_eq!(
            (records[0].timestamp_delta, records[0].key, records[0].value),
            (-3, None, Some(&b"value"[..]))
        );
        assert_eq!(records[0].headers, headers);
        assert_eq!(
            (records[1].offset_delta, records[1].timestamp_delta),
            (7, i64::MAX)
        );
        assert_eq!((records[1].key, records[1].value), (Some(&b""[..]), None));
        assert_eq!([records[0].raw, records[1].raw].concat(), out);
    }

    #[test]
    fn damage_is_refused() {
        let mut out = BytesMut::new();
        write_record(&mut out, 0, 0, Some(b"k"), Some(b"v"), &[]);
        assert_eq!(read_records(&out, 2), Err(Malformed));
        assert_eq!(read_records(&out, 0), Err(Malformed));
        for cut in 0..out.len() {
            assert_eq!(read_records(&out[..cut], 1), Err(Malformed), "cut at {cut}");
        }
        assert_eq!(read_records(&[0xff; 16], 1), Err(Malformed));
    }
}
