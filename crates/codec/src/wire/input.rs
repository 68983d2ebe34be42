//! What is still to be parsed: nom's input type here.
//!
//! It only ever narrows: a length from the wire gives a smaller input or an error.

use std::{fmt, iter};

use bytes::Bytes;
use nom::Needed;

/// What is still to be parsed of a frame.
///
/// A copy costs three words. It knows its place in the frame, for error reports, and hands out parts as [`Bytes`] that
/// share the frame's memory.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// A part of `frame`, where its place is told by its address.
    rest: &'a [u8],
    frame: &'a Bytes,
}

impl<'a> Input<'a> {
    /// All of `frame`.
    #[must_use]
    pub fn new(frame: &'a Bytes) -> Self {
        Self { rest: frame, frame }
    }

    /// The bytes that remain.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes remain.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing remains.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes of the frame come before this.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.rest.as_ptr().addr() - self.frame.as_ptr().addr()
    }

    /// The bytes that remain, without copying them.
    #[must_use]
    #[inline]
    pub fn to_bytes(&self) -> Bytes {
        self.frame.slice_ref(self.rest)
    }

    /// The first `count` bytes and the rest, or `None` when there are fewer.
    #[must_use]
    #[inline]
    pub fn split(self, count: usize) -> Option<(Self, Self)> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        Some((Self { rest: head, ..self }, Self { rest, ..self }))
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({} bytes at {})", self.len(), self.offset())
    }
}

/// `take` and its kin stop at the end where nom's contract would let them panic.
impl<'a> nom::Input for Input<'a> {
    type Item = u8;
    type Iter = iter::Copied<std::slice::Iter<'a, u8>>;
    type IterIndices = iter::Enumerate<Self::Iter>;

    fn input_len(&self) -> usize {
        self.len()
    }

    fn take(&self, index: usize) -> Self {
        self.take_split(index).1
    }

    fn take_from(&self, index: usize) -> Self {
        self.take_split(index).0
    }

    fn take_split(&self, index: usize) -> (Self, Self) {
        let (head, tail) = self.split(index.min(self.len())).unwrap_or((*self, *self));
        (tail, head)
    }

    fn position<P: Fn(u8) -> bool>(&self, predicate: P) -> Option<usize> {
        self.rest.iter().position(|&byte| predicate(byte))
    }

    fn iter_elements(&self) -> Self::Iter {
        self.rest.iter().copied()
    }

    fn iter_indices(&self) -> Self::IterIndices {
        self.iter_elements().enumerate()
    }

    fn slice_index(&self, count: usize) -> Result<usize, Needed> {
        match count.checked_sub(self.len()) {
            None | Some(0) => Ok(count),
            Some(missing) => Err(Needed::new(missing)),
        }
    }
}
