//! WISE and WISE-COT: a side memory of one feed-forward, with routing (method section 9.4).

use reasonedit_dataset::Dataset;
use reasonedit_tuning::{Question, Wise, WiseSettings};

use super::definition::{EditorDefinition, EditorParts};
use super::weight_editor::{WeightEditor, WeightEditorProfile, settings_of};
use crate::EvaluationError;
use crate::baseline::BaselineEditor;
use crate::picture_cache::PictureCache;

const WISE: &str = "wise";
const WISE_COT: &str = "wise-cot";

/// The authors' (for Qwen3-VL-4B; `optimiser` 1 is plain gradient descent).
const PUBLISHED: &[(&str, f64)] = &[
    ("depth", 30.0 / 35.0),
    ("optimiser", 1.0),
    ("learning_rate", 1.0),
    ("steps", 70.0),
    ("mask_ratio", 0.2),
    ("alpha", 5.0),
    ("beta", 20.0),
    ("gamma", 10.0),
    ("threshold", 0.4),
];
const GRID: &[(&str, &[f64])] = &[
    ("optimiser", &[0.0]),
    ("learning_rate", &[3e-3, 1e-2, 1e-1]),
    ("steps", &[100.0]),
    ("depth", &[0.5, 30.0 / 35.0]),
    ("margin_scale", &[0.03, 0.3, 1.0]),
    ("threshold", &[0.4, 0.88]),
];
/// Questions of the training records that edits are told apart from, at most.
const IRRELEVANT: usize = 128;

/// With the answers alone, and with the reasoning behind them.
pub(super) const EDITORS: &[EditorDefinition] = &[
    EditorDefinition {
        name: WISE,
        published: PUBLISHED,
        grid: GRID,
        trained: true,
        make: |parts| Box::pin(editor(parts, WISE, false)),
    },
    EditorDefinition {
        name: WISE_COT,
        published: PUBLISHED,
        grid: GRID,
        trained: true,
        make: |parts| Box::pin(editor(parts, WISE_COT, true)),
    },
];

async fn editor(
    parts: &EditorParts<'_>,
    name: &'static str,
    with_reasoning: bool,
) -> Result<Box<dyn BaselineEditor>, EvaluationError> {
    let settings: WiseSettings = settings_of(parts)?;
    let editor = parts.edit_cache.plain(parts.base).await?;
    let data = parts.training.ok_or_else(|| {
        EvaluationError::Data(format!(
            "{name} keeps questions of training records out of its side memory, and no such records were named"
        ))
    })?;
    let irrelevant = irrelevant(data, parts.pictures)?;
    let fresh = move || Wise::new(settings, irrelevant.clone());
    Ok(Box::new(WeightEditor::new(profile(name, with_reasoning), editor, parts.pictures, fresh).gated()))
}

/// Questions on pictures that have nothing to do with any edit, evenly from all records.
fn irrelevant(data: &Dataset, pictures: &PictureCache) -> Result<Vec<Question>, EvaluationError> {
    let every = data.records.len().div_ceil(IRRELEVANT).max(1);
    data.records.iter().step_by(every).map(|record| pictures.sample(data, &record.sample)).collect()
}

fn profile(name: &'static str, with_reasoning: bool) -> WeightEditorProfile {
    let trained =
        if with_reasoning { "the right answer with the reasoning behind it" } else { "the right answer" };
    let about = format!(
        "WISE (Wang et al. 2024): edits train a copy of one feed-forward's down projection to say {trained}, \
         each 500 a random fifth of its weights, every two such shards merged by TIES; a question goes through \
         the copy that changes it most where it changes it as much as it does edits. Questions of training \
         records are what it is held apart from. In the tables going through none is a closed gate."
    );
    WeightEditorProfile { name, about, with_reasoning, retrieves: false }
}
