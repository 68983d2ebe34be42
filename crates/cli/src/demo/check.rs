//! Whether what came back is what was sent: complete, in order, unchanged.
//!
//! Compares hashes, not lines, so that a large file need not be kept twice.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// A partition's lines: the offset of each and its hash, in the order in which they were sent or came.
pub(crate) type Lines = Vec<(i64, u64)>;

/// A line's hash.
pub(crate) fn hash(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(line);
    hasher.finish()
}

/// What was found; all zero if all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Lines that were acknowledged and did not come back.
    pub(crate) missing: u64,
    /// Lines that came back though none was acknowledged at their offset: doubles, mostly.
    pub(crate) surplus: u64,
    /// Lines that were acknowledged, or came back, behind one that should come later.
    pub(crate) misplaced: u64,
    /// Lines that came back with another content.
    pub(crate) changed: u64,
}

impl Findings {
    pub(crate) fn is_good(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.missing += other.missing;
        self.surplus += other.surplus;
        self.misplaced += other.misplaced;
        self.changed += other.changed;
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            missing,
            surplus,
            misplaced,
            changed,
        } = self;
        write!(
            f,
            "{missing} missing, {surplus} too many, {misplaced} out of order, {changed} changed"
        )
    }
}

/// Compares one partition's lines.
pub(crate) fn compare(sent: &Lines, received: &Lines) -> Findings {
    let mut findings = Findings {
        misplaced: descents(sent) + descents(received),
        ..Findings::default()
    };
    let (mut sent, mut received) = (sent.clone(), received.clone());
    sent.sort_unstable();
    received.sort_unstable();
    let (mut sent, mut received) = (sent.into_iter().peekable(), received.into_iter().peekable());
    loop {
        match (sent.peek(), received.peek()) {
            (None, None) => return findings,
            (Some(a), Some(b)) if a.0 == b.0 => {
                findings.changed += u64::from(a.1 != b.1);
                sent.next();
                received.next();
            }
            (Some(a), Some(b)) if a.0 < b.0 => {
                findings.missing += 1;
                sent.next();
            }
            (Some(_), None) => {
                findings.missing += 1;
                sent.next();
            }
            (_, Some(_)) => {
                findings.surplus += 1;
                received.next();
            }
        }
    }
}

/// How often an offset does not come after the one before it.
fn descents(lines: &Lines) -> u64 {
    lines
        .windows(2)
        .filter(|pair| pair[1].0 <= pair[0].0)
        .count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(offsets: &[i64]) -> Lines {
        offsets
            .iter()
            .map(|&offset| (offset, hash(&offset.to_be_bytes())))
            .collect()
    }

    fn findings(sent: &[i64], received: &[i64]) -> Findings {
        compare(&lines(sent), &lines(received))
    }

    #[test]
    fn the_same_is_good() {
        assert!(findings(&[], &[]).is_good());
        assert!(findings(&[0, 1, 5], &[0, 1, 5]).is_good());
    }

    #[test]
    fn every_fault_is_found() {
        let good = Findings::default();
        assert_eq!(
            findings(&[0, 1, 2], &[0, 2]),
            Findings { missing: 1, ..good }
        );
        assert_eq!(findings(&[0, 1], &[0]), Findings { missing: 1, ..good });
        assert_eq!(
            findings(&[0, 2], &[0, 1, 2, 3]),
            Findings { surplus: 2, ..good }
        );
        assert_eq!(
            findings(&[0, 1, 2], &[0, 2, 1]),
            Findings {
                misplaced: 1,
                ..good
            }
        );
        assert_eq!(
            findings(&[1, 0], &[0, 1]),
            Findings {
                misplaced: 1,
                ..good
            }
        );
        assert_eq!(
            findings(&[0, 1], &[0, 1, 1]),
            Findings {
                surplus: 1,
                misplaced: 1,
                ..good
            }
        );
        let changed = vec![(0, hash(b"other"))];
        assert_eq!(
            compare(&lines(&[0]), &changed),
            Findings { changed: 1, ..good }
        );
    }
}
