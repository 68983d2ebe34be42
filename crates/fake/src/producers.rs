//! Producer ids that the cluster has given out.

use std::collections::BTreeMap;

/// Ids and epochs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    next_id: i64,
    transactional: BTreeMap<String, (i64, i16)>,
}

impl Producers {
    /// The next id; the first is 0, as in a fresh Kafka.
    pub(crate) fn new_id(&mut self) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    pub(crate) fn has_given_out(&self, id: i64) -> bool {
        (0..self.next_id).contains(&id)
    }

    /// The id and next epoch of a transactional id; `None` if `known`, what its producer believes to have, is
    /// neither its newest epoch nor the one before.
    pub(crate) fn init_transactional(
        &mut self,
        transactional_id: &str,
        known: Option<(i64, i16)>,
    ) -> Option<(i64, i16)> {
        let Some(&(id, epoch)) = self.transactional.get(transactional_id) else {
            let fresh = (self.new_id(), 0);
            self.transactional
                .insert(transactional_id.to_owned(), fresh);
            return Some(fresh);
        };
        if known.is_some_and(|(known_id, known_epoch)| known_id != id || known_epoch != epoch) {
            return None;
        }
        // The last epoch is kept free for fencing; then a new id starts.
        let next = if epoch >= i16::MAX - 1 {
            (self.new_id(), 0)
        } else {
            (id, epoch + 1)
        };
        self.transactional.insert(transactional_id.to_owned(), next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactional_ids_keep_their_producer_and_move_on() {
        let mut producers = Producers::default();
        assert_eq!(producers.new_id(), 0);
        assert_eq!(producers.init_transactional("t", None), Some((1, 0)));
        assert_eq!(
            producers.init_transactional("t", Some((1, 0))),
            Some((1, 1))
        );
        assert_eq!(
            producers.init_transactional("t", Some((1, 0))),
            None,
            "fenced"
        );
        assert_eq!(producers.init_transactional("t", None), Some((1, 2)));
        assert!(producers.has_given_out(1) && !producers.has_given_out(2));
    }
}
