//! Which embedding a codebook's entries are made and looked up with.
//!
//! A codebook keeps to the tap, pooling and λ that were chosen for it; one for which nothing was chosen
//! follows the configuration, which must then be the one that its keys were made with. Either way the model
//! and the encoder must be those that made them, and its keys are made by the rules (of pixels, of seeds)
//! that they were made by before: a codebook of before there were others goes on with the first until it is
//! moved over.

use std::sync::Arc;

use reasonedit_codebook::{Codebook, CodebookError, CodebookName, Embedding, Generation, Snapshot};
use reasonedit_imaging::PixelRules;
use reasonedit_inference::TapName;

use crate::core::Core;
use crate::editor::Editor;
use crate::embed::{Embedder, KeyRules};
use crate::error::EditorError;

/// Taps that are pooled in every vision pass. Codebooks beyond that are served as well, with a pass of their
/// own.
const MAX_TAPS: usize = 8;

impl Core {
    /// The embedding that the configuration asks for.
    pub(crate) fn configured_embedder(&self) -> Result<Embedder, EditorError> {
        Embedder::configured(&self.config().embedding, self.model(), self.encoder())
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
        match Embedder::stored(generation, self.model(), self.encoder()) {
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
        let configured = self.configured_embedder()?.by(KeyRules::of(stored));
        if configured.embedding.same_space(stored) {
            Ok(configured.under(stored.id))
        } else {
            Err(mismatch(stored, configured.embedding))
        }
    }

    /// The embedding for edits of an archive: a codebook that begins with one takes over what was chosen for
    /// it and the rules of its keys, if that can be computed here.
    pub(crate) fn embedder_of_import(
        &self,
        name: &CodebookName,
        archived: Option<&Generation>,
    ) -> Result<Embedder, EditorError> {
        let begun = self.existing(name)?.is_some_and(|book| book.snapshot().embedding().is_some());
        let Some(archived) = archived.filter(|_| !begun) else { return self.embedder_of(name) };
        let stored = Embedder::stored(archived, self.model(), self.encoder());
        let configured = self.configured_embedder()?;
        let as_archived = configured.clone().by(KeyRules::of(&archived.embedding));
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
}

impl Editor {
    /// Codebooks that this model, encoder and configuration can't be used with: they refuse edits and
    /// queries with `EmbeddingMismatch`, which stands beside the name.
    pub fn unusable_codebooks(&self) -> Vec<(CodebookName, EditorError)> {
        let core = &self.core;
        let unusable = |book: &Arc<Codebook>| {
            let error = core.embedder_for(&book.snapshot()).err()?;
            Some((book.name().clone(), error))
        };
        core.library().books().iter().filter_map(unusable).collect()
    }
}

fn mismatch(stored: &Embedding, asked: Embedding) -> EditorError {
    let (stored, asked) = (Box::new(stored.clone()), Box::new(asked));
    CodebookError::EmbeddingMismatch { stored, asked }.into()
}
