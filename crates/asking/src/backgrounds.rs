//! Pictures that parts of others are put in front of, where radii are made of augmented pictures.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use reasonedit_imaging::{DecodeLimits, PixelRules, RgbImage, decode_under};

use crate::error::EditorError;

/// Background pictures, by the rules that their samples are read by. Most read the same by all.
pub struct Backgrounds {
    first: Arc<Vec<RgbImage>>,
    current: Arc<Vec<RgbImage>>,
}

impl Backgrounds {
    /// Reads a folder, in the order of the names. Files that are no pictures are passed over and named in the
    /// log.
    ///
    /// # Errors
    /// A folder or file that can't be read.
    pub fn read(folder: Option<&Path>, limits: &DecodeLimits) -> Result<Self, EditorError> {
        let current = Arc::new(read_backgrounds(folder, limits, PixelRules::CURRENT)?);
        let first = read_backgrounds(folder, limits, PixelRules::First)?;
        let first = if first == *current { Arc::clone(&current) } else { Arc::new(first) };
        Ok(Self { first, current })
    }

    /// As these rules have them.
    pub fn under(&self, rules: PixelRules) -> &Arc<Vec<RgbImage>> {
        if rules == PixelRules::First { &self.first } else { &self.current }
    }
}

fn read_backgrounds(
    folder: Option<&Path>,
    limits: &DecodeLimits,
    rules: PixelRules,
) -> Result<Vec<RgbImage>, EditorError> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let mut by_name = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            match decode_under(&std::fs::read(entry.path())?, limits, rules) {
                Ok(decoded) => drop(by_name.insert(entry.file_name(), decoded.image)),
                Err(error) => tracing::warn!(file = ?entry.file_name(), %error, "not used as a background"),
            }
        }
    }
    Ok(by_name.into_values().collect())
}
