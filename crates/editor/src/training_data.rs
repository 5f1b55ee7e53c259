//! Live edits as training data, for models that are to keep what people corrected.

use std::io::Write;
use std::sync::Arc;

use reasonedit_codebook::{CodebookName, EditRecord, Generation};
use reasonedit_training_data::{
    TrainingEdit, TrainingManifest, TrainingModel, TrainingOptions, TrainingSource, write_tar,
};

use crate::editor::Editor;
use crate::error::EditorError;
use crate::pictures::blocking;

impl Editor {
    /// Writes the live edits of a codebook as training data, as a tar. Reads one consistent state, while
    /// edits go on; none of a codebook without edits.
    ///
    /// # Errors
    /// `Invalid` for options that do not go together, before anything is written; failing storage, or a
    /// writer that fails.
    pub async fn training_data(
        &self,
        codebook: &CodebookName,
        options: TrainingOptions,
        out: impl Write + Send + 'static,
    ) -> Result<TrainingManifest, EditorError> {
        options.check()?;
        let (book, rules) = (self.core.existing(codebook)?, self.core.pixel_rules(codebook)?);
        let (core, name) = (Arc::clone(&self.core), codebook.clone());
        blocking(move || {
            let snapshot = book.map(|book| book.snapshot());
            let revision = snapshot.as_ref().map(|snapshot| snapshot.revision());
            let generation = snapshot.as_ref().and_then(|s| s.embedding().map(|embedding| embedding.id));
            let edits = snapshot.iter().flat_map(|snapshot| {
                // What several edits say is one example: the first that stands of them.
                let speaks = |record: &&Arc<EditRecord>| {
                    let speaker = snapshot.standing().speaker(snapshot.standing().carrier(record.id));
                    speaker.is_none_or(|speaker| speaker == record.id)
                };
                snapshot.edits().filter(speaks).map(|record| TrainingEdit {
                    record: Arc::clone(record),
                    superseded: snapshot.superseded_by(record.id).is_some(),
                })
            });
            let live = snapshot.as_ref().and_then(|snapshot| snapshot.generation());
            let previous = snapshot.as_ref().and_then(|snapshot| snapshot.previous().map(|p| (**p).clone()));
            let fingerprint = |made: Generation| (made.embedding.id, made.embedding.model_fingerprint);
            let model = core.model();
            let source = TrainingSource {
                codebook: name,
                revision: revision.unwrap_or_default(),
                generation,
                model: TrainingModel {
                    architecture: model.architecture.clone(),
                    fingerprint: model.fingerprint.clone(),
                },
                models: live.into_iter().chain(previous).map(fingerprint).collect(),
                edits: edits.collect(),
                images: core.pictures().store(),
                limits: core.pictures().limits(),
                rules,
            };
            Ok(write_tar(&source, &options, out)?)
        })
        .await
    }
}

#[cfg(test)]
mod tests;
