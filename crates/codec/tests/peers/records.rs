//! The records that other clients are told to write, from their description in `vectors/peers/README.md`.
//!
//! Knows nothing of bytes on the wire. The programs in `benches/peers/` have the same description in Go and Java.

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

const TIME: i64 = 1_700_000_000_000;

const WORDS: [&str; 16] = [
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett",
    "kilo", "lima", "mike", "november", "oscar", "papa",
];

/// The records of a set; `None` if there is no such set.
pub fn of(set: &str) -> Option<Vec<Record>> {
    Some(match set {
        "one" => vec![Record {
            timestamp: TIME,
            key: bytes("k"),
            value: bytes("v"),
            headers: vec![("h".into(), bytes("1"))],
        }],
        "parts" => parts(&[
            ("b", bytes("2")),
            ("a", None),
            ("b", bytes("3")),
            ("", bytes("")),
            ("\u{e9}", None),
        ]),
        "map" => parts(&[("a", bytes("2")), ("b", bytes("")), ("\u{e9}", bytes("3"))]),
        "lines" => lines(),
        "noise" => noise(),
        "blocks" => blocks(),
        "many" => many(),
        _ => return None,
    })
}

/// Whatever a record can be; the headers are what clients differ in.
fn parts(headers: &[(&str, Option<Vec<u8>>)]) -> Vec<Record> {
    let headers = headers
        .iter()
        .map(|(key, value)| ((*key).into(), value.clone()));
    let odd = Some(vec![0, 255, 127, 128]);
    vec![
        record(TIME, None, None),
        record(TIME - 1, bytes(""), bytes("")),
        record(TIME + 1_000_000_000, bytes("tombstone"), None),
        record(TIME, None, bytes("no key")),
        record(TIME + 1, bytes("\u{fc}n\u{ef}"), bytes("c\u{f6}de")),
        record(TIME + 2, odd.clone(), odd),
        Record {
            headers: headers.collect(),
            ..record(TIME + 3, bytes("h"), bytes("headers"))
        },
        Record {
            headers: vec![("long".into(), Some(vec![b'h'; 3000]))],
            ..record(TIME + 4, Some(vec![b'k'; 3000]), Some(vec![b'v'; 9000]))
        },
    ]
}

/// Text that compresses three to four times.
fn lines() -> Vec<Record> {
    let mut random = Random(1);
    let line = |i: i64| {
        let user = random.below(50);
        let path = [random.word(), random.word(), random.word()].join("/");
        let (ms, ok) = (random.below(2000), random.below(2) == 1);
        let note = [(); 6].map(|()| random.word()).join(" ");
        let value = format!(
            "{{\"id\":{i},\"user\":\"u{user}\",\"path\":\"/{path}\",\"ms\":{ms},\"ok\":{ok},\"note\":\"{note}\"}}"
        );
        let key = (i % 2 == 0).then(|| format!("u{user}").into_bytes());
        let trace =
            (i % 10 == 0).then(|| ("trace".into(), bytes(&random.below(1 << 30).to_string())));
        Record {
            headers: trace.into_iter().collect(),
            ..record(TIME + 7 * i, key, Some(value.into_bytes()))
        }
    };
    (0..60).map(line).collect()
}

/// What no codec makes smaller.
fn noise() -> Vec<Record> {
    let mut random = Random(2);
    (0..6)
        .map(|i| record(TIME + i, None, Some(random.bytes(600))))
        .collect()
}

/// Several blocks of any codec, and noise from exactly 128 KiB on, so that LZ4 stores its third block.
fn blocks() -> Vec<Record> {
    vec![
        record(TIME, None, Some(vec![b'0'; 131_061])),
        record(TIME + 1, None, Some(Random(3).bytes(1000))),
        record(TIME + 2, bytes("behind"), bytes("the blocks")),
    ]
}

/// Small records: more than 64 KiB of them.
fn many() -> Vec<Record> {
    (0..3000)
        .map(|i| record(TIME + i / 10, None, bytes(&format!("record number {i}"))))
        .collect()
}

fn record(timestamp: i64, key: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Record {
    Record {
        timestamp,
        key,
        value,
        headers: Vec::new(),
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

/// Knuth's linear congruential generator of 64 bits; what is drawn are its upper 31.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub fn word(&mut self) -> &'static str {
        WORDS[self.below(16) as usize]
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}
