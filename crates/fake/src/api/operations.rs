//! What a client may do, as brokers without an authorizer say it: everything that can be done (KIP-430).

/// Nothing was asked.
const UNASKED: i32 = i32::MIN;
/// The bits of create, alter, describe, cluster action, describe configs, alter configs and idempotent write.
const CLUSTER: i32 = 0b1_1111_1010_0000;
/// The bits of read, write, create, delete, alter, describe, describe configs and alter configs.
const TOPIC: i32 = 0b1101_1111_1000;
/// The bits of read, delete, describe, describe configs and alter configs.
const GROUP: i32 = 0b1101_0100_1000;

pub(super) fn of_group(asked: bool) -> i32 {
    if asked { GROUP } else { UNASKED }
}

pub(super) fn of_cluster(asked: bool) -> i32 {
    if asked { CLUSTER } else { UNASKED }
}

pub(super) fn of_topic(asked: bool) -> i32 {
    if asked { TOPIC } else { UNASKED }
}
