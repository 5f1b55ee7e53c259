//! FT and FT-COT: fine-tuning of the last feed-forward (method section 9.1).

use reasonedit_tuning::{FineTuning, FineTuningSettings};

use super::definition::{EditorDefinition, EditorParts};
use super::weight_editor::{WeightEditor, WeightEditorProfile, settings_of};
use crate::EvaluationError;
use crate::baseline::BaselineEditor;

const FT: &str = "ft";
const FT_COT: &str = "ft-cot";

/// The settings of the paper (appendix D.4); its learning rate is not among what was read of it.
const PUBLISHED: &[(&str, f64)] = &[("steps", 100.0), ("patience", 50.0)];
const GRID: &[(&str, &[f64])] =
    &[("learning_rate", &[1e-4, 3e-4, 1e-3, 3e-3]), ("steps", &[30.0, 100.0, 300.0])];

/// With the answers alone, and with the reasoning behind them.
pub(super) const EDITORS: &[EditorDefinition] = &[
    EditorDefinition {
        name: FT,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(editor(parts, FT, false)),
    },
    EditorDefinition {
        name: FT_COT,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(editor(parts, FT_COT, true)),
    },
];

async fn editor(
    parts: &EditorParts<'_>,
    name: &'static str,
    with_reasoning: bool,
) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
    let settings: FineTuningSettings = settings_of(parts)?;
    let editor = parts.edit_cache.plain(parts.base).await?;
    let fresh = move || FineTuning::new(settings);
    Ok(Box::new(WeightEditor::new(profile(name, with_reasoning), editor, parts.pictures, fresh)))
}

fn profile(name: &'static str, with_reasoning: bool) -> WeightEditorProfile {
    let trained =
        if with_reasoning { "the right answer with the reasoning behind it" } else { "the right answer" };
    let about = format!(
        "FT: the last feed-forward of the language side is trained on every edit, one after another, to say {trained}."
    );
    WeightEditorProfile { name, about, with_reasoning, retrieves: false }
}
