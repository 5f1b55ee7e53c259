//! What a store promises of the rows of [`crate::Journal`].

use std::ops::RangeInclusive;

use ulid::Ulid;

use crate::Result;

/// Where a row stands in its table; rows are in the order of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// What it belongs to.
    pub id: Ulid,
    /// Which one of those.
    pub number: u64,
}

impl RowKey {
    /// The first there can be.
    pub const FIRST: Self = Self { id: Ulid::nil(), number: 0 };
    /// The last.
    pub const LAST: Self = Self { id: Ulid(u128::MAX), number: u64::MAX };

    /// The 24 bytes whose order is the order of the keys.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.id.to_bytes());
        bytes[16..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// Reads the form that [`Self::to_bytes`] writes; `None` if it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, number) = bytes.split_first_chunk::<16>()?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        Some(Self { id: Ulid::from_bytes(*id), number })
    }
}

/// A row that was looked for: as it is, or `Corrupt`.
pub type ReadRow = (RowKey, Result<Vec<u8>>);

/// What a store does for [`crate::Journal`]. Writes are atomic and durable when they return.
pub trait JournalStore: Send + Sync {
    /// Writes a row, in place of the one that stands there if any.
    ///
    /// # Errors
    /// `Store`, as for every method.
    fn put_row(&self, table: &str, key: RowKey, value: &[u8]) -> Result<()>;

    /// Reads a row.
    ///
    /// # Errors
    /// `Corrupt` if it can't be read.
    fn row(&self, table: &str, key: RowKey) -> Result<Option<Vec<u8>>>;

    /// At most `limit` rows within `keys`, in order, each as it is or with why it can't be read. A row that
    /// is replaced meanwhile may read as corrupt.
    ///
    /// # Errors
    /// `Corrupt` if it can't be told which rows there are.
    fn rows(&self, table: &str, keys: RangeInclusive<RowKey>, limit: usize) -> Result<Vec<ReadRow>>;

    /// All rows of a table that can be reached, in order, each as it is or with why it can't be read: what
    /// is damaged keeps nobody from the others.
    ///
    /// # Errors
    /// `Store`.
    fn rows_reached(&self, table: &str) -> Result<Vec<ReadRow>>;

    /// Removes all rows of an id at once.
    ///
    /// # Errors
    /// `Store`.
    fn remove_rows(&self, table: &str, id: Ulid) -> Result<()>;
}
