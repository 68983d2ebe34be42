//! Administration, as a real Kafka sees it.

use ottla::{ErrorKind, NewTopic};

use crate::support::{PATIENCE, real};

#[tokio::test]
#[ignore = "needs a Kafka broker: cargo xtask test"]
async fn a_topics_life() {
    let client = real::client();
    client.ready(PATIENCE).await.unwrap();
    let admin = client.admin().with_timeout(PATIENCE);

    let cluster = admin.describe_cluster().await.unwrap();
    assert!(!cluster.brokers.is_empty());

    let topic = real::topic(&client, "life", 2, &[("cleanup.policy", "compact")]).await;
    let listed = admin.list_topics().await.unwrap();
    assert!(
        listed
            .iter()
            .any(|listing| listing.name == topic && listing.partitions == 2)
    );

    let again = NewTopic::new(&topic).partitions(1).replication_factor(1);
    let error = admin.create_topic(again).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Broker { code, .. } if code.code() == 36),
        "{error}"
    );

    admin.create_partitions([(&*topic, 5)]).await.unwrap()[&topic]
        .as_ref()
        .unwrap();
    crate::support::eventually("the topic has five partitions", async || {
        let described = admin.describe_topics([&*topic]).await.unwrap();
        described[&topic]
            .as_ref()
            .is_ok_and(|topic| topic.partitions.len() == 5)
    })
    .await;

    let start = admin.delete_records([((&*topic, 0).into(), -1)]).await;
    assert!(
        start[&(&*topic, 0).into()].is_err(),
        "a compacted topic keeps its records"
    );

    admin.delete_topics([&*topic]).await.unwrap()[&topic]
        .as_ref()
        .unwrap();
    crate::support::eventually("the topic is gone", async || {
        let described = admin.describe_topics([&*topic]).await.unwrap();
        matches!(described[&topic].as_ref(),
            Err(error) if matches!(error.kind(), ErrorKind::UnknownTopic { .. }))
    })
    .await;
}
