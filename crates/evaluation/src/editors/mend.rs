//! MEND and MEND-COT: a trained network makes changes of weights of gradients (method section 9.3).

use std::sync::Arc;

use reasonedit_tuning::{Mend, MendNetwork, MendSettings};

use super::definition::{EditorDefinition, EditorParts};
use super::weight_editor::{WeightEditor, WeightEditorProfile, settings_of};
use crate::EvaluationError;
use crate::baseline::BaselineEditor;

const MEND: &str = "mend";
const MEND_COT: &str = "mend-cot";

/// As published for models that see (settings of EasyEdit), but for the number of steps.
const PUBLISHED: &[(&str, f64)] = &[("learning_rate", 1e-6), ("edit_weight", 0.1), ("edits_together", 1.0)];
const GRID: &[(&str, &[f64])] = &[
    ("learning_rate", &[1e-6, 1e-5]),
    ("edit_weight", &[0.1, 1.0]),
    ("edits_together", &[1.0, 10.0]),
    ("steps", &[4000.0]),
];

/// With the answers alone, and with the reasoning behind them.
pub(super) const EDITORS: &[EditorDefinition] = &[
    EditorDefinition {
        name: MEND,
        published: PUBLISHED,
        grid: GRID,
        trained: true,
        make: |parts| Box::pin(editor(parts, MEND, false)),
    },
    EditorDefinition {
        name: MEND_COT,
        published: PUBLISHED,
        grid: GRID,
        trained: true,
        make: |parts| Box::pin(editor(parts, MEND_COT, true)),
    },
];

async fn editor(
    parts: &EditorParts<'_>,
    name: &'static str,
    with_reasoning: bool,
) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
    let editor = parts.edit_cache.plain(parts.base).await?;
    let settings: MendSettings = settings_of(parts)?;
    let network: Arc<MendNetwork> = parts.training().network(name, &editor, settings, with_reasoning).await?;
    let said = if with_reasoning { ", with the reasoning behind the answers" } else { "" };
    let about = format!(
        "MEND (Mitchell et al. 2022): a network that was trained on other records{said} turns the gradient of an \
         edit's loss into a change of the last feed-forward of the language side; changes add up."
    );
    let profile = WeightEditorProfile { name, about, with_reasoning, retrieves: false };
    Ok(Box::new(WeightEditor::new(profile, editor, parts.pictures, move || Mend::new(Arc::clone(&network)))))
}
