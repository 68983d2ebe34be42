//! What a program is told to send when it is measured. The values are the same in Rust, Go and Java.

use std::fmt::Write as _;
use std::iter;
use std::time::Duration;

use bytes::Bytes;

use crate::records::Random;
use crate::{Codec, Digest};

/// How many bytes the different values have together: enough that no batch has one twice, few enough for a cache.
const VALUES_BYTES: usize = 1 << 20;

/// How much memory for records a producer may have that lets us say so: Java's default.
pub const BUFFER_BYTES: usize = 32 << 20;

/// Records to send, and how.
#[derive(Debug)]
pub struct Load {
    pub brokers: String,
    pub topic: String,
    pub records: usize,
    pub codec: Codec,
    pub linger: Duration,
    pub batch_bytes: usize,
    /// Records go to so many partitions in turn, instead of where the client sends them.
    pub spread: Option<i32>,
    values: Vec<Bytes>,
}

impl Load {
    pub(crate) fn new(brokers: String, topic: String, records: usize, size: usize) -> Self {
        Self {
            brokers,
            topic,
            records,
            codec: Codec::None,
            linger: Duration::ZERO,
            batch_bytes: 128 << 10,
            spread: None,
            values: values(size),
        }
    }

    /// The value of each record, in order.
    pub fn values(&self) -> impl Iterator<Item = &Bytes> + Clone {
        self.values.iter().cycle().take(self.records)
    }

    /// The values that one of several tasks sends: all have as many, but for the first, which has what is left over too.
    pub fn share(&self, task: usize, tasks: usize) -> impl Iterator<Item = &Bytes> {
        let each = self.records / tasks;
        let (skipped, taken) = match task {
            0 => (0, self.records - each * (tasks - 1)),
            task => (self.records - each * (tasks - task), each),
        };
        self.values().skip(skipped).take(taken)
    }

    /// Where a record goes, by its number, if that is not for the client to choose.
    #[must_use]
    pub fn partition(&self, number: usize) -> Option<i32> {
        self.spread
            .map(|partitions| (number % partitions.max(1) as usize) as i32)
    }

    pub(crate) fn digest(&self) -> Digest {
        digest_of(&self.values)
    }
}

/// The digest of the values of a size, which every program that sends them prints.
#[must_use]
pub fn digest(size: usize) -> Digest {
    digest_of(&values(size))
}

fn digest_of(values: &[Bytes]) -> Digest {
    let mut digest = Digest::default();
    for value in values {
        digest.add(0, None, Some(value), iter::empty());
    }
    digest
}

/// Lines of JSON, cut where the value is long enough: of many, gzip and zstd leave a quarter, LZ4 four tenths.
fn values(size: usize) -> Vec<Bytes> {
    let mut random = Random(4);
    let mut value = || {
        let mut text = String::with_capacity(size + 200);
        while text.len() < size {
            let (high, low) = (random.below(1 << 31), random.below(1 << 31));
            let (user, cents) = (random.below(100_000), random.below(100_000));
            let (item, note) = (random.word(), [(); 3].map(|()| random.word()).join(" "));
            let paid = random.below(2) == 1;
            // To a string this cannot fail.
            let _ = writeln!(
                text,
                "{{\"order\":\"{high:08x}{low:08x}\",\"user\":{user},\"item\":\"{item}\",\"cents\":{cents},\"paid\":{paid},\"note\":\"{note}\"}}"
            );
        }
        text.truncate(size);
        Bytes::from(text)
    };
    let count = VALUES_BYTES.div_ceil(size.max(1));
    (0..count).map(|_| value()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_are_the_load() {
        for tasks in [1, 3, 8, 20] {
            let load = Load::new(String::new(), String::new(), 14, 400_000);
            let shares = (0..tasks).flat_map(|task| load.share(task, tasks));
            assert!(shares.eq(load.values()), "{tasks}");
        }
    }

    #[test]
    fn values_are_lines_of_their_size_and_differ() {
        let load = Load::new(String::new(), String::new(), 100, 1024);
        assert!(
            load.values()
                .all(|value| value.len() == 1024 && value[0] == b'{')
        );
        let different: std::collections::BTreeSet<_> = load.values().collect();
        assert_eq!(different.len(), 100);
    }
}
