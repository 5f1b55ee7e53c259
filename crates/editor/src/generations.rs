//! Which embedding a codebook's entries are made and looked up with, and storing edits while that may change.
//!
//! A codebook keeps to the tap, pooling and λ that were chosen for it; one for which nothing was chosen
//! follows the configuration, which must then be the one that its keys were made with. Either way the model
//! and the encoder must be those that made them, and the samples of pictures are read by the rules of its
//! keys: a codebook of before there were others goes on with the first until it is moved over.

use std::sync::Arc;

use reasonedit_codebook::{
    AppliedEdit, CodebookError, CodebookName, EditRecord, Embedding, Generation, Member, Snapshot,
};
use reasonedit_imaging::PixelRules;
use reasonedit_vlm::TapName;
use reasonedit_vlm::engine::CallOptions;
use tokio::sync::RwLock;

use crate::Editor;
use crate::embed::Embedder;
use crate::entries::EntryMaker;
use crate::error::EditorError;
use crate::pictures::{Picture, blocking};
use crate::types::ActiveEmbedding;

/// Taps that are pooled in every vision pass. Codebooks beyond that are served as well, with a pass of their
/// own.
const MAX_TAPS: usize = 8;

impl Editor {
    /// What the keys of a codebook are made with.
    ///
    /// # Errors
    /// Failing storage.
    pub fn active_embedding(&self, codebook: &CodebookName) -> Result<ActiveEmbedding, EditorError> {
        let snapshot = self.existing(codebook)?.map(|book| book.snapshot());
        let Some(generation) = snapshot.as_ref().and_then(|snapshot| snapshot.generation()) else {
            let embedding = self.configured_embedder()?.embedding;
            return Ok(ActiveEmbedding { embedding, chosen: false, previous: None });
        };
        let previous = snapshot.and_then(|s| s.previous().map(|generation| generation.embedding.clone()));
        Ok(ActiveEmbedding { embedding: generation.embedding, chosen: generation.chosen, previous })
    }

    /// Whether the codebook has, or had, an edit: only then is there an embedding that it can be moved from.
    ///
    /// # Errors
    /// Failing storage.
    pub fn has_keys(&self, codebook: &CodebookName) -> Result<bool, EditorError> {
        Ok(self.existing(codebook)?.is_some_and(|book| book.snapshot().embedding().is_some()))
    }

    /// The embedding that the configuration asks for.
    pub(crate) fn configured_embedder(&self) -> Result<Embedder, EditorError> {
        Embedder::configured(&self.config().embedding, &self.inner.model, &self.inner.encoder)
    }

    /// How the samples of pictures are read for this codebook: as they were for the keys that it has.
    ///
    /// # Errors
    /// Failing storage.
    pub(crate) fn pixel_rules(&self, codebook: &CodebookName) -> Result<PixelRules, EditorError> {
        let book = self.existing(codebook)?;
        let live = book.and_then(|book| book.snapshot().embedding().map(|embedding| embedding.pixels));
        Ok(live.unwrap_or(PixelRules::CURRENT))
    }

    /// The embedding of stored keys.
    ///
    /// # Errors
    /// Another model or encoder made them.
    pub(crate) fn stored_embedder(&self, generation: &Generation) -> Result<Embedder, EditorError> {
        match Embedder::stored(generation, &self.inner.model, &self.inner.encoder) {
            Some(embedder) => Ok(embedder),
            None => Err(mismatch(&generation.embedding, self.configured_embedder()?.embedding)),
        }
    }

    /// The embedding that entries of this codebook are made with now.
    ///
    /// # Errors
    /// The codebook's keys were made with another one: they are not mixed.
    pub(crate) fn embedder_of(&self, name: &CodebookName) -> Result<Embedder, EditorError> {
        match self.existing(name)? {
            Some(book) => self.embedder_for(&book.snapshot()),
            None => self.configured_embedder(),
        }
    }

