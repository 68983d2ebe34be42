//! Which partition a record goes to.
//!
//! Records with a key go where Java's producer sends them, so that clients in both languages agree.
//! For those without one see [`Sticky`].
//!
//! # References
//! - KIP-480 and KIP-794 (sticky and uniform partitioning)
//! - `org.apache.kafka.common.utils.Utils.murmur2`

use crate::record::Record;

/// Chooses partitions in place of the built-in rule.
///
/// Closures `Fn(&Record, usize) -> Option<i32>` are partitioners:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = ottla_fake::FakeCluster::builder().topic("orders", 3).start().await?;
/// # let client = ottla::Client::builder().bootstrap_servers(cluster.bootstrap_servers()).build()?;
/// use ottla::Record;
///
/// let urgent_first = |record: &Record<'_>, _partitions: usize| {
///     record.key.is_some_and(|key| key.starts_with(b"urgent")).then_some(0)
/// };
/// let producer = client.producer().partitioner(urgent_first).build()?;
/// let delivery = producer.send(Record::to("orders").key("urgent-7").value("v")).await?;
/// assert_eq!(delivery.await?.partition.partition, 0);
/// # Ok(())
/// # }
/// ```
pub trait Partitioner: Send + Sync + 'static {
    /// The partition for a record without an explicit one, out of `0..partitions`; `None` leaves the
    /// choice to the built-in rule. Must not block: it runs in every call of `send`, or in one of the
    /// producer's tasks for records that were sent before their topic was known.
    fn partition(&self, record: &Record<'_>, partitions: usize) -> Option<i32>;
}

impl<F> Partitioner for F
where
    F: Fn(&Record<'_>, usize) -> Option<i32> + Send + Sync + 'static,
{
    fn partition(&self, record: &Record<'_>, partitions: usize) -> Option<i32> {
        self(record, partitions)
    }
}

/// The partition of a key among `partitions`, as Java's producer chooses it. There must be one.
pub(crate) fn of_key(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions.max(1)
}

/// MurmurHash2 with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    // A key has at most 2^31-1 bytes.
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(word);
        let mut k = u32::from_le_bytes(bytes).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (byte, shift) in rest.iter().zip([0, 8, 16]) {
            hash ^= u32::from(*byte) << shift;
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Where records without a key go: to one partition until it has got its share, then to the next.
///
/// Few full batches instead of many small ones, and evenly spread over time. The next partition is
/// drawn at random, those with fewer waiting batches more often, so that a slow broker gets less.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    partition: Option<usize>,
    bytes: usize,
}

impl Sticky {
    /// The partition of the moment.
    pub(crate) fn partition(&self) -> Option<usize> {
        self.partition
    }

    /// Takes note of `bytes` for the partition. Once it has had `share` bytes its time is up at the
    /// end of a batch, at the latest after twice as much.
    pub(crate) fn produced(&mut self, bytes: usize, batch_ended: bool, share: usize) {
        self.bytes += bytes;
        if self.bytes >= share.saturating_mul(2) || (batch_ended && self.bytes >= share) {
            self.partition = None;
        }
    }

    /// Draws the next partition. `queues` has one item per partition: how many batches wait for it,
    /// `None` while it has no leader.
    pub(crate) fn draw(
        &mut self,
        queues: impl Iterator<Item = Option<usize>> + Clone,
        rng: &mut fastrand::Rng,
    ) -> Option<usize> {
        let count = queues.clone().count();
        let longest = queues.clone().flatten().max();
        let weights = queues.map(|queue| match (queue, longest) {
            (Some(queue), Some(longest)) => longest + 1 - queue,
            (None, Some(_)) => 0,
            // No partition has a leader: any is as good.
            (_, None) => 1,
        });
        self.bytes = 0;
        self.partition = if count == 0 {
            None
        } else {
            let total: usize = weights.clone().sum();
            let mut ticket = rng.usize(..total.max(1));
            let mut weights = weights.enumerate();
            weights.find_map(|(partition, weight)| {
                if ticket < weight {
                    return Some(partition);
                }
                ticket -= weight;
                None
            })
        };
        self.partition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_gives_what_java_gives() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_key_stays_in_range_whatever_its_hash() {
        for key in 0..1000u32 {
            assert!(of_key(&key.to_be_bytes(), 7) < 7);
        }
        assert_eq!(
            of_key(b"foobar", 6),
            ((-790_332_482i32 & 0x7fff_ffff) % 6) as usize
        );
    }

    #[test]
    fn the_share_is_kept_to_at_the_end_of_a_batch() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut sticky = Sticky::default();
        let drawn = sticky.draw([Some(0); 4].into_iter(), &mut rng);
        sticky.produced(99, true, 100);
        assert_eq!(sticky.partition(), drawn);
        sticky.produced(1, false, 100);
        assert_eq!(sticky.partition(), drawn);
        sticky.produced(1, true, 100);
        assert_eq!(sticky.partition(), None);
        sticky.draw([Some(0); 4].into_iter(), &mut rng);
        sticky.produced(200, false, 100);
        assert_eq!(sticky.partition(), None);
    }

    #[test]
    fn long_queues_and_missing_leaders_are_avoided() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut drawn = [0; 4];
        for _ in 0..10_000 {
            let queues = [Some(0), Some(9), None, Some(0)].into_iter();
            drawn[Sticky::default().draw(queues, &mut rng).unwrap()] += 1;
        }
        let [first, long, leaderless, last] = drawn;
        assert_eq!(leaderless, 0);
        assert!(long > 300 && long < 700, "{drawn:?}");
        assert!(first > 4_000 && last > 4_000, "{drawn:?}");
    }

    #[test]
    fn without_any_leader_every_partition_has_its_turn() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[Sticky::default()
                .draw([None; 3].into_iter(), &mut rng)
                .unwrap()] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(Sticky::default().draw(std::iter::empty(), &mut rng), None);
    }
}
