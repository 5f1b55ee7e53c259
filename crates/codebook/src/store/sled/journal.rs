//! The journal's rows, all of them in one tree: table, a zero byte, id, number.

use std::ops::RangeInclusive;

use ulid::Ulid;

use super::layout::{journal_key, of_keyring};
use super::{SledStore, values};
use crate::store::journal::{JournalStore, RowKey};
use crate::{CodebookError, Result};

/// Table, a zero byte (which no table has), key.
fn under(table: &str, key: RowKey) -> Vec<u8> {
    [table.as_bytes(), &[0], &key.to_bytes()[..]].concat()
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
        Ok(stored.map(|sealed| self.unseal_row(&key, &sealed)).transpose()?.flatten())
    }

    fn rows(
        &self,
        table: &str,
        keys: RangeInclusive<RowKey>,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>> {
        let tree = self.journal_tree();
        let (first, last) = (under(table, *keys.start()), under(table, *keys.end()));
        let prefix = table.len() + 1;
        let read = values::range(tree, &first, &last, limit)?;
        let row = |(key, value): (Vec<u8>, Vec<u8>)| {
            let at = RowKey::from_bytes(&key[prefix..]).ok_or_else(|| {
                CodebookError::corrupt(values::describe(tree, &key), "its key is not that of a row")
            })?;
            Ok(self.unseal_row(&key, &value)?.map(|plain| (at, plain)))
        };
        read.into_iter().map(row).filter_map(Result::transpose).collect()
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
