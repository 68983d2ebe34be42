//! Group membership, offsets and transactions as state machines without I/O.
