//! What the sticky assignors of two consumers tell each other, in bytes.
//!
//! `sticky` sends its last assignment: an array of topics, each a name and an array of partitions, and, since
//! version 1, the generation (KIP-341). Nothing in the bytes says which version they are. Java writes none at all
//! before the first assignment, aiokafka an empty string. `cooperative-sticky` sends only the generation, as the
//! subscription itself carries the partitions.

use super::claims::NO_GENERATION;
use crate::TopicPartitions;

/// `sticky`, version 1. None when there is more than the format can hold.
pub(crate) fn encode_sticky(partitions: &TopicPartitions, generation: i32) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.extend(i32::try_from(partitions.len()).ok()?.to_be_bytes());
    for (topic, numbers) in partitions {
        bytes.extend(i16::try_from(topic.len()).ok()?.to_be_bytes());
        bytes.extend(topic.as_bytes());
        bytes.extend(i32::try_from(numbers.len()).ok()?.to_be_bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    }
    bytes.extend(generation.to_be_bytes());
    Some(bytes)
}

/// `sticky`, any version: the partitions and their generation, [`NO_GENERATION`] in version 0. None for bytes that
/// are neither. What follows the known fields is a later version's.
pub(crate) fn decode_sticky(bytes: &[u8]) -> Option<(TopicPartitions, i32)> {
    let mut input = Input(bytes);
    let mut partitions = TopicPartitions::new();
    for _ in 0..input.count()? {
        let length = usize::try_from(i16::from_be_bytes(input.array()?)).ok()?;
        let topic = String::from_utf8_lossy(input.take(length)?).into_owned();
        let numbers = partitions.entry(topic).or_default();
        for _ in 0..input.count()? {
            numbers.push(input.int()?);
        }
    }
    Some((partitions, input.int().unwrap_or(NO_GENERATION)))
}

/// `cooperative-sticky`, version 0.
pub(crate) fn encode_cooperative(generation: i32) -> Vec<u8> {
    generation.to_be_bytes().to_vec()
}

/// `cooperative-sticky`: the generation, if the bytes hold one.
pub(crate) fn decode_cooperative(bytes: &[u8]) -> Option<i32> {
    Input(bytes).int()
}

/// Bytes yet to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn int(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// The number of elements of an array; null is not allowed.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.int()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::empty(&[], None)]
    #[case::null_topics(&[0xff; 8], None)]
    #[case::more_topics_than_bytes(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], None)]
    #[case::null_topic(&[0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0], None)]
    #[case::null_partitions(&[0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 3], None)]
    #[case::cut_short(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0], None)]
    #[case::version_0(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7], Some((7, -1)))]
    #[case::half_a_generation(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7, 0, 0], Some((7, -1)))]
    #[case::version_1(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 5], Some((7, 5)))]
    #[case::later(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 5, 9, 9], Some((7, 5)))]
    fn reads_what_there_is(#[case] bytes: &[u8], #[case] expected: Option<(i32, i32)>) {
        let expected = expected.map(|(number, generation)| {
            (
                TopicPartitions::from([("t".to_owned(), vec![number])]),
                generation,
            )
        });
        assert_eq!(decode_sticky(bytes), expected);
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(
            partitions in prop::collection::btree_map("[a-z]{1,4}", prop::collection::vec(any::<i32>(), 0..4), 0..4),
            generation in any::<i32>(),
        ) {
            let bytes = encode_sticky(&partitions, generation).unwrap();
            prop_assert_eq!(decode_sticky(&bytes), Some((partitions, generation)));
            prop_assert_eq!(decode_cooperative(&encode_cooperative(generation)), Some(generation));
        }

        #[test]
        fn reads_anything_without_failing(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            decode_sticky(&bytes);
            decode_cooperative(&bytes);
        }
    }
}
