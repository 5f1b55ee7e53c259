//! Settings of what is stored: under whose key.

use std::fmt;
use std::path::{Path, PathBuf};

use reasonedit_keyring::{KeyringError, OperatorKey};
use serde::{Deserialize, Serialize};

use crate::error::{CliError, Result};

/// What is shown in the place of a key.
const LEFT_OUT: &str = "(left out)";

/// Under whose key the data folder is encrypted.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StorageSettings {
    /// A file with the operator's key: 64 hexadecimal digits, or 32 bytes in base64. Empty: none.
    pub(crate) encryption_key_file: PathBuf,
    /// The key itself; for the environment.
    pub(crate) encryption_key: String,
}

impl fmt::Debug for StorageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageSettings").finish_non_exhaustive()
    }
}

impl StorageSettings {
    /// The operator's key, if there is one. It may be no random one, for what has to get at data that lie
    /// under such a key; nothing else is done under it.
    ///
    /// # Errors
    /// A text that is none, a file that can't be read.
    pub(crate) fn operator_key(&self) -> Result<Option<OperatorKey>> {
        if !self.encryption_key.is_empty() {
            return OperatorKey::parse_former(&self.encryption_key)
                .map(Some)
                .map_err(|error| self.wrong(&error));
        }
        if self.encryption_key_file.as_os_str().is_empty() {
            return Ok(None);
        }
        OperatorKey::read_former(&self.encryption_key_file).map(Some).map_err(|error| self.wrong(&error))
    }

    /// The operator's key to work under, if there is one.
    ///
    /// # Errors
    /// As [`Self::operator_key`]; a key that is no random one.
    pub(crate) fn random_operator_key(&self) -> Result<Option<OperatorKey>> {
        self.operator_key()?.map(OperatorKey::random).transpose().map_err(|error| {
            let error = self.wrong(&error);
            CliError::Usage(format!("{error}, and `reasonedit keys rotate` takes data from under this one"))
        })
    }

    /// What is wrong with the key, and where it is from.
    fn wrong(&self, error: &KeyringError) -> CliError {
        if self.encryption_key.is_empty() {
            return CliError::Usage(format!("{}: {error}", self.encryption_key_file.display()));
        }
        CliError::Usage(format!("setting `storage.encryption_key`: {error}"))
    }

    /// The same without the key.
    pub(super) fn masked(&self) -> Self {
        let key = if self.encryption_key.is_empty() { "" } else { LEFT_OUT };
        Self { encryption_key: key.to_owned(), ..self.clone() }
    }
}

/// Reads an operator's key from a file, to put data under it.
///
/// # Errors
/// A file that can't be read, or that has none: mistakes of whoever named it.
pub(crate) fn read_key(file: &Path) -> Result<OperatorKey> {
    OperatorKey::read(file).map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))
}
