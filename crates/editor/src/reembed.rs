//! Moving a codebook to another embedding: every key made anew from the stored edits, then swapped in at once.

use reasonedit_codebook::CodebookName;
use reasonedit_vlm::engine::Priority;

use crate::Editor;
use crate::config::OnMismatch;
use crate::entries::EntryMaker;
use crate::error::EditorError;
use crate::pictures::blocking;
use crate::types::{CallContext, ImageSource};

impl Editor {
    /// Brings every codebook whose keys were made with another embedding to the configured one, if the configuration says so. One that is
    /// left as it is refuses edits and queries; the log names it.
    pub(crate) async fn settle_embeddings(&self) -> Result<(), EditorError> {
        let wanted = self.configured_embedder()?;
        for book in self.library().books() {
            let Err(mismatch) = book.require(&wanted.embedding) else { continue };
            match self.config().embedding.on_mismatch {
                OnMismatch::Refuse => {
                    tracing::error!(codebook = %book.name(), %mismatch, "this codebook can't be used");
                }
                OnMismatch::Reembed => {
                    let edits = self.reembed(book.name()).await?;
                    tracing::info!(codebook = %book.name(), edits, "made every key anew");
                }
            }
        }
        Ok(())
    }

    /// Makes every key of a codebook anew with the configured embedding; returns the number of edits. A crash on the way leaves the old keys.
    async fn reembed(&self, name: &CodebookName) -> Result<usize, EditorError> {
        let embedder = self.configured_embedder()?;
        let book = self.library().get(name)?;
        let snapshot = book.snapshot();
        let total = snapshot.edit_count();
        let call = CallContext { priority: Priority::Background, deadline: None };
        let maker = EntryMaker { editor: self, embedder: &embedder, options: call.options() };
        let mut members = Vec::new();
        for (done, record) in snapshot.edits().enumerate() {
            let picture = self.pictures().resolve(&ImageSource::Known(record.image.id)).await?;
            members.extend(maker.again(record, &picture, snapshot.members_of(record.id)).await?);
            if (done + 1) % 100 == 0 {
                tracing::info!(codebook = %name, done = done + 1, total, "making keys anew");
            }
        }
        blocking(move || Ok(book.replace_embedding(&embedder.embedding, &members)?)).await?;
        Ok(total)
    }
}