    /// The embedding of the keys in this snapshot.
    ///
    /// # Errors
    /// As [`Self::embedder_of`].
    pub(crate) fn embedder_for(&self, snapshot: &Snapshot) -> Result<Embedder, EditorError> {
        let Some(generation) = snapshot.generation() else { return self.configured_embedder() };
        if generation.chosen {
            return self.stored_embedder(&generation);
        }
        let stored = &generation.embedding;
        // The configuration has no say in how pixels were read.
        let configured = self.configured_embedder()?.with_pixels(stored.pixels);
        if configured.embedding.same_space(stored) {
            Ok(configured.under(stored.id))
        } else {
            Err(mismatch(stored, configured.embedding))
        }
    }

    /// The embedding for edits of an archive: a codebook that begins with one takes over what was chosen for
    /// it and how its pixels were read, if that can be computed here.
    pub(crate) fn embedder_of_import(
        &self,
        name: &CodebookName,
        archived: Option<&Generation>,
    ) -> Result<Embedder, EditorError> {
        let begun = self.existing(name)?.is_some_and(|book| book.snapshot().embedding().is_some());
        let Some(archived) = archived.filter(|_| !begun) else { return self.embedder_of(name) };
        let stored = Embedder::stored(archived, &self.inner.model, &self.inner.encoder);
        let configured = self.configured_embedder()?;
        let as_archived = configured.clone().with_pixels(archived.embedding.pixels);
        match stored.filter(|_| archived.chosen) {
            Some(embedder) => Ok(embedder),
            None if as_archived.embedding.same_space(&archived.embedding) => Ok(as_archived),
            None => Ok(configured),
        }
    }

    /// Has the taps in use pooled whenever a picture is looked at, so that one that is asked about is
    /// embedded in the same pass.
    pub(crate) async fn refresh_taps(&self) -> Result<(), EditorError> {
        let mut taps: Vec<TapName> = self.configured_embedder()?.picture_tap().cloned().into_iter().collect();
        for book in self.library().books() {
            // A codebook that can't be used now needs no tap.
            let Ok(embedder) = self.embedder_for(&book.snapshot()) else { continue };
            if let Some(tap) = embedder.picture_tap()
                && !taps.contains(tap)
                && taps.len() < MAX_TAPS
            {
                taps.push(tap.clone());
            }
        }
        self.engine().set_always_taps(taps).await?;
        Ok(())
    }

    pub(crate) fn gate(&self) -> Arc<RwLock<()>> {
        Arc::clone(&self.inner.gate)
    }

    /// Stores an edit: durable and live when this returns. Should the codebook have moved to another
    /// embedding since the members were made, their keys are made anew; the record that was stored is
    /// returned.
    pub(crate) async fn commit(
        &self,
        codebook: &CodebookName,
        mut record: EditRecord,
        picture: &Picture,
        mut members: Vec<Member>,
        mut embedder: Embedder,
        options: CallOptions,
    ) -> Result<(EditRecord, AppliedEdit), EditorError> {
        loop {
            record.embedding = embedder.embedding.id;
            let gate = self.gate().read_owned().await;
            let (editor, name) = (self.clone(), codebook.clone());
            let (stored, made, generation) = (record.clone(), members.clone(), embedder.generation());
            let applied = blocking(move || {
                let book = editor.library().get_or_create(&name)?;
                let applied = book.apply(stored, made, &generation)?;
                // Held for as long as the write takes, even if nobody waits for it any more.
                drop(gate);
                Ok(applied)
            });
            match applied.await {
                Err(EditorError::Codebook(error @ CodebookError::EmbeddingMismatch { .. })) => {
                    let now = self.embedder_of(codebook)?;
                    if now.embedding == embedder.embedding {
                        return Err(error.into());
                    }
                    let maker = EntryMaker { editor: self, embedder: &now, options };
                    let stored: Vec<Arc<Member>> = members.into_iter().map(Arc::new).collect();
                    members = maker.again(&record, picture, &stored).await?;
                    embedder = now;
                }
                outcome => return Ok((record, outcome?)),
            }
        }
    }
}

fn mismatch(stored: &Embedding, asked: Embedding) -> EditorError {
    let (stored, asked) = (Box::new(stored.clone()), Box::new(asked));
    CodebookError::EmbeddingMismatch { stored, asked }.into()
}
