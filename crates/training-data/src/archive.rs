//! The archive: pictures as the edits that they belong to come, then the rows, which have waited for them,
//! then what says what the files are, and the manifest.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reasonedit_codebook::ImageId;
use tempfile::SpooledTempFile;

use crate::dialogue::{Dialogue, NoDialogue};
use crate::error::TrainingDataError;
use crate::manifest::{LeftOut, TrainingCodebook, TrainingManifest, TrainingPictures, TrainingSide};
use crate::options::{PicturePlace, Side, TrainingOptions};
use crate::pictures::HandedOn;
use crate::rows::{self, Row};
use crate::source::{TrainingEdit, TrainingSource};

/// Version of the archive's form.
const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// Bytes of rows that wait in memory; more wait in a temporary file.
const ROWS_IN_MEMORY: usize = 8 << 20;

/// Writes training data as a tar.
///
/// # Errors
/// `Option` before anything is written; `Codebook` and `Write` at any time. What was written until then has
/// no manifest.
pub fn write_tar(
    source: &TrainingSource<'_>,
    options: &TrainingOptions,
    out: impl Write,
) -> Result<TrainingManifest, TrainingDataError> {
    options.check()?;
    let mut archive = Archive::new(source, options, out);
    for edit in &source.edits {
        archive.add(edit)?;
    }
    archive.finish()
}

/// An archive that is being written.
struct Archive<'a, W: Write> {
    source: &'a TrainingSource<'a>,
    options: &'a TrainingOptions,
    tar: tar::Builder<W>,
    waiting: [WaitingRows; 2],
    /// The pictures that are written, by the name that rows call them; `None` for what can't be read.
    names: HashMap<ImageId, Option<String>>,
    pictures: TrainingPictures,
    left_out: LeftOut,
    escaped: u64,
    without_reasoning: u64,
}

/// Rows of a side: a tar says how long a file is before the file begins.
struct WaitingRows {
    lines: SpooledTempFile,
    rows: u64,
    bytes: u64,
}

impl Default for WaitingRows {
    fn default() -> Self {
        Self { lines: SpooledTempFile::new(ROWS_IN_MEMORY), rows: 0, bytes: 0 }
    }
}

impl<'a, W: Write> Archive<'a, W> {
    fn new(source: &'a TrainingSource<'a>, options: &'a TrainingOptions, out: W) -> Self {
        Self {
            source,
            options,
            tar: tar::Builder::new(out),
            waiting: Default::default(),
            names: HashMap::new(),
            pictures: TrainingPictures::default(),
            left_out: LeftOut::default(),
            escaped: 0,
            without_reasoning: 0,
        }
    }

    /// Writes the picture of an edit and keeps its row, or counts why there is none.
    fn add(&mut self, edit: &TrainingEdit) -> Result<(), TrainingDataError> {
        let record = &edit.record;
        if edit.superseded {
            self.left_out.superseded += 1;
            return Ok(());
        }
        let dialogue = match Dialogue::of(record, self.options) {
            Ok(dialogue) => dialogue,
            Err(NoDialogue::BeforeUnknown) => {
                self.left_out.answer_before_unknown += 1;
                return Ok(());
            }
            Err(NoDialogue::BeforeRight) => {
                self.left_out.answer_before_right += 1;
                return Ok(());
            }
        };
        let side = self.options.side(record.image.id);
        let Some(picture) = self.picture(record.image.id, side)? else {
            self.left_out.picture_unreadable += 1;
            return Ok(());
        };
        self.escaped += u64::from(dialogue.escaped);
        self.without_reasoning += u64::from(record.reasoning.is_empty());
        let row = Row { edit: record.id.to_string(), picture: &picture, dialogue: &dialogue };
        let line = rows::line(&row, self.options).map_err(std::io::Error::other)?;
        let waiting = &mut self.waiting[side as usize];
        waiting.lines.write_all(&line)?;
        waiting.rows += 1;
        waiting.bytes += line.len() as u64;
        Ok(())
    }

    /// What rows call a picture: the path of its file, which is written now unless it is there, or itself.
    fn picture(&mut self, id: ImageId, side: Side) -> Result<Option<String>, TrainingDataError> {
        if let Some(name) = self.names.get(&id)
            && (name.is_none() || self.options.images == PicturePlace::Files)
        {
            return Ok(name.clone());
        }
        let name = match (HandedOn::of(id, self.source)?, self.options.images) {
            (None, _) => None,
            (Some(picture), PicturePlace::Files) => {
                let (before, folder) = rows::picture_folder(side, self.options);
                let name = format!("{folder}{}", picture.name(id));
                append(
                    &mut self.tar,
                    &format!("{before}{name}"),
                    picture.bytes.len() as u64,
                    &picture.bytes[..],
                )?;
                self.count(&picture);
                Some(name)
            }
            (Some(picture), PicturePlace::Inline) => {
                self.count(&picture);
                let encoded = STANDARD.encode(&picture.bytes);
                // Not kept: the next row that shows it reads it again.
                return Ok(Some(format!("data:{};base64,{encoded}", picture.format.media_type())));
            }
        };
        self.names.insert(id, name.clone());
        Ok(name)
    }

    fn count(&mut self, picture: &HandedOn) {
        self.pictures.written += 1;
        self.pictures.converted += u64::from(picture.converted);
    }

    /// Writes the rows and what says what was written.
    fn finish(mut self) -> Result<TrainingManifest, TrainingDataError> {
        let mut sides = BTreeMap::new();
        let mut filled = Vec::new();
        for (side, waiting) in Side::BOTH.into_iter().zip(&mut self.waiting) {
            let file = (waiting.rows > 0).then(|| rows::file(side, self.options));
            if let Some(file) = &file {
                waiting.lines.rewind()?;
                append(&mut self.tar, file, waiting.bytes, &mut waiting.lines)?;
                filled.push(side);
            }
            sides.insert(side.word(), TrainingSide { file, rows: waiting.rows });
        }
        let source = self.source;
        let manifest = TrainingManifest {
            version: VERSION,
            options: *self.options,
            codebook: TrainingCodebook {
                name: source.codebook.clone(),
                revision: source.revision,
                generation: source.generation,
                edits: source.edits.len() as u64,
            },
            model: source.model.clone(),
            answers_before: source.answers_before(),
            sides,
            pictures: self.pictures,
            left_out: self.left_out,
            escaped: self.escaped,
            without_reasoning: self.without_reasoning,
        };
        if let Some((name, index)) = rows::index(&filled, self.options) {
            append_json(&mut self.tar, name, &index)?;
        }
        append_json(&mut self.tar, MANIFEST, &manifest)?;
        self.tar.into_inner()?.flush()?;
        Ok(manifest)
    }
}

fn append_json(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    value: &impl serde::Serialize,
) -> Result<(), TrainingDataError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(std::io::Error::other)?;
    text.push(b'\n');
    append(tar, name, text.len() as u64, &text[..])
}

/// Without owner and time: the same data is the same bytes.
fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    bytes: u64,
    content: impl Read,
) -> Result<(), TrainingDataError> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_mtime(0);
    Ok(tar.append_data(&mut header, name, content)?)
}

#[cfg(test)]
mod tests;
