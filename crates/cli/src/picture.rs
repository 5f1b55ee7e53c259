//! A picture named on the command line: a file, or the id of one sent before.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reasonedit_codebook::ImageId;
use reasonedit_editor::ImageSource;
use serde_json::{Value, json};

use crate::error::{CliError, Result};

/// What the name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Picture {
    /// The bytes of a file.
    Bytes(Bytes),
    /// A picture sent before.
    Known(ImageId),
}

impl Picture {
    /// Reads the file of this name; a name that no file has may be an id.
    ///
    /// # Errors
    /// The file can't be read, and the name is no id.
    pub(crate) fn read(name: &str) -> Result<Self> {
        match std::fs::read(Path::new(name)) {
            Ok(bytes) => Ok(Self::Bytes(bytes.into())),
            Err(error) => name.parse().map(Self::Known).map_err(|_| CliError::file(name, error)),
        }
    }

    /// As in the body of a request.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Bytes(bytes) => json!({ "data": STANDARD.encode(bytes) }),
            Self::Known(id) => json!({ "id": id.to_string() }),
        }
    }

    /// As the editor takes it.
    pub(crate) fn into_source(self) -> ImageSource {
        match self {
            Self::Bytes(bytes) => ImageSource::from(bytes),
            Self::Known(id) => ImageSource::Known(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_an_id_is_known() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        let picture = Picture::read(&file.path().display().to_string()).unwrap();
        assert_eq!(picture.to_json(), json!({"data": "YWJj"}));
        let id = "ab".repeat(32);
        assert_eq!(Picture::read(&id).unwrap().to_json(), json!({ "id": id }));
        assert!(Picture::read("no-such-file.png").unwrap_err().to_string().contains("no-such-file.png"));
    }
}
