//! Compacted logs: what a consumer sees of them, on the fake cluster and on a real Kafka.
//!
//! `cargo xtask compaction` runs the functions of `fake` and `real` and tabulates the lines they print. A scenario
//! knows nothing of where it runs: what differs is in `world` and in `log`.

mod log;
mod moving;
mod old_formats;
mod reading;
mod report;
mod shapes;
mod transactions;
mod world;

/// Each scenario, once for the fake and once for a real Kafka.
macro_rules! scenarios {
    ($($file:ident::$name:ident,)*) => {
        mod fake {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    let scenario = async |world: &super::world::World| super::$file::$name(world).await;
                    super::world::on_fake(stringify!($name), scenario).await;
                }
            )*
        }

        mod real {
            $(
                #[tokio::test]
                #[ignore = "needs a Kafka broker: cargo xtask compaction"]
                async fn $name() {
                    let scenario = async |world: &super::world::World| super::$file::$name(world).await;
                    super::world::on_real(stringify!($name), scenario).await;
                }
            )*
        }
    };
}

scenarios! {
    shapes::hole_inside_a_batch,
    shapes::tail_of_a_batch_gone,
    shapes::tail_gone_at_the_end,
    shapes::emptied_batch,
    shapes::emptied_at_the_end,
    shapes::run_of_emptied_batches,
    shapes::tombstone_and_its_removal,
    shapes::recompressed_batches,
    shapes::recompressed_by_the_topic,
    shapes::keyed_table,
    transactions::control_batches_and_aborted_ranges,
    moving::compacted_between_two_fetches,
    moving::compacted_while_buffered,
    moving::log_start_moved_by_deleting_records,
    moving::log_start_moved_by_retention,
    moving::compacted_and_deleted,
    old_formats::wrappers_of_format_0,
    old_formats::wrappers_of_format_1,
}
