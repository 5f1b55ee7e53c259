//! Checkpoints: where the trail stands, signed. They stand in the trail, and outside of it in the log and
//! wherever they are kept; against those it shows that the end was cut off, and against all of them that
//! lines were written anew by who hasn't the key.

use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::str::FromStr;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use time::OffsetDateTime;

use crate::error::{AuditError, Result};
use crate::head::AuditHead;
use crate::layout::{self, SIGNING_KEY, UNFINISHED};
use crate::line::{Place, told};

/// What a checkpoint's text begins with.
const NAME: &str = "reasonedit-audit-checkpoint-1";
/// Most bytes of a key's file.
const KEY_BYTES: u64 = 4096;

/// A signed statement of where the trail stood. Its text is one line:
/// `reasonedit-audit-checkpoint-1 SEQ HASH TIME KEY SIGNATURE`, the signature being Ed25519 of all that
/// stands before the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCheckpoint {
    /// The last line.
    pub head: AuditHead,
    at: String,
    /// The public key, 64 hexadecimal digits.
    pub key: String,
    signature: String,
}

impl fmt::Display for AuditCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.signed(), self.key, self.signature)
    }
}

impl FromStr for AuditCheckpoint {
    type Err = AuditError;

    /// Reads a checkpoint that this key has signed.
    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (name, seq, hash, at, key, signature) = (word(), word(), word(), word(), word(), word());
        let unsigned = || AuditError::Checkpoint(shortened(text));
        let seq: u64 = seq.parse().map_err(|_| unsigned())?;
        let read = Self { head: AuditHead { seq, hash }, at, key, signature };
        // There is one writing of each.
        (name == NAME && read.to_string() == text && read.holds()).then_some(read).ok_or_else(unsigned)
    }
}

impl AuditCheckpoint {
    /// The checkpoints in a text, a file of them or lines of a log that have them among other things.
    ///
    /// # Errors
    /// [`AuditError::Checkpoint`] for one that its key hasn't signed, and where there is none.
    pub fn all_in(text: &str) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for (begin, _) in text.match_indices(NAME) {
            let signed = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | ':' | '.'));
            let rest = &text[begin..];
            let line = rest.split(signed).next().unwrap_or_default();
            let six = line.split(' ').take(6).collect::<Vec<_>>().join(" ");
            found.push(six.parse()?);
        }
        if found.is_empty() {
            return Err(AuditError::Checkpoint(shortened(text)));
        }
        Ok(found)
    }

    fn signed(&self) -> String {
        format!("{NAME} {} {} {}", self.head.seq, self.head.hash, self.at)
    }

    fn holds(&self) -> bool {
        let (Some(key), Some(signature)) = (of_hex(&self.key), of_hex(&self.signature)) else { return false };
        of_hex(&self.head.hash).is_some_and(|hash| hash.len() == blake3::OUT_LEN)
            && UnparsedPublicKey::new(&ED25519, key).verify(self.signed().as_bytes(), &signature).is_ok()
    }
}

