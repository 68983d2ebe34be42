//! Broker ids of a partition, of which there are few.

use std::{fmt, ops::Deref};

/// How many need no memory of their own: more replicas are rare. They take as much room as a `Vec`.
const FEW: usize = 5;

/// The ids of a partition's replicas, or of some of them: a slice of `i32` that owns its content, and up to five of them
/// in place.
#[derive(Clone)]
pub struct NodeIds(Ids);

#[derive(Clone)]
enum Ids {
    Few { count: u8, ids: [i32; FEW] },
    Many(Box<[i32]>),
}

impl NodeIds {
    /// The ids, as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[i32] {
        match &self.0 {
            Ids::Few { count, ids } => ids.get(..usize::from(*count)).unwrap_or_default(),
            Ids::Many(ids) => ids,
        }
    }
}

impl Default for NodeIds {
    fn default() -> Self {
        Self(Ids::Few {
            count: 0,
            ids: [0; FEW],
        })
    }
}

impl Deref for NodeIds {
    type Target = [i32];

    fn deref(&self) -> &[i32] {
        self.as_slice()
    }
}

impl<I: ExactSizeIterator<Item = i32>> From<Exactly<I>> for NodeIds {
    #[inline]
    fn from(Exactly(from): Exactly<I>) -> Self {
        let count = from.len();
        if count > FEW {
            return Self(Ids::Many(from.collect()));
        }
        let mut ids = [0; FEW];
        ids.iter_mut().zip(from).for_each(|(id, from)| *id = from);
        Self(Ids::Few {
            count: count as u8,
            ids,
        })
    }
}

/// An iterator that knows how much it yields.
pub(super) struct Exactly<I>(pub(super) I);

impl From<&[i32]> for NodeIds {
    fn from(ids: &[i32]) -> Self {
        Exactly(ids.iter().copied()).into()
    }
}

impl From<Vec<i32>> for NodeIds {
    fn from(ids: Vec<i32>) -> Self {
        if ids.len() > FEW {
            Self(Ids::Many(ids.into()))
        } else {
            ids.as_slice().into()
        }
    }
}

impl<const N: usize> From<[i32; N]> for NodeIds {
    fn from(ids: [i32; N]) -> Self {
        ids.as_slice().into()
    }
}

impl FromIterator<i32> for NodeIds {
    fn from_iter<I: IntoIterator<Item = i32>>(ids: I) -> Self {
        ids.into_iter().collect::<Vec<_>>().into()
    }
}

impl<'a> IntoIterator for &'a NodeIds {
    type Item = &'a i32;
    type IntoIter = std::slice::Iter<'a, i32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: AsRef<[i32]> + ?Sized> PartialEq<T> for NodeIds {
    fn eq(&self, other: &T) -> bool {
        self.as_slice() == other.as_ref()
    }
}

impl Eq for NodeIds {}

impl AsRef<[i32]> for NodeIds {
    fn as_ref(&self) -> &[i32] {
        self.as_slice()
    }
}

impl fmt::Debug for NodeIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_the_same_slices() {
        let mut all = Vec::new();
        for count in 0..2 * FEW as i32 {
            let ids = NodeIds::from(all.clone());
            assert_eq!(ids, all);
            assert_eq!(ids, all.iter().copied().collect::<NodeIds>());
            assert_eq!(ids, NodeIds::from(all.as_slice()));
            assert_eq!(format!("{ids:?}"), format!("{all:?}"));
            assert_eq!(matches!(ids.0, Ids::Many(_)), all.len() > FEW);
            all.push(count - 1);
            assert_ne!(ids, all);
        }
        assert_eq!(size_of::<NodeIds>(), size_of::<Vec<i32>>());
    }
}
