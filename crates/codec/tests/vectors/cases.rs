//! The files of messages that Java wrote, case by case.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use serde::Deserialize;

use super::directory;

/// The first line of a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head {
    format: u32,
    pub(crate) name: String,
    pub(crate) api_key: Option<i16>,
    pub(crate) cases: usize,
}

/// Every other line.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) message: String,
    pub(crate) version: i16,
    pub(crate) header_version: Option<i16>,
    pub(crate) kind: String,
    #[serde(deserialize_with = "hex")]
    pub(crate) bytes: Bytes,
    #[cfg(feature = "serde")]
    pub(crate) json: serde_json::Value,
}

fn hex<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(from)?;
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).map_err(serde::de::Error::custom)
    });
    digits.collect::<Result<Vec<u8>, _>>().map(Bytes::from)
}

/// All files, by name.
pub(crate) fn files() -> Vec<PathBuf> {
    let dir = directory::vectors().join("messages");
    let mut files: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no vectors in {}", dir.display());
    files
}

/// What a file is for, and its cases.
pub(crate) fn read(path: &Path) -> (Head, impl Iterator<Item = Case>) {
    let file = BufReader::new(File::open(path).expect("a file"));
    let mut lines = BufReader::new(GzDecoder::new(file)).lines();
    let head = lines.next().expect("a first line").expect("gzip");
    let head: Head = serde_json::from_str(&head).expect("a head");
    assert_eq!(head.format, 1, "{}", head.name);
    let cases = lines.map(|line| serde_json::from_str(&line.expect("gzip")).expect("a case"));
    (head, cases)
}
