//! Messages of the old formats, written as today's code no longer does.

use bytes::BufMut as _;
use ottla_codec::records::{Compression, Compressor};

/// A message of an old format whose value is `set`, compressed.
pub(crate) fn wrapped(set: &[u8], codec: Compression, magic: u8) -> Vec<u8> {
    let mut value = Vec::new();
    let mut compressor = Compressor::new(codec).expect("all codecs are built in");
    compressor.compress(set, &mut value).expect("it compresses");
    entry(1 << 40, magic, codec, &value)
}

/// A message of an old format, not compressed.
pub(crate) fn message(magic: u8, value: &[u8]) -> Vec<u8> {
    entry(0, magic, Compression::None, value)
}

fn entry(offset: i64, magic: u8, codec: Compression, value: &[u8]) -> Vec<u8> {
    let mut message = vec![magic, codec.id()];
    if magic == 1 {
        message.put_i64(1_777_893_742_000);
    }
    message.put_i32(-1);
    message.put_u32(value.len() as u32);
    message.extend(value);
    let mut entry = Vec::new();
    entry.put_i64(offset);
    entry.put_u32(message.len() as u32 + 4);
    entry.put_u32(crc32fast::hash(&message));
    entry.extend(&message);
    entry
}
