//! Settings of what is stored: under whose key.

use std::fmt;
use std::path::{Path, PathBuf};

use reasonedit_keyring::OperatorKey;
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
    /// The operator's key, if there is one.
    ///
    /// # Errors
    /// A text that is none, a file that can't be read.
    pub(crate) fn operator_key(&self) -> Result<Option<OperatorKey>> {
        if !self.encryption_key.is_empty() {
            let wrong = |error| CliError::Usage(format!("setting `storage.encryption_key`: {error}"));
            return OperatorKey::parse(&self.encryption_key).map(Some).map_err(wrong);
        }
        if self.encryption_key_file.as_os_str().is_empty() {
            return Ok(None);
        }
        read_key(&self.encryption_key_file).map(Some)
    }

    /// The same without the key.
    pub(super) fn masked(&self) -> Self {
        let key = if self.encryption_key.is_empty() { "" } else { LEFT_OUT };
        Self { encryption_key: key.to_owned(), ..self.clone() }
    }
}

/// Reads an operator's key from a file.
///
/// # Errors
/// A file that can't be read, or that has none: mistakes of whoever named it.
pub(crate) fn read_key(file: &Path) -> Result<OperatorKey> {
    OperatorKey::read(file).map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))
}
