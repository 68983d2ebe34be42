//! What records carry when only their number and size matter.

/// How many different values there are: enough that compressing them is work, few enough for a cache.
const VALUES: usize = 1024;

/// How many bytes they have together, unless a single one has more.
const VALUES_BYTES: usize = 16 * 1024 * 1024;

/// Values that compress about as well as text does.
pub(crate) fn values(size: usize) -> Vec<Vec<u8>> {
    const WORDS: [&str; 16] = [
        "order",
        "shipped",
        "customer",
        "paid",
        "2024",
        "amount",
        "invoice",
        "returned",
        "north",
        "south",
        "warehouse",
        "pending",
        "17.50",
        "eur",
        "priority",
        "carrier",
    ];
    // A fixed sequence: every measurement is made with the same records.
    let mut state = 1_u32;
    let mut word = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        WORDS[(state >> 28) as usize]
    };
    let value = |number: usize| {
        let mut value = format!("{number:06} ").into_bytes();
        while value.len() < size {
            value.extend_from_slice(word().as_bytes());
            value.push(b' ');
        }
        value.truncate(size);
        value
    };
    let count = (VALUES_BYTES / size.max(1)).clamp(1, VALUES);
    (0..count).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_size_and_differ() {
        for size in [0, 1, 5, 100, 10_000] {
            assert!(
                values(size).iter().all(|value| value.len() == size),
                "{size}"
            );
        }
        let values = values(100);
        assert_ne!(values[0], values[1]);
        assert_ne!(values[0][7..], values[1][7..]);
    }

    #[test]
    fn all_values_together_are_not_large() {
        assert_eq!(values(100).len(), VALUES);
        assert_eq!(values(VALUES_BYTES / 4).len(), 4);
        assert_eq!(values(VALUES_BYTES + 1).len(), 1);
    }
}
