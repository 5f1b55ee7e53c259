//! Lines of programs beside the service: what a command did in the data folder.
//!
//! Where no service writes the trail the command adds its line itself. Otherwise it lays it into a folder of
//! its own, out of which the service takes it within a second: the hashes go on in one hand.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use crate::config::AuditConfig;
use crate::error::{AuditError, Result};
use crate::item::Item;
use crate::layout::{self, UNFINISHED, lock};
use crate::record::AuditRecord;
use crate::recover::recover;
use crate::writer::Writer;

/// Lines that the service has not taken yet.
const INBOX: &str = "inbox";
/// How their files end.
const RECORD: &str = ".json";

/// Adds a line to the trail in this folder, which is made if it is missing; when this returns it is on the
/// disk, and in the trail within a second.
///
/// # Errors
/// [`AuditError::File`], [`AuditError::Unwritten`]: it is not in the trail.
pub fn add(folder: &Path, config: &AuditConfig, record: &AuditRecord) -> Result<()> {
    if !config.enabled {
        return Ok(());
    }
    layout::make_folder(folder).map_err(AuditError::file(folder))?;
    let lock = match lock(folder) {
        Ok(lock) => lock,
        Err(AuditError::InUse(_)) => return leave(folder, record).map_err(AuditError::file(folder)),
        Err(error) => return Err(error),
    };
    let found = recover(folder)?;
    let at = OffsetDateTime::now_utc();
    // Others that came at the same moment may have left theirs.
    let mut inbox = Inbox::default();
    let others = inbox.take(folder);
    let lines = found.told.iter().chain(&others).chain([record]);
    let item = |record| Item { at, body: serde_json::to_string(record).unwrap_or_default(), done: None };
    let mut items: VecDeque<Item> = lines.map(item).collect();
    let mut writer = Writer::new(folder, found, lock);
    writer.take(&mut items);
    writer.turn(true, config.keep_days).map_err(|error| AuditError::unwritten(&error))?;
    inbox.kept();
    Ok(())
}

/// Leaves a line to the service that writes the trail.
fn leave(folder: &Path, record: &AuditRecord) -> io::Result<()> {
    let inbox = folder.join(INBOX);
    layout::make_folder(&inbox)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&inbox)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.as_file().sync_all()?;
    // In the order in which they came; the process tells those of one moment apart.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let name = format!("{since:032}-{}{RECORD}", std::process::id());
    file.persist_noclobber(inbox.join(name)).map_err(|error| error.error)?;
    layout::sync_folder(&inbox)
}

/// The lines that were left, as they are taken in.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Those that were taken, whose files are there until the lines are on the disk.
    taken: BTreeSet<PathBuf>,
    /// Files that are no lines: told once.
    strange: BTreeSet<PathBuf>,
}

impl Inbox {
    /// Those that came since the last time, in order.
    pub(crate) fn take(&mut self, folder: &Path) -> Vec<AuditRecord> {
        let Ok(entries) = fs::read_dir(folder.join(INBOX)) else { return Vec::new() };
        let paths: BTreeSet<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let mut records = Vec::new();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let known = self.taken.contains(&path) || self.strange.contains(&path);
            if known || !name.ends_with(RECORD) || name.starts_with(UNFINISHED) {
                continue;
            }
            let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
            match read {
                Ok(record) => {
                    records.push(record);
                    self.taken.insert(path);
                }
                Err(error) => {
                    tracing::error!(%error, file = %path.display(), "what was left for the audit trail is no line");
                    self.strange.insert(path);
                }
            }
        }
        records
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
