//! How long what was taken back is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use reasonedit_codebook::{Codebook, EditId, Event};
use time::OffsetDateTime;

use crate::editor::Editor;
use crate::erase::ErasureView;
use crate::error::EditorError;
use crate::pictures::blocking;

/// In whose name edits are erased whose time is over.
const BY: &str = "retention";

impl Editor {
    /// Erases the edits that were taken back before this time, the proposals that were rejected or withdrawn
    /// before it, and their pictures where nothing else is about them, and tells of each; how many they were.
    /// Those of which it isn't known when they were taken back (the first versions didn't write it down)
    /// stay.
    ///
    /// # Errors
    /// Failing storage; what was erased before stays so.
    pub async fn erase_reverted_before(
        &self,
        before: OffsetDateTime,
        told: impl Fn(&ErasureView),
    ) -> Result<usize, EditorError> {
        let mut erased = 0;
        for book in self.library().books() {
            let looked_at = Arc::clone(&book);
            for edit in blocking(move || Ok(reverted_before(&looked_at, before)?)).await? {
                told(&self.erase_record(book.name(), edit, Some(BY)).await?);
                erased += 1;
            }
        }
        for view in self.erase_proposals_closed_before(before).await? {
            told(&view);
            erased += 1;
        }
        Ok(erased)
    }
}

fn reverted_before(
    book: &Codebook,
    before: OffsetDateTime,
) -> Result<Vec<EditId>, reasonedit_codebook::CodebookError> {
    let mut reverted = BTreeMap::new();
    for logged in book.events(0, usize::MAX)? {
        match logged.event {
            Event::Reverted(edit) => drop(reverted.insert(edit, logged.at)),
            Event::Restored(edit) | Event::Erased(edit) => drop(reverted.remove(&edit)),
            Event::Edited(_) | Event::Reembedded(_) => {}
        }
    }
    let over = |at: &Option<OffsetDateTime>| at.is_some_and(|at| at < before);
    Ok(reverted.into_iter().filter(|(_, at)| over(at)).map(|(edit, _)| edit).collect())
}
