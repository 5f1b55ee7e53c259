//! Sums, and how sled writes numbers and bytes.

/// The sum of these, one behind the other.
pub(crate) fn crc(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The first four bytes as a number; 0 of fewer.
pub(crate) fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The first eight bytes as a number.
pub(crate) fn long(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

/// A number of sled's variable length.
pub(crate) fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    let at = |i: usize| rest.get(i).copied().map(u64::from);
    let (value, length) = match first {
        0..=240 => (u64::from(first), 0),
        241..=248 => (240 + 256 * (u64::from(first) - 241) + at(0)?, 1),
        249 => (2288 + 256 * at(0)? + at(1)?, 2),
        _ => {
            let length = usize::from(first) - 247;
            let mut whole = [0; 8];
            whole[..length].copy_from_slice(rest.get(..length)?);
            (u64::from_le_bytes(whole), length)
        }
    };
    *bytes = rest.get(length..)?;
    Some(value)
}

/// A number as [`number`] reads it.
pub(crate) fn numbers(value: u64) -> Vec<u8> {
    match value {
        0..=240 => vec![value as u8],
        241..=2287 => vec![((value - 240) / 256 + 241) as u8, ((value - 240) % 256) as u8],
        2288..=67_823 => vec![249, ((value - 2288) / 256) as u8, ((value - 2288) % 256) as u8],
        _ => {
            let length = 8 - value.leading_zeros() as usize / 8;
            [&[(247 + length) as u8][..], &value.to_le_bytes()[..length]].concat()
        }
    }
}

/// Bytes behind their length.
pub(crate) fn bytes(from: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(number(from)?).ok()?;
    let (own, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(own.to_vec())
}
