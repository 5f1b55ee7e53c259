//! A line as it is written: `{"seq":…,"at":…,…,"prev":"…","hash":"…"}`, of which the hash is that of all that
//! stands before it.

use blake3::Hash;
use serde::Deserialize;
use time::OffsetDateTime;
use time::macros::format_description;

/// Before the hash of the line before.
const PREV: &str = ",\"prev\":\"";
/// Before the hash of the line itself.
const HASH: &str = "\",\"hash\":\"";
/// After it.
const END: &str = "\"}";
/// Digits of a hash.
const DIGITS: usize = 64;

/// The hash that the first line carries.
pub(crate) const GENESIS: Hash = Hash::from_bytes([0; 32]);

/// A time as lines have it, UTC to the microsecond.
pub(crate) fn told(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.to_offset(time::UtcOffset::UTC).format(&form).unwrap_or_default()
}

/// Where the trail stands: the number and the hash of its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
}

impl Place {
    /// Before the first line.
    pub(crate) const BEGIN: Self = Self { seq: 0, hash: GENESIS };

    /// As a file says it; none of a number that no line can follow.
    pub(crate) fn said(seq: u64, hash: &str) -> Option<Self> {
        Some(Self { seq, hash: Hash::from_hex(hash).ok()? }).filter(|place| place.seq < u64::MAX)
    }
}

/// Writes the line that follows `after`, its newline included; `body` is what it says, as a JSON object.
pub(crate) fn seal(after: Place, at: &str, body: &str, into: &mut Vec<u8>) -> Place {
    let begin = into.len();
    let seq = after.seq + 1;
    let said = body.strip_prefix('{').and_then(|said| said.strip_suffix('}')).unwrap_or_default();
    let comma = if said.is_empty() { "" } else { "," };
    let text = format!("{{\"seq\":{seq},\"at\":\"{at}\"{comma}{said}{PREV}{}", after.hash.to_hex());
    into.extend_from_slice(text.as_bytes());
    let hash = blake3::hash(&into[begin..]);
    into.extend_from_slice(format!("{HASH}{}{END}\n", hash.to_hex()).as_bytes());
    Place { seq, hash }
}

/// What a line says of its place, whether or not it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
    /// Whether the hash is that of the line.
    pub(crate) holds: bool,
}

impl Sealed {
    /// Where the trail stands after it.
    pub(crate) fn place(&self) -> Place {
        Place { seq: self.seq, hash: self.hash }
    }

    /// Whether it is the line after `place`, as it was written.
    pub(crate) fn follows(&self, place: Place) -> bool {
        self.holds && self.seq == place.seq + 1 && self.prev == place.hash
    }
}

/// The number that a line begins with.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// Reads a line without its newline. None is no line of a trail.
pub(crate) fn unseal(line: &[u8]) -> Option<Sealed> {
    let (said, hash) = cut(line, HASH, END)?;
    let (_, prev) = cut_open(said, PREV)?;
    // What holds is what was written: its number need not be looked for in the whole line.
    let Numbered { seq } = serde_json::from_slice(line).ok()?;
    let sealed = Sealed { seq, prev, hash, holds: blake3::hash(said) == hash };
    // What no line can follow was never written.
    (seq < u64::MAX).then_some(sealed)
}

/// The number of a line, without reading more of it.
pub(crate) fn seq_of(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"seq\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok().filter(|seq| *seq < u64::MAX)
}

/// What stands before a hash with these marks around it, and the hash.
fn cut<'a>(line: &'a [u8], before: &str, after: &str) -> Option<(&'a [u8], Hash)> {
    cut_open(line.strip_suffix(after.as_bytes())?, before)
}

/// The same of a hash at the end.
fn cut_open<'a>(line: &'a [u8], before: &str) -> Option<(&'a [u8], Hash)> {
    let (rest, digits) = line.split_at_checked(line.len().checked_sub(DIGITS)?)?;
    // One writing of each hash: upper-case digits would say the same and be another line.
    if !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    Some((rest.strip_suffix(before.as_bytes())?, Hash::from_hex(digits).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_and_any_byte_that_changes_is_seen() {
        let mut bytes = Vec::new();
        let first = seal(Place::BEGIN, "2026-11-30T09:00:00.000000Z", "{\"event\":\"opened\"}", &mut bytes);
        let line = bytes.strip_suffix(b"\n").unwrap();
        let json: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!((json["seq"].as_u64(), json["event"].as_str()), (Some(1), Some("opened")));
        let sealed = unseal(line).unwrap();
        assert!(sealed.follows(Place::BEGIN) && sealed.place() == first);
        for at in 0..line.len() {
            assert!(unseal(&line[..at]).is_none_or(|sealed| !sealed.holds), "{at}");
            for flip in [1, 0x20, 0x80] {
                let mut changed = line.to_vec();
                changed[at] ^= flip;
                assert!(unseal(&changed).is_none_or(|sealed| !sealed.holds), "{at} {flip}");
            }
        }
        let second = seal(first, "2026-11-30T09:00:01.000000Z", "{}", &mut bytes);
        assert_eq!(second.seq, 2);
        let line = bytes.strip_suffix(b"\n").unwrap().rsplit(|&byte| byte == b'\n').next().unwrap();
        assert!(unseal(line).unwrap().follows(first));
    }
}
