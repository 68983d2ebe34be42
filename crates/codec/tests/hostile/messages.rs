//! Every message in every version, damaged: a typed error or a message, and never more memory than 64 times the bytes
//! and 64 KiB.
//!
//! The messages are those that Kafka's classes wrote.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use fastrand::Rng;
use ottla_codec::messages::{
    AnyRequest, AnyResponse, consumer_protocol_assignment::ConsumerProtocolAssignment,
    consumer_protocol_subscription::ConsumerProtocolSubscription, request_header::RequestHeader,
    response_header::ResponseHeader,
};
use ottla_codec::{
    ApiKey, DecodeError, DecodeErrorKind, EncodeError, Message, Segments, decode_message,
    encode_message,
};

use crate::memory;
use crate::mutation::{self, draws};

#[path = "../vectors/cases.rs"]
#[allow(dead_code, reason = "what only the comparison with Java needs")]
mod cases;
#[path = "../vectors/directory.rs"]
mod directory;

/// What is made of a message's bytes: it is decoded, and encoded again by the function that comes back.
type Decode = Box<dyn Fn(&Bytes, i16) -> Result<Encode, DecodeError> + Send + Sync>;
type Encode = Box<dyn FnOnce() -> Segments>;

/// A message of one version, and bytes of it that are right.
struct Subject {
    name: String,
    version: i16,
    valid: Vec<Bytes>,
    decode: Decode,
}

impl Subject {
    /// Decodes `bytes`, whatever they are, and encodes what comes of it.
    fn meets(&self, bytes: Vec<u8>) -> Option<DecodeError> {
        let bytes = Bytes::from(bytes);
        let (decoded, allocated) = memory::allocated(|| (self.decode)(&bytes, self.version));
        assert!(
            allocated <= memory::bound(bytes.len()),
            "{allocated} bytes for {} of {} version {}: {bytes:02x?}",
            bytes.len(),
            self.name,
            self.version,
        );
        match decoded {
            Ok(encode) => {
                encode();
                None
            }
            Err(error) => {
                assert_eq!(error.message, self.name);
                assert!(error.offset <= bytes.len(), "{error}");
                Some(error)
            }
        }
    }
}

fn decoder(name: &str, key: Option<ApiKey>) -> Decode {
    match (key, name) {
        (Some(key), _) if name.ends_with("Request") => Box::new(move |bytes, version| {
            let request = AnyRequest::decode(key, version, bytes)?;
            Ok(encoder(move || request.encode(version)))
        }),
        (Some(key), _) => Box::new(move |bytes, version| {
            let response = AnyResponse::decode(key, version, bytes)?;
            Ok(encoder(move || response.encode(version)))
        }),
        (None, RequestHeader::NAME) => message::<RequestHeader>(),
        (None, ResponseHeader::NAME) => message::<ResponseHeader>(),
        (None, ConsumerProtocolSubscription::NAME) => message::<ConsumerProtocolSubscription>(),
        (None, ConsumerProtocolAssignment::NAME) => message::<ConsumerProtocolAssignment>(),
        (None, name) => panic!("{name} is no message of ours"),
    }
}

fn message<M: Message>() -> Decode {
    Box::new(|bytes, version| {
        let message: M = decode_message(bytes, version)?;
        Ok(encoder(move || encode_message(&message, version)))
    })
}

fn encoder(encode: impl FnOnce() -> Result<Segments, EncodeError> + 'static) -> Encode {
    Box::new(|| encode().expect("what was decoded can be encoded"))
}

/// Every message in every version; the comparison with Java sees to it that there are vectors of all.
fn subjects() -> &'static [Subject] {
    static SUBJECTS: OnceLock<Vec<Subject>> = OnceLock::new();
    SUBJECTS.get_or_init(|| {
        let mut subjects = Vec::new();
        for path in cases::files() {
            let (head, cases) = cases::read(&path);
            let key = head.api_key.and_then(ApiKey::from_i16);
            let mut valid = BTreeMap::<_, Vec<Bytes>>::new();
            for case in cases {
                let of = valid.entry((case.message, case.version)).or_default();
                of.push(case.bytes);
            }
            subjects.extend(valid.into_iter().map(|((name, version), valid)| Subject {
                decode: decoder(&name, key),
                name,
                version,
                valid,
            }));
        }
        assert!(subjects.len() > 500, "only {}", subjects.len());
        subjects
    })
}

