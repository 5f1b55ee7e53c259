//! The record of the trail's end, and the one of its beginning where old files were removed.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::error::{AuditError, Result};
use crate::layout::{self, ANCHOR, DayFile, HEAD, UNFINISHED};
use crate::line::Place;

/// Bytes of one of the two records, the rest filled with spaces: written in turn, so that one of them is
/// whole whenever the process is killed, and in place, so that they need no room on a full disk.
const SLOT: usize = 320;
/// Digits of a record's own sum.
const SUM_DIGITS: usize = 16;

/// Where the trail ends: what to keep elsewhere, to find later that its end was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditHead {
    /// The number of the last line.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl From<Place> for AuditHead {
    fn from(place: Place) -> Self {
        Self { seq: place.seq, hash: place.hash.to_hex().to_string() }
    }
}

/// The last line that was brought to the disk, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndRecord {
    pub(crate) seq: u64,
    hash: String,
    /// The day's file.
    pub(crate) file: String,
    /// Where the line begins in it.
    pub(crate) begins: u64,
    /// Where it ends, its newline included.
    pub(crate) ends: u64,
    /// Of what stands before.
    sum: String,
}

impl EndRecord {
    pub(crate) fn new(place: Place, file: &DayFile, begins: u64, ends: u64) -> Self {
        let mut record = Self {
            seq: place.seq,
            hash: place.hash.to_hex().to_string(),
            file: file.name(),
            begins,
            ends,
            sum: String::new(),
        };
        record.sum = record.summed();
        record
    }

    fn summed(&self) -> String {
        let Self { seq, hash, file, begins, ends, .. } = self;
        let text = format!("{seq} {hash} {file} {begins} {ends}");
        blake3::hash(text.as_bytes()).to_hex()[..SUM_DIGITS].to_owned()
    }

    pub(crate) fn place(&self) -> Option<Place> {
        Place::said(self.seq, &self.hash)
    }

    /// Writes it into the folder.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec(self)?;
        text.resize(SLOT - 1, b' ');
        text.push(b'\n');
        let mut file = layout::options().open(folder.join(HEAD))?;
        file.seek(SeekFrom::Start(self.seq % 2 * SLOT as u64))?;
        file.write_all(&text)
    }

    /// The newest of a folder; none where there is none that is whole.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(HEAD);
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => {
                file.take(2 * SLOT as u64).read_to_end(&mut bytes).map_err(AuditError::file(&path))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(AuditError::file(&path)(error)),
        };
        let whole = bytes.chunks(SLOT).filter_map(|slot| serde_json::from_slice::<Self>(slot).ok());
        Ok(whole.filter(|record| record.sum == record.summed()).max_by_key(|record| record.seq))
    }
}

/// What the first line that is kept follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anchor {
    seq: u64,
    hash: String,
    /// Files of days before this are removed, or about to be.
    before: String,
}

impl Anchor {
    pub(crate) fn new(place: Place, before: time::Date) -> Self {
        let hash = place.hash.to_hex().to_string();
        Self { seq: place.seq, hash, before: layout::written(before) }
    }

    pub(crate) fn place(&self) -> Option<Place> {
        Place::said(self.seq, &self.hash)
    }

    /// The first day that is kept.
    pub(crate) fn first_day(&self) -> Option<time::Date> {
        layout::day(&self.before)
    }

    /// Writes it whole and durably.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = NamedTempFile::with_prefix_in(UNFINISHED, folder)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(folder.join(ANCHOR)).map_err(|error| error.error)?;
        layout::sync_folder(folder)
    }

    /// That of a folder. What can't be read is none: the trail then seems to begin where it can't, and that
    /// is found.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(ANCHOR);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AuditError::file(&path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::line::GENESIS;

    #[test]
    fn of_two_records_the_newest_whole_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = DayFile::of(folder.path(), date!(2026 - 11 - 30));
        assert_eq!(EndRecord::read(folder.path()).unwrap(), None);
        let record = |seq| EndRecord::new(Place { seq, hash: GENESIS }, &file, seq * 10, seq * 10 + 10);
        for seq in 1..5 {
            record(seq).write(folder.path()).unwrap();
            assert_eq!(EndRecord::read(folder.path()).unwrap(), Some(record(seq)));
        }
        // The fifth is half written.
        let path = folder.path().join(HEAD);
        let mut bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 2 * SLOT);
        bytes[SLOT..SLOT + 9].copy_from_slice(b"{\"seq\":5,");
        fs::write(&path, bytes).unwrap();
        assert_eq!(EndRecord::read(folder.path()).unwrap(), Some(record(4)));
    }

    #[test]
    fn the_longest_record_fits() {
        let file = DayFile::of(Path::new(""), date!(9999 - 12 - 31));
        let record = EndRecord::new(Place { seq: u64::MAX, hash: GENESIS }, &file, u64::MAX, u64::MAX);
        assert!(serde_json::to_vec(&record).unwrap().len() < SLOT);
    }
}
