//! Lengths that lie, and text that is none: an error that names message, field and byte, before any memory is spent.

use bytes::Bytes;
use ottla_codec::{
    DecodeError, DecodeErrorKind, Message, decode_message, frame,
    messages::{
        api_versions::ApiVersionsRequest,
        metadata::{MetadataRequest, MetadataResponse},
        produce::ProduceRequest,
    },
};

fn error<M: Message>(version: i16, parts: &[&[u8]]) -> DecodeError {
    decode_message::<M>(&Bytes::from(parts.concat()), version).expect_err("was decoded")
}

#[track_caller]
fn assert_error(error: DecodeError, field: &str, offset: usize, kind: DecodeErrorKind) {
    assert_eq!(
        (error.field, error.offset, error.kind),
        (field, offset, kind),
        "{error}"
    );
}

/// ProduceRequest v3 up to the topics: no transactional id, acks, timeout.
const PRODUCE: &[u8] = &[0xff, 0xff, 0, 1, 0, 0, 0, 1];

#[test]
fn a_count_beyond_the_bytes() {
    let kind = DecodeErrorKind::Truncated {
        needed: 6 * 0x7fff_ffff,
        remaining: 5,
    };
    let error = error::<ProduceRequest>(3, &[PRODUCE, &[0x7f, 0xff, 0xff, 0xff], &[0; 5]]);
    assert_error(error, "topic_data", 8, kind);
    assert_eq!(
        error.to_string(),
        "cannot decode ProduceRequest, field topic_data: 12884901882 bytes needed, 5 remain, at byte 8"
    );
}

#[test]
fn a_compact_count_beyond_the_bytes() {
    let kind = DecodeErrorKind::Truncated {
        needed: 2 * 0xffff_fffe,
        remaining: 1,
    };
    let error = error::<MetadataRequest>(9, &[&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]]);
    assert_error(error, "topics", 0, kind);
}

/// Each level claims as many elements as there are bytes: a topic takes six of them, a partition eight.
#[test]
fn nested_counts_beyond_the_bytes() {
    let partitions = 25i32.to_be_bytes();
    let topic = [&[0, 0, 0, 1, 0, 1, b't'][..], &partitions].concat();
    let error = error::<ProduceRequest>(3, &[PRODUCE, &topic, &[0xff; 199]]);
    assert_error(
        error,
        "TopicProduceData.partition_data",
        15,
        DecodeErrorKind::Truncated {
            needed: 200,
            remaining: 199,
        },
    );
    let topics = 100i32.to_be_bytes();
    let error = self::error::<ProduceRequest>(3, &[PRODUCE, &topics, &[0; 599]]);
    assert_error(
        error,
        "topic_data",
        8,
        DecodeErrorKind::Truncated {
            needed: 600,
            remaining: 599,
        },
    );
}

#[test]
fn negative_lengths() {
    let error = error::<ProduceRequest>(3, &[PRODUCE, &[0xff, 0xff, 0xff, 0xfe]]);
    assert_error(
        error,
        "topic_data",
        8,
        DecodeErrorKind::NegativeLength { length: -2 },
    );
    let topic = [0, 0, 0, 1, 0x80, 0];
    let error = self::error::<ProduceRequest>(3, &[PRODUCE, &topic, &[0; 9]]);
    assert_error(
        error,
        "TopicProduceData.name",
        12,
        DecodeErrorKind::NegativeLength { length: -32768 },
    );
}

#[test]
fn null_where_there_must_be_a_value() {
    let error = error::<ProduceRequest>(3, &[PRODUCE, &[0xff; 4]]);
    assert_error(error, "topic_data", 8, DecodeErrorKind::UnexpectedNull);
    let error = self::error::<ApiVersionsRequest>(3, &[&[0, 1, 0]]);
    assert_error(
        error,
        "client_software_name",
        0,
        DecodeErrorKind::UnexpectedNull,
    );
    // Nullable, but not yet in this version.
    let error = self::error::<MetadataRequest>(0, &[&[0xff; 4]]);
    assert_error(error, "topics", 0, DecodeErrorKind::UnexpectedNull);
}

#[test]
fn text_that_is_not_utf8() {
    let error = error::<ApiVersionsRequest>(3, &[&[2, b'x', 3, 0xc3, 0x28, 0]]);
    assert_error(
        error,
        "client_software_version",
        2,
        DecodeErrorKind::InvalidUtf8,
    );
}

