//! What is lost and can be made anew of what is there, when a store is opened: rows of idempotency keys.
//! Without its row a request that is sent again would be done again, and nobody would know.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::layout::{EDITS, IDEMPOTENCY, idempotency_key, parse, under};
use super::{SledStore, values};
use crate::Result;
use crate::ids::{CodebookName, EditId};
use crate::records::Idempotency;

/// Under which key an edit was made, of its record: the rest, which is most of it, is passed over.
#[derive(Deserialize)]
struct Keyed {
    #[serde(default)]
    idempotency: Option<Idempotency>,
}

impl SledStore {
    /// The idempotency key that an edit was made under, as its record says.
    ///
    /// # Errors
    /// `Corrupt` or `Store`.
    pub(super) fn idempotency_of(&self, name: &CodebookName, edit: EditId) -> Result<Option<Idempotency>> {
        let (tree, key) = (self.tree(EDITS), under(name, &edit.to_bytes()));
        let Some(bytes) = self.read(EDITS, &key)? else { return Ok(None) };
        Ok(parse::<Keyed>(tree, &key, &bytes)?.idempotency)
    }

    /// Writes the rows of idempotency keys anew that are missing or can't be read, from the records of their
    /// edits, which say the same. A codebook that isn't whole is left as it is. A row that can't be read and
    /// whose edit was erased stays so: whoever sends its key is told that it can't be read.
    pub(super) fn mend_idempotency(&mut self) -> Result<()> {
        for name in self.names_of()? {
            let Ok(Some(head)) = self.head(&name) else { continue };
            let replay = self.replay(&name, Some(&head));
            if !replay.faults.is_empty() {
                continue;
            }
            let (rows, end) = values::scan_each(self.tree(IDEMPOTENCY), &under(&name, &[]));
            if let Err(error) = end {
                self.faults.push(format!("{error}; a request that is sent again may be done again"));
                continue;
            }
            let keyed: BTreeSet<EditId> = rows
                .iter()
                .filter_map(|(_, row)| Some(EditId::from_bytes(*row.as_ref().ok()?.first_chunk()?)))
                .collect();
            let edits = replay.live.iter().chain(&replay.reverted);
            let mut mended = 0usize;
            for edit in edits.filter(|edit| !keyed.contains(edit)) {
                mended += usize::from(self.mend_idempotency_of(&name, *edit)?);
            }
            if mended > 0 {
                self.faults.push(format!(
                    "of the codebook {name} the idempotency keys of {mended} edits were lost, and were written anew \
                     from the edits"
                ));
            }
        }
        Ok(())
    }

    /// Whether the row of an edit's key had to be written.
    fn mend_idempotency_of(&self, name: &CodebookName, edit: EditId) -> Result<bool> {
        // One whose record can't be read is found to be damaged by whoever reads it.
        let Ok(Some(given)) = self.idempotency_of(name, edit) else { return Ok(false) };
        let key = under(name, &idempotency_key(&given.key));
        if values::get(self.tree(IDEMPOTENCY), &key).is_ok_and(|row| row.is_some()) {
            return Ok(false);
        }
        let row = self.idempotency_row(name, &key, edit, &given.body)?;
        self.transact("write an idempotency key anew", |trees| {
            Ok(values::put(&trees[IDEMPOTENCY], &key, &row)?)
        })?;
        Ok(true)
    }
}
