//! What binary files have in common, whatever they are written in: how one is opened and a library's failure
//! told, and what came out of it so far, text within bounds and pictures under their names.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value;

use super::pictures::Pictures;
use super::raw_record::{RawRecord, data};
use crate::DatasetError;

/// Lists within lists, groups within groups.
pub(super) const DEPTH: usize = 4;
/// An error of a library may repeat what it read; so much of it is told.
const TOLD: usize = 300;

/// Bytes of text that come out of a file.
const TEXT_BYTES: usize = 1 << 30;

/// The rows of a file of this format, with its name in what is wrong with it.
///
/// # Errors
/// A file that can't be opened; what `read` finds wrong. The libraries trust what a file says of itself in
/// places, slice buffers by it and panic where it is wrong: that is an error too.
pub(super) fn rows(
    path: &Path,
    format: &str,
    read: impl FnOnce(File) -> Result<Vec<RawRecord>, String>,
) -> Result<Vec<RawRecord>, DatasetError> {
    let file = File::open(path).map_err(|error| DatasetError::file(path, error))?;
    let what = match catch_unwind(AssertUnwindSafe(|| read(file))) {
        Ok(Ok(rows)) => return Ok(rows),
        Ok(Err(what)) => what,
        Err(_) => "it contradicts itself".to_owned(),
    };
    let told: String = what.chars().take(TOLD).collect();
    Err(data(path, &format!("{format} that can't be read: {told}")))
}

/// The error of a file that has none of the columns that are wanted, but these.
pub(super) fn no_column<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.take(20).collect();
    format!("none of its columns is known ({})", names.join(", "))
}

/// The error of lists within lists beyond [`DEPTH`].
pub(super) fn too_deep() -> String {
    "lists or groups lie too deep within each other".to_owned()
}

/// What came out of a file so far.
pub(super) struct Extracted<'a> {
    pictures: &'a mut Pictures,
    text: usize,
}

impl<'a> Extracted<'a> {
    /// Nothing yet; pictures go into `pictures`.
    pub(super) fn new(pictures: &'a mut Pictures) -> Self {
        Self { pictures, text: 0 }
    }

    /// A text of the file.
    ///
    /// # Errors
    /// More text than is held.
    pub(super) fn text(&mut self, text: &str) -> Result<Value, String> {
        self.text += text.len();
        if self.text > TEXT_BYTES {
            return Err(format!("more than {} GiB of text", TEXT_BYTES >> 30));
        }
        Ok(Value::from(text))
    }

    /// A picture of the file: its name in the pictures.
    ///
    /// # Errors
    /// More pictures than are held.
    pub(super) fn picture(&mut self, bytes: &[u8]) -> Result<Value, String> {
        Ok(Value::from(self.pictures.keep(bytes)?))
    }

    /// Text that is not marked as such, or a picture: no picture format begins as UTF-8 does.
    ///
    /// # Errors
    /// As [`Self::text`] and [`Self::picture`].
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<Value, String> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text),
            Err(_) => self.picture(bytes),
        }
    }
}
