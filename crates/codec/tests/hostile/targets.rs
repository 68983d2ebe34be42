//! What is done with bytes of whatever kind. Property tests and fuzz targets share these bodies: `fuzz/` includes
//! this file.
//!
//! None may panic but by an assertion of its own: bytes are refused with an error, or mean something that holds
//! together.

use bytes::{Bytes, BytesMut};
use ottla_codec::messages::{
    AnyRequest, AnyResponse, consumer_protocol_assignment::ConsumerProtocolAssignment,
    consumer_protocol_subscription::ConsumerProtocolSubscription, metadata::MetadataRequest,
};
use ottla_codec::records::{
    Batches, Compression, ControlRecord, Cursor, Decompressor, RecordBatch,
};
use ottla_codec::{ApiKey, Message, decode_message, frame};

#[path = "entries.rs"]
#[allow(dead_code, reason = "what only the other tests write")]
mod entries;

/// How many plain bytes a batch may hold.
const LIMIT: usize = 1 << 20;

/// All of them.
pub(crate) const TARGETS: [fn(&[u8]); 6] = [
    request,
    response,
    frames,
    record_batches,
    message_sets,
    decompression,
];

/// A request's frame, without its length.
pub(crate) fn request(data: &[u8]) {
    let Ok((header, body)) = frame::decode_request_header(&Bytes::copy_from_slice(data)) else {
        return;
    };
    let key = ApiKey::from_i16(header.request_api_key).expect("its header could be read");
    let version = header.request_api_version;
    let Ok(request) = AnyRequest::decode(key, version, &body) else {
        return;
    };
    let encoded = request
        .encode(version)
        .expect("what was read can be written");
    let again = AnyRequest::decode(key, version, &encoded.to_bytes()).expect("and read again");
    assert_same(&again, &request);
}

/// An API's key, a version, and a response without a header.
pub(crate) fn response(data: &[u8]) {
    let Some(([k0, k1, v0, v1], body)) = data.split_first_chunk::<4>() else {
        return;
    };
    let Some(key) = ApiKey::from_i16(i16::from_be_bytes([*k0, *k1])) else {
        return;
    };
    let version = i16::from_be_bytes([*v0, *v1]);
    let Ok(response) = AnyResponse::decode(key, version, &Bytes::copy_from_slice(body)) else {
        return;
    };
    let encoded = response
        .encode(version)
        .expect("what was read can be written");
    let again = AnyResponse::decode(key, version, &encoded.to_bytes()).expect("and read again");
    assert_same(&again, &response);
}

/// A response's frame, read before anything is known about it, and what groups wrap in bytes.
pub(crate) fn frames(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    let correlation_id = data
        .first_chunk::<4>()
        .map(|bytes| i32::from_be_bytes(*bytes));
    let peeked = frame::response_correlation_id(&frame);
    assert_eq!(peeked.ok(), correlation_id);
    for version in 0..=4 {
        if let Ok((id, _)) = frame::decode_api_versions_response(&frame, version) {
            assert_eq!(Some(id), correlation_id);
        }
    }
    for version in [1, 9, 12] {
        if let Ok((id, _)) = frame::decode_response::<MetadataRequest>(&frame, version) {
            assert_eq!(Some(id), correlation_id);
        }
    }
    let Some((version, rest)) = frame.split_first_chunk::<2>() else {
        return;
    };
    let (version, rest) = (i16::from_be_bytes(*version), frame.slice_ref(rest));
    recode::<ConsumerProtocolSubscription>(&rest, version);
    recode::<ConsumerProtocolAssignment>(&rest, version);
}

fn recode<M: Message>(bytes: &Bytes, version: i16) {
    if let Ok(message) = decode_message::<M>(bytes, version) {
        let encoded = ottla_codec::encode_message(&message, version);
        let encoded = encoded.expect("what was read can be written").to_bytes();
        let again: M = decode_message(&encoded, version).expect("and read again");
        assert_same(&again, &message);
    }
}

/// By text, because a float that is not a number differs from itself.
fn assert_same<T: PartialEq + std::fmt::Debug>(again: &T, message: &T) {
    if again != message {
        assert_eq!(format!("{again:?}"), format!("{message:?}"));
    }
}

/// What a partition's log or a fetch's answer holds, of any format.
pub(crate) fn record_batches(data: &[u8]) {
    let mut decompressor = Decompressor::new();
    let mut batches = Batches::new(Bytes::copy_from_slice(data));
    let mut position = 0;
    while let Some(batch) = batches.next() {
        assert!(batches.position() + batches.remaining() == data.len());
        let Ok(batch) = batch else { break };
        assert!(batches.position() > position, "no progress");
        position = batches.position();
        read_batch(&batch, &mut decompressor);
    }
    let end = batches.remaining();
    assert!(batches.next().is_none() && batches.remaining() == end);
}

