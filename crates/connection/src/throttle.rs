//! Which answers' throttle times this client must obey (KIP-219).
//!
//! A broker that is asked in an older version holds the answer back for the throttle time and
//! mentions that time in the answer; from the versions below on it answers at once and expects the
//! client to keep quiet for as long.

use std::time::Duration;

use ottla_codec::ApiKey;

/// How long to send nothing after an answer with this throttle time.
pub(crate) fn silence(api: ApiKey, version: i16, throttle_ms: i32) -> Option<Duration> {
    let throttle_ms = u64::try_from(throttle_ms).ok().filter(|ms| *ms > 0)?;
    (version >= first_version(api)).then(|| Duration::from_millis(throttle_ms))
}

/// The first version in which the client throttles itself; 0 for APIs younger than KIP-219.
fn first_version(api: ApiKey) -> i16 {
    match api {
        ApiKey::Fetch => 8,
        ApiKey::Metadata | ApiKey::Produce => 6,
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => 4,
        ApiKey::CreateTopics | ApiKey::JoinGroup | ApiKey::ListOffsets => 3,
        ApiKey::ApiVersions
        | ApiKey::DeleteTopics
        | ApiKey::DescribeConfigs
        | ApiKey::DescribeGroups
        | ApiKey::FindCoordinator
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::ListGroups
        | ApiKey::SyncGroup => 2,
        ApiKey::AddOffsetsToTxn
        | ApiKey::AddPartitionsToTxn
        | ApiKey::AlterReplicaLogDirs
        | ApiKey::CreateAcls
        | ApiKey::CreateDelegationToken
        | ApiKey::CreatePartitions
        | ApiKey::DeleteAcls
        | ApiKey::DeleteGroups
        | ApiKey::DeleteRecords
        | ApiKey::DescribeAcls
        | ApiKey::DescribeDelegationToken
        | ApiKey::DescribeLogDirs
        | ApiKey::EndTxn
        | ApiKey::ExpireDelegationToken
        | ApiKey::InitProducerId
        | ApiKey::RenewDelegationToken
        | ApiKey::TxnOffsetCommit => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_after_kip_219_silence_the_client() {
        let ms = Duration::from_millis;
        assert_eq!(silence(ApiKey::Fetch, 7, 100), None);
        assert_eq!(silence(ApiKey::Fetch, 8, 100), Some(ms(100)));
        assert_eq!(silence(ApiKey::Produce, 6, 100), Some(ms(100)));
        assert_eq!(silence(ApiKey::ConsumerGroupHeartbeat, 0, 1), Some(ms(1)));
        assert_eq!(silence(ApiKey::Produce, 9, 0), None);
        assert_eq!(silence(ApiKey::Produce, 9, -1), None);
    }
}
