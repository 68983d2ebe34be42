//! Messages that clients hand each other through a broker: their version comes first, and readers are lenient.
//!
//! So are `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`, the bytes in JoinGroup and SyncGroup that no
//! broker looks into. A reader takes what it knows of a later version and leaves the rest.

use bytes::Bytes;

use crate::{
    DecodeError, DecodeErrorKind, EncodeError, Message,
    message::encode_into,
    wire::{self, Encoder, Input},
};

/// Encodes a message behind its version.
///
/// # Errors
/// When a value cannot be expressed in `version`, or `version` is not known.
pub fn encode_prefixed<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = Encoder::new();
    out.int16(version);
    encode_into(message, &mut out, version)?;
    Ok(out.finish().to_bytes())
}

/// Decodes a message behind its version, as Kafka does: one of a later version is read as the latest known, and what
/// follows is left.
///
/// Unlike Kafka, a message that lacks the fields its version has is read as an earlier version if it is one: there
/// are clients that name a version and write the one before it.
///
/// # Errors
/// When `bytes` are not such a message, or the version is negative.
pub fn decode_prefixed<M: Message>(bytes: &Bytes) -> Result<M, DecodeError> {
    let start = Input::new(bytes);
    let (body, named) = wire::int16(start).map_err(|error| wire::decode_error(M::NAME, error))?;
    if named < M::VERSIONS.min {
        return Err(DecodeError {
            message: M::NAME,
            field: "",
            offset: start.offset(),
            kind: DecodeErrorKind::UnsupportedVersion { version: named },
        });
    }
    let latest = named.min(M::VERSIONS.max);
    let read = |version| M::decode(body, version).map(|(_, message)| message);
    read(latest).or_else(|error| {
        (M::VERSIONS.min..latest)
            .rev()
            .find_map(|version| read(version).ok())
            .ok_or_else(|| wire::decode_error(M::NAME, error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::consumer_protocol_subscription::{
        ConsumerProtocolSubscription, TopicPartition,
    };

    fn subscription() -> ConsumerProtocolSubscription {
        ConsumerProtocolSubscription {
            topics: vec!["t".to_owned()],
            user_data: Some(Bytes::from_static(b"u")),
            owned_partitions: vec![TopicPartition {
                topic: "t".to_owned(),
                partitions: vec![3],
            }],
            generation_id: 7,
            rack_id: Some("r".to_owned()),
        }
    }

    #[test]
    fn each_version_is_read_as_far_as_it_goes() {
        let full = subscription();
        for version in 0..=3 {
            let bytes = encode_prefixed(&full, version).unwrap();
            assert_eq!(bytes[..2], version.to_be_bytes());
            let read: ConsumerProtocolSubscription = decode_prefixed(&bytes).unwrap();
            assert_eq!(read.topics, full.topics);
            assert_eq!(read.owned_partitions.is_empty(), version < 1);
            assert_eq!(read.generation_id, if version < 2 { -1 } else { 7 });
            assert_eq!(read.rack_id.is_none(), version < 3);
        }
    }

    #[test]
    fn a_later_version_is_read_as_the_latest_known() {
        let mut bytes = encode_prefixed(&subscription(), 3).unwrap().to_vec();
        bytes[1] = 9;
        bytes.extend(b"more");
        assert_eq!(decode_prefixed(&bytes.into()), Ok(subscription()));
    }

    #[test]
    fn a_version_that_is_named_but_not_written_is_read_as_what_it_is() {
        let mut bytes = encode_prefixed(&subscription(), 0).unwrap().to_vec();
        bytes[1] = 1;
        let read: ConsumerProtocolSubscription = decode_prefixed(&bytes.into()).unwrap();
        assert_eq!(read.topics, ["t"]);
        assert_eq!(read.owned_partitions, []);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for bytes in [
            &[][..],
            &[0],
            &[0xff, 0xff, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 1, 0],
        ] {
            let bytes = Bytes::copy_from_slice(bytes);
            let read: Result<ConsumerProtocolSubscription, _> = decode_prefixed(&bytes);
            assert!(read.is_err(), "{bytes:?}");
        }
    }
}
