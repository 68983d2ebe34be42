//! Transaction markers and aborted records beside holes.

use ottla::IsolationLevel::{ReadCommitted, ReadUncommitted};

use super::log::Writer::Plain;
use super::log::{Held, Pair};
use super::reading;
use super::world::World;

/// Compaction removes aborted records and keeps their markers and, for their producers' sake, their batches; what was
/// aborted later is still there, and only read_committed passes over it.
pub(crate) async fn control_batches_and_aborted_ranges(world: &World) {
    let mut log = world
        .log(&[
            ("cleanup.policy", "compact"),
            ("delete.retention.ms", "600000"),
        ])
        .await;
    let pair = |key, value| -> Pair<'_> { (key, Some(value)) };
    log.write(Plain, &[pair("a", "1"), pair("b", "1")]).await;
    let lost = [pair("a", "lost"), pair("c", "lost")];
    log.transaction(&lost, false).await;
    log.transaction(&[pair("b", "2"), pair("d", "1")], true)
        .await;
    log.transaction(&[pair("e", "lost")], false).await;
    log.write(Plain, &[pair("d", "2")]).await;
    log.roll();
    log.write(Plain, &[pair("f", "1")]).await;
    let left = [
        (0, 1, 1),
        // The first aborted batch is its producer's last, like the committed one and the second aborted one.
        (2, 3, 0),
        (4, 4, 1),
        (5, 6, 1),
        (7, 7, 1),
        (8, 8, 0),
        (9, 9, 1),
        (10, 10, 1),
        (11, 11, 1),
    ];
    log.compacted_to(&left).await;
    // Behind what is compacted.
    log.transaction(&[pair("a", "lost again"), pair("g", "lost")], false)
        .await;
    log.transaction(&[pair("a", "3")], true).await;
    log.write(Plain, &[pair("h", "1")]).await;
    let seen = log.look().await;

    let committed = [
        Held::pair(0, "a", "1"),
        Held::pair(5, "b", "2"),
        Held::pair(10, "d", "2"),
        Held::pair(11, "f", "1"),
        Held::pair(15, "a", "3"),
        Held::pair(17, "h", "1"),
    ];
    let mut all = committed.to_vec();
    all.insert(4, Held::pair(12, "a", "lost again"));
    all.insert(5, Held::pair(13, "g", "lost"));
    assert_eq!(seen.records, all);
    reading::check_level(world, &log, &seen, ReadUncommitted, &all).await;
    reading::check_level(world, &log, &seen, ReadCommitted, &committed).await;
    reading::check_resumed(world, &mut log, seen.end).await;
}
