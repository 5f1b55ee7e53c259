//! What a row is made of, and where rows stand.

use crate::dialogue::Dialogue;
use crate::options::{PicturePlace, Side, Trainer, TrainingOptions};

/// What stands for the picture in a text, for trainers that count such marks.
pub(super) const IMAGE: &str = "<image>";

/// What a row is made of.
pub(crate) struct Row<'a> {
    /// Id of the edit.
    pub(crate) edit: String,
    /// Path from the folder of the rows' file on, or a `data:` URL.
    pub(crate) picture: &'a str,
    pub(crate) dialogue: &'a Dialogue,
}

/// Where the rows of a side are, from the root of the archive on.
pub(crate) fn file(side: Side, options: &TrainingOptions) -> String {
    match (options.format, options.images) {
        // The one name that `datasets` reads beside pictures.
        (Trainer::Trl, PicturePlace::Files) => format!("{}/metadata.jsonl", side.word()),
        _ => format!("{}.jsonl", side.word()),
    }
}
