//! What the tree of a JSON document takes in memory, told before it is made: some bytes of text make ninety
//! times as many of maps and lists.

use memchr::memchr2;

/// Bytes that an object takes, its place in a list that grows included: the map of its first few fields.
const OBJECT: u64 = 640;
/// The same of a list.
const LIST: u64 = 400;
/// Of each further value: three times its place, since a list that grows holds the former one meanwhile.
const VALUE: u64 = 216;
/// Of the name of a field, beside its text: a text of its own, three times the place of its entry.
const NAME: u64 = 144;
/// How deep a parser goes (`serde_json`'s limit of recursion).
const DEEPEST: u32 = 128;

/// The most bytes that a `serde_json::Value` with its fields in order takes, whatever document these bytes
/// are; of bytes that are no JSON as far as a parser would come. Takes no memory itself.
pub fn tree_bytes(json: &[u8]) -> u64 {
    let (mut taken, mut rest, mut depth) = (VALUE, json, 0_u32);
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        depth = match byte {
            b'{' | b'[' => depth + 1,
            b'}' | b']' => depth.saturating_sub(1),
            _ => depth,
        };
        if depth > DEEPEST {
            break;
        }
        taken += match byte {
            b'{' => OBJECT,
            b'[' => LIST,
            b',' => VALUE,
            b':' => NAME,
            b'"' => {
                let text = text(rest);
                rest = rest.get(text + 1..).unwrap_or_default();
                // Rounded up, as allocators do.
                text as u64 + text as u64 / 4 + 16
            }
            _ => 0,
        };
    }
    taken
}

/// Bytes up to the quote that ends a text, or all.
fn text(json: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        if json[at + found] == b'"' {
            return at + found;
        }
        at += found + 2;
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_texts_counts_as_text_alone() {
        let of_text = tree_bytes(br#""abcdefgh""#);
        assert_eq!(of_text, VALUE + 8 + 2 + 16);
        for same in [&br#""{{[[,,::""#[..], br#""\"\\\"[{,:""#, br#""\\\\\\\\""#] {
            assert!(tree_bytes(same).abs_diff(of_text) <= 5, "{}", String::from_utf8_lossy(same));
        }
        assert_eq!(tree_bytes(b"{}"), VALUE + OBJECT);
        assert_eq!(tree_bytes(b"[1,2]"), 2 * VALUE + LIST);
        // Texts without an end, or that end within an escape.
        for broken in [&b"\""[..], b"\"abc", b"\"abc\\", b"\"\\\""] {
            assert!(tree_bytes(broken) <= VALUE + 30);
        }
        assert_eq!(tree_bytes(b""), VALUE);
        // A parser has stopped by then.
        assert_eq!(tree_bytes(&vec![b'['; 100_000]), VALUE + 128 * LIST);
    }
}
