//! Settings of what is stored: under whose key.

use std::fmt;
use std::path::PathBuf;

use reasonedit_codebook::CodebookError;
use reasonedit_keyring::OperatorKey;
use serde::{Deserialize, Serialize};

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
    /// `Keys` for a text that is none, `Store` for a file that can't be read.
    pub(crate) fn operator_key(&self) -> Result<Option<OperatorKey>, CodebookError> {
        if !self.encryption_key.is_empty() {
            return Ok(Some(OperatorKey::parse(&self.encryption_key)?));
        }
        if self.encryption_key_file.as_os_str().is_empty() {
            return Ok(None);
        }
        let text =
            std::fs::read_to_string(&self.encryption_key_file).map_err(|error| CodebookError::Store {
                action: "read storage.encryption_key_file",
                reason: format!("{}: {}", self.encryption_key_file.display(), error.kind()),
            })?;
        Ok(Some(OperatorKey::parse(&text)?))
    }

    /// The same without the key.
    pub(super) fn masked(&self) -> Self {
        let key = if self.encryption_key.is_empty() { "" } else { LEFT_OUT };
        Self { encryption_key: key.to_owned(), ..self.clone() }
    }
}
