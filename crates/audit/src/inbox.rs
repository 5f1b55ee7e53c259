//! Lines that commands leave to the service which writes the trail, in a folder of its own: whole files under
//! their last name, what is being written under another.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{AuditError, Result};
use crate::layout::{self, UNFINISHED};
use crate::record::{AuditEvent, AuditRecord};

/// Lines that the service has not taken yet.
const INBOX: &str = "inbox";
/// How their files end.
const RECORD: &str = ".json";
/// Bytes of a file that could be a line; one with a thousand ids has a tenth of them.
const MOST_BYTES: u64 = 1 << 20;
/// How often a line is left anew that was taken for a killed process's.
const TRIES: u32 = 3;
/// Files that the log names when they are found; of more their number.
const NAMED: usize = 10;
/// How long the folder is read after it has changed: files may come within one tick of its time.
const SETTLED: Duration = Duration::from_secs(2);

/// What an entry of the folder is.
enum Left {
    /// What a command left.
    Line(Box<AuditRecord>),
    /// What a process is writing, or was when it was killed.
    Unfinished,
    /// What no command left, and why it can't be a line.
    Strange(&'static str),
}

/// Why a file is no line of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NoLine {
    /// It is no JSON, as a line that is not written to its end isn't.
    Cut,
    /// It is JSON, and nothing that is known as a line.
    Unknown,
    /// It is longer than a line can be.
    TooLong,
}

impl NoLine {
    fn why(self) -> &'static str {
        match self {
            Self::Cut => "it is cut, or not what was written",
            Self::Unknown => "it says nothing of a command",
            Self::TooLong => "it is longer than a line",
        }
    }
}

/// Leaves a line to the service that writes the trail; where it lies until it is taken in. It is on the disk
/// then.
///
/// # Errors
/// What the disk says.
pub(crate) fn leave(folder: &Path, record: &AuditRecord) -> io::Result<PathBuf> {
    let inbox = folder.join(INBOX);
    let body = serde_json::to_vec(record)?;
    let mut tries = 1;
    loop {
        layout::make_folder(&inbox)?;
        match left_whole(&inbox, &body) {
            // Somebody who begins to write the trail removed it before it was locked.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

fn left_whole(inbox: &Path, body: &[u8]) -> io::Result<PathBuf> {
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(inbox)?;
    // What nobody has locked is a killed process's.
    file.as_file().lock()?;
    file.write_all(body)?;
    file.as_file().sync_all()?;
    let path = inbox.join(name_at(SystemTime::now(), &std::process::id().to_string()));
    file.persist_noclobber(&path).map_err(|error| error.error)?;
    layout::sync_folder(inbox)?;
    Ok(path)
}

/// Names go in the order in which lines came; `of` tells those of one moment apart.
fn name_at(time: SystemTime, of: &str) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{since:032}-{of}{RECORD}")
}

/// Removes what processes were writing that were killed, here and beside the trail's own files; the trail's
/// lock is held. What is not cut gets a line's name: it is removed once it is in the trail, or named.
pub(crate) fn sweep(folder: &Path) {
    let inbox = folder.join(INBOX);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // Whoever writes here has the trail's lock.
        if is_unfinished(&entry) {
            told(&entry.path(), fs::remove_file(entry.path()));
        }
    }
    for entry in fs::read_dir(&inbox).into_iter().flatten().flatten() {
        if is_unfinished(&entry) {
            told(&entry.path(), sweep_left(&inbox, &entry.path()));
        }
    }
}

fn sweep_left(inbox: &Path, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    if file.try_lock().is_err() {
        return Ok(());
    }
    // Several may have been written within one tick.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let whole = name_at(file.metadata()?.modified()?, name.trim_start_matches(UNFINISHED));
    match record_of(&file)? {
        Err(NoLine::Cut) => fs::remove_file(path),
        Ok(_) | Err(NoLine::Unknown | NoLine::TooLong) => fs::rename(path, inbox.join(whole)),
    }
}

fn told(path: &Path, swept: io::Result<()>) {
    if let Err(error) = swept
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, file = %path.display(), "what a killed process was writing of the audit trail stays");
    }
}

/// Whether it has the name of what is being written.
fn is_unfinished(entry: &DirEntry) -> bool {
    let named = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
    named && entry.file_type().is_ok_and(|kind| kind.is_file())
}

/// What an entry of the folder is.
///
/// # Errors
/// It can't be read, which may pass.
fn look(entry: &DirEntry) -> io::Result<Left> {
    if is_unfinished(entry) {
        return Ok(Left::Unfinished);
    }
    if !entry.file_type()?.is_file() {
        return Ok(Left::Strange("it is no file"));
    }
    if !entry.file_name().to_string_lossy().ends_with(RECORD) {
        return Ok(Left::Strange("it has not the name of a line"));
    }
    Ok(match record_of(&File::open(entry.path())?)? {
        Ok(record) => Left::Line(Box::new(record)),
        Err(no_line) => Left::Strange(no_line.why()),
    })
}

