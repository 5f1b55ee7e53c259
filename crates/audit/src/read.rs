//! The trail as it is read, also while it is written.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::csv::{self, CSV_HEADER};
use crate::error::{AuditError, Result};
use crate::filter::AuditFilter;
use crate::head::{Anchor, AuditHead, EndRecord};
use crate::layout::{DayFile, day_files};
use crate::line::seq_of;
use crate::record::AuditLine;
use crate::reverse::ReverseLines;

/// Bytes of lines that are looked through for one page at most: what isn't found by then is on the next.
const PAGE_BYTES: usize = 256 << 20;

/// How lines are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFormat {
    /// As they are written, so that their hashes can be compared.
    Lines,
    /// As rows of a table.
    Csv,
}

/// A page of lines, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The lines; there may be fewer than were asked for though more follow.
    pub lines: Vec<AuditLine>,
    /// Lines before this one are on the next page; none after the last.
    pub next: Option<u64>,
    /// Where the trail ends on the disk.
    pub head: Option<AuditHead>,
}

/// Reads the trail of a folder.
#[derive(Clone, Debug)]
pub struct AuditReader {
    pub(crate) folder: PathBuf,
}

impl AuditReader {
    /// Of this folder, which need not be there.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The files of lines that are kept.
    pub(crate) fn files(&self) -> Result<Vec<DayFile>> {
        let first = Anchor::read(&self.folder)?.and_then(|anchor| anchor.first_day());
        let mut files = day_files(&self.folder)?;
        files.retain(|file| first.is_none_or(|first| file.day >= first));
        Ok(files)
    }

    /// Where the trail ends on the disk.
    ///
    /// # Errors
    /// [`AuditError::File`].
    pub fn head(&self) -> Result<Option<AuditHead>> {
        Ok(EndRecord::read(&self.folder)?.and_then(|head| head.place()).map(Into::into))
    }

    /// A page, the newest lines first, of those before the line of number `before`. Lines that can't be read
    /// are passed over: [`Self::verify`] names them.
    ///
    /// # Errors
    /// [`AuditError::File`].
    pub fn page(&self, filter: &AuditFilter, before: Option<u64>, limit: usize) -> Result<AuditPage> {
        let head = self.head()?;
        let (mut lines, mut looked) = (Vec::new(), 0);
        let page = |lines, next| Ok(AuditPage { lines, next, head: head.clone() });
        for file in self.files()?.iter().rev().filter(|file| filter.holds_day(file.day)) {
            let failed = || AuditError::file(&file.path);
            let opened = match File::open(&file.path) {
                // Old files may go meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed())?,
            };
            let later = |seq: u64| before.is_some_and(|before| seq >= before);
            let mut first = Vec::new();
            BufReader::new(&opened).read_until(b'\n', &mut first).map_err(failed())?;
            if seq_of(&first).is_some_and(later) {
                continue;
            }
            let mut reverse = ReverseLines::new(opened).map_err(failed())?;
            while let Some(bytes) = reverse.next().map_err(failed())? {
                // What is none was damaged, and is named elsewhere.
                let Some(seq) = seq_of(&bytes).filter(|seq| !later(*seq)) else { continue };
                if looked > PAGE_BYTES {
                    return page(lines, Some(seq + 1));
                }
                looked += bytes.len();
                let Some(line) = read(&bytes, filter).filter(|line| filter.holds(line)) else { continue };
                if lines.len() == limit {
                    return page(lines, Some(seq + 1));
                }
                lines.push(line);
            }
        }
        page(lines, None)
    }

    /// Writes all such lines, the oldest first; how many.
    ///
    /// # Errors
    /// [`AuditError::File`] of a file, and of what is written to.
    pub fn export(&self, filter: &AuditFilter, format: AuditFormat, out: &mut dyn Write) -> Result<u64> {
        let written = || AuditError::file(Path::new("output"));
        if format == AuditFormat::Csv {
            out.write_all(CSV_HEADER.as_bytes()).map_err(written())?;
        }
        let mut count = 0;
        for file in self.files()?.iter().filter(|file| filter.holds_day(file.day)) {
            let failed = || AuditError::file(&file.path);
            let opened = match File::open(&file.path) {
                // Old files may go meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed())?,
            };
            let mut lines = BufReader::new(opened);
            let mut bytes = Vec::new();
            while lines.read_until(b'\n', &mut bytes).map_err(failed())? > 0 {
                let whole = bytes.strip_suffix(b"\n");
                if let Some(line) =
                    whole.and_then(|bytes| read(bytes, filter)).filter(|line| filter.holds(line))
                {
                    count += 1;
                    match format {
                        AuditFormat::Lines => out.write_all(&bytes),
                        AuditFormat::Csv => out.write_all(csv::row(&line).as_bytes()),
                    }
                    .map_err(written())?;
                }
                bytes.clear();
            }
        }
        out.flush().map_err(written())?;
        Ok(count)
    }
}

/// A line, if it can be read and may be one that is asked for.
fn read(bytes: &[u8], filter: &AuditFilter) -> Option<AuditLine> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| filter.may_hold(text))?;
    serde_json::from_str(text).ok()
}
