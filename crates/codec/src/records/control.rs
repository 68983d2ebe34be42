//! Control records: what brokers write into a log for its readers, never for applications.
//!
//! Reference: `ControlRecordType` and `EndTransactionMarker` in Kafka; KIP-98.

use snafu::{OptionExt, Snafu, ensure};

use super::record::RecordView;

/// A control record, by its key. Readers skip what they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlRecord {
    /// The producer's transaction ended and its records before this one are void.
    Abort(EndTransactionMarker),
    /// The producer's transaction ended and its records before this one are valid.
    Commit(EndTransactionMarker),
    /// Another type, such as those of the metadata log.
    Unknown {
        /// Its number.
        control_type: i16,
    },
}

/// What the marker at the end of a transaction says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndTransactionMarker {
    /// Version of the marker's value; 0 so far.
    pub version: i16,
    /// Epoch of the transaction coordinator that wrote the marker.
    pub coordinator_epoch: i32,
}

const ABORT: i16 = 0;
const COMMIT: i16 = 1;
/// The version of keys and of markers that is written.
const VERSION: i16 = 0;

impl ControlRecord {
    /// Reads a record of a control batch. Fields that newer versions may add are ignored.
    ///
    /// # Errors
    /// Key or marker are missing, too short, or of a negative version.
    pub fn parse(record: &RecordView<'_>) -> Result<Self, ControlError> {
        let offset = record.offset;
        let key = record.key.context(KeySnafu { offset })?;
        let (version, rest) = key.split_first_chunk::<2>().context(KeySnafu { offset })?;
        let (control_type, _) = rest.split_first_chunk::<2>().context(KeySnafu { offset })?;
        let version = i16::from_be_bytes(*version);
        ensure!(version >= 0, VersionSnafu { offset, version });
        match i16::from_be_bytes(*control_type) {
            ABORT => EndTransactionMarker::parse(record).map(Self::Abort),
            COMMIT => EndTransactionMarker::parse(record).map(Self::Commit),
            control_type => Ok(Self::Unknown { control_type }),
        }
    }

    /// Key and value of an abort or commit marker's record.
    #[must_use]
    pub fn end_transaction(commit: bool, coordinator_epoch: i32) -> ([u8; 4], [u8; 6]) {
        let [v0, v1] = VERSION.to_be_bytes();
        let [t0, t1] = if commit { COMMIT } else { ABORT }.to_be_bytes();
        let [e0, e1, e2, e3] = coordinator_epoch.to_be_bytes();
        ([v0, v1, t0, t1], [v0, v1, e0, e1, e2, e3])
    }
}

impl EndTransactionMarker {
    fn parse(record: &RecordView<'_>) -> Result<Self, ControlError> {
        let offset = record.offset;
        let value = record.value.context(ValueSnafu { offset })?;
        let (version, rest) = value
            .split_first_chunk::<2>()
            .context(ValueSnafu { offset })?;
        let (epoch, _) = rest
            .split_first_chunk::<4>()
            .context(ValueSnafu { offset })?;
        let version = i16::from_be_bytes(*version);
        ensure!(version >= 0, VersionSnafu { offset, version });
        Ok(Self {
            version,
            coordinator_epoch: i32::from_be_bytes(*epoch),
        })
    }
}

/// A control record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[non_exhaustive]
pub enum ControlError {
    /// Its key is missing or too short.
    #[snafu(display("control record at offset {offset}: its key is cut short"))]
    Key {
        /// The record's offset.
        offset: i64,
    },
    /// The marker in its value is missing or too short.
    #[snafu(display("control record at offset {offset}: its value is cut short"))]
    Value {
        /// The record's offset.
        offset: i64,
    },
    /// A version no one writes.
    #[snafu(display("control record at offset {offset}: impossible version {version}"))]
    Version {
        /// The record's offset.
        offset: i64,
        /// The version.
        version: i16,
    },
}