/// What a command says in a file, or why that is none.
fn record_of(file: &File) -> io::Result<Result<AuditRecord, NoLine>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Ok(Err(NoLine::TooLong));
    }
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes) else {
        return Ok(Err(NoLine::Cut));
    };
    // Every field may be missing in a line: an object of something else would be one that says nothing.
    let of_command = |record: &AuditRecord| {
        record.event == AuditEvent::Command && record.caller.is_some() && record.detail.is_some()
    };
    let record = serde_json::from_value(value).ok().filter(of_command);
    Ok(record.ok_or(NoLine::Unknown))
}

/// The entries of the folder, by name; none where there is no folder.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = match fs::read_dir(folder.join(INBOX)) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

/// What lies there: lines that wait to be taken in, and what can't be, by name and with the reason.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) lines: u64,
    pub(crate) strange: Vec<(String, String)>,
}

impl Waiting {
    /// Of a trail's folder.
    ///
    /// # Errors
    /// [`AuditError::File`].
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let mut found = Self::default();
        for entry in entries(folder).map_err(AuditError::file(&folder.join(INBOX)))? {
            let why = match look(&entry) {
                Ok(Left::Unfinished) => continue,
                Ok(Left::Line(_)) => {
                    found.lines += 1;
                    continue;
                }
                // It was taken in meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Ok(Left::Strange(why)) => why.to_owned(),
                Err(error) => format!("it can't be read: {error}"),
            };
            found.strange.push((format!("{INBOX}/{}", entry.file_name().to_string_lossy()), why));
        }
        Ok(found)
    }
}

/// The lines that were left, as they are taken in.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Those that were taken, whose files are there until the lines are on the disk.
    taken: BTreeSet<PathBuf>,
    /// Files that are no lines, and have been told.
    strange: BTreeSet<PathBuf>,
    /// Those that could not be read the last time.
    unread: BTreeSet<PathBuf>,
    /// The time of the folder when it was read, and since when that is known.
    changed: Option<(SystemTime, Instant)>,
}

impl Inbox {
    /// Those that came since the last time, in order.
    pub(crate) fn take(&mut self, folder: &Path) -> Vec<AuditRecord> {
        if !self.may_have(folder) {
            return Vec::new();
        }
        let (mut records, mut unread, mut stays) = (Vec::new(), BTreeSet::new(), Vec::new());
        for entry in entries(folder).unwrap_or_default() {
            let path = entry.path();
            if self.taken.contains(&path) || self.strange.contains(&path) {
                continue;
            }
            match look(&entry) {
                Ok(Left::Unfinished) => {}
                Ok(Left::Line(record)) => {
                    records.push(*record);
                    self.taken.insert(path);
                }
                Ok(Left::Strange(why)) => {
                    stays.push((path.clone(), why.to_owned()));
                    self.strange.insert(path);
                }
                // It may be read the next time.
                Err(error) => {
                    if !self.unread.contains(&path) {
                        stays.push((path.clone(), error.to_string()));
                    }
                    unread.insert(path);
                }
            }
        }
        self.unread = unread;
        tell(&stays);
        records
    }

    /// Whether something may have come since the last time.
    fn may_have(&mut self, folder: &Path) -> bool {
        let Ok(time) = fs::metadata(folder.join(INBOX)).and_then(|folder| folder.modified()) else {
            return true;
        };
        match self.changed {
            Some((known, since)) if known == time => !self.unread.is_empty() || since.elapsed() < SETTLED,
            _ => {
                self.changed = Some((time, Instant::now()));
                true
            }
        }
    }

    /// What was taken is on the disk.
    pub(crate) fn kept(&mut self) {
        self.taken
            .retain(|path| fs::remove_file(path).is_err_and(|error| error.kind() != io::ErrorKind::NotFound));
    }

    /// Whether something was taken that isn't on the disk yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.taken.is_empty()
    }
}

/// Tells the log of what stays there, and why.
fn tell(stays: &[(PathBuf, String)]) {
    for (path, why) in stays.iter().take(NAMED) {
        tracing::error!(
            file = %path.display(), why,
            "WHAT LIES IN THE AUDIT TRAIL'S INBOX IS NOT TAKEN IN: reasonedit audit verify"
        );
    }
    if let Some(more) = stays.len().checked_sub(NAMED).filter(|more| *more > 0) {
        tracing::error!(more, "MORE LIES IN THE AUDIT TRAIL'S INBOX THAT IS NOT TAKEN IN");
    }
}
