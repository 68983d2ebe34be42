//! What is written, and what compaction leaves of it.

/// Who wrote a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// A producer without an id: of its batches nothing stays once all records are gone.
    Plain,
    /// An idempotent producer: its last batch stays for its sequence's sake, even without records.
    Idempotent,
}

/// A record's key and its value, which is none in a tombstone.
pub(crate) type Pair = (&'static str, Option<&'static str>);

/// A batch of a log: its first and its last offset, and how many records it holds.
pub(crate) type Shape = (i64, i64, u32);

/// A log to be compacted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) written: &'static [(Writer, &'static [Pair])],
    /// What must be left before the records are read.
    pub(crate) compacted: &'static [Shape],
}

/// Every offset of the first batch stays spanned, though records between others are gone.
pub(crate) const HOLE_INSIDE_A_BATCH: Scenario = Scenario {
    name: "hole_inside_a_batch",
    written: &[
        (
            Writer::Plain,
            &[
                ("a", Some("1")),
                ("b", Some("1")),
                ("c", Some("1")),
                ("d", Some("1")),
                ("e", Some("1")),
            ],
        ),
        (Writer::Plain, &[("b", Some("2")), ("d", Some("2"))]),
        (Writer::Plain, &[("f", Some("1"))]),
    ],
    compacted: &[(0, 4, 3), (5, 6, 2), (7, 7, 1)],
};

/// Batches end later than their last records.
pub(crate) const TAIL_OF_A_BATCH_GONE: Scenario = Scenario {
    name: "tail_of_a_batch_gone",
    written: &[
        (
            Writer::Plain,
            &[
                ("a", Some("1")),
                ("b", Some("1")),
                ("c", Some("1")),
                ("d", Some("1")),
            ],
        ),
        (
            Writer::Idempotent,
            &[("c", Some("2")), ("d", Some("2")), ("e", Some("1"))],
        ),
        (Writer::Plain, &[("e", Some("2"))]),
        (Writer::Plain, &[("f", Some("1"))]),
    ],
    compacted: &[(0, 3, 2), (4, 6, 2), (7, 7, 1), (8, 8, 1)],
};

/// Of an idempotent producer's two batches the first is gone, which leaves offsets without any batch, and the last is
/// there without records.
pub(crate) const EMPTIED_BATCH: Scenario = Scenario {
    name: "emptied_batch",
    written: &[
        (Writer::Idempotent, &[("a", Some("1")), ("b", Some("1"))]),
        (Writer::Plain, &[("c", Some("1"))]),
        (Writer::Idempotent, &[("a", Some("2")), ("b", Some("2"))]),
        (Writer::Plain, &[("a", Some("3")), ("b", Some("3"))]),
        (Writer::Plain, &[("d", Some("1"))]),
    ],
    compacted: &[(2, 2, 1), (3, 4, 0), (5, 6, 2), (7, 7, 1)],
};

/// The log ends with a batch whose tail is gone: nothing comes after it that would move the position.
pub(crate) const TAIL_GONE_AT_THE_END: Scenario = Scenario {
    name: "tail_gone_at_the_end",
    written: &[
        (Writer::Plain, &[("a", Some("1")), ("b", Some("1"))]),
        (Writer::Plain, &[("c", Some("1")), ("b", None), ("a", None)]),
    ],
    compacted: &[(2, 4, 1)],
};

/// The log ends with a batch without records.
pub(crate) const EMPTIED_AT_THE_END: Scenario = Scenario {
    name: "emptied_at_the_end",
    written: &[
        (
            Writer::Plain,
            &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))],
        ),
        (Writer::Idempotent, &[("a", None), ("b", None)]),
    ],
    compacted: &[(0, 2, 1), (3, 4, 0)],
};
