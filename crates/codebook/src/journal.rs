//! A small durable table beside the codebooks: what goes on in the background, and how far it is.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ulid::Ulid;

use crate::store::{CodebookStore, RowKey};
use crate::{CodebookError, Result};

/// Most bytes of a row: what is larger belongs into a file.
pub const MAX_ROW_BYTES: usize = 1 << 20;

/// A table of rows, small byte values in the caller's own form. Writes are atomic, and durable when they
/// return. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn CodebookStore>,
    table: &'static str,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Journal").field(&self.table).finish()
    }
}

impl Journal {
    pub(crate) fn new(store: Arc<dyn CodebookStore>, table: &'static str) -> Self {
        Self { store, table }
    }

    /// Writes a row, in place of the one that stands there if any.
    ///
    /// # Errors
    /// `InvalidRecord` above [`MAX_ROW_BYTES`], `Store` if the disk refuses.
    pub fn put(&self, id: Ulid, number: u64, value: &[u8]) -> Result<()> {
        if value.len() > MAX_ROW_BYTES {
            return Err(CodebookError::InvalidRecord("a row of the journal is too large"));
        }
        self.store.journal().put_row(self.table, RowKey { id, number }, value)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// `Corrupt` or `Store`.
    pub fn get(&self, id: Ulid, number: u64) -> Result<Option<Vec<u8>>> {
        self.store.journal().row(self.table, RowKey { id, number })
    }

    /// At most `limit` rows of an id, in order, from the row `from` on.
    ///
    /// # Errors
    /// `Corrupt` or `Store`.
    pub fn rows(&self, id: Ulid, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        let rows = self.scan(RowKey { id, number: from }..=RowKey { id, number: u64::MAX }, limit)?;
        Ok(rows.into_iter().map(|(key, value)| (key.number, value)).collect())
    }

    /// At most `limit` rows within `keys`, in order.
    ///
    /// # Errors
    /// `Corrupt` or `Store`.
    pub fn scan(&self, keys: RangeInclusive<RowKey>, limit: usize) -> Result<Vec<(RowKey, Vec<u8>)>> {
        // What lies before its own beginning is nothing; sorted maps would panic.
        if keys.start() > keys.end() {
            return Ok(Vec::new());
        }
        let rows = self.store.journal().rows(self.table, keys, limit)?;
        rows.into_iter().map(|(key, value)| Ok((key, value?))).collect()
    }

    /// All rows of the table that can be read, in order. Those that can't are told in the log, and among the
    /// faults of the store since it was opened: they are as if they had never been.
    ///
    /// # Errors
    /// `Store`.
    pub fn all(&self) -> Result<Vec<(RowKey, Vec<u8>)>> {
        let (rows, damaged) = self.all_and_damaged()?;
        for (_, error) in damaged {
            tracing::error!(table = self.table, %error, "a row of what goes on in the background is lost");
        }
        Ok(rows)
    }

    /// All rows of the table that can be read, in order, and those that can't.
    ///
    /// # Errors
    /// `Store`.
    #[allow(clippy::type_complexity, reason = "two lists of rows")]
    pub fn all_and_damaged(&self) -> Result<(Vec<(RowKey, Vec<u8>)>, Vec<(RowKey, CodebookError)>)> {
        let (mut rows, mut damaged) = (Vec::new(), Vec::new());
        for (key, value) in self.store.journal().rows_reached(self.table)? {
            match value {
                Ok(value) => rows.push((key, value)),
                Err(error) => damaged.push((key, error)),
            }
        }
        Ok((rows, damaged))
    }

    /// Removes all rows of an id at once. There need not be any.
    ///
    /// # Errors
    /// `Store`.
    pub fn remove(&self, id: Ulid) -> Result<()> {
        self.store.journal().remove_rows(self.table, id)
    }
}

#[cfg(test)]
mod tests;
