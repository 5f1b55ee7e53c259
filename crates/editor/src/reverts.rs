//! Many edits taken back at once, seen before it is done, and undone.

use std::sync::Arc;

use reasonedit_codebook::{
    Codebook, CodebookName, EditId, EditSelection, Page, RestoredEdits, Revert, RevertId, RevertedEdits,
};
use ulid::Ulid;

use crate::editor::Editor;
use crate::error::EditorError;
use crate::pictures::blocking;
use crate::states::AskedState;
use crate::types::{CallContext, DryRunQuestions, ForeseenRevert};

impl Editor {
    fn book_of(&self, codebook: &CodebookName, revert: RevertId) -> Result<Arc<Codebook>, EditorError> {
        let unknown = || reasonedit_codebook::CodebookError::UnknownRevert(revert);
        Ok(self.core.existing(codebook)?.ok_or_else(unknown)?)
    }

    /// What a selection takes, and what taking it back would change: which of these questions, and which
    /// canaries, would be answered otherwise. Nothing is written. `None` where there is no codebook yet.
    ///
    /// # Errors
    /// A named edit that isn't live, unusable questions, a busy or failing engine.
    pub async fn foresee_revert(
        &self,
        codebook: &CodebookName,
        selection: EditSelection,
        questions: Option<DryRunQuestions>,
        call: CallContext,
    ) -> Result<Option<ForeseenRevert>, EditorError> {
        let Some(book) = self.core.existing(codebook)? else { return Ok(None) };
        let now = book.snapshot();
        let before = Arc::clone(&now);
        let reverted = blocking(move || Ok(before.without_selected(&selection)?)).await?;
        let Some(questions) = questions else {
            return Ok(Some(ForeseenRevert { reverted, effects: None }));
        };
        let questions = self.subjects(codebook, questions)?;
        let after = self.core.supposed(Arc::clone(&reverted.snapshot), None).await?;
        let effects =
            Box::pin(self.effects_on((codebook, call), (&AskedState::live(now), &after), questions)).await?;
        Ok(Some(ForeseenRevert { reverted, effects: Some(effects) }))
    }

    /// Takes back in one step what a selection takes, all of it or nothing. The step is known by the id;
    /// without one nothing was taken.
    ///
    /// # Errors
    /// A named edit that isn't live, failing storage.
    pub async fn revert_selected(
        &self,
        codebook: &CodebookName,
        selection: EditSelection,
        by: Option<&str>,
    ) -> Result<Option<(RevertId, RevertedEdits)>, EditorError> {
        let Some(book) = self.core.existing(codebook)? else { return Ok(None) };
        let (id, by) = (RevertId(self.core.next_id()), by.map(str::to_owned));
        let reverted = blocking(move || Ok(book.revert_selected(&selection, id, by.as_deref())?)).await?;
        Ok((!reverted.edits.is_empty()).then_some((id, reverted)))
    }

    /// Undoes such a step: what it took back is live again, to the last bit.
    ///
    /// # Errors
    /// An unknown step, one that was undone, keys that are not kept, failing storage.
    pub async fn undo_revert(
        &self,
        codebook: &CodebookName,
        revert: RevertId,
        by: Option<&str>,
    ) -> Result<RestoredEdits, EditorError> {
        let (book, by) = (self.book_of(codebook, revert)?, by.map(str::to_owned));
        blocking(move || Ok(book.undo_revert(revert, by.as_deref())?)).await
    }

    /// The edits that came with an import, as far as the codebook knows it.
    ///
    /// # Errors
    /// Failing storage.
    pub async fn imported_by(
        &self,
        codebook: &CodebookName,
        import: Ulid,
    ) -> Result<Vec<EditId>, EditorError> {
        let Some(book) = self.core.existing(codebook)? else { return Ok(Vec::new()) };
        blocking(move || Ok(book.imported_by(import)?)).await
    }

    /// Such a step.
    ///
    /// # Errors
    /// An unknown step, failing storage.
    pub async fn revert_step(
        &self,
        codebook: &CodebookName,
        revert: RevertId,
    ) -> Result<Revert, EditorError> {
        let book = self.book_of(codebook, revert)?;
        blocking(move || Ok(book.revert_step(revert)?)).await
    }

    /// Such steps, the last one first, from the one after `cursor` on.
    ///
    /// # Errors
    /// Failing storage.
    pub async fn reverts(
        &self,
        codebook: &CodebookName,
        cursor: Option<RevertId>,
        limit: usize,
    ) -> Result<Page<Revert, RevertId>, EditorError> {
        let Some(book) = self.core.existing(codebook)? else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        blocking(move || Ok(book.reverts(cursor, limit)?)).await
    }
}
