//! Identifiers: edits, members, images, embedding generations, and the names of codebooks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::CodebookError;

/// Makes a newtype around [`Ulid`] with the textual form of a ULID everywhere: `Display`, `FromStr` and
/// serde.
macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Ulid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = CodebookError;

            fn from_str(text: &str) -> Result<Self, CodebookError> {
                Ulid::from_string(text)
                    .map(Self)
                    .map_err(|_| CodebookError::InvalidId { what: $what, given: shorten(text) })
            }
        }

        impl $name {
            /// The 16 bytes whose order is the order of the ids.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// Reads the form that [`Self::to_bytes`] writes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }
        }
    };
}

ulid_id!(
    /// Identifies one edit. Later edits have greater ids, up to the clock of the caller that makes them.
    EditId,
    "edit id"
);
ulid_id!(
    /// Identifies one member of the codebook: what one edit contributed at one ordinal. A key bears the id of
    /// its first member.
    MemberId,
    "entry id"
);
ulid_id!(
    /// Identifies one generation of the embedding: all keys of a codebook belong to the same one.
    GenerationId,
    "embedding id"
);

ulid_id!(
    /// Identifies what was taken back in one step.
    RevertId,
    "revert id"
);

impl MemberId {
    /// The id of the member at `ordinal` of `edit`: the edit's timestamp, then 80 bits of
    /// `blake3(edit, ordinal)`.
    ///
    /// Derived rather than drawn, so that the same edit gives the same bytes of codebook.
    pub fn derive(edit: EditId, ordinal: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&edit.to_bytes());
        hasher.update(&ordinal.to_be_bytes());
        let hash = hasher.finalize();
        let mut random = [0u8; 16];
        random[6..].copy_from_slice(&hash.as_bytes()[..10]);
        Self(Ulid::from_parts(edit.0.timestamp_ms(), u128::from_be_bytes(random)))
    }
}

/// Identifies an uploaded image: the BLAKE3 hash of its bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(pub [u8; 32]);

impl ImageId {
    /// The id of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageId({self})")
    }
}

impl FromStr for ImageId {
    type Err = CodebookError;

    /// Accepts exactly what `Display` writes, so that one image has one name (and one path on disk).
    fn from_str(text: &str) -> Result<Self, CodebookError> {
        let invalid = || CodebookError::InvalidId { what: "image id", given: shorten(text) };
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(invalid());
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = hex_digit(pair[0]).ok_or_else(invalid)?;
            let low = hex_digit(pair[1]).ok_or_else(invalid)?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl Serialize for ImageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The name of a codebook: 1 to 64 characters of `a-z`, `0-9` and `-`. The default is `default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CodebookName(String);

impl CodebookName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CodebookName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for CodebookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CodebookName {
    type Err = CodebookError;

    fn from_str(text: &str) -> Result<Self, CodebookError> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(CodebookError::InvalidName(shorten(text))) }
    }
}

impl<'de> Deserialize<'de> for CodebookName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What came from outside may be long; an error message shows its beginning.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(n: u128) -> EditId {
        EditId(Ulid::from_parts(1_700_000_000_000, n))
    }

    #[test]
    fn member_ids_are_derived_and_keep_the_time() {
        let a = MemberId::derive(edit(7), 0);
        assert_eq!(a, MemberId::derive(edit(7), 0));
        assert_ne!(a, MemberId::derive(edit(7), 1));
        assert_ne!(a, MemberId::derive(edit(8), 0));
        assert_eq!(a.0.timestamp_ms(), 1_700_000_000_000);
    }

    #[test]
    fn ids_survive_text_and_json() {
        let id = MemberId::derive(edit(7), 3);
        assert_eq!(id.to_string().parse::<MemberId>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<MemberId>(&json).unwrap(), id);
        assert_eq!(MemberId::from_bytes(id.to_bytes()), id);
        assert!("not an id".parse::<EditId>().is_err());
    }

    #[test]
    fn image_ids_have_one_spelling() {
        let id = ImageId::of(b"picture");
        let text = id.to_string();
        assert_eq!(text.len(), 64);
        assert_eq!(text.parse::<ImageId>().unwrap(), id);
        assert!(text.to_uppercase().parse::<ImageId>().is_err());
        assert!("../../etc/passwd".parse::<ImageId>().is_err());
        assert!(text[1..].parse::<ImageId>().is_err());
        assert_eq!(serde_json::from_str::<ImageId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(CodebookName::default().as_str(), "default");
        for good in ["a", "ward-3", &"x".repeat(64)] {
            assert_eq!(good.parse::<CodebookName>().unwrap().as_str(), good);
        }
        for bad in ["", "A", "a b", "a/b", "ä", "a.b", &"x".repeat(65)] {
            assert!(bad.parse::<CodebookName>().is_err(), "{bad}");
            assert!(serde_json::from_str::<CodebookName>(&format!("\"{bad}\"")).is_err());
        }
    }
}
