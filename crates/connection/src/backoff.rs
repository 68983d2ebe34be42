//! How long to wait before the next try: exponential, with jitter (KIP-144, KIP-580).
//!
//! Pure arithmetic over a count of failures; owns no clock and no timer.

use std::time::Duration;

/// The part of a delay by which it is made longer or shorter at random, so that clients of a broker
/// that died do not come back all at once (KIP-580).
const JITTER: f64 = 0.2;

/// Delays that double from `initial` up to `max`, each varied by up to 20 % in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
}

impl Backoff {
    /// Between tries to reach a broker: 50 ms to 1 s.
    #[doc(alias = "reconnect.backoff.ms")]
    #[doc(alias = "reconnect.backoff.max.ms")]
    pub const RECONNECT: Self = Self::new(Duration::from_millis(50), Duration::from_secs(1));

    /// How long one try to reach a broker may take: 10 s, after failures up to 30 s (KIP-601).
    #[doc(alias = "socket.connection.setup.timeout.ms")]
    #[doc(alias = "socket.connection.setup.timeout.max.ms")]
    pub const SETUP_TIMEOUT: Self = Self::new(Duration::from_secs(10), Duration::from_secs(30));

    /// Delays from `initial` to `max`; a `max` below `initial` counts as `initial`.
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max: if max.as_nanos() < initial.as_nanos() {
                initial
            } else {
                max
            },
        }
    }

    /// The delay after `failures` failures in a row (0 counts as 1). Like Java's, the jitter may
    /// exceed `max`.
    ///
    /// It is a whole number of milliseconds, the timer's own unit: what a seed repeats does not
    /// hang on how the timer rounds.
    pub fn delay(&self, failures: u32, rng: &mut fastrand::Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let delay = self.initial.saturating_mul(1 << doublings).min(self.max);
        let factor = 1.0 - JITTER + 2.0 * JITTER * rng.f64();
        let millis = delay.as_secs_f64() * 1000.0 * factor;
        // A conversion from float saturates.
        Duration::from_millis(millis.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(backoff: Backoff, failures: u32) -> (Duration, Duration) {
        let mut rng = fastrand::Rng::with_seed(7);
        let delays: Vec<_> = (0..1000)
            .map(|_| backoff.delay(failures, &mut rng))
            .collect();
        (*delays.iter().min().unwrap(), *delays.iter().max().unwrap())
    }

    #[test]
    fn doubles_up_to_the_maximum_within_the_jitter() {
        for (failures, nominal) in [
            (0, 50),
            (1, 50),
            (2, 100),
            (3, 200),
            (5, 800),
            (6, 1000),
            (u32::MAX, 1000),
        ] {
            let (low, high) = bounds(Backoff::RECONNECT, failures);
            assert!(
                low >= Duration::from_millis(nominal * 8 / 10),
                "{failures}: {low:?}"
            );
            assert!(
                low <= Duration::from_millis(nominal * 82 / 100),
                "no use of the jitter: {low:?}"
            );
            assert!(
                high <= Duration::from_millis(nominal * 12 / 10),
                "{failures}: {high:?}"
            );
            assert!(
                high >= Duration::from_millis(nominal * 118 / 100),
                "no use of the jitter: {high:?}"
            );
        }
    }

    #[test]
    fn extremes_do_not_panic() {
        let mut rng = fastrand::Rng::with_seed(1);
        assert_eq!(
            Backoff::new(Duration::ZERO, Duration::ZERO).delay(9, &mut rng),
            Duration::ZERO
        );
        let longest = Backoff::new(Duration::MAX, Duration::ZERO);
        assert_eq!(
            longest.delay(u32::MAX, &mut rng),
            Duration::from_millis(u64::MAX)
        );
    }

    #[test]
    fn a_seed_repeats_the_delays() {
        let delays = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            (1..20)
                .map(|n| Backoff::RECONNECT.delay(n, &mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(delays(3), delays(3));
        assert_ne!(delays(3), delays(4));
    }
}
