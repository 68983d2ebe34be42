//! A consumed record, as printing sees it.

use std::borrow::Cow;

/// A header's name and value.
pub(crate) type HeaderItem<'a> = (Cow<'a, str>, Option<&'a [u8]>);

/// Everything of a record that can be printed; borrowed.
#[derive(Clone, Debug)]
pub(crate) struct Row<'a, H> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// Whether the broker set the timestamp, and not the producer.
    pub(crate) log_append_time: bool,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// Name and value of each header, in order.
    pub(crate) headers: H,
}

#[cfg(test)]
pub(crate) type TestRow = Row<'static, Vec<HeaderItem<'static>>>;

#[cfg(test)]
pub(crate) fn test_row() -> TestRow {
    Row {
        topic: "sales",
        partition: 3,
        offset: 42,
        timestamp: 1_600_000_000_123,
        log_append_time: false,
        key: Some(b"shop"),
        value: Some(b"12.50"),
        headers: vec![
            ("source".into(), Some(b"till")),
            ("empty".into(), Some(b"")),
            ("none".into(), None),
        ],
    }
}
