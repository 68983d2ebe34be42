//! How large a batch may grow before it is compressed, so that it is about right afterwards.

/// How far beyond the batch size the plain bytes may go, however well they compress: they take
/// memory wherever the batch is read.
const MOST: usize = 16;
/// The share of the producer's memory that the plain bytes of one batch may take beyond the batch
/// size: others are to be filled and compressed meanwhile, and the codec takes as much again.
const MEMORY_SHARE: usize = 8;

/// The expected ratio of compressed to plain bytes, learned from the batches of one topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio(f32);

impl Default for Ratio {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Ratio {
    /// Learns from a sealed batch: at once when it is larger than expected, slowly when smaller,
    /// because a batch too large costs more than one too small.
    pub(crate) fn observe(&mut self, ratio: f32) {
        self.0 = if ratio > self.0 {
            (ratio * 1.05).min(1.0)
        } else {
            (self.0 * 0.8 + ratio * 0.2).max(ratio)
        };
    }

    /// A batch was too large after all.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// How many plain bytes are expected to compress to `batch_size`, where the producer has
    /// `memory` bytes for all of its batches.
    pub(crate) fn plain_bytes(self, batch_size: usize, memory: usize) -> usize {
        let most = batch_size.saturating_mul(MOST).min(memory / MEMORY_SHARE);
        let expected = batch_size as f64 / f64::from(self.0.max(f32::MIN_POSITIVE));
        // Saturates.
        (expected as usize).min(most).max(batch_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: usize = 1_000_000;

    #[test]
    fn a_good_ratio_is_believed_slowly_and_a_bad_one_at_once() {
        let mut ratio = Ratio::default();
        assert_eq!(ratio.plain_bytes(1000, MEMORY), 1000);
        ratio.observe(0.25);
        assert!((1000..2000).contains(&ratio.plain_bytes(1000, MEMORY)));
        for _ in 0..50 {
            ratio.observe(0.25);
        }
        assert!((3900..=4000).contains(&ratio.plain_bytes(1000, MEMORY)));
        ratio.observe(0.8);
        assert!((1100..1250).contains(&ratio.plain_bytes(1000, MEMORY)));
        ratio.reset();
        assert_eq!(ratio.plain_bytes(1000, MEMORY), 1000);
    }

    #[test]
    fn there_is_a_limit_to_it() {
        let mut ratio = Ratio::default();
        for _ in 0..1000 {
            ratio.observe(0.0);
        }
        assert_eq!(ratio.plain_bytes(1000, MEMORY), 16_000);
        assert_eq!(ratio.plain_bytes(1000, 80_000), 10_000);
        assert_eq!(ratio.plain_bytes(1000, 1000), 1000);
    }
}
