//! How a baseline editor is defined: by its name, and by what makes it.

use reasonedit_editor::EditorConfig;

use super::edit_cache::SharedEditCache;
use super::grace_settings::GraceSettings;
use crate::baseline::{BaselineEditor, EditorFuture};

/// An editor by its name. The file of an editor defines it, once or under several names.
pub(super) struct EditorDefinition {
    /// Its name in options, files and tables.
    pub(super) name: &'static str,
    /// Makes a fresh one, without edits.
    pub(super) make: for<'a> fn(&'a EditorParts<'a>) -> EditorFuture<'a, Box<dyn BaselineEditor>>,
}

/// What editors are made from.
pub(super) struct EditorParts<'a> {
    /// Makes the service's editor, and edits for several at once.
    pub(super) edit_cache: &'a SharedEditCache,
    /// Settings of the service's editor.
    pub(super) base: &'a EditorConfig,
    /// Settings of GRACE.
    pub(super) grace: GraceSettings,
    /// Names the edits that the editor will be given.
    pub(super) set: &'a str,
}
