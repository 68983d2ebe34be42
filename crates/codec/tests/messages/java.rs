//! Messages that Kafka's own classes wrote, decoded and encoded back to the same bytes. With the feature `serde`, their
//! fields are compared with what Kafka's JSON converters say.
//!
//! The vectors are read from `tests/vectors`, or from the directory that `OTTLA_CODEC_VECTORS` names; their README tells
//! the format. A line for each file says how many cases ran.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::thread::panicking;

use ottla_codec::{
    ApiKey, Message, Request, decode_message, encode_message,
    messages::{
        AnyRequest, AnyResponse, consumer_protocol_assignment::ConsumerProtocolAssignment,
        consumer_protocol_subscription::ConsumerProtocolSubscription,
        request_header::RequestHeader, response_header::ResponseHeader,
    },
};

use cases::Case;

use crate::requests::requests;

#[path = "../vectors/cases.rs"]
mod cases;
#[path = "../vectors/directory.rs"]
mod directory;

/// What must be true of a message's case.
type Check = fn(&Case);

#[cfg(not(feature = "serde"))]
trait Subject: Message {}
#[cfg(not(feature = "serde"))]
impl<M: Message> Subject for M {}

#[cfg(feature = "serde")]
trait Subject: Message + serde::Serialize + serde::de::DeserializeOwned {}
#[cfg(feature = "serde")]
impl<M: Message + serde::Serialize + serde::de::DeserializeOwned> Subject for M {}

/// The check of every message, and every version of it that must occur.
#[derive(Default)]
struct Messages {
    checks: BTreeMap<&'static str, Check>,
    versions: BTreeSet<(String, i16)>,
}

impl Messages {
    fn all() -> Self {
        let mut all = Self::default();
        macro_rules! add {
            ($request:ty) => {
                all.add::<$request>();
                all.add::<<$request as Request>::Response>();
            };
        }
        requests!(add);
        all.add::<RequestHeader>();
        all.add::<ResponseHeader>();
        all.add::<ConsumerProtocolSubscription>();
        all.add::<ConsumerProtocolAssignment>();
        all
    }

    fn add<M: Subject>(&mut self) {
        self.checks.insert(M::NAME, check::<M>);
        let versions = M::ALL_VERSIONS.min..=M::ALL_VERSIONS.max;
        self.versions
            .extend(versions.map(|version| (M::NAME.to_owned(), version)));
    }
}

fn check<M: Subject>(case: &Case) {
    let message: M = decode_message(&case.bytes, case.version).expect("decodes");
    let encoded = encode_message(&message, case.version).expect("encodes");
    assert_eq!(encoded.to_bytes(), case.bytes, "{message:?}");
    if case.kind == "defaults" {
        let default = encode_message(&M::default(), case.version).expect("encodes");
        assert_eq!(default.to_bytes(), case.bytes, "the default");
    }
    #[cfg(feature = "serde")]
    json::check(&message, &case.json);
}

/// That the message travels behind the header that Kafka puts there.
fn check_frame(key: ApiKey, case: &Case) {
    let version = case.version;
    let header_version = case.header_version.expect("an API's message has a header");
    let (header, frame) = if case.message.ends_with("Request") {
        let header = RequestHeader {
            request_api_key: key as i16,
            request_api_version: version,
            correlation_id: 7,
            client_id: Some("me".to_owned()),
            ..RequestHeader::default()
        };
        let request = AnyRequest::decode(key, version, &case.bytes).expect("decodes");
        (
            encode_message(&header, header_version),
            request.encode_frame(7, Some("me"), version),
        )
    } else {
        let header = ResponseHeader {
            correlation_id: 7,
            ..ResponseHeader::default()
        };
        let response = AnyResponse::decode(key, version, &case.bytes).expect("decodes");
        (
            encode_message(&header, header_version),
            response.encode_frame(7, version),
        )
    };
    let expected = [&header.expect("encodes").to_bytes()[..], &case.bytes].concat();
    assert_eq!(frame.expect("encodes").to_bytes()[4..], expected);
}

