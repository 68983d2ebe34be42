//! Ranges of message versions.

use std::fmt;

/// An inclusive range of versions of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// Lowest version.
    pub min: i16,
    /// Highest version.
    pub max: i16,
}

impl VersionRange {
    /// The range from `min` to `max`, both included. It is empty when `min > max`.
    #[must_use]
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// Whether `version` lies in the range.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions that both ranges hold, or `None` when there are none.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Option<Self> {
        let min = if self.min > other.min {
            self.min
        } else {
            other.min
        };
        let max = if self.max < other.max {
            self.max
        } else {
            other.max
        };
        if min <= max {
            Some(Self { min, max })
        } else {
            None
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}-{}", self.min, self.max)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intersection_is_the_common_part() {
        let own = VersionRange::new(3, 13);
        assert_eq!(
            own.intersect(VersionRange::new(0, 9)),
            Some(VersionRange::new(3, 9))
        );
        assert_eq!(
            own.intersect(VersionRange::new(13, 20)),
            Some(VersionRange::new(13, 13))
        );
        assert_eq!(own.intersect(VersionRange::new(0, 2)), None);
        assert!(own.contains(3) && own.contains(13) && !own.contains(14) && !own.contains(2));
    }

    #[test]
    fn displays_as_kafka_writes_ranges() {
        assert_eq!(VersionRange::new(3, 13).to_string(), "3-13");
        assert_eq!(VersionRange::new(0, 0).to_string(), "0");
    }
}