/// Visits every message in every version, while no other test runs.
fn each(mut visit: impl FnMut(&'static Subject, &mut Rng)) {
    memory::alone(|| {
        for (seed, subject) in subjects().iter().enumerate() {
            visit(subject, &mut Rng::with_seed(seed as u64));
        }
    });
}

#[test]
fn drawn_damage() {
    each(|subject, rng| {
        for _ in 0..draws(100) {
            let valid = rng.choice(&subject.valid).expect("a vector");
            subject.meets(mutation::drawn(rng, valid));
        }
    });
}

/// A hostile length at any place, in any encoding of lengths: those of the message's own lengths are among them.
#[test]
fn hostile_lengths() {
    each(|subject, rng| {
        for _ in 0..draws(4) {
            let valid = rng.choice(&subject.valid).expect("a vector");
            let Some(position) = (!valid.is_empty()).then(|| rng.usize(..valid.len())) else {
                continue;
            };
            for damaged in mutation::lengths(valid, position) {
                subject.meets(damaged);
            }
        }
    });
}

/// Every prefix of the shortest message, and some of the others.
#[test]
fn prefixes() {
    each(|subject, rng| {
        let shortest = subject.valid.iter().min_by_key(|valid| valid.len());
        let shortest = shortest.expect("a vector");
        for length in 0..shortest.len() {
            assert!(subject.meets(shortest[..length].to_vec()).is_some());
        }
        for _ in 0..draws(4) {
            let valid = rng.choice(&subject.valid).expect("a vector");
            if !valid.is_empty() {
                let length = rng.usize(..valid.len());
                assert!(subject.meets(valid[..length].to_vec()).is_some());
            }
        }
    });
}

/// As many of the smallest elements as fit behind the count of each array: what takes the most memory for its bytes.
#[test]
fn floods_of_the_smallest_elements() {
    let mut arrays = BTreeMap::new();
    each(|subject, rng| {
        for _ in 0..draws(2) {
            let valid = rng.choice(&subject.valid).expect("a vector");
            for position in 0..valid.len().min(300) {
                let before = &valid[..position];
                if let Some(array) = subject.array(before, &[]) {
                    arrays
                        .entry((&subject.name, subject.version, array.field))
                        .or_insert_with(|| flood(subject, before, &array));
                }
            }
        }
    });
    let worst = arrays.iter().max_by_key(|(_, times)| **times);
    let (worst, times) = worst.expect("arrays");
    let report = format!(
        "{} arrays flooded; {worst:?} takes {times} times its bytes\n",
        arrays.len()
    );
    std::io::stderr().write_all(report.as_bytes()).unwrap();
    assert!(arrays.len() > 500, "only {}", arrays.len());
}

/// Each array, and each in its first element, claims as many elements as the bytes behind it could hold.
#[test]
fn claims_within_claims() {
    let padding = [0; 20_000];
    let mut deepest = 0;
    each(|subject, rng| {
        for _ in 0..draws(1) {
            let mut claiming = rng.choice(&subject.valid).expect("a vector").to_vec();
            claiming.truncate(200);
            let mut claims = 0;
            let mut position = 0;
            while position < claiming.len() {
                let before = &claiming[..position];
                if let Some(array) = subject.array(before, &padding) {
                    let behind = claiming.len() - position + padding.len() - 8;
                    let count = array.count(behind / array.least);
                    let replaced = if array.compact { 1 } else { 4 };
                    let to = claiming.len().min(position + replaced);
                    claiming.splice(position..to, count.iter().copied());
                    position += count.len();
                    claims += 1;
                } else {
                    position += 1;
                }
            }
            subject.meets([&claiming[..], &padding].concat());
            deepest = claims.max(deepest);
        }
    });
    assert!(deepest >= 3, "only {deepest}");
}

/// Where an array begins, and what is known of its elements.
struct Array {
    field: &'static str,
    /// The fewest bytes of one.
    least: usize,
    compact: bool,
}

impl Array {
    fn count(&self, elements: usize) -> Vec<u8> {
        if !self.compact {
            return (elements as u32).to_be_bytes().to_vec();
        }
        let count = elements as u32 + 1;
        vec![
            count as u8 | 0x80,
            (count >> 7) as u8 | 0x80,
            (count >> 14) as u8,
        ]
    }
}

impl Subject {
    /// Whether the count of an array of structs has its place behind `before`: one beyond all bytes is refused there, and
    /// the error tells how many bytes it would take.
    fn array(&self, before: &[u8], behind: &[u8]) -> Option<Array> {
        const HUGE: [(&[u8], u64); 2] = [
            (&[0xff, 0xff, 0xff, 0xff, 0x07], (1 << 31) - 2),
            (&[0x7f, 0xff, 0xff, 0xff], (1 << 31) - 1),
        ];
        HUGE.into_iter().find_map(|(count, elements)| {
            let error = self.meets([before, count, behind].concat())?;
            let DecodeErrorKind::Truncated { needed, .. } = error.kind else {
                return None;
            };
            let is_array = needed >= 2 * elements && needed % elements == 0;
            (error.offset == before.len() && is_array).then(|| Array {
                field: error.field,
                least: (needed / elements) as usize,
                compact: count.len() == 5,
            })
        })
    }
}

/// How many times its bytes an array of the smallest elements takes.
fn flood(subject: &Subject, before: &[u8], array: &Array) -> usize {
    const BYTES: usize = 60_000;
    let with = |element: &[u8], elements: usize| {
        [before, &array.count(elements), &element.repeat(elements)].concat()
    };
    let mut element = vec![0; array.least];
    let start = with(&[], 1).len();
    // Zero is null in a compact length: where that is not allowed, empty.
    while let Some(error) = subject.meets(with(&element, 1))
        && error.kind == DecodeErrorKind::UnexpectedNull
        && let Some(byte) = element.get_mut(error.offset.wrapping_sub(start))
        && *byte == 0
    {
        *byte = 1;
    }
    let flooded = Bytes::from(with(&element, BYTES / array.least));
    let (_, allocated) = memory::allocated(|| (subject.decode)(&flooded, subject.version).is_ok());
    subject.meets(flooded.to_vec());
    allocated / flooded.len()
}
