//! A record as it stands in a file, and what is said of a file that is wrong.

use std::path::Path;

use serde_json::{Map, Value};

use crate::DatasetError;

/// A record as it stands in its file, by column. Pictures within a Parquet file are their names in
/// [`Pictures`].
pub(crate) type RawRecord = Map<String, Value>;

/// The name of a column as it is known: published sets write `Question`, `question` and `Choice A`.
pub(crate) fn canonical(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

/// An error in the data of this file, by its name.
pub(crate) fn data(path: &Path, what: &dyn std::fmt::Display) -> DatasetError {
    DatasetError::Data(format!("{}: {what}", name(path)))
}

/// The last name of a path: where it lies on this machine is nobody's business.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
