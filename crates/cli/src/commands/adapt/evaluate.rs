//! What an adapter still needs the codebook for: edited questions, asked with one of them and with both.

use std::path::Path;
use std::sync::Arc;

use reasonedit_codebook::{CodebookName, EditRecord};
use reasonedit_editor::{CallContext, Editor, ImageSource, ImportOptions, QueryRequest, RetrievalOverride};
use serde::Serialize;

use crate::error::{CliError, Result};
use crate::progress::Progress;
use crate::service::{self, Local};
use crate::settings::Settings;

/// Shares of edited questions that are answered rightly.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Reliability {
    /// By the model as it is.
    neither: f64,
    codebook_only: f64,
    adapter_only: f64,
    both: f64,
}

/// Asks all edited questions of the model as it is, which is closed then, and of the adapted one, with and
/// without the codebook. The adapted model gets a copy of the codebook whose keys are made anew.
///
/// # Errors
/// Failing storage or engines; an adapter that can't be loaded.
pub(super) async fn reliability(
    local: Local,
    settings: &Settings,
    name: &CodebookName,
    records: &[Arc<EditRecord>],
    adapter: &Path,
) -> Result<Reliability> {
    let neither = share_right(&local.editor, name, records, false).await?;
    let codebook_only = share_right(&local.editor, name, records, true).await?;
    let scratch = tempfile::tempdir().map_err(CliError::failed)?;
    let path = scratch.path().join("codebook.tar");
    let file = std::fs::File::create(&path).map_err(|error| CliError::file(&path, error))?;
    local.editor.export(name, std::io::BufWriter::new(file)).await.map_err(service::refused)?;
    local.editor.shutdown().await;
    let most = local.import_bytes;
    drop(local);

    let mut adapted = Settings { data: scratch.path().join("data"), ..settings.clone() };
    adapted.model.adapter = Some(adapter.to_owned());
    let local = service::open(&adapted).await?;
    let file = std::fs::File::open(&path).map_err(|error| CliError::file(&path, error))?;
    let options = ImportOptions::new(most);
    local.editor.import(name, file, options, CallContext::default()).await.map_err(service::refused)?;
    let adapter_only = share_right(&local.editor, name, records, false).await?;
    let both = share_right(&local.editor, name, records, true).await?;
    local.editor.shutdown().await;
    Ok(Reliability { neither, codebook_only, adapter_only, both })
}

async fn share_right(
    editor: &Editor,
    name: &CodebookName,
    records: &[Arc<EditRecord>],
    retrieval: bool,
) -> Result<f64> {
    let mut right = 0;
    let mut bar = Progress::items("questions", records.len() as u64);
    for (done, record) in records.iter().enumerate() {
        let request = QueryRequest {
            choices: record.choices.clone(),
            retrieval: RetrievalOverride { enabled: Some(retrieval), ..RetrievalOverride::default() },
            ..QueryRequest::new(ImageSource::Known(record.image.id), record.question.clone())
        };
        let outcome = editor.query(name, request, CallContext::default()).await.map_err(service::refused)?;
        let plain = |text: &str| text.trim().trim_end_matches('.').to_lowercase();
        right += usize::from(plain(&outcome.answer) == plain(&record.answer));
        bar.set(done as u64 + 1, records.len() as u64);
    }
    bar.finish();
    Ok(right as f64 / records.len().max(1) as f64)
}