/// A compact length can say more than 32767, but Kafka refuses such a string, and so does the encoder.
#[test]
fn text_that_is_too_long() {
    let longest = [&[0x80, 0x80, 2][..], &[b'x'; 32767], &[1, 0]].concat();
    assert!(decode_message::<ApiVersionsRequest>(&longest.into(), 3).is_ok());
    let error = error::<ApiVersionsRequest>(3, &[&[0x81, 0x80, 2], &[b'x'; 32768], &[1, 0]]);
    assert_error(
        error,
        "client_software_name",
        0,
        DecodeErrorKind::StringTooLong { length: 32768 },
    );
}

#[test]
fn overlong_varints() {
    for varint in [
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0][..],
        &[0xff, 0xff, 0xff, 0xff, 0x1f],
    ] {
        let error = error::<ApiVersionsRequest>(3, &[varint, &[0; 8]]);
        assert_error(
            error,
            "client_software_name",
            0,
            DecodeErrorKind::OverlongVarint,
        );
    }
}

#[test]
fn tagged_fields_that_lie() {
    let names = [1, 1];
    let error = error::<ApiVersionsRequest>(3, &[&names, &[1, 0, 9, 0]]);
    assert_error(
        error,
        "tagged fields",
        3,
        DecodeErrorKind::Truncated {
            needed: 9,
            remaining: 1,
        },
    );
    let error = self::error::<ApiVersionsRequest>(3, &[&names, &[0xff, 0xff, 0xff, 0xff, 0x0f]]);
    assert_error(
        error,
        "tagged fields",
        7,
        DecodeErrorKind::Truncated {
            needed: 1,
            remaining: 0,
        },
    );
    for tags in [[7, 7], [7, 3]] {
        let error = self::error::<ApiVersionsRequest>(3, &[&names, &[2, tags[0], 0, tags[1], 0]]);
        assert_error(
            error,
            "tagged fields",
            5,
            DecodeErrorKind::TagOrder {
                tag: tags[1].into(),
            },
        );
    }
}

/// A known tagged field that is longer than its value: `ClusterId` "c" in FetchRequest v12, and a byte.
#[test]
fn a_tagged_field_with_something_behind_its_value() {
    use ottla_codec::messages::fetch::FetchRequest;
    let head = [&[0; 25][..], &[1, 1, 1]].concat();
    let plain: FetchRequest =
        decode_message(&[&head[..], &[1, 0, 2, 2, b'c']].concat().into(), 12).unwrap();
    assert_eq!(plain.cluster_id.as_deref(), Some("c"));
    let error = error::<FetchRequest>(12, &[&head, &[1, 0, 3, 2, b'c', 9]]);
    assert_error(
        error,
        "tagged fields",
        33,
        DecodeErrorKind::TaggedFieldLength { extra: 1 },
    );
}

#[test]
fn offsets_count_from_the_start_of_the_frame() {
    let mut bytes = vec![0, 0, 0, 9, 0];
    bytes.extend([0, 0, 0, 0, 5]);
    let error = frame::decode_response::<MetadataRequest>(&bytes.into(), 9).unwrap_err();
    assert_eq!(error.message, MetadataResponse::NAME);
    assert_error(
        error,
        "brokers",
        9,
        DecodeErrorKind::Truncated {
            needed: 44,
            remaining: 0,
        },
    );
}

#[test]
fn headers_that_are_none() {
    let decode = |bytes: &'static [u8]| {
        frame::decode_request_header(&Bytes::from_static(bytes)).unwrap_err()
    };
    let truncated = |needed, remaining| DecodeErrorKind::Truncated { needed, remaining };
    assert_error(decode(&[0]), "request_api_key", 0, truncated(2, 1));
    assert_error(
        decode(&[0, 3, 0]),
        "request_api_version",
        2,
        truncated(2, 1),
    );
    assert_error(
        decode(b"GET / HTTP/1.1\r\n"),
        "request_api_key",
        0,
        DecodeErrorKind::UnsupportedApi { key: 0x4745 },
    );
    assert_error(
        decode(&[0, 3, 0, 1, 0, 0, 0, 7, 0, 5, b'x']),
        "client_id",
        8,
        truncated(5, 1),
    );
    let error = frame::response_correlation_id(&Bytes::from_static(&[1, 2, 3])).unwrap_err();
    assert_error(error, "correlation_id", 0, truncated(4, 3));
}
