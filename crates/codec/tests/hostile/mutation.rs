//! Damage: what an enemy or a bad cable makes of bytes that were right.

use fastrand::Rng;

/// Varints: null, empty, 63, 2^31-1, 2^32-1, -2 as zigzag, one too large for its type, and one that does not end.
const VARINTS: [&[u8]; 8] = [
    &[0],
    &[1],
    &[0x40],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x03],
    &[0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0x80; 12],
];

/// Two and four bytes: -1, -2, the least, the greatest, and some that might be taken for true.
const FIXED: [&[u8]; 12] = [
    &[0xff, 0xff],
    &[0xff, 0xfe],
    &[0x80, 0],
    &[0x7f, 0xff],
    &[0, 0x40],
    &[0xff; 4],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0x80, 0, 0, 0],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0, 0, 0, 0x40],
    &[0, 0, 0x40, 0],
    &[0, 0x40, 0, 0],
];

/// Every hostile length at `position`, in place of a varint or of so many bytes.
pub(crate) fn lengths(bytes: &[u8], position: usize) -> impl Iterator<Item = Vec<u8>> {
    let varint = bytes[position..]
        .iter()
        .position(|byte| *byte < 0x80)
        .map_or(1, |end| end + 1);
    let varints = VARINTS.iter().map(move |length| (*length, varint));
    let fixed = FIXED.iter().map(|length| (*length, length.len()));
    varints.chain(fixed).map(move |(length, replaced)| {
        let behind = bytes.get(position + replaced..).unwrap_or_default();
        [&bytes[..position], length, behind].concat()
    })
}

/// Some bits flipped, a run repeated, cut out or zeroed, or the end cut off.
pub(crate) fn drawn(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.is_empty() {
        return bytes;
    }
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..bytes.len());
        let to = bytes.len().min(at + rng.usize(1..20));
        match rng.u8(..8) {
            0..3 => bytes[at] ^= 1 << rng.u8(..8),
            3 => bytes[at] = rng.u8(..),
            4 => bytes[at..to].fill(rng.choice([0, 1, 0x7f, 0xff]).unwrap_or_default()),
            5 => {
                let run = bytes[at..to].to_vec();
                bytes.splice(at..at, run);
            }
            6 if to - at < bytes.len() => drop(bytes.drain(at..to)),
            7 if at > 0 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

/// How often something is drawn: `short`, or twenty times that.
pub(crate) fn draws(short: usize) -> usize {
    match std::env::var_os("OTTLA_TEST_LONG") {
        Some(_) => 20 * short,
        None => short,
    }
}
