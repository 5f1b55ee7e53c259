//! The journal's rows, all of them in one tree: table, a zero byte, id, number.

use std::ops::RangeInclusive;

use ulid::Ulid;

use super::layout::{journal_key, of_keyring};
use super::{SledStore, values};
use crate::store::journal::{JournalStore, ReadRow, RowKey};
use crate::{CodebookError, Result};

/// Table, a zero byte (which no table has), key.
fn under(table: &str, key: RowKey) -> Vec<u8> {
    [table.as_bytes(), &[0], &key.to_bytes()[..]].concat()
}

impl SledStore {
    /// A row of a table; `None` for what is none.
    fn read_row(&self, table: &str, key: &[u8], value: Result<Vec<u8>>) -> Option<ReadRow> {
        let at = RowKey::from_bytes(key.get(table.len() + 1..)?)?;
        Some((at, value.and_then(|sealed| self.unseal_row(key, &sealed))))
    }

    /// What is damaged of the journal, in words. What goes on in the background is not worth a start that
    /// fails, nor a backup: it is told, and is as if it had never been.
    pub(super) fn journal_faults(&self) -> Vec<String> {
        let tree = self.journal_tree();
        let (rows, end) = values::reached(tree, &[]);
        let mut faults = Vec::new();
        for (key, value) in rows {
            if let Err(error) = value.and_then(|sealed| self.unseal_row(&key, &sealed)) {
                faults.push(format!(
                    "{error}; it is a row of what goes on in the background, and is passed over"
                ));
            }
        }
        faults.extend(end.err().map(|error| {
            format!("{error}; rows of what goes on in the background that lie there are passed over")
        }));
        faults
    }
}

impl JournalStore for SledStore {
    fn put_row(&self, table: &str, key: RowKey, value: &[u8]) -> Result<()> {
        let _beside = self.writing.read();
        let (id, key) = (key.id.to_bytes(), under(table, key));
        let sealed = self.seal_row(table, &id, &key, value)?;
        self.journal_tree().transaction(|tree| Ok(values::put(tree, &key, &sealed)?)).map_err(
            |error: sled::transaction::TransactionError| {
                CodebookError::store("write a row of the journal", error)
            },
        )?;
        self.flush("write a row of the journal")
    }

    fn row(&self, table: &str, key: RowKey) -> Result<Option<Vec<u8>>> {
        let key = under(table, key);
        let stored = values::get(self.journal_tree(), &key)?;
        stored.map(|sealed| self.unseal_row(&key, &sealed)).transpose()
    }

    fn rows(&self, table: &str, keys: RangeInclusive<RowKey>, limit: usize) -> Result<Vec<ReadRow>> {
        let (first, last) = (under(table, *keys.start()), under(table, *keys.end()));
        let read = values::range_each(self.journal_tree(), &first, &last, limit)?;
        Ok(read.into_iter().filter_map(|(key, value)| self.read_row(table, &key, value)).collect())
    }

    fn rows_reached(&self, table: &str) -> Result<Vec<ReadRow>> {
        let (read, end) = values::reached(self.journal_tree(), &[table.as_bytes(), &[0]].concat());
        if let Err(error) = end {
            tracing::error!(%error, table, "some rows of what goes on in the background can't be reached");
        }
        Ok(read.into_iter().filter_map(|(key, value)| self.read_row(table, &key, value)).collect())
    }

    fn remove_rows(&self, table: &str, id: Ulid) -> Result<()> {
        let _beside = self.writing.read();
        let tree = self.journal_tree();
        let prefix = [table.as_bytes(), &[0], &id.to_bytes()[..]].concat();
        let mut batch = sled::Batch::default();
        for key in tree.scan_prefix(&prefix).keys() {
            batch.remove(key.map_err(|e| values::failed(tree, &prefix, e))?);
        }
        tree.apply_batch(batch).map_err(|e| CodebookError::store("remove rows of the journal", e))?;
        self.flush("remove rows of the journal")?;
        self.keys.forget(&[journal_key(table.as_bytes(), &id.to_bytes())]).map_err(of_keyring)
    }
}
