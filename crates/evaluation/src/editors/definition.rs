//! How a baseline editor is defined: by its name, by what makes it, and by what of it can be tuned.

use std::path::Path;
use std::sync::Arc;

use reasonedit_dataset::Dataset;
use reasonedit_editor::EditorConfig;

use super::edit_cache::SharedEditCache;
use super::grace_settings::GraceSettings;
use crate::baseline::{BaselineEditor, EditorFuture};
use crate::picture_cache::PictureCache;
use crate::settings::EditorSettings;
use crate::training::{Training, TrainingCallback};

/// An editor by its name. The file of an editor defines it, once or under several names.
pub(super) struct EditorDefinition {
    /// Its name in options, files and tables.
    pub(super) name: &'static str,
    /// Its settings as they were published: the editor `NAME@published`. Empty: there is none.
    pub(super) published: &'static [(&'static str, f64)],
    /// What a tuning tries: each setting with its values. A trial is one value of each.
    pub(super) grid: &'static [(&'static str, &'static [f64])],
    /// Whether it is trained before any edit, on records of which none is evaluated
    /// ([`EditorParts::training`]).
    pub(super) trained: bool,
    /// Makes a fresh one, without edits.
    pub(super) make: for<'a> fn(&'a EditorParts<'a>) -> EditorFuture<'a, Box<dyn BaselineEditor>>,
}

/// What editors are made from.
pub(super) struct EditorParts<'a> {
    /// Makes the service's editor, and edits for several at once.
    pub(super) edit_cache: &'a SharedEditCache,
    /// Pictures, with what the model made of them.
    pub(super) pictures: &'a Arc<PictureCache>,
    /// Settings of the service's editor.
    pub(super) base: &'a EditorConfig,
    /// Settings of GRACE.
    pub(super) grace: GraceSettings,
    /// Settings by name, of those that the definition names: those of a trial, a tuning or a publication.
    /// What they don't say is the editor's own default.
    pub(super) settings: &'a EditorSettings,
    /// Records to train on before any edit, none of which is evaluated; `None`: nobody named any.
    pub(super) training: Option<&'a Dataset>,
    /// Where an editor may keep what it made of them, in a folder of its own name.
    pub(super) folder: &'a Path,
    /// Is told how training goes.
    pub(super) training_progress: Option<&'a TrainingCallback>,
    /// Names the edits that the editor will be given.
    pub(super) set: &'a str,
}

impl EditorParts<'_> {
    /// What trained editors have their networks from.
    pub(super) fn training(&self) -> Training<'_> {
        Training {
            data: self.training,
            pictures: self.pictures,
            folder: self.folder,
            progress: self.training_progress,
        }
    }
}