/// Checks every case of one file; returns what the file is for, and how many there were.
fn check_file(path: &Path, messages: &mut Messages) -> (String, usize) {
    let (head, cases) = cases::read(path);
    let key = head
        .api_key
        .map(|key| ApiKey::from_i16(key).expect("an API of ours"));
    assert!(key.is_none_or(|key| key.name() == head.name));
    let mut ran = 0;
    for case in cases {
        let told = Told(&case);
        let check = messages.checks.get(&case.message[..]);
        check.expect("a message of ours")(&case);
        if let Some(key) = key {
            check_frame(key, &case);
        }
        drop(told);
        messages.versions.remove(&(case.message, case.version));
        ran += 1;
    }
    assert_eq!(ran, head.cases, "{} is cut short", head.name);
    (head.name, ran)
}

/// Names the case that a panic goes through.
struct Told<'a>(&'a Case);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if !panicking() {
            return;
        }
        let Case {
            message,
            version,
            kind,
            bytes,
            ..
        } = self.0;
        eprintln!("in {message} version {version} ({kind}): {bytes:02x?}");
    }
}

#[test]
fn messages_are_as_java_writes_them() {
    let mut messages = Messages::all();
    let files = cases::files();
    let mut total = 0;
    let mut report = String::new();
    for path in &files {
        let (name, ran) = check_file(path, &mut messages);
        report += &format!("{name}: {ran} cases ran\n");
        total += ran;
    }
    let values = if cfg!(feature = "serde") {
        "bytes and values"
    } else {
        "bytes"
    };
    report += &format!(
        "{total} cases ran in {} files: {values} compared\n",
        files.len()
    );
    // Past the capture of test output: the figures belong in every log.
    std::io::stderr().write_all(report.as_bytes()).unwrap();
    assert!(
        messages.versions.is_empty(),
        "without vectors: {:?}",
        messages.versions
    );
}

/// Comparison with Kafka's converters, which leave out what a version lacks, tagged fields that hold their default and
/// unknown ones, and of record data tell only the length.
#[cfg(feature = "serde")]
mod json {
    use ottla_codec::Records;
    use serde_json::Value;

    use super::Subject;

    const SIZE: &str = "recordsSizeInBytes";

    /// What Java says is in ours; and ours has nothing beyond it but defaults, because read from Java's it is the same.
    pub(super) fn check<M: Subject>(message: &M, java: &Value) {
        let mut ours = serde_json::to_value(message).expect("serialises");
        let again: M = serde_json::from_value(ours.clone()).expect("deserialises");
        assert_eq!(&again, message);

        let mut java = java.clone();
        fill_records(&mut java, &ours);
        assert_contains(&ours, &java, &mut Vec::new());
        let read: M = serde_json::from_value(java).expect("deserialises");
        drop_unknown_tags(&mut ours);
        let read = serde_json::to_value(read).expect("serialises");
        assert!(read == ours, "read from Java's JSON: {read}\nours: {ours}");
    }

    fn fill_records(java: &mut Value, ours: &Value) {
        match (java, ours) {
            (Value::Object(java), Value::Object(ours)) => {
                if let Some(size) = java.remove(SIZE) {
                    let records: Records =
                        serde_json::from_value(ours["records"].clone()).expect("record data");
                    assert_eq!(size, records.len());
                    java.insert("records".to_owned(), ours["records"].clone());
                }
                for (name, java) in java {
                    fill_records(java, ours.get(name).unwrap_or(&Value::Null));
                }
            }
            (Value::Array(java), Value::Array(ours)) => {
                for (java, ours) in java.iter_mut().zip(ours) {
                    fill_records(java, ours);
                }
            }
            _ => {}
        }
    }

    fn assert_contains<'a>(ours: &Value, java: &'a Value, path: &mut Vec<&'a str>) {
        match (ours, java) {
            (Value::Object(ours), Value::Object(java)) => {
                for (name, java) in java {
                    path.push(name);
                    let ours = ours.get(name);
                    assert_contains(ours.unwrap_or_else(|| panic!("no {path:?}")), java, path);
                    path.pop();
                }
            }
            (Value::Array(ours), Value::Array(java)) => {
                assert_eq!(ours.len(), java.len(), "{path:?}");
                for (ours, java) in ours.iter().zip(java) {
                    assert_contains(ours, java, path);
                }
            }
            _ => assert_eq!(ours, java, "{path:?}"),
        }
    }

    fn drop_unknown_tags(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("unknownTaggedFields");
                fields.values_mut().for_each(drop_unknown_tags);
            }
            Value::Array(elements) => elements.iter_mut().for_each(drop_unknown_tags),
            _ => {}
        }
    }
}