/// What signs checkpoints.
pub(crate) struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of this file, which is made if it isn't there. The trail's own that is damaged is set aside
    /// for a new one, and that is told: nothing else is lost, and nobody is kept from starting. One that
    /// somebody else has put there is theirs to mend.
    ///
    /// # Errors
    /// [`AuditError::SigningKey`] for a file that is none, [`AuditError::File`].
    pub(crate) fn open(path: &Path) -> Result<Self> {
        match Self::read(path) {
            Err(AuditError::SigningKey(_)) if path.file_name().is_some_and(|name| name == SIGNING_KEY) => {
                let aside = path.with_extension("damaged");
                fs::rename(path, &aside).map_err(AuditError::file(path))?;
                tracing::error!(
                    aside = %aside.display(),
                    "the key that checkpoints are signed with was damaged: they are signed with a new one \
                     from here on (reasonedit audit key)"
                );
                Self::read(path)
            }
            read => read,
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let of_file = || AuditError::file(path);
        let bytes = match fs::metadata(path) {
            Ok(file) if file.len() > KEY_BYTES => return Err(AuditError::SigningKey(path.to_owned())),
            Ok(_) => fs::read(path).map_err(of_file())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map_err(of_file())?,
            Err(error) => return Err(of_file()(error)),
        };
        let pair = Ed25519KeyPair::from_pkcs8(&bytes);
        pair.map(Self).map_err(|_| AuditError::SigningKey(path.to_owned()))
    }

    /// The public key, in hexadecimal digits.
    pub(crate) fn public(&self) -> String {
        hex(self.0.public_key().as_ref())
    }

    /// Signs that the trail stands here now.
    pub(crate) fn sign(&self, place: Place, at: OffsetDateTime) -> AuditCheckpoint {
        let mut checkpoint = AuditCheckpoint {
            head: place.into(),
            at: told(at),
            key: self.public(),
            signature: String::new(),
        };
        checkpoint.signature = hex(self.0.sign(checkpoint.signed().as_bytes()).as_ref());
        checkpoint
    }
}

/// Makes a key, whole and durably, for its owner alone.
fn make(path: &Path) -> io::Result<Vec<u8>> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
    let key = key.map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Of files that tempfile makes nobody else reads any.
    let mut file = tempfile::NamedTempFile::with_prefix_in(UNFINISHED, folder)?;
    file.write_all(key.as_ref())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => layout::sync_folder(folder)?,
        // Another process was faster.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return fs::read(path),
        Err(error) => return Err(error.error),
    }
    Ok(key.as_ref().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The bytes of hexadecimal digits.
fn of_hex(text: &str) -> Option<Vec<u8>> {
    // One writing of each: upper-case digits would say the same, and signs are none.
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// The public key of a trail's folder, in hexadecimal digits, if it has been made.
///
/// # Errors
/// [`AuditError::SigningKey`] for a file that is none, [`AuditError::File`].
pub fn public_key(folder: &Path, config: &crate::AuditConfig) -> Result<Option<String>> {
    let path = config.signing_key(folder);
    if !path.exists() {
        return Ok(None);
    }
    SigningKey::open(&path).map(|key| Some(key.public()))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::line::GENESIS;

    #[test]
    fn a_checkpoint_reads_back_and_any_byte_that_changes_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = SigningKey::open(&path).unwrap();
        assert_eq!(SigningKey::open(&path).unwrap().public(), key.public(), "it is made once");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let place = Place { seq: 412, hash: GENESIS };
        let signed = key.sign(place, datetime!(2026-12-01 08:00 UTC));
        let text = signed.to_string();
        assert_eq!(text.parse::<AuditCheckpoint>().unwrap(), signed);
        assert_eq!((signed.head.seq, &signed.key), (412, &key.public()));
        for at in 0..text.len() {
            for flip in [1, 0x20] {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= flip;
                if let Ok(changed) = String::from_utf8(changed) {
                    assert!(changed.parse::<AuditCheckpoint>().is_err(), "{at} {flip}");
                }
            }
        }
        for other in
            [format!("{text} more"), format!(" {text}"), text.to_uppercase(), text.replace(" 412 ", " 0412 ")]
        {
            assert!(other.parse::<AuditCheckpoint>().is_err(), "{other}");
        }
        let log = format!("2026 INFO checkpoint=\"{text}\" more\n{{\"checkpoint\":\"{text}\"}}\n{text}\n");
        assert_eq!(AuditCheckpoint::all_in(&log).unwrap(), vec![signed; 3]);
        assert!(AuditCheckpoint::all_in("nothing").is_err());
        assert!(AuditCheckpoint::all_in(&log.replacen(" 412 ", " 413 ", 1)).is_err());
        fs::write(&path, b"no key").unwrap();
        assert!(matches!(SigningKey::open(&path), Err(AuditError::SigningKey(_))));
        assert_eq!(fs::read(&path).unwrap(), b"no key", "nothing is made in the place of what is there");
    }
}
