//! What an editor's edits have changed, written down now and then: a run that was stopped goes on from there.
//!
//! `state/NAME/SET/edits-COUNT` is one state, written beside and then renamed: it is whole or not there. Only
//! the last one is kept.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::EvaluationError;
use crate::baseline::BaselineEditor;

/// Folder of all states.
const STATES: &str = "state";
/// What a state's name begins with; its number of edits follows.
const EDITS: &str = "edits-";
/// The state that is being written.
const UNFINISHED: &str = "unfinished";

/// The states of one editor with one set of edits.
pub(crate) struct SavedStates {
    /// None: nothing outlasts the program, or the editor has no state to be written.
    folder: Option<PathBuf>,
}

impl SavedStates {
    /// Below the folder of the outcomes.
    pub(crate) fn new(out: Option<&Path>, editor: &str, set: &str) -> Self {
        Self { folder: out.map(|out| out.join(STATES).join(editor).join(set)) }
    }

    /// Has the editor write its state, which is that after `edits` edits.
    pub(crate) async fn save(
        &mut self,
        baseline: &dyn BaselineEditor,
        edits: usize,
    ) -> Result<(), EvaluationError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let failed = |error| EvaluationError::file(folder, error);
        let unfinished = folder.join(UNFINISHED);
        remove(&unfinished).map_err(failed)?;
        std::fs::create_dir_all(&unfinished).map_err(failed)?;
        if !baseline.save(&unfinished).await? {
            remove(&unfinished).map_err(failed)?;
            // Only folders that hold nothing are removed: those of this set, this editor, and all.
            for empty in folder.ancestors().take(3) {
                let _ = std::fs::remove_dir(empty);
            }
            self.folder = None;
            return Ok(());
        }
        let whole = folder.join(format!("{EDITS}{edits}"));
        remove(&whole).map_err(failed)?;
        std::fs::rename(&unfinished, &whole).map_err(failed)?;
        for (other, path) in states(folder).map_err(failed)? {
            if other != edits {
                remove(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Has the editor read the last state with at most so many edits; returns how many it has then.
    pub(crate) async fn restore(
        &self,
        baseline: &dyn BaselineEditor,
        most: usize,
    ) -> Result<usize, EvaluationError> {
        let Some(folder) = &self.folder else { return Ok(0) };
        let found = states(folder).map_err(|error| EvaluationError::file(folder, error))?;
        let last = found.into_iter().filter(|(edits, _)| *edits <= most).max();
        let Some((edits, path)) = last else { return Ok(0) };
        Ok(if baseline.restore(&path).await? { edits } else { 0 })
    }
}

/// States in a folder, with their numbers of edits.
fn states(folder: &Path) -> std::io::Result<Vec<(usize, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let edits = name.strip_prefix(EDITS).and_then(|edits| edits.parse().ok());
        found.extend(edits.map(|edits| (edits, entry.path())));
    }
    Ok(found)
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
