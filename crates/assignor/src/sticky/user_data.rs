//! What the sticky assignors of two consumers tell each other, in bytes.
//!
//! `sticky` sends its last assignment and the generation of it. Java writes nothing at all before the first
//! assignment, aiokafka an empty string. `cooperative-sticky` sends only the generation, as the subscription itself
//! carries the partitions.

use std::borrow::Cow;

/// What members of a `sticky` group tell each other: what each had, and as of when (KIP-54, KIP-341).
///
/// An array of topics, each a name and an array of partitions; since version 1 the generation follows. Nothing in
/// the bytes says which version they are. [`StickyAssignor`](crate::StickyAssignor) writes and reads it by itself;
/// planners and tests may look into it.
///
/// ```
/// use ottla_assignor::StickyUserData;
///
/// let bytes = [0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 5];
/// let data = StickyUserData::decode(&bytes).expect("version 1");
/// assert_eq!(data.partitions, [("t".into(), vec![7])]);
/// assert_eq!(data.generation, Some(5));
/// assert_eq!(data.encode(), Some(bytes.to_vec()));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StickyUserData<'a> {
    /// Topics and their partitions, in the order of the bytes.
    pub partitions: Vec<(Cow<'a, str>, Vec<i32>)>,
    /// The generation in which the member was given them; none in version 0.
    pub generation: Option<i32>,
}

impl<'a> StickyUserData<'a> {
    /// The bytes: version 1 with a generation, version 0 without. None when there is more than the format can hold,
    /// such as a topic's name of 32 KiB.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.extend(i32::try_from(self.partitions.len()).ok()?.to_be_bytes());
        for (topic, numbers) in &self.partitions {
            bytes.extend(i16::try_from(topic.len()).ok()?.to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(i32::try_from(numbers.len()).ok()?.to_be_bytes());
            bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        }
        bytes.extend(
            self.generation
                .iter()
                .flat_map(|number| number.to_be_bytes()),
        );
        Some(bytes)
    }

    /// Reads any version. None for bytes that are none, the empty ones that aiokafka sends before the first
    /// assignment included. What follows the known fields is a later version's.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let mut partitions = Vec::new();
        for _ in 0..input.count()? {
            let length = usize::try_from(i16::from_be_bytes(input.array()?)).ok()?;
            let topic = String::from_utf8_lossy(input.take(length)?);
            let count = input.count()?;
            let numbers: Option<Vec<i32>> = (0..count).map(|_| input.int()).collect();
            partitions.push((topic, numbers?));
        }
        Some(Self {
            partitions,
            generation: input.int(),
        })
    }
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
    #[case::version_0(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7], Some((7, None)))]
    #[case::half_a_generation(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7, 0, 0], Some((7, None)))]
    #[case::version_1(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 5], Some((7, Some(5))))]
    #[case::later(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 5, 9, 9], Some((7, Some(5))))]
    fn reads_what_there_is(#[case] bytes: &[u8], #[case] expected: Option<(i32, Option<i32>)>) {
        let expected = expected.map(|(number, generation)| StickyUserData {
            partitions: vec![("t".into(), vec![number])],
            generation,
        });
        assert_eq!(StickyUserData::decode(bytes), expected);
    }

    #[test]
    fn writes_no_more_than_the_format_can_hold() {
        let named = |length| StickyUserData {
            partitions: vec![("t".repeat(length).into(), vec![0])],
            generation: None,
        };
        assert_eq!(
            named(32_767).encode().map(|bytes| bytes.len()),
            Some(32_767 + 14)
        );
        assert_eq!(named(32_768).encode(), None);
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(
            partitions in prop::collection::vec(("[a-z]{0,4}", prop::collection::vec(any::<i32>(), 0..4)), 0..4),
            generation in any::<Option<i32>>(),
        ) {
            let partitions = partitions.into_iter().map(|(topic, numbers)| (topic.into(), numbers)).collect();
            let data = StickyUserData { partitions, generation };
            let bytes = data.encode().unwrap();
            prop_assert_eq!(StickyUserData::decode(&bytes), Some(data));
            let decoded = generation.map(|generation| decode_cooperative(&encode_cooperative(generation)));
            prop_assert_eq!(decoded, generation.map(Some));
        }

        #[test]
        fn reads_anything_without_failing(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            StickyUserData::decode(&bytes);
            decode_cooperative(&bytes);
        }
    }
}
