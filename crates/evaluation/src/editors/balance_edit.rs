//! `BalancEdit` and `BalancEdit`-COT (method section 9.5).

use reasonedit_tuning::{BalanceEdit, BalanceEditSettings};

use super::definition::{EditorDefinition, EditorParts};
use super::weight_editor::{WeightEditor, WeightEditorProfile, settings_of};
use crate::EvaluationError;
use crate::baseline::BaselineEditor;

const BALANCE_EDIT: &str = "balancedit";
const BALANCE_EDIT_COT: &str = "balancedit-cot";

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
        name: BALANCE_EDIT,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(editor(parts, BALANCE_EDIT, false)),
    },
    EditorDefinition {
        name: BALANCE_EDIT_COT,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(editor(parts, BALANCE_EDIT_COT, true)),
    },
];

async fn editor(
    parts: &EditorParts<'_>,
    name: &'static str,
    with_reasoning: bool,
) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
    let settings: BalanceEditSettings = settings_of(parts)?;
    let editor = parts.edit_cache.plain(parts.base).await?;
    let folder = parts.folder.join(BALANCE_EDIT);
    let fresh = move || BalanceEdit::new(settings, folder.clone());
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
