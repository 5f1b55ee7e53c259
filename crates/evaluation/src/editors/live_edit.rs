//! LiveEdit and LiveEdit-COT: generated low-rank experts that a question's picture and text choose among
//! (method section 9.6).

use std::sync::Arc;

use reasonedit_tuning::{LiveEditExperts, LiveEditNetwork, LiveEditSettings};

use super::definition::{EditorDefinition, EditorParts};
use super::weight_editor::{WeightEditor, WeightEditorProfile, settings_of};
use crate::EvaluationError;
use crate::baseline::BaselineEditor;

const LIVE_EDIT: &str = "live-edit";
const LIVE_EDIT_COT: &str = "live-edit-cot";

/// As published, but for the number of steps.
const PUBLISHED: &[(&str, f64)] = &[("learning_rate", 1e-4), ("depth", 21.0 / 32.0)];
const GRID: &[(&str, &[f64])] =
    &[("learning_rate", &[1e-4, 1e-3]), ("depth", &[0.35, 21.0 / 32.0]), ("steps", &[1200.0])];

/// With the answers alone, and with the reasoning behind them.
pub(super) const EDITORS: &[EditorDefinition] = &[
    EditorDefinition {
        name: LIVE_EDIT,
        published: PUBLISHED,
        grid: GRID,
        trained: true,
        make: |parts| Box::pin(editor(parts, LIVE_EDIT, false)),
    },
    EditorDefinition {
        name: LIVE_EDIT_COT,
        published: PUBLISHED,
        grid: GRID,
        trained: true,
        make: |parts| Box::pin(editor(parts, LIVE_EDIT_COT, true)),
    },
];

async fn editor(
    parts: &EditorParts<'_>,
    name: &'static str,
    with_reasoning: bool,
) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
    let editor = parts.edit_cache.plain(parts.base).await?;
    let settings: LiveEditSettings = settings_of(parts)?;
    let network: Arc<LiveEditNetwork> =
        parts.training().network(name, &editor, settings, with_reasoning).await?;
    let said = if with_reasoning { ", with the reasoning behind the answers" } else { "" };
    let about = format!(
        "LiveEdit (Chen et al. 2025): networks that were trained on other records{said} make a low-rank expert of \
         each edit, inside the language side. A question's picture decides which experts may speak (in the tables \
         they stand for sentences in front, and none for a closed gate), its text how much each of them does."
    );
    let profile = WeightEditorProfile { name, about, with_reasoning, retrieves: true };
    Ok(Box::new(WeightEditor::new(profile, editor, parts.pictures, move || {
        LiveEditExperts::new(Arc::clone(&network))
    })))
}
