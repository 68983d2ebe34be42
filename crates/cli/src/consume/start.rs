//! Where consuming starts.

use std::str::FromStr;

/// Where consuming starts, in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the first record of the log.
    Beginning,
    /// After the last record of the log.
    End,
    /// Where the group that `group.id` names has committed.
    Stored,
    /// At this offset.
    Offset(i64),
    /// This many offsets before the end, or at the beginning if there are fewer.
    BeforeEnd(i64),
    /// At the first record with this timestamp, in milliseconds since 1970, or a later one; at the end
    /// if there is none.
    Timestamp(i64),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let natural = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i64>().ok().filter(|_| digits)
        };
        let start = match text {
            "beginning" => Some(Self::Beginning),
            "end" => Some(Self::End),
            "stored" => Some(Self::Stored),
            _ => match (text.strip_prefix("s@"), text.strip_prefix('-')) {
                (Some(millis), _) => natural(millis).map(Self::Timestamp),
                (None, Some(count)) => natural(count).map(Self::BeforeEnd),
                (None, None) => natural(text).map(Self::Offset),
            },
        };
        start.ok_or_else(|| "expected beginning, end, stored, N, -N or s@MILLIS".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        for (text, start) in [
            ("beginning", Start::Beginning),
            ("end", Start::End),
            ("stored", Start::Stored),
            ("0", Start::Offset(0)),
            ("9223372036854775807", Start::Offset(i64::MAX)),
            ("-5", Start::BeforeEnd(5)),
            ("s@1600000000000", Start::Timestamp(1_600_000_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(start), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "-",
            "--5",
            "+5",
            "5x",
            "s@",
            "s@-1",
            "@5",
            "9223372036854775808",
            "Beginning",
        ] {
            assert!(text.parse::<Start>().is_err(), "{text}");
        }
    }
}
