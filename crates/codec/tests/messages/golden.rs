//! Bytes that Kafka's own classes wrote: `kafka-clients` 4.3.0, `ApiMessage.write` on values set through the
//! setters, for exactly the values built here.

use bytes::Bytes;
use ottla_codec::{
    Message, Records, UnknownTaggedField, Uuid, decode_message, encode_message,
    messages::{
        api_versions::*, consumer_protocol_subscription::*, describe_topic_partitions::*, fetch::*,
        find_coordinator::*, join_group::*, metadata::*, request_header::RequestHeader,
        response_header::ResponseHeader,
    },
};

const TOPIC_ID: Uuid = Uuid(0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978_u128.to_be_bytes());

fn check<M: Message>(java: &str, version: i16, message: M) {
    let bytes = unhex(java);
    assert_eq!(
        decode_message::<M>(&bytes, version).as_ref(),
        Ok(&message),
        "{} v{version}",
        M::NAME
    );
    let encoded = encode_message(&message, version).unwrap().to_bytes();
    assert_eq!(encoded, bytes, "{} v{version}", M::NAME);
}

fn unhex(text: &str) -> Bytes {
    let digit = |c: u8| char::from(c).to_digit(16).unwrap() as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn records() -> Option<Records> {
    Some(Bytes::from_static(&[1, 2, 3, 4, 5]).into())
}

#[test]
fn ids() {
    assert_eq!(TOPIC_ID.to_string(), "ASNFZ4mrze8PHi08S1ppeA");
}

#[test]
fn headers() {
    let client_id = Some("ottla".to_owned());
    let header = RequestHeader {
        request_api_key: 18,
        request_api_version: 3,
        correlation_id: 7,
        client_id,
        ..Default::default()
    };
    check("001200030000000700056f74746c6100", 2, header);
    let header = RequestHeader {
        request_api_key: 3,
        request_api_version: 1,
        correlation_id: -2,
        client_id: None,
        ..Default::default()
    };
    check("00030001fffffffeffff", 1, header);
    check(
        "0000000700",
        1,
        ResponseHeader {
            correlation_id: 7,
            ..Default::default()
        },
    );
}

#[test]
fn api_versions() {
    check("", 0, ApiVersionsRequest::default());
    let request = ApiVersionsRequest {
        client_software_name: "ottla".to_owned(),
        client_software_version: "0.1.0".to_owned(),
        ..Default::default()
    };
    check("066f74746c6106302e312e3000", 3, request);

    let api = |api_key, min_version, max_version| ApiVersion {
        api_key,
        min_version,
        max_version,
        ..Default::default()
    };
    let mut response = ApiVersionsResponse {
        error_code: 35,
        api_keys: vec![api(0, 3, 13), api(18, 0, 4)],
        ..Default::default()
    };
    check("00230000000200000003000d001200000004", 0, response.clone());
    response.error_code = 0;
    response.throttle_time_ms = 250;
    let name = || "group.version".to_owned();
    response.supported_features = vec![SupportedFeatureKey {
        name: name(),
        min_version: 1,
        max_version: 1,
        ..Default::default()
    }];
    response.finalized_features = vec![FinalizedFeatureKey {
        name: name(),
        min_version_level: 1,
        max_version_level: 1,
        ..Default::default()
    }];
    response.finalized_features_epoch = 41;
    response.zk_migration_ready = true;
    let java = "00000300000003000d0000120000000400000000fa040014020e67726f75702e76657273696f6e000100010001080000000000\
                0000290214020e67726f75702e76657273696f6e0001000100030101";
    check(java, 3, response);
}

#[test]
fn unknown_tagged_fields() {
    let request = ApiVersionsRequest {
        client_software_name: "x".to_owned(),
        client_software_version: "y".to_owned(),
        unknown_tagged_fields: vec![
            UnknownTaggedField {
                tag: 5,
                data: Bytes::from_static(&[9, 9]),
            },
            UnknownTaggedField {
                tag: 300,
                data: Bytes::new(),
            },
        ],
    };
    check("027802790205020909ac0200", 3, request);
}

#[test]
fn metadata_request() {
    check(
        "ffffffff",
        1,
        MetadataRequest {
            topics: None,
            ..Default::default()
        },
    );
    let mut topics = vec![MetadataRequestTopic {
        name: Some("orders".to_owned()),
        ..Default::default()
    }];
    check(
        "0000000100066f7264657273",
        1,
        MetadataRequest {
            topics: Some(topics.clone()),
            ..Default::default()
        },
    );
    topics.push(MetadataRequestTopic {
        name: None,
        topic_id: TOPIC_ID,
        ..Default::default()
    });
    let request = MetadataRequest {
        topics: Some(topics),
        allow_auto_topic_creation: false,
        include_topic_authorized_operations: true,
        ..Default::default()
    };
    let java = "0300000000000000000000000000000000076f7264657273000123456789abcdef0f1e2d3c4b5a69780000000100";
    check(java, 12, request);
}

#[test]
fn metadata_response() {
    let broker = |node_id, host: &str, port, rack: Option<&str>| MetadataResponseBroker {
        node_id,
        host: host.to_owned(),
        port,
        rack: rack.map(str::to_owned),
        ..Default::default()
    };
    let partition = MetadataResponsePartition {
        error_code: 5,
        partition_index: 3,
        leader_id: -1,
        replica_nodes: [1, 2].into(),
        isr_nodes: [2].into(),
        ..Default::default()
    };
    let topic = MetadataResponseTopic {
        name: Some("orders".to_owned()),
        partitions: vec![partition],
        ..Default::default()
    };
    let mut response = MetadataResponse {
        brokers: vec![
            broker(1, "b1.example", 9092, Some("r1")),
            broker(2, "b2.example", 9093, None),
        ],
        controller_id: 1,
        topics: vec![topic],
        ..Default::default()
    };
    let java = "0000000200000001000a62312e6578616d706c65000023840002723100000002000a62322e6578616d706c6500002385ffff00\
                00000100000001000000066f72646572730000000001000500000003ffffffff00000002000000010000000200000001000000\
                02";
    check(java, 1, response.clone());

    response.throttle_time_ms = 3;
    response.cluster_id = Some("c".to_owned());
    let topic = &mut response.topics[0];
    topic.topic_id = TOPIC_ID;
    topic.topic_authorized_operations = 264;
    topic.partitions[0].leader_epoch = 9;
    topic.partitions[0].offline_replicas = [1].into();
    let java = "0000000303000000010b62312e6578616d706c650000238403723100000000020b62322e6578616d706c650000238500000263\
                00000001020000076f72646572730123456789abcdef0f1e2d3c4b5a69780002000500000003ffffffff000000090300000001\
                000000020200000002020000000100000001080000";
    check(java, 12, response);
}

mod produce {
    use super::{TOPIC_ID, check, records};
    use ottla_codec::{Uuid, messages::produce::*};

    #[test]
    fn request() {
        let partition = |index, records| PartitionProduceData {
            index,
            records,
            ..Default::default()
        };
        let topic = |name: &str, topic_id| TopicProduceData {
            name: name.to_owned(),
            topic_id,
            partition_data: vec![partition(2, records()), partition(3, None)],
            ..Default::default()
        };
        let mut request = ProduceRequest {
            transactional_id: Some("tx".to_owned()),
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![topic("orders", Uuid::ZERO)],
            ..Default::default()
        };
        check(
            "037478ffff0000753002076f72646572730300000002060102030405000000000300000000",
            9,
            request.clone(),
        );
        request.topic_data = vec![topic("", TOPIC_ID)];
        let java = "037478ffff00007530020123456789abcdef0f1e2d3c4b5a69780300000002060102030405000000000300000000";
        check(java, 13, request);
    }

    #[test]
    fn response() {
        let partition = PartitionProduceResponse {
            index: 2,
            error_code: 6,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: vec![BatchIndexAndErrorMessage {
                batch_index: 1,
                batch_index_error_message: Some("bad".to_owned()),
                ..Default::default()
            }],
            error_message: Some("no".to_owned()),
            current_leader: LeaderIdAndEpoch {
                leader_id: 4,
                leader_epoch: 12,
                ..Default::default()
            },
            ..Default::default()
        };
        let response = ProduceResponse {
            responses: vec![TopicProduceResponse {
                topic_id: TOPIC_ID,
                partition_responses: vec![partition],
                ..Default::default()
            }],
            throttle_time_ms: 1,
            node_endpoints: vec![NodeEndpoint {
                node_id: 4,
                host: "h".to_owned(),
                port: 65_535,
                ..Default::default()
            }],
            ..Default::default()
        };
        let java = "020123456789abcdef0f1e2d3c4b5a697802000000020006ffffffffffffffffffffffffffffffffffffffffffffffff02\
                    000000010462616400036e6f010009000000040000000c00000000000101000d020000000402680000ffff0000";
        check(java, 13, response);
    }
}

#[test]
fn fetch_request() {
    let mut request = FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        isolation_level: 1,
        topics: vec![FetchTopic {
            topic: "orders".to_owned(),
            partitions: vec![FetchPartition {
                fetch_offset: 42,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let java = "ffffffff000001f4000000017fffffff010000000100066f72646572730000000100000000000000000000002a00100000";
    check(java, 4, request.clone());

    request.cluster_id = Some("c".to_owned());
    request.session_id = 77;
    request.session_epoch = 2;
    request.rack_id = "r1".to_owned();
    request.forgotten_topics_data = vec![ForgottenTopic {
        topic: "old".to_owned(),
        partitions: vec![1, 5],
        ..Default::default()
    }];
    let partition = &mut request.topics[0].partitions[0];
    partition.current_leader_epoch = 9;
    partition.last_fetched_epoch = 8;
    let java = "ffffffff000001f4000000017fffffff010000004d0000000202076f7264657273020000000000000009000000000000002a00\
                000008ffffffffffffffff00100000000002046f6c64030000000100000005000372310100020263";
    check(java, 12, request.clone());

    request.replica_state = ReplicaState {
        replica_id: 3,
        replica_epoch: 6,
        ..Default::default()
    };
    request.topics[0].topic = String::new();
    request.topics[0].topic_id = TOPIC_ID;
    request.topics[0].partitions[0].replica_directory_id = TOPIC_ID;
    request.forgotten_topics_data[0].topic = String::new();
    request.forgotten_topics_data[0].topic_id = TOPIC_ID;
    let java = "000001f4000000017fffffff010000004d00000002020123456789abcdef0f1e2d3c4b5a697802000000000000000900000000\
                0000002a00000008ffffffffffffffff001000000100100123456789abcdef0f1e2d3c4b5a697800020123456789abcdef0f1e\
                2d3c4b5a6978030000000100000005000372310200020263010d00000003000000000000000600";
    check(java, 17, request);
}

#[test]
fn fetch_response() {
    let partition = PartitionData {
        high_watermark: 100,
        last_stable_offset: 90,
        aborted_transactions: Some(vec![AbortedTransaction {
            producer_id: 5,
            first_offset: 80,
            ..Default::default()
        }]),
        records: records(),
        ..Default::default()
    };
    let mut response = FetchResponse {
        throttle_time_ms: 2,
        responses: vec![FetchableTopicResponse {
            topic: "orders".to_owned(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let java = "000000020000000100066f7264657273000000010000000000000000000000000064000000000000005a000000010000000000\
                0000050000000000000050000000050102030405";
    check(java, 4, response.clone());

    response.error_code = 70;
    response.session_id = 77;
    let partition = &mut response.responses[0].partitions[0];
    partition.log_start_offset = 1;
    partition.preferred_read_replica = 2;
    partition.aborted_transactions = None;
    partition.diverging_epoch = EpochEndOffset {
        epoch: 3,
        end_offset: 33,
        ..Default::default()
    };
    partition.snapshot_id = SnapshotId {
        end_offset: 8,
        epoch: 1,
        ..Default::default()
    };
    let java = "0000000200460000004d02076f7264657273020000000000000000000000000064000000000000005a00000000000000010000\
                00000206010203040502000d00000003000000000000002100020d000000000000000800000001000000";
    check(java, 12, response.clone());

    response.node_endpoints = vec![NodeEndpoint {
        node_id: 4,
        host: "h".to_owned(),
        port: 9092,
        rack: Some("r".to_owned()),
        ..Default::default()
    }];
    let topic = &mut response.responses[0];
    topic.topic = String::new();
    topic.topic_id = TOPIC_ID;
    topic.partitions[0].current_leader = LeaderIdAndEpoch {
        leader_id: 4,
        leader_epoch: 12,
        ..Default::default()
    };
    topic.partitions[0].records = None;
    let java = "0000000200460000004d020123456789abcdef0f1e2d3c4b5a6978020000000000000000000000000064000000000000005a00\
                0000000000000100000000020003000d000000030000000000000021000109000000040000000c00020d000000000000000800\
                000001000001000e0200000004026800002384027200";
    check(java, 17, response);
}

#[test]
fn find_coordinator() {
    let coordinator_keys = vec!["a".to_owned(), "b".to_owned()];
    check(
        "01030261026200",
        4,
        FindCoordinatorRequest {
            key_type: 1,
            coordinator_keys,
            ..Default::default()
        },
    );
    let coordinator = Coordinator {
        key: "a".to_owned(),
        node_id: -1,
        port: -1,
        error_code: 15,
        error_message: None,
        ..Default::default()
    };
    let response = FindCoordinatorResponse {
        coordinators: vec![coordinator],
        ..Default::default()
    };
    check("00000000020261ffffffff01ffffffff000f000000", 4, response);
}

#[test]
fn join_group() {
    let request = JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        member_id: "m".to_owned(),
        group_instance_id: Some("i".to_owned()),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(&[0, 1]),
            ..Default::default()
        }],
        reason: None,
        ..Default::default()
    };
    check(
        "02670000afc8000493e0026d026909636f6e73756d6572020672616e6765030001000000",
        9,
        request,
    );
    let response = JoinGroupResponse {
        generation_id: 5,
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        leader: "m".to_owned(),
        skip_assignment: true,
        member_id: "m".to_owned(),
        members: vec![JoinGroupResponseMember {
            member_id: "m".to_owned(),
            group_instance_id: None,
            metadata: Bytes::from_static(&[0, 1]),
            ..Default::default()
        }],
        ..Default::default()
    };
    check(
        "0000000000000000000509636f6e73756d65720672616e6765026d01026d02026d000300010000",
        9,
        response,
    );
}

#[test]
fn consumer_protocol() {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["a".to_owned()],
        user_data: None,
        owned_partitions: vec![TopicPartition {
            topic: "a".to_owned(),
            partitions: vec![0, 2],
        }],
        generation_id: 4,
        rack_id: Some("r".to_owned()),
    };
    check(
        "00000001000161ffffffff0000000100016100000002000000000000000200000004000172",
        3,
        subscription,
    );
}

/// A struct that may be null (KIP-893).
#[test]
fn nullable_struct() {
    check(
        "01000007d0ff00",
        0,
        DescribeTopicPartitionsRequest::default(),
    );
    let request = DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest {
            name: "a".to_owned(),
            ..Default::default()
        }],
        cursor: Some(Cursor {
            topic_name: "a".to_owned(),
            partition_index: 7,
            ..Default::default()
        }),
        ..Default::default()
    };
    check("02026100000007d0010261000000070000", 0, request);
}
