//! So many records a second.

use std::time::Duration;

use tokio::time::Instant;

/// When each record may be sent. After a delay it makes up for what was missed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    started: Instant,
    /// Records a second; `None` for as many as possible.
    rate: Option<u64>,
}

impl Pace {
    /// Begins now; a negative rate is none.
    pub(super) fn new(rate: i64) -> Self {
        Self {
            started: Instant::now(),
            rate: u64::try_from(rate).ok(),
        }
    }

    /// How long it has lasted.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until the record with this number, from 0, may be sent; for ever if none may.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(super) async fn wait(&self, number: u64) {
        match self.rate {
            None => {}
            Some(0) => std::future::pending().await,
            Some(rate) => {
                let due = Duration::from_secs(number / rate)
                    + Duration::from_secs_f64((number % rate) as f64 / rate as f64);
                let due = self.started + due;
                // The timer is no finer than a millisecond; what is due goes without it.
                if due > Instant::now() {
                    tokio::time::sleep_until(due).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_makes_up_for_delays() {
        let pace = Pace::new(10);
        for number in 0..=20 {
            pace.wait(number).await;
        }
        assert_eq!(pace.elapsed(), Duration::from_secs(2));
        tokio::time::advance(Duration::from_secs(1)).await;
        pace.wait(30).await;
        assert_eq!(pace.elapsed(), Duration::from_secs(3));
        pace.wait(31).await;
        assert_eq!(pace.elapsed().as_millis(), 3100);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let pace = Pace::new(-1);
        pace.wait(u64::MAX).await;
        assert_eq!(pace.elapsed(), Duration::ZERO);
    }
}
