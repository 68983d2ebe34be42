//! The JSON form, beyond what the vectors compare: what Kafka 4.3.0's own converters answered is beside each case.

use ottla_codec::messages::AnyRequest;
use ottla_codec::messages::describe_client_quotas::ValueData;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use serde_json::{from_str, json, to_string, to_value};

fn heartbeat() -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: "m".to_owned(),
        ..HeartbeatRequest::default()
    }
}

/// `HeartbeatRequestDataJsonConverter.read` ignores it; a missing `memberId` is an exception there.
#[test]
fn a_key_that_is_no_fields_is_left_unread() {
    let java =
        r#"{"groupId":"g","generationId":0,"memberId":"m","groupInstanceId":null,"nonsense":7}"#;
    assert_eq!(from_str::<HeartbeatRequest>(java).unwrap(), heartbeat());
    let fewer = r#"{"groupId":"g","memberId":"m"}"#;
    assert_eq!(from_str::<HeartbeatRequest>(fewer).unwrap(), heartbeat());
}

/// Jackson writes these texts, which the converter then refuses ("expected a floating point type, but got STRING").
#[test]
fn a_number_that_is_none_is_text() {
    let value = |value| ValueData {
        key: "k".to_owned(),
        value,
        ..ValueData::default()
    };
    for (number, text) in [
        (f64::NAN, r#"{"key":"k","value":"NaN"}"#),
        (f64::INFINITY, r#"{"key":"k","value":"Infinity"}"#),
        (f64::NEG_INFINITY, r#"{"key":"k","value":"-Infinity"}"#),
        (1.5, r#"{"key":"k","value":1.5}"#),
        (3.0, r#"{"key":"k","value":3.0}"#),
    ] {
        assert_eq!(to_string(&value(number)).unwrap(), text);
        let read = from_str::<ValueData>(text).unwrap();
        assert_eq!(read.value.to_bits(), number.to_bits(), "{text}");
    }
    assert_eq!(
        from_str::<ValueData>(r#"{"value":-7}"#).unwrap().value,
        -7.0
    );
    for wrong in ["null", r#""1.5""#, r#""nan""#, "[]"] {
        let text = format!(r#"{{"key":"k","value":{wrong}}}"#);
        assert!(from_str::<ValueData>(&text).is_err(), "{wrong}");
    }
}

/// What is no value of a field is an error, not a default.
#[test]
fn a_wrong_value_is_an_error() {
    for (name, wrong) in [
        ("groupId", json!(null)),
        ("groupId", json!(7)),
        ("generationId", json!("7")),
        ("generationId", json!(1i64 << 31)),
        ("groupInstanceId", json!({})),
    ] {
        let mut message = to_value(heartbeat()).unwrap();
        message[name] = wrong;
        let text = message.to_string();
        assert!(from_str::<HeartbeatRequest>(&text).is_err(), "{text}");
    }
    assert!(from_str::<HeartbeatRequest>(r#"{"groupId":"g","groupId":"h"}"#).is_err());
}

#[test]
fn any_message_is_that_message() {
    let any = AnyRequest::from(heartbeat());
    assert_eq!(to_value(any).unwrap(), to_value(heartbeat()).unwrap());
}
