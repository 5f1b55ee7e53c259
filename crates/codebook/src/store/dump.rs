//! All rows of a store at one moment, for a backup, and what was found while they were read.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::ImageId;

/// A row of a store, whatever form the store itself keeps it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpedRow<'a> {
    /// The tree that it stands in.
    pub tree: &'a str,
    /// Its key.
    pub key: &'a [u8],
    /// Its value, checked.
    pub value: &'a [u8],
}

/// What was dumped, beside the rows themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DumpReport {
    /// The schema that the rows are of.
    pub schema: u32,
    /// Codebooks.
    pub codebooks: usize,
    /// Live edits of all of them.
    pub edits: usize,
    /// Rows.
    pub rows: u64,
    /// Pictures of live edits.
    pub images: BTreeSet<ImageId>,
    /// Pictures of which only edits speak that were taken back, or are not yet there, or rows of the journal.
    pub other_images: BTreeSet<ImageId>,
    /// The longest that a writer may have waited.
    pub writers_waited: Duration,
    /// What had been wrong with the store as a whole when it was opened.
    pub faults: Vec<String>,
}

/// What a restored store has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredStore {
    /// Codebooks.
    pub codebooks: usize,
    /// Live edits of all of them.
    pub edits: usize,
    /// Rows that came, those included of what was erased since and of work that is over.
    pub rows: u64,
    /// Edits that were live among the rows, and are gone since they were erased later.
    pub erased: usize,
}
