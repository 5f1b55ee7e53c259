//! Lines of programs beside the service: what a command begins in the data folder, and what came of it.
//!
//! Where no service writes the trail the command adds its line itself. Otherwise it leaves it to the one who
//! does, and waits until it is taken in: the hashes go on in one hand.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::config::AuditConfig;
use crate::error::{AuditError, Result};
use crate::inbox::{self, Inbox};
use crate::item::Item;
use crate::layout::{self, lock};
use crate::record::AuditRecord;
use crate::recover::recover;
use crate::writer::Writer;

/// How long a line waits to be taken in at most: a service that hangs is one that fails.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Adds the line that a command begins to the trail in this folder, as [`add`]. Where the settings refuse
/// what isn't in the trail and it can't be added, nothing is left of it: nothing is to be done.
///
/// # Errors
/// As there.
pub fn begin(folder: &Path, config: &AuditConfig, record: &AuditRecord) -> Result<()> {
    put(folder, config, record, config.refuses())
}

/// Adds a line to the trail in this folder, which is made if it is missing; it is in the trail, and on the
/// disk, when this returns. Blocks.
///
/// # Errors
/// [`AuditError::File`], [`AuditError::Unwritten`]: it is not in the trail. It may be later, where a service
/// has it that can't write.
pub fn add(folder: &Path, config: &AuditConfig, record: &AuditRecord) -> Result<()> {
    put(folder, config, record, false)
}

fn put(folder: &Path, config: &AuditConfig, record: &AuditRecord, or_nothing: bool) -> Result<()> {
    if !config.enabled {
        return Ok(());
    }
    layout::make_folder(folder).map_err(AuditError::file(folder))?;
    let left = match lock(folder) {
        Ok(lock) => return write(folder, config, lock, Some(record), or_nothing),
        Err(AuditError::InUse(_)) => inbox::leave(folder, record).map_err(AuditError::file(folder))?,
        Err(error) => return Err(error),
    };
    let done = taken_in(folder, config, &left);
    if done.is_err() && or_nothing {
        return match fs::remove_file(&left) {
            // It was taken in at this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => done,
        };
    }
    done
}

/// Waits until the line in this file was taken in; where nobody writes the trail any more, takes it in.
fn taken_in(folder: &Path, config: &AuditConfig, left: &Path) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let is_there = || left.try_exists().map_err(AuditError::file(left));
    while is_there()? {
        match lock(folder) {
            // Of this one nothing is taken back: it may be others'.
            Ok(lock) => write(folder, config, lock, None, false)?,
            Err(AuditError::InUse(_)) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= until {
            let reason = "who writes it does not take the line in".to_owned();
            return if is_there()? { Err(AuditError::Unwritten { full: false, reason }) } else { Ok(()) };
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Writes the lines that were left, and this one.
fn write(
    folder: &Path,
    config: &AuditConfig,
    lock: File,
    record: Option<&AuditRecord>,
    or_nothing: bool,
) -> Result<()> {
    inbox::sweep(folder);
    let found = recover(folder)?;
    let at = OffsetDateTime::now_utc();
    // Others that came at the same moment may have left theirs.
    let mut inbox = Inbox::default();
    let others = inbox.take(folder);
    let lines = found.told.iter().chain(&others).chain(record);
    // That a line was cut off is not found again.
    let or_nothing = or_nothing && found.told.is_empty();
    let item = |record| Item { at, body: serde_json::to_string(record).unwrap_or_default(), done: None };
    let mut items: VecDeque<Item> = lines.map(item).collect();
    let mut writer = Writer::new(folder, found, lock);
    writer.take(&mut items);
    let written = writer.turn(true, config.keep_days);
    if written.is_err() && or_nothing {
        writer.take_back();
    }
    written.map_err(|error| AuditError::unwritten(&error))?;
    inbox.kept();
    Ok(())
}
