//! What a snapshot says: what a data folder was made of at one moment.

use std::fmt;
use std::str::FromStr;

use blake3::Hash;
use reasonedit_codebook::ImageId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;
use ulid::Ulid;

/// The form of snapshots and of what they name. As the form before, and the repository has its keys and what
/// says which it is twice.
pub(crate) const FORM: u32 = 3;
/// The first form, in which pictures lay as they had come.
pub(crate) const FIRST_FORM: u32 = 1;
/// Before the sum, which is of everything before this.
const SUM: &str = ",\"sum\":\"";
/// After it.
const END: &str = "\"}\n";

/// Which backup: the second at which it was begun, UTC, and an id, so that they are in order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackupId(String);

impl BackupId {
    /// A new one.
    pub(crate) fn at(now: OffsetDateTime) -> Self {
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        let second = now.to_offset(time::UtcOffset::UTC).format(&form).unwrap_or_default();
        Self(format!("{second}-{}", Ulid::new()))
    }

    /// When it was begun, UTC.
    pub fn at_second(&self) -> Option<OffsetDateTime> {
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        let (second, _) = self.0.split_once('-')?;
        time::PrimitiveDateTime::parse(second, &form).ok().map(time::PrimitiveDateTime::assume_utc)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is no id of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no id of a backup, as 20260101T020000Z-01KBACKVP00000000000000000")]
pub struct NoBackupId;

impl FromStr for BackupId {
    type Err = NoBackupId;

    fn from_str(text: &str) -> Result<Self, NoBackupId> {
        let (second, id) = text.split_once('-').ok_or(NoBackupId)?;
        let digits = |part: &str, count| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
        let (day, clock) = second.split_once('T').ok_or(NoBackupId)?;
        let timed = digits(day, 8) && clock.strip_suffix('Z').is_some_and(|clock| digits(clock, 6));
        let known = Ulid::from_string(id).is_ok_and(|known| known.to_string() == id);
        if timed && known { Ok(Self(text.to_owned())) } else { Err(NoBackupId) }
    }
}

/// A file of the repository: its sum, which is its name, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupObject {
    /// BLAKE3 of its bytes.
    #[serde(with = "digits")]
    pub sum: Hash,
    /// How many bytes it has.
    pub bytes: u64,
}

/// A picture, by the file that it is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupPicture {
    /// BLAKE3 of the file.
    #[serde(with = "digits")]
    pub sum: Hash,
    /// How many bytes it has.
    pub bytes: u64,
    /// Which picture it is of; left out where the file is the picture as it came, whose id the sum is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// What tells the file from each other that ever was of the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Ulid>,
}

impl BackupPicture {
    /// Which picture it is.
    pub fn id(&self) -> ImageId {
        self.image.unwrap_or(ImageId(*self.sum.as_bytes()))
    }

    /// Its file.
    pub fn object(&self) -> BackupObject {
        BackupObject { sum: self.sum, bytes: self.bytes }
    }
}

/// A file of the data folder itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// Its name there; of those in a folder that and a slash before.
    pub name: String,
    /// Its bytes.
    pub object: BackupObject,
}

/// What a data folder was made of at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupManifest {
    /// The form of all this.
    pub form: u32,
    /// Which backup it is.
    pub id: BackupId,
    /// Version of the program that made it.
    pub program: String,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Schema of the rows.
    pub schema: u32,
    /// Codebooks.
    pub codebooks: u64,
    /// Live edits of all codebooks.
    pub edits: u64,
    /// Rows of all packs.
    pub rows: u64,
    /// Packs of rows, in order.
    pub packs: Vec<BackupObject>,
    /// Pictures.
    pub pictures: Vec<BackupPicture>,
    /// Other files.
    pub files: Vec<BackupFile>,
    /// Pictures that were damaged or missing and that no live edit needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<ImageId>,
    /// What was wrong with the store as a whole, in words: its end was missing, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// Why a file is no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoManifest {
    /// Its sum doesn't hold.
    Changed,
    /// It is of a later form.
    Later(u32),
}

impl BackupManifest {
    /// Bytes of all that it names.
    pub fn bytes(&self) -> u64 {
        self.objects().fold(0, |all, object| all.saturating_add(object.bytes))
    }

