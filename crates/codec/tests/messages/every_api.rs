//! Every message in every version: round trips, and damage of all kinds.

use std::fmt::Write as _;

use bytes::Bytes;
use fastrand::Rng;
use ottla_codec::{
    ApiKey, DecodeError, DecodeErrorKind, EncodeError, Message, Request, decode_message,
    encode_message, frame,
    messages::{
        AnyRequest, AnyResponse, consumer_protocol_assignment::ConsumerProtocolAssignment,
        consumer_protocol_subscription::ConsumerProtocolSubscription,
        request_header::RequestHeader, response_header::ResponseHeader,
    },
};

use crate::{random, requests::requests};

/// One message in one version, its type forgotten.
struct Subject {
    name: &'static str,
    version: i16,
    default: fn(i16) -> Result<Bytes, EncodeError>,
    recode: fn(&Bytes, i16) -> Result<Bytes, DecodeError>,
}

impl Subject {
    fn of<M: Message>() -> impl Iterator<Item = Self> {
        let versions = M::ALL_VERSIONS.min..=M::ALL_VERSIONS.max;
        versions.map(|version| Self {
            name: M::NAME,
            version,
            default: default::<M>,
            recode: recode::<M>,
        })
    }

    /// What to print beside a failure.
    fn with(&self, bytes: &Bytes) -> String {
        let mut text = format!("{} v{} ", self.name, self.version);
        bytes
            .iter()
            .for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text
    }
}

fn default<M: Message>(version: i16) -> Result<Bytes, EncodeError> {
    let bytes = encode_message(&M::default(), version)?.to_bytes();
    assert_eq!(
        decode_message::<M>(&bytes, version).as_ref(),
        Ok(&M::default()),
        "{} v{version}",
        M::NAME
    );
    Ok(bytes)
}

/// Decodes, encodes what came out, and makes sure that this is the same again.
fn recode<M: Message>(bytes: &Bytes, version: i16) -> Result<Bytes, DecodeError> {
    let message: M = decode_message(bytes, version)?;
    let encoded = encode_message(&message, version)
        .expect("what was decoded can be encoded")
        .to_bytes();
    let again: M = decode_message(&encoded, version)?;
    // By text, because a float that is not a number differs from itself.
    assert_eq!(
        format!("{again:?}"),
        format!("{message:?}"),
        "{} v{version}",
        M::NAME
    );
    Ok(encoded)
}

/// Every message in every version.
fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    macro_rules! add {
        ($request:ty) => {
            subjects.extend(Subject::of::<$request>());
            subjects.extend(Subject::of::<<$request as Request>::Response>());
        };
    }
    requests!(add);
    subjects.extend(Subject::of::<RequestHeader>());
    subjects.extend(Subject::of::<ResponseHeader>());
    subjects.extend(Subject::of::<ConsumerProtocolSubscription>());
    subjects.extend(Subject::of::<ConsumerProtocolAssignment>());
    subjects
}

#[test]
fn every_api_is_covered_and_agrees_with_its_key() {
    let mut keys = Vec::new();
    macro_rules! check {
        ($request:ty) => {
            let key = <$request>::KEY;
            assert_eq!(ApiKey::from_i16(key as i16), Some(key));
            assert_eq!(<$request>::NAME, format!("{key}Request"));
            assert_eq!(<$request>::VERSIONS, key.versions());
            assert_eq!(
                <$request>::VERSIONS,
                <<$request as Request>::Response>::VERSIONS
            );
            assert_eq!(
                <$request>::ALL_VERSIONS,
                <<$request as Request>::Response>::ALL_VERSIONS
            );
            for version in <$request>::ALL_VERSIONS.min..=<$request>::ALL_VERSIONS.max {
                assert_eq!(
                    <$request>::is_flexible(version),
                    key.is_flexible(version),
                    "{key} v{version}"
                );
            }
            keys.push(key);
        };
    }
    requests!(check);
    assert_eq!(keys, ApiKey::ALL);
}

