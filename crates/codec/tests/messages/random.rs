//! Random messages without knowledge of their fields: bytes are drawn until the decoder takes them.

use bytes::Bytes;
use fastrand::Rng;
use ottla_codec::{DecodeError, DecodeErrorKind};

/// Bytes that `decode` accepts, drawn field by field: what it refuses is drawn again from the refused field on.
pub(crate) fn accepted<M>(
    rng: &mut Rng,
    decode: impl Fn(&Bytes) -> Result<M, DecodeError>,
) -> (Bytes, M) {
    let mut bytes = Vec::new();
    loop {
        let frame = Bytes::copy_from_slice(&bytes);
        let DecodeError { offset, kind, .. } = match decode(&frame) {
            Ok(message) => return (frame, message),
            Err(error) => error,
        };
        match kind {
            // A value that was begun, or an array of a few elements; a length that asks for much is drawn again instead.
            DecodeErrorKind::Truncated { needed, remaining }
                if needed - (remaining as u64) < 100 => {}
            _ => bytes.truncate(offset),
        }
        // Some beginnings have no end, such as a hundred tags in ascending order.
        if rng.u8(..20) == 0 {
            bytes.truncate(offset.saturating_sub(rng.usize(..40)));
        }
        if !matches!(kind, DecodeErrorKind::TrailingBytes { .. }) {
            draw(rng, &mut bytes);
        }
    }
}

/// Appends what may be a count, a length, text or a number; of a long message only what ends it soon.
fn draw(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.len() > 250 {
        return bytes.extend(
            rng.choice([&[0][..], &[1], &[0; 4], &[0; 8]])
                .unwrap_or_default(),
        );
    }
    match rng.u8(..10) {
        0..3 => bytes.push(rng.u8(..4)),
        3 => bytes.extend([0, rng.u8(..9)]),
        4 => bytes.extend([0, 0, 0, rng.u8(..3)]),
        5 => bytes.extend([0xff; 4]),
        6 | 7 => bytes.extend((0..rng.usize(1..8)).map(|_| rng.u8(b'a'..=b'z'))),
        8 => bytes.push(rng.u8(0x78..0x88)),
        _ => bytes.extend(rng.u64(..).to_be_bytes()),
    }
}
