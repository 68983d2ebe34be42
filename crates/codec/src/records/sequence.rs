//! Sequence numbers of idempotent producers: 0 to 2^31-1, then 0 again.
//!
//! Reference: `DefaultRecordBatch.incrementSequence` and `decrementSequence` in Kafka; KIP-98.

/// The sequence `count` records after `sequence`, wrapping from 2^31-1 to 0.
///
/// A negative `sequence` (no sequence) stays as it is.
#[must_use]
pub fn add_sequence(sequence: i32, count: u32) -> i32 {
    if sequence < 0 {
        return sequence;
    }
    // Both are below 2^32, so the sum fits; the mask is the remainder by 2^31.
    ((i64::from(sequence) + i64::from(count)) & i64::from(i32::MAX)) as i32
}

/// How many records lie from `from` up to `to`, going forward and wrapping at 2^31-1.
#[must_use]
pub fn sequence_distance(from: i32, to: i32) -> u32 {
    (to.wrapping_sub(from) & i32::MAX) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_as_kafka_does() {
        assert_eq!(add_sequence(0, 5), 5);
        assert_eq!(add_sequence(i32::MAX, 0), i32::MAX);
        assert_eq!(add_sequence(i32::MAX, 1), 0);
        assert_eq!(add_sequence(i32::MAX - 1, 3), 1);
        assert_eq!(add_sequence(i32::MAX, i32::MAX as u32), i32::MAX - 1);
        assert_eq!(add_sequence(-1, 7), -1);
    }

    #[test]
    fn distance_undoes_addition() {
        for from in [0, 1, i32::MAX - 1, i32::MAX] {
            for count in [0, 1, 2, 1000, i32::MAX as u32] {
                assert_eq!(sequence_distance(from, add_sequence(from, count)), count);
            }
        }
    }
}
