//! Room for plain bytes.

/// Makes room for `additional` bytes behind those that `output` has, and like [`Vec::reserve`] for some of what follows
/// them, but never beyond `limit` bytes in all for that.
pub(super) fn reserve(output: &mut Vec<u8>, additional: usize, limit: usize) {
    let needed = output.len().saturating_add(additional);
    if needed > output.capacity() {
        let ahead = output.capacity().saturating_mul(2).min(limit);
        output.reserve_exact(ahead.max(needed) - output.len());
    }
}
