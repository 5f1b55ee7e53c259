//! Storing an edit while its codebook may be moved to another embedding.

use std::sync::Arc;

use reasonedit_codebook::{AppliedEdit, CodebookError, CodebookName, EditRecord, Member};
use reasonedit_inference::CallOptions;

use crate::core::Core;
use crate::embed::Embedder;
use crate::entries::EntryMaker;
use crate::error::EditorError;
use crate::pictures::{DecodedPicture, blocking};

/// An edit ready to be stored: its record, its members, and the embedding that these were made with.
pub(crate) struct PreparedEdit {
    pub(crate) record: EditRecord,
    pub(crate) members: Vec<Member>,
    pub(crate) embedder: Embedder,
}

/// Stores an edit: durable and live when this returns. Should the codebook have moved to another embedding
/// since the members were made, their keys are made anew; the record that was stored is returned.
pub(crate) async fn commit(
    core: &Arc<Core>,
    codebook: &CodebookName,
    edit: PreparedEdit,
    picture: &DecodedPicture,
    options: CallOptions,
) -> Result<(EditRecord, AppliedEdit), EditorError> {
    let PreparedEdit { mut record, mut members, mut embedder } = edit;
    loop {
        record.embedding = embedder.embedding.id;
        let gate = core.gate().read_owned().await;
        let (shared, name) = (Arc::clone(core), codebook.clone());
        let (stored, made, generation) = (record.clone(), members.clone(), embedder.generation());
        let picture_of = picture.clone();
        let applied = blocking(move || {
            // It may have been erased since it was kept, or since somebody named it.
            if !shared.pictures().store().contains(picture_of.id) {
                if picture_of.upload.is_none() {
                    return Err(EditorError::UnknownImage(picture_of.id));
                }
                shared.pictures().keep(&picture_of)?;
            }
            let book = shared.library().get_or_create(&name)?;
            let applied = book.apply(stored, made, &generation)?;
            // Held for as long as the write takes, even if nobody waits for it any more.
            drop(gate);
            Ok(applied)
        });
        match applied.await {
            Err(EditorError::Codebook(error @ CodebookError::EmbeddingMismatch { .. })) => {
                let now = core.embedder_of(codebook)?;
                if now.embedding == embedder.embedding {
                    return Err(error.into());
                }
                let maker = EntryMaker { core, embedder: &now, options };
                let stored: Vec<Arc<Member>> = members.into_iter().map(Arc::new).collect();
                members = maker.again(&record, picture, &stored).await?;
                embedder = now;
            }
            outcome => return Ok((record, outcome?)),
        }
    }
}
