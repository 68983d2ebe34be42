//! Java's orders of strings and members: a leader written in Rust must rank the group as one in Java would.

use std::cmp::Ordering;

use crate::Member;

/// Compares as Java does, by UTF-16 code units. It differs from comparing UTF-8 only where one side has a character
/// above U+FFFF and the other one in U+E000..=U+FFFF: the former's surrogates are smaller.
pub(crate) fn utf16(a: &str, b: &str) -> Ordering {
    match a.bytes().zip(b.bytes()).find(|(a, b)| a != b) {
        Some((a, b)) => rank(a).cmp(&rank(b)),
        None => a.len().cmp(&b.len()),
    }
}

/// A UTF-8 byte's place among the first bytes in which two strings differ. 0xEE and 0xEF begin U+E000..=U+FFFF and
/// come after 0xF0..=0xF4, which begin all characters above.
fn rank(byte: u8) -> u8 {
    if matches!(byte, 0xEE | 0xEF) {
        byte + 0x10
    } else {
        byte
    }
}

/// By member id.
pub(crate) fn by_id(a: &Member, b: &Member) -> Ordering {
    utf16(&a.id, &b.id)
}

/// By member id as Python compares strings, by code points: the order of the bytes in UTF-8.
pub(crate) fn by_code_points(a: &Member, b: &Member) -> Ordering {
    a.id.cmp(&b.id)
}

/// Static members first, by instance id, then the others by member id (KIP-345).
pub(crate) fn by_instance(a: &Member, b: &Member) -> Ordering {
    match (&a.instance_id, &b.instance_id) {
        (Some(a_instance), Some(b_instance)) => {
            utf16(a_instance, b_instance).then_with(|| by_id(a, b))
        }
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => by_id(a, b),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("C10", "C2", Ordering::Less)]
    #[case("C", "C0", Ordering::Less)]
    #[case("\u{1F600}", "\u{FF5E}", Ordering::Less)]
    #[case("\u{E000}", "\u{10FFFF}", Ordering::Greater)]
    #[case("\u{FFFD}", "\u{E000}", Ordering::Greater)]
    #[case("x\u{1F600}", "x\u{1F601}", Ordering::Less)]
    fn compares_as_java_does(#[case] a: &str, #[case] b: &str, #[case] expected: Ordering) {
        assert_eq!(utf16(a, b), expected);
        assert_eq!(utf16(b, a), expected.reverse());
    }

    proptest! {
        #[test]
        fn equals_the_order_of_code_units(
            a in "[a\u{7f}\u{80}\u{7ff}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,4}",
            b in "[a\u{7f}\u{80}\u{7ff}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,4}",
        ) {
            prop_assert_eq!(utf16(&a, &b), a.encode_utf16().cmp(b.encode_utf16()));
        }
    }

    #[test]
    fn static_members_come_first() {
        let member = |id: &str, instance: Option<&str>| Member {
            instance_id: instance.map(str::to_owned),
            ..Member::new(id, [""; 0])
        };
        let mut members = [
            member("b", None),
            member("c", Some("2")),
            member("a", None),
            member("d", Some("10")),
        ];
        members.sort_by(by_instance);
        assert_eq!(members.map(|member| member.id), ["d", "c", "a", "b"]);
    }
}
