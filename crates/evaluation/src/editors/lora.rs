//! LoRA and LoRA-COT: low-rank factors beside the attention of all layers (method section 9.2).

use reasonedit_tuning::{Lora, LoraSettings};

use super::definition::{EditorDefinition, EditorParts};
use super::weight_editor::{WeightEditor, WeightEditorProfile, settings_of};
use crate::EvaluationError;
use crate::baseline::BaselineEditor;

const LORA: &str = "lora";
const LORA_COT: &str = "lora-cot";

/// `EasyEdit`'s settings for Qwen3-VL.
const PUBLISHED: &[(&str, f64)] = &[("rank", 8.0), ("alpha", 32.0), ("learning_rate", 0.1), ("steps", 5.0)];
const GRID: &[(&str, &[f64])] =
    &[("learning_rate", &[3e-4, 1e-3, 3e-3, 1e-2]), ("steps", &[10.0, 30.0, 100.0])];

/// With the answers alone, and with the reasoning behind them.
pub(super) const EDITORS: &[EditorDefinition] = &[
    EditorDefinition {
        name: LORA,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(editor(parts, LORA, false)),
    },
    EditorDefinition {
        name: LORA_COT,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(editor(parts, LORA_COT, true)),
    },
];

async fn editor(
    parts: &EditorParts<'_>,
    name: &'static str,
    with_reasoning: bool,
) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
    let settings: LoraSettings = settings_of(parts)?;
    let editor = parts.edit_cache.plain(parts.base).await?;
    let fresh = move || Lora::new(settings);
    Ok(Box::new(WeightEditor::new(profile(name, with_reasoning), editor, parts.pictures, fresh)))
}

fn profile(name: &'static str, with_reasoning: bool) -> WeightEditorProfile {
    let trained =
        if with_reasoning { "the right answer with the reasoning behind it" } else { "the right answer" };
    let about = format!(
        "LoRA: low-rank factors beside the attention of all layers are trained on every edit, one after another, to say {trained}."
    );
    WeightEditorProfile { name, about, with_reasoning, retrieves: false }
}
