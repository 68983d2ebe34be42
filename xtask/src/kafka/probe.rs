//! Asks a broker whether it serves: `ApiVersions` 0, then `Metadata` 1 for the brokers it knows.
//!
//! Written by hand so that this crate needs none of the workspace's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const API_VERSIONS: (i16, i16) = (18, 0);
const METADATA: (i16, i16) = (3, 1);
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_RESPONSE: i32 = 1 << 20;

/// The ids of the brokers that the broker at `port` knows, once there is a controller.
///
/// # Errors
/// It does not listen, does not answer, or knows no controller yet.
pub(crate) fn registered_brokers(port: u16) -> Result<Vec<i32>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).context("connecting")?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let versions = exchange(&mut stream, API_VERSIONS, &[]).context("asking for ApiVersions")?;
    let error = Cursor(&versions).i16()?;
    ensure!(error == 0, "ApiVersions answered error {error}");
    // An empty array asks for no topic.
    let metadata =
        exchange(&mut stream, METADATA, &0_i32.to_be_bytes()).context("asking for Metadata")?;
    brokers(&metadata)
}

fn exchange(stream: &mut TcpStream, api: (i16, i16), body: &[u8]) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    request.extend(api.0.to_be_bytes());
    request.extend(api.1.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(body);
    let length = i32::try_from(request.len())?;
    stream.write_all(&[&length.to_be_bytes()[..], &request].concat())?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let length = i32::from_be_bytes(prefix);
    ensure!(
        (4..=MAX_RESPONSE).contains(&length),
        "a response of {length} bytes"
    );
    let mut response = vec![0; usize::try_from(length)?];
    stream.read_exact(&mut response)?;
    let mut cursor = Cursor(&response);
    let correlation = cursor.i32()?;
    ensure!(correlation == 1, "a response to request {correlation}");
    Ok(cursor.0.to_vec())
}

fn brokers(metadata: &[u8]) -> Result<Vec<i32>> {
    let mut cursor = Cursor(metadata);
    let count = cursor.i32()?;
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(cursor.i32()?);
        cursor.string()?;
        cursor.i32()?;
        cursor.string()?;
    }
    let controller = cursor.i32()?;
    ensure!(controller >= 0, "no controller yet");
    ids.sort_unstable();
    Ok(ids)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            bail!("a response that is too short")
        };
        self.0 = rest;
        Ok(taken)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn string(&mut self) -> Result<()> {
        let length = self.i16()?;
        self.take(usize::try_from(length.max(0))?)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(ids: &[i32], controller: i32) -> Vec<u8> {
        let mut bytes = i32::try_from(ids.len()).unwrap().to_be_bytes().to_vec();
        for id in ids {
            bytes.extend(id.to_be_bytes());
            bytes.extend([0, 1, b'h']);
            bytes.extend(9092_i32.to_be_bytes());
            bytes.extend((-1_i16).to_be_bytes());
        }
        bytes.extend(controller.to_be_bytes());
        bytes.extend(0_i32.to_be_bytes());
        bytes
    }

    #[test]
    fn lists_the_brokers_in_order() {
        assert_eq!(brokers(&metadata(&[3, 1, 2], 1)).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_cluster_without_controller_is_not_ready() {
        assert!(brokers(&metadata(&[1], -1)).is_err());
    }

    #[test]
    fn every_shortened_response_is_an_error() {
        let whole = metadata(&[1, 2], 1);
        for end in 0..whole.len() - 4 {
            assert!(brokers(&whole[..end]).is_err(), "{end}");
        }
    }
}
