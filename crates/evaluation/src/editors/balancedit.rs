//! `BalancEdit` and `BalancEdit`-COT (method section 9.5).

use std::path::Path;

use reasonedit_tuning::{BalancEdit, BalancEditSettings};

use super::definition::{EditorDefinition, EditorParts};
use super::weight_editor::{WeightEditor, WeightEditorProfile, settings_of};
use crate::EvaluationError;
use crate::baseline::BaselineEditor;

const BALANCEDIT: &str = "balancedit";
const BALANCEDIT_COT: &str = "balancedit-cot";

/// The settings of the authors where they can be carried over.
const PUBLISHED: &[(&str, f64)] = &[("alpha", 0.2), ("steps", 100.0), ("patience", 50.0)];
const GRID: &[(&str, &[f64])] = &[
    ("alpha", &[0.2, 0.5, 1.0]),
    ("last_token", &[0.0, 1.0]),
    ("learning_rate", &[3e-4, 1e-3]),
    ("steps", &[100.0]),
];

/// With the answers alone, and with the reasoning behind them.
pub(super) const EDITORS: &[EditorDefinition] = &[
    EditorDefinition {
        name: BALANCEDIT,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(editor(parts, BALANCEDIT, false)),
    },
    EditorDefinition {
        name: BALANCEDIT_COT,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(editor(parts, BALANCEDIT_COT, true)),
    },
];

/// Removes what earlier evaluations in this folder have left because they were killed.
pub(super) fn clear_abandoned(folder: &Path) {
    BalancEdit::clear_abandoned(&folder.join(BALANCEDIT));
}

async fn editor(
    parts: &EditorParts<'_>,
    name: &'static str,
    with_reasoning: bool,
) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
    let settings: BalancEditSettings = settings_of(parts)?;
    let editor = parts.edit_cache.plain(parts.base).await?;
    let folder = parts.folder.join(BALANCEDIT);
    let fresh = move || BalancEdit::new(settings, folder.clone());
    Ok(Box::new(WeightEditor::new(profile(name, with_reasoning), editor, parts.pictures, fresh)))
}

fn profile(name: &'static str, with_reasoning: bool) -> WeightEditorProfile {
    let tuned =
        if with_reasoning { "the right answer with the reasoning behind it" } else { "the right answer" };
    let about = format!(
        "BalancEdit (Guo et al. 2025): each edit has a copy of the last feed-forward, tuned to say {tuned}, and a radius between the \
         question in other words and the question about a black picture; the copy of the nearest edit within whose radius a question \
         lies takes the place of the model's own. In the tables such a copy stands for a sentence in front, and none for a closed gate."
    );
    WeightEditorProfile { name, about, with_reasoning, retrieves: true }
}
