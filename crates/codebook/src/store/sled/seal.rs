//! How much was acknowledged, kept beside the store: the file `sealed` in its folder.
//!
//! sled takes a log that was cut for one that ends there. What is left is consistent, so nothing in it shows
//! that more had been there; this file does. A line is appended and synced after each commit and before it
//! is acknowledged, so it is never ahead of the store, and behind by nothing that was acknowledged. Each line
//! bears the beginning of its BLAKE3; of the last one a crash may leave a part.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::ids::CodebookName;
use crate::{CodebookError, Result};

/// The file's name.
pub(super) const FILE: &str = "sealed";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sealed {
    /// Events that each codebook had.
    pub(super) events: BTreeMap<CodebookName, u64>,
    /// Codebooks whose end was found missing: how many events they had had, and how many were found.
    pub(super) cut: BTreeMap<CodebookName, (u64, u64)>,
    /// Whether a line that was written whole can't be read.
    pub(super) damaged: bool,
    /// Whether there was nothing in it, though it is never begun so.
    pub(super) emptied: bool,
}

impl Sealed {
    fn read(bytes: &[u8]) -> Self {
        let mut sealed = Self { emptied: bytes.is_empty(), ..Self::default() };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match Line::parse(line) {
                Some(Line::Events(name, events)) => drop(sealed.events.insert(name, events)),
                Some(Line::Begun) => {}
                Some(Line::Cut(name, had, found)) => drop(sealed.cut.insert(name, (had, found))),
                // The one that a crash cut has no end.
                None => sealed.damaged |= line.ends_with(b"\n"),
            }
        }
        sealed
    }

    fn lines(&self) -> String {
        let events = self.events.iter().map(|(name, events)| Line::Events(name.clone(), *events).written());
        let cut = self.cut.iter().map(|(name, (had, found))| Line::Cut(name.clone(), *had, *found).written());
        std::iter::once(Line::Begun.written()).chain(events).chain(cut).collect()
    }
}

enum Line {
    /// The first, so that a file that was emptied is told from one of a store without codebooks.
    Begun,
    Events(CodebookName, u64),
    Cut(CodebookName, u64, u64),
}

impl Line {
    fn written(&self) -> String {
        let said = match self {
            Self::Begun => "begun".to_owned(),
            Self::Events(name, events) => format!("events {name} {events}"),
            Self::Cut(name, had, found) => format!("cut {name} {had} {found}"),
        };
        format!("{} {said}\n", sum(&said))
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let (own, said) = line.split_once(' ')?;
        if own != sum(said) {
            return None;
        }
        let words: Vec<&str> = said.split(' ').collect();
        match words.as_slice() {
            ["begun"] => Some(Self::Begun),
            ["events", name, events] => Some(Self::Events(name.parse().ok()?, events.parse().ok()?)),
            ["cut", name, had, found] => {
                Some(Self::Cut(name.parse().ok()?, had.parse().ok()?, found.parse().ok()?))
            }
            _ => None,
        }
    }
}

fn sum(said: &str) -> String {
    blake3::hash(said.as_bytes()).to_hex()[..16].to_owned()
}

/// The file, open to be written to.
pub(super) struct Seal {
    folder: PathBuf,
    file: Mutex<Option<File>>,
}

impl Seal {
    /// Reads what is there; `None` if the store is of before there was such a file. Nothing is written yet.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub(super) fn open(folder: &Path) -> Result<(Self, Option<Sealed>)> {
        let sealed = match fs::read(folder.join(FILE)) {
            Ok(bytes) => Some(Sealed::read(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read what was acknowledged", &error)),
        };
        Ok((Self { folder: folder.to_owned(), file: Mutex::default() }, sealed))
    }

    /// Begins the file anew with what holds now.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub(super) fn begin(&self, sealed: &Sealed) -> Result<()> {
        let begun = || {
            let mut file = tempfile::Builder::new().prefix(FILE).tempfile_in(&self.folder)?;
            file.write_all(sealed.lines().as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(self.folder.join(FILE)).map_err(|error| error.error)?;
            File::open(&self.folder)?.sync_all()?;
            OpenOptions::new().append(true).open(self.folder.join(FILE))
        };
        *self.file.lock() =
            Some(begun().map_err(|error| CodebookError::of_disk("begin what was acknowledged", &error))?);
        Ok(())
    }

    /// Writes that a codebook has so many events, durably.
    ///
    /// # Errors
    /// `Store` if the disk refuses.
    pub(super) fn record(&self, name: &CodebookName, events: u64) -> Result<()> {
        let line = Line::Events(name.clone(), events).written();
        let file = self.file.lock();
        let written = file.as_ref().map_or(Ok(()), |mut file| {
            file.write_all(line.as_bytes())?;
            file.sync_data()
        });
        written.map_err(|error| failed("write what was acknowledged", &error))
    }
}

/// The kind of the error and not its text, which may hold a path.
fn failed(action: &'static str, error: &io::Error) -> CodebookError {
    CodebookError::store(action, error.kind())
}

#[cfg(test)]
mod tests;
