//! What a client has read so far of each partition.

use std::collections::BTreeMap;

use crate::{Digest, Result};

/// The partitions to read, and what is left of each.
#[derive(Debug, Default)]
pub struct Readings {
    left: BTreeMap<i32, Reading>,
}

#[derive(Debug)]
struct Reading {
    count: usize,
    expected: usize,
    digest: Digest,
}

impl Readings {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut readings = Self::default();
        for arg in args {
            let (partition, expected) = arg.split_once(':').ok_or("PARTITION:COUNT")?;
            let reading = Reading {
                count: 0,
                expected: expected.parse()?,
                digest: Digest::default(),
            };
            readings.left.insert(partition.parse()?, reading);
        }
        Ok(readings)
    }

    /// The partitions of which records are missing.
    #[must_use]
    pub fn partitions(&self) -> Vec<i32> {
        self.left.keys().copied().collect()
    }

    /// Whether all have been read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Takes a record in. With a partition's last one its digest is printed.
    pub fn add<'a>(
        &mut self,
        partition: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) {
        let Some(reading) = self.left.get_mut(&partition) else {
            println!("{partition} more than expected");
            return;
        };
        reading.digest.add(timestamp, key, value, headers);
        reading.count += 1;
        if reading.count == reading.expected {
            println!("{partition} {} {}", reading.count, reading.digest);
            self.left.remove(&partition);
        }
    }
}
