//! The version that predictions are made by: Label Studio asks again for tasks that were predicted by
//! another.

use reasonedit_editor::{CodebookName, Editor};
use reasonedit_http::problem::{Problem, Result};

/// What stands in the place of a version until the model is there.
pub(super) const LOADING: &str = "reasonedit-loading";

/// Names all that decides answers: this program, its settings, the model, the codebook's live edits and what
/// their keys are made by. It changes with every edit and revert, and is the same after a restart; a reverted
/// edit leads back to the version before it, since the codebook is then what it was.
///
/// # Errors
/// 503 when the engine has stopped.
pub(super) async fn version(editor: &Editor, name: &CodebookName) -> Result<String> {
    let (model, encoder) = (editor.model().await?, editor.sentence_encoder());
    let mut hasher = blake3::Hasher::new();
    let settings = serde_json::to_vec(editor.config()).map_err(|error| Problem::internal(&error))?;
    let parts = [
        env!("CARGO_PKG_VERSION").as_bytes(),
        model.fingerprint.as_bytes(),
        encoder.fingerprint.as_bytes(),
        &settings,
    ];
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let live = editor.live_edits(name)?;
    let edits = live.ids.len();
    // Without edits it doesn't matter what keys would be made by.
    if let Some(generation) = live.generation.filter(|_| edits > 0) {
        hasher.update(&generation.to_bytes());
    }
    for edit in &live.ids {
        hasher.update(&edit.to_bytes());
    }
    let digest = hasher.finalize().to_hex();
    Ok(format!("reasonedit-{name}-{edits}-{}", &digest[..12]))
}
