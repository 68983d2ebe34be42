//! What a version cannot express is refused, not lost, unless the schema says that it may be.

use bytes::Bytes;
use ottla_codec::{
    EncodeError, EncodeErrorKind, Message, UnknownTaggedField, VersionRange, decode_message,
    encode_message,
    messages::{
        fetch::{FetchRequest, FetchTopic, ReplicaState},
        init_producer_id::InitProducerIdRequest,
        join_group::JoinGroupRequest,
        metadata::{MetadataRequest, MetadataRequestTopic},
        offset_fetch::OffsetFetchRequest,
        produce::ProduceRequest,
        sasl_authenticate::SaslAuthenticateRequest,
    },
};

fn refusal<M: Message>(message: &M, version: i16) -> (&'static str, &'static str, EncodeErrorKind) {
    let EncodeError {
        message,
        field,
        kind,
    } = encode_message(message, version).expect_err("was encoded");
    (message, field, kind)
}

#[test]
fn a_value_without_a_place_is_refused() {
    let request = JoinGroupRequest {
        group_instance_id: Some("i".to_owned()),
        ..Default::default()
    };
    assert!(encode_message(&request, 5).is_ok());
    let kind = EncodeErrorKind::NotInVersion { version: 4 };
    assert_eq!(
        refusal(&request, 4),
        ("JoinGroupRequest", "group_instance_id", kind)
    );

    let request = FetchRequest {
        replica_id: 3,
        ..Default::default()
    };
    assert!(encode_message(&request, 14).is_ok());
    let kind = EncodeErrorKind::NotInVersion { version: 15 };
    assert_eq!(refusal(&request, 15), ("FetchRequest", "replica_id", kind));
}

#[test]
fn a_tagged_value_without_a_place_is_refused() {
    let replica_state = ReplicaState {
        replica_id: 3,
        ..Default::default()
    };
    let request = FetchRequest {
        replica_state,
        ..Default::default()
    };
    assert!(encode_message(&request, 15).is_ok());
    for version in [4, 12, 14] {
        let kind = EncodeErrorKind::NotInVersion { version };
        assert_eq!(
            refusal(&request, version),
            ("FetchRequest", "replica_state", kind)
        );
    }
}

#[test]
fn unknown_tagged_fields_without_a_place_are_refused() {
    let unknown = UnknownTaggedField {
        tag: 9,
        data: Bytes::from_static(b"x"),
    };
    let request = MetadataRequest {
        unknown_tagged_fields: vec![unknown.clone()],
        ..Default::default()
    };
    assert!(encode_message(&request, 9).is_ok());
    let kind = EncodeErrorKind::NotInVersion { version: 8 };
    let field = "unknown_tagged_fields";
    assert_eq!(refusal(&request, 8), ("MetadataRequest", field, kind));

    // Those of a part, too.
    let topic = MetadataRequestTopic {
        unknown_tagged_fields: vec![unknown],
        ..Default::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        ..Default::default()
    };
    assert!(encode_message(&request, 9).is_ok());
    assert!(encode_message(&request, 8).is_err());
}

#[test]
fn an_ignorable_value_without_a_place_is_left_out() {
    let request = JoinGroupRequest {
        reason: Some("r".to_owned()),
        ..Default::default()
    };
    let bytes = encode_message(&request, 7).unwrap().to_bytes();
    assert_eq!(decode_message(&bytes, 7), Ok(JoinGroupRequest::default()));

    let topics = vec![FetchTopic {
        topic: "t".to_owned(),
        ..Default::default()
    }];
    let bytes = encode_message(
        &FetchRequest {
            topics,
            ..Default::default()
        },
        13,
    )
    .unwrap()
    .to_bytes();
    let request: FetchRequest = decode_message(&bytes, 13).unwrap();
    assert_eq!(request.topics, [FetchTopic::default()]);
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let everything = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    assert!(encode_message(&everything, 1).is_ok());
    let kind = EncodeErrorKind::NullNotAllowed { version: 0 };
    assert_eq!(refusal(&everything, 0), ("MetadataRequest", "topics", kind));

    let nameless = MetadataRequestTopic {
        name: None,
        ..Default::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![nameless]),
        ..Default::default()
    };
    assert!(encode_message(&request, 10).is_ok());
    let kind = EncodeErrorKind::NullNotAllowed { version: 9 };
    assert_eq!(
        refusal(&request, 9),
        ("MetadataRequest", "MetadataRequestTopic.name", kind)
    );

    let all_topics = OffsetFetchRequest {
        topics: None,
        ..Default::default()
    };
    assert!(encode_message(&all_topics, 7).is_ok());
    assert_eq!(
        refusal(&all_topics, 1).2,
        EncodeErrorKind::NullNotAllowed { version: 1 }
    );
}

#[test]
fn an_unstable_version_is_encoded_but_not_offered() {
    assert_eq!(InitProducerIdRequest::VERSIONS, VersionRange::new(0, 5));
    assert_eq!(InitProducerIdRequest::ALL_VERSIONS, VersionRange::new(0, 6));
    let request = InitProducerIdRequest {
        enable2_pc: true,
        ..Default::default()
    };
    let bytes = encode_message(&request, 6).unwrap().to_bytes();
    assert_eq!(decode_message(&bytes, 6), Ok(request));
}

#[test]
fn an_unknown_version_is_refused_both_ways() {
    for version in [-1, 2, 14] {
        let kind = EncodeErrorKind::UnsupportedVersion { version };
        assert_eq!(
            refusal(&ProduceRequest::default(), version),
            ("ProduceRequest", "", kind)
        );
        let error = decode_message::<ProduceRequest>(&[0; 64][..].into(), version).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot decode ProduceRequest: version {version} is not supported, at byte 0")
        );
    }
}

#[test]
fn a_tag_twice_is_refused() {
    let field = |tag| UnknownTaggedField {
        tag,
        data: Default::default(),
    };
    let mut request = FetchRequest {
        cluster_id: Some("c".to_owned()),
        ..Default::default()
    };
    // Written sorted, wherever they stood.
    request.unknown_tagged_fields = vec![field(9), field(7)];
    let bytes = encode_message(&request, 12).unwrap().to_bytes();
    let again: FetchRequest = decode_message(&bytes, 12).unwrap();
    assert_eq!(again.unknown_tagged_fields, [field(7), field(9)]);
    // A reader takes it for the cluster id, which is left out where it is null.
    for cluster_id in [Some("c".to_owned()), None] {
        request.cluster_id = cluster_id;
        request.unknown_tagged_fields = vec![field(0)];
        assert_eq!(
            refusal(&request, 12).2,
            EncodeErrorKind::DuplicateTag { tag: 0 }
        );
    }
    // Unknown is what the version does not know.
    request.unknown_tagged_fields = vec![field(1)];
    let bytes = encode_message(&request, 14).unwrap().to_bytes();
    assert_eq!(decode_message(&bytes, 14), Ok(request.clone()));
    assert_eq!(
        refusal(&request, 15).2,
        EncodeErrorKind::DuplicateTag { tag: 1 }
    );
}

#[test]
fn credentials_are_not_shown() {
    let request = SaslAuthenticateRequest {
        auth_bytes: (&b"\0user\0secret"[..]).into(),
        ..Default::default()
    };
    let shown = format!("{request:?}");
    assert!(
        shown.contains("<12 bytes>") && !shown.contains("secret"),
        "{shown}"
    );
}
