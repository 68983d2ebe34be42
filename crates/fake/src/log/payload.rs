//! The records section of a batch, out of and back into its compressed form.

use bytes::Bytes;
use ottla_codec::records::{Compression, Compressor, Decompressor};

use super::batch::{StoredBatch, with_compression};
use super::records::Malformed;

/// More than any test wants to decompress at once; stops a bomb.
const MAX_PLAIN_BYTES: usize = 256 << 20;

impl StoredBatch {
    /// Whether another batch has the same records, in whatever form.
    pub(crate) fn has_records_of(&self, other: &Self) -> bool {
        self.body() == other.body()
            || self.compression() != other.compression()
                && decompress(self).ok() == decompress(other).ok()
    }
}

/// The batch's records in plain form.
pub(crate) fn decompress(batch: &StoredBatch) -> Result<Bytes, Malformed> {
    let body = batch.body();
    match compression(batch)? {
        Compression::None => Ok(body),
        compression => {
            let plain = Decompressor::new().decompress(compression, &body, MAX_PLAIN_BYTES);
            plain.map(Bytes::from).map_err(|_| Malformed)
        }
    }
}

/// Plain records in the form that `like` has its own in.
pub(crate) fn compress(like: &StoredBatch, plain: &[u8]) -> Result<Vec<u8>, Malformed> {
    compress_as(compression(like)?, plain)
}

/// The batch with its records, which are `plain`, in another form.
pub(crate) fn recompress(
    batch: &StoredBatch,
    plain: &[u8],
    to: Compression,
) -> Result<StoredBatch, Malformed> {
    if compression(batch)? == to {
        return Ok(batch.clone());
    }
    let mut fields = batch.fields();
    fields.attributes = with_compression(fields.attributes, to);
    Ok(StoredBatch::write(&fields, &compress_as(to, plain)?))
}

fn compress_as(compression: Compression, plain: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    let mut compressor = Compressor::new(compression).map_err(|_| Malformed)?;
    compressor
        .compress(plain, &mut out)
        .map_err(|_| Malformed)?;
    Ok(out)
}

fn compression(batch: &StoredBatch) -> Result<Compression, Malformed> {
    let id = u8::try_from(batch.compression()).map_err(|_| Malformed)?;
    Compression::from_id(id).map_err(|_| Malformed)
}
