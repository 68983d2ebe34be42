//! Encoded bytes on their way out.

use std::{fmt, io::IoSlice, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};

/// Encoded bytes in order, in pieces that are never joined: large payloads stay where they were.
///
/// A [`Buf`] whose [`chunks_vectored`](Buf::chunks_vectored) fills as many slices as it is given. A clone shares all
/// bytes and has a position of its own.
#[derive(Clone, Default)]
pub struct Segments {
    /// None of them is empty.
    parts: Arc<[Bytes]>,
    /// The part that the position lies in, and how far into it.
    part: usize,
    consumed: usize,
    remaining: usize,
}

impl Segments {
    pub(super) fn new(parts: Vec<Bytes>) -> Self {
        let remaining = parts.iter().map(Bytes::len).sum();
        Self {
            parts: parts.into(),
            part: 0,
            consumed: 0,
            remaining,
        }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.remaining
    }

    /// Whether no byte is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// The bytes that are left, in one piece; copies unless they are one already.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.rest() {
            [] => Bytes::new(),
            [only] => only.slice(self.consumed..),
            _ => {
                let mut joined = BytesMut::with_capacity(self.remaining);
                for slice in self.slices() {
                    joined.extend_from_slice(slice);
                }
                joined.freeze()
            }
        }
    }

    fn rest(&self) -> &[Bytes] {
        self.parts.get(self.part..).unwrap_or_default()
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.consumed;
        self.rest()
            .iter()
            .map(move |part| part.get(std::mem::take(&mut skip)..).unwrap_or_default())
    }
}

impl Buf for Segments {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.slices().next().unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, slice) in dst.iter_mut().zip(self.slices()) {
            *slot = IoSlice::new(slice);
            filled += 1;
        }
        filled
    }

    /// # Panics
    /// When fewer than `count` bytes are left, as [`Buf`] demands.
    fn advance(&mut self, count: usize) {
        assert!(
            count <= self.remaining,
            "advanced by {count} bytes, {} are left",
            self.remaining
        );
        self.remaining -= count;
        self.consumed += count;
        while let Some(part) = self.parts.get(self.part)
            && self.consumed >= part.len()
        {
            self.consumed -= part.len();
            self.part += 1;
        }
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Segments({} bytes in {} parts)",
            self.remaining,
            self.rest().len()
        )
    }
}
