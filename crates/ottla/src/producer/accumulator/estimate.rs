//! How large a batch may grow before it is compressed, so that it is about right afterwards.

/// How far beyond the batch size the plain bytes may go, however well they compress: they take
/// memory here, and again wherever the batch is read.
const MOST: usize = 16;

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

    /// How many plain bytes are expected to compress to `batch_size`.
    pub(crate) fn plain_bytes(self, batch_size: usize) -> usize {
        let most = batch_size.saturating_mul(MOST);
        let expected = batch_size as f64 / f64::from(self.0.max(f32::MIN_POSITIVE));
        // Saturates.
        (expected as usize).clamp(batch_size, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_ratio_is_believed_slowly_and_a_bad_one_at_once() {
        let mut ratio = Ratio::default();
        assert_eq!(ratio.plain_bytes(1000), 1000);
        ratio.observe(0.25);
        assert!((1000..2000).contains(&ratio.plain_bytes(1000)));
        for _ in 0..50 {
            ratio.observe(0.25);
        }
        assert!((3900..=4000).contains(&ratio.plain_bytes(1000)));
        ratio.observe(0.8);
        assert!((1100..1250).contains(&ratio.plain_bytes(1000)));
        ratio.reset();
        assert_eq!(ratio.plain_bytes(1000), 1000);
    }

    #[test]
    fn there_is_a_limit_to_it() {
        let mut ratio = Ratio::default();
        for _ in 0..1000 {
            ratio.observe(0.0);
        }
        assert_eq!(ratio.plain_bytes(1000), 16_000);
    }
}
