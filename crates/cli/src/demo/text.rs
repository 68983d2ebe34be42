//! Lines to send when nobody has a file at hand.

/// How many.
const LINES: usize = 100_000;

const WHO: [&str; 8] = [
    "Ottla", "Elli", "Valli", "Milena", "Felice", "Max", "Oskar", "Robert",
];
const DID: [&str; 6] = ["wrote", "sent", "found", "read", "kept", "answered"];
const WHAT: [&str; 7] = [
    "a letter",
    "two letters",
    "a postcard",
    "a telegram",
    "a parcel",
    "the proofs",
    "a diary",
];
const WHERE: [&str; 5] = [
    "in Prague",
    "in Zürau",
    "in Berlin",
    "in Merano",
    "in Plana",
];

/// Lines of text. They are numbered, so that no two are the same.
pub(crate) fn lines() -> Vec<u8> {
    let mut text = Vec::with_capacity(LINES * 48);
    for number in 0..LINES {
        // Steps without a common divisor go through all combinations before they repeat.
        let (who, did) = (WHO[number % 8], DID[number / 8 % 6]);
        let (what, place) = (WHAT[number / 3 % 7], WHERE[number / 5 % 5]);
        text.extend_from_slice(format!("{number:06} {who} {did} {what} {place}\n").as_bytes());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_lines_are_the_same() {
        let text = lines();
        let lines: Vec<_> = text.split(|&byte| byte == b'\n').collect();
        let (last, lines) = lines.split_last().unwrap();
        assert_eq!((lines.len(), last.len()), (LINES, 0));
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), LINES);
    }
}