fn read_batch(batch: &RecordBatch, decompressor: &mut Decompressor) {
    assert!(batch.next_offset() > batch.base_offset());
    let whole = batch.verify_crc();
    let Ok(decoded) = batch.decompress(decompressor, LIMIT) else {
        return;
    };
    assert!(decoded.size_bytes() <= LIMIT);
    let mut appended = vec![7];
    let header = batch.decompress_into(&mut appended, decompressor, LIMIT);
    assert_eq!(header.expect("the same again"), *decoded.header());
    assert_eq!(appended.len(), 1 + decoded.size_bytes());
    // A wrapper at offset 0 is a producer's, whose offset says nothing; that of format 0 never has to, as in Java.
    let is_ordered = match batch.magic() {
        0 => false,
        1 => batch.base_offset() > 0,
        _ => true,
    };
    let mut cursor = Cursor::default();
    let mut count = 0;
    for record in decoded.records() {
        let stepped = decoded.next_record(&mut cursor);
        let Ok(record) = record else {
            assert!(stepped.is_some_and(|record| record.is_err()));
            break;
        };
        assert!(stepped.is_some_and(|stepped| stepped.is_ok_and(|stepped| stepped == record)));
        if is_ordered {
            let offsets = decoded.header().base_offset..batch.next_offset();
            assert!(offsets.contains(&record.offset));
        }
        assert_eq!(record.headers().len(), record.headers().count());
        if let Some(value) = record.value {
            assert_eq!(decoded.share(value), value);
        }
        ControlRecord::parse(&record).ok();
        count += 1;
    }
    assert!(count <= decoded.size_bytes());
    if whole.is_ok() && batch.magic() == 2 {
        let kept = batch.retain(decompressor, LIMIT, |record| record.offset % 2 == 0);
        if let Ok(kept) = kept {
            kept.verify_crc().expect("written anew");
            assert_eq!(kept.next_offset(), batch.next_offset());
        }
    }
}

/// Messages of the old formats, repaired so far that what is in them is reached, then within wrappers.
///
/// The first byte says which codec and format the wrappers are of, and how many there are.
pub(crate) fn message_sets(data: &[u8]) {
    record_batches(data);
    let Some((&how, messages)) = data.split_first() else {
        return;
    };
    let messages = repaired(messages);
    record_batches(&messages);
    let codec = [Compression::Gzip, Compression::Snappy, Compression::Lz4][usize::from(how % 3)];
    let (magic, depth) = (how >> 2 & 1, how >> 3 & 3);
    let mut set = messages;
    for _ in 0..depth {
        set = entries::wrapped(&set, codec, magic).into();
    }
    record_batches(&set);
}

/// The messages with checksums and lengths that are right, as far as there are any.
fn repaired(messages: &[u8]) -> Bytes {
    const LENGTH_AT: usize = 8;
    const MESSAGE_AT: usize = 12;
    let mut out = BytesMut::from(messages);
    let mut at = 0;
    while let Some(entry) = out.get_mut(at..).filter(|entry| entry.len() >= 26) {
        let length = u32::from_be_bytes([0, 0, entry[LENGTH_AT + 2], entry[LENGTH_AT + 3]]);
        let length = (length as usize).clamp(14, entry.len() - MESSAGE_AT);
        entry[LENGTH_AT..MESSAGE_AT].copy_from_slice(&(length as u32).to_be_bytes());
        let (crc, message) = entry[MESSAGE_AT..MESSAGE_AT + length].split_at_mut(4);
        crc.copy_from_slice(&crc32fast::hash(message).to_be_bytes());
        at += MESSAGE_AT + length;
    }
    out.freeze()
}

/// A codec's number, a limit in two bytes, and what is to be decompressed.
pub(crate) fn decompression(data: &[u8]) {
    let Some(([codec, l0, l1], input)) = data.split_first_chunk::<3>() else {
        return;
    };
    let Ok(codec) = Compression::from_id(codec % 5) else {
        return;
    };
    let limit = usize::from(u16::from_be_bytes([*l0, *l1])) * 8;
    let mut decompressor = Decompressor::new();
    let plain = decompressor.decompress(codec, input, limit);
    let mut appended = vec![7];
    let again = decompressor.append(codec, input, limit, &mut appended);
    assert_eq!(plain.is_ok(), again.is_ok());
    let plain = plain.unwrap_or_default();
    assert!(plain.len() <= limit);
    assert_eq!(appended[1..], plain);
}
