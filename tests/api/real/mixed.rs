//! Groups of Java's consumers and ours. With other clients: `cargo xtask peers groups`.

use rstest::rstest;
use tokio::process::Command;

use super::program::program;
use crate::support::{mixed, real};

#[rstest]
#[case::range("Range")]
#[case::cooperative_sticky("CooperativeSticky")]
#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn java_and_ottla_share_a_group(
    #[case] strategy: &str,
    #[values(true, false)] java_leads: bool,
) {
    let client = real::client();
    let topic = real::topic(&client, "mixed", 6, &[]).await;
    let group = real::unique("mixed");
    let strategy = format!("org.apache.kafka.clients.consumer.{strategy}Assignor");
    let brokers = real::brokers();
    let arguments = [
        "--bootstrap-server",
        &brokers,
        "--topic",
        &topic,
        "--group-id",
        &group,
        "--assignment-strategy",
        &strategy,
    ];
    let java = || {
        Command::from(real::java(
            "org.apache.kafka.tools.VerifiableConsumer",
            &arguments,
        ))
    };
    let ottla = || {
        let mut command = Command::new(program());
        command.arg("verifiable-consumer").args(arguments);
        command
    };
    let join: [mixed::Join<'_>; 2] = match java_leads {
        true => [&java, &ottla],
        false => [&ottla, &java],
    };
    let (written, repeated) = mixed::share(&client, &topic, &group, join).await;
    println!("{written} records, {repeated} of them consumed again");
}