#[test]
fn defaults_round_trip() {
    for subject in subjects() {
        (subject.default)(subject.version).unwrap();
    }
}

#[test]
fn random_values_round_trip() {
    for (seed, subject) in subjects().iter().enumerate() {
        let mut rng = Rng::with_seed(seed as u64);
        for _ in 0..4 {
            let (bytes, encoded) =
                random::accepted(&mut rng, |bytes| (subject.recode)(bytes, subject.version));
            assert_eq!(
                (subject.recode)(&encoded, subject.version).as_ref(),
                Ok(&encoded),
                "{}",
                subject.with(&bytes)
            );
        }
    }
}

#[test]
fn every_prefix_is_an_error_that_says_where() {
    for (seed, subject) in subjects().iter().enumerate() {
        let mut rng = Rng::with_seed(seed as u64);
        let (bytes, _) =
            random::accepted(&mut rng, |bytes| (subject.recode)(bytes, subject.version));
        for length in 0..bytes.len() {
            let error = (subject.recode)(&bytes.slice(..length), subject.version)
                .expect_err("a prefix decoded");
            assert_eq!(error.message, subject.name);
            assert!(!error.field.is_empty(), "{error} {}", subject.with(&bytes));
            assert!(error.offset <= length, "{error} {}", subject.with(&bytes));
            assert!(
                matches!(error.kind, DecodeErrorKind::Truncated { .. }),
                "{error} {}",
                subject.with(&bytes)
            );
        }
        let longer = [&bytes[..], &[0]].concat().into();
        let error = (subject.recode)(&longer, subject.version).expect_err("a byte too many");
        assert_eq!(
            error.kind,
            DecodeErrorKind::TrailingBytes { extra: 1 },
            "{}",
            subject.with(&bytes)
        );
        assert_eq!(error.offset, bytes.len());
    }
}

/// Whatever the bytes are, the decoder returns, and what it accepts can be written and read again.
#[test]
fn damaged_bytes_never_panic() {
    for (seed, subject) in subjects().iter().enumerate() {
        let mut rng = Rng::with_seed(seed as u64);
        let (bytes, _) =
            random::accepted(&mut rng, |bytes| (subject.recode)(bytes, subject.version));
        for _ in 0..50 {
            let mut damaged = bytes.to_vec();
            for _ in 0..rng.usize(1..4) {
                if let Some(byte) = rng.choice(&mut damaged) {
                    *byte = if rng.bool() { 0xff } else { rng.u8(..) };
                }
            }
            match (subject.recode)(&damaged.into(), subject.version) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.message, subject.name),
            }
        }
    }
}

#[test]
fn frames_of_any_message_round_trip() {
    for &key in ApiKey::ALL {
        for version in key.versions().min..=key.versions().max {
            let mut rng = Rng::with_seed(7);
            let (body, request) =
                random::accepted(&mut rng, |bytes| AnyRequest::decode(key, version, bytes));
            let frame = request.encode_frame(-9, None, version).unwrap().to_bytes();
            let (header, body_again) = frame::decode_request_header(&frame.slice(4..)).unwrap();
            assert_eq!(
                (header.request_api_key, header.request_api_version),
                (key as i16, version)
            );
            assert_eq!((header.correlation_id, header.client_id), (-9, None));
            assert_eq!(
                body_again,
                request.encode(version).unwrap().to_bytes(),
                "{key} v{version} {body:?}"
            );
            assert_eq!(request.key(), key);

            let (_, response) =
                random::accepted(&mut rng, |bytes| AnyResponse::decode(key, version, bytes));
            let frame = response.encode_frame(1 << 30, version).unwrap().to_bytes();
            assert_eq!(frame[..4], (frame.len() as i32 - 4).to_be_bytes());
            assert_eq!(
                frame::response_correlation_id(&frame.slice(4..)),
                Ok(1 << 30)
            );
            assert_eq!(response.key(), key);
        }
    }
}