    fn objects(&self) -> impl Iterator<Item = BackupObject> {
        let pictures = self.pictures.iter().map(BackupPicture::object);
        self.packs.iter().copied().chain(pictures).chain(self.files.iter().map(|file| file.object))
    }

    /// As it is written: JSON, of which the last field is the sum of what stands before it.
    ///
    /// # Errors
    /// None that is known: every field is plain data.
    pub(crate) fn write(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string(self)?;
        text.pop();
        let sum = blake3::hash(text.as_bytes()).to_hex();
        Ok(text + SUM + &sum + END)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, NoManifest> {
        let text = std::str::from_utf8(bytes).map_err(|_| NoManifest::Changed)?;
        let (said, sum) = text.rsplit_once(SUM).ok_or(NoManifest::Changed)?;
        if sum.strip_suffix(END) != Some(blake3::hash(said.as_bytes()).to_hex().as_str()) {
            return Err(NoManifest::Changed);
        }
        let said = format!("{said}}}");
        let Form { form } = serde_json::from_str(&said).map_err(|_| NoManifest::Changed)?;
        if !(FIRST_FORM..=FORM).contains(&form) {
            return Err(NoManifest::Later(form));
        }
        serde_json::from_str(&said).map_err(|_| NoManifest::Changed)
    }
}

/// What every form of a manifest has.
#[derive(Deserialize)]
struct Form {
    form: u32,
}

/// A sum as hexadecimal digits.
mod digits {
    use blake3::Hash;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(sum: &Hash, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&sum.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(from)?;
        Hash::from_hex(&text).map_err(|_| D::Error::custom("no sum"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> BackupManifest {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let object =
            |text: &str| BackupObject { sum: blake3::hash(text.as_bytes()), bytes: text.len() as u64 };
        let picture = |stamp: Option<Ulid>| BackupPicture {
            sum: blake3::hash(b"one"),
            bytes: 3,
            image: stamp.map(|_| ImageId::of(b"two")),
            stamp,
        };
        BackupManifest {
            form: FORM,
            id: BackupId::at(now),
            program: "0.1.0".to_owned(),
            created_at: now,
            schema: 1,
            codebooks: 1,
            edits: 2,
            rows: 3,
            packs: vec![object("pack")],
            pictures: vec![picture(None), picture(Some(Ulid::from_parts(1, 2)))],
            files: vec![BackupFile { name: "tokens.json".to_owned(), object: object("{}") }],
            left_out: Vec::new(),
            faults: Vec::new(),
        }
    }

    #[test]
    fn ids_are_in_order_of_time_and_read_as_they_are_written() {
        let at = |second| BackupId::at(OffsetDateTime::from_unix_timestamp(second).unwrap());
        let (early, late) = (at(1_800_000_000), at(1_800_000_001));
        assert!(early < late && early.as_str().starts_with("20270115T080000Z-"), "{early}");
        assert_eq!(early.to_string().parse::<BackupId>().unwrap(), early);
        assert_eq!(early.at_second().unwrap().unix_timestamp(), 1_800_000_000);
        for bad in ["", "..", "20270115T080000Z", "20270115T080000Z-", "2027-01-15", "20270115T08000ZZ-x/.."]
        {
            assert!(bad.parse::<BackupId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_manifest_is_json_and_any_byte_that_changes_is_seen() {
        let whole = manifest();
        let text = whole.write().unwrap();
        assert_eq!(BackupManifest::read(text.as_bytes()).unwrap(), whole);
        assert_eq!(whole.bytes(), 4 + 3 + 3 + 2);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((json["edits"].as_u64(), json["sum"].as_str().unwrap().len()), (Some(2), 64));
        for at in 0..text.len() {
            assert!(BackupManifest::read(&text.as_bytes()[..at]).is_err(), "{at}");
            for flip in [1, 0x20, 0x80] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= flip;
                assert!(BackupManifest::read(&bytes).is_err(), "{at} {flip}");
            }
        }
        let later = BackupManifest { form: FORM + 1, ..whole }.write().unwrap();
        assert_eq!(BackupManifest::read(later.as_bytes()), Err(NoManifest::Later(FORM + 1)));
    }
}
