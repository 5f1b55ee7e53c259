//! What can go wrong with keys.

use std::io;

use crate::erasure::Erasure;

/// Results of this crate.
pub type Result<T, E = KeyringError> = std::result::Result<T, E>;

/// Every failure of this crate. No message carries a path of the machine or anything of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The thing was erased: its key is gone for good.
    #[error("it was erased")]
    Erased(Erasure),
    /// A stream of more pieces than can be told apart.
    #[error("it is too long to be sealed")]
    TooLong,
    /// There is no key for the thing.
    #[error("there is no key for it")]
    Unknown,
    /// The sealed bytes are not those that were sealed, or not of this thing.
    #[error("what is sealed is not as it was written")]
    Changed,
    /// The keys are under an operator's key, and none was given.
    #[error(
        "the data is encrypted under an operator's key, and none was given: set storage.encryption_key_file"
    )]
    KeyNeeded,
    /// The keys are under another operator's key.
    #[error("the data is encrypted under another operator's key than the one that was given")]
    WrongKey,
    /// The text is none of an operator's key.
    #[error("an operator's key is 32 bytes, as 64 hexadecimal digits or in base64; {0}")]
    NoKey(&'static str),
    /// Another process has the file open.
    #[error("the file of keys is in use by another process")]
    Locked,
    /// The file is there and can't be read as one of keys.
    #[error("the file of keys is damaged: {0}")]
    Malformed(&'static str),
    /// Keys of another data folder.
    #[error("these are the keys of another data folder")]
    OtherFolder,
    /// The disk refuses.
    #[error("could not {action} the keys: {}", source.kind())]
    Disk {
        /// What was attempted, as `add`.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The system has no chance to give.
    #[error("no random bytes")]
    Random,
}

impl KeyringError {
    pub(crate) fn disk(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, source }
    }
}
