//! What the one thread does that writes: lines into files, files to the disk, and after a failure everything
//! again that was not on the disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use time::{Date, OffsetDateTime, UtcOffset};

use crate::checkpoint::SigningKey;
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::head::{Anchor, EndRecord};
use crate::item::{AuditWait, Done, Item};
use crate::layout::{self, DayFile};
use crate::line::{self, Place};
use crate::record::{AuditEvent, AuditRecord};
use crate::recover::Found;

/// The file that is written to.
struct Open {
    file: File,
    day: DayFile,
    /// Its length as it was last on the disk, and where the last line begins then.
    synced: u64,
    length: u64,
    last_begins: u64,
}

pub(crate) struct Writer {
    folder: PathBuf,
    /// Held as long as it writes.
    _lock: File,
    /// The line that the next one follows.
    place: Place,
    /// The day's file, once something is written to it.
    open: Option<Open>,
    /// The last file of before, as much of it as is kept, and whether a newline is missing at its end; until
    /// it was put in order.
    last: Option<(DayFile, u64, bool)>,
    last_day: Option<Date>,
    /// Lines that are not written.
    waiting: VecDeque<Item>,
    waiting_bytes: usize,
    /// Bytes that are in the file and not on the disk.
    unsynced: Vec<u8>,
    since: Option<Instant>,
    /// Who waits for the disk.
    awaited: Vec<Done>,
    /// Lines that found no room, to be told of.
    lost: u64,
    /// The file is to be brought back to what is on the disk first.
    failed: bool,
    written: u64,
    /// The day on which old files were last looked for.
    pruned: Option<Date>,
    /// What signs checkpoints, if they are made.
    signing: Option<Signing>,
}

/// When checkpoints are made, and with what.
pub(crate) struct Signing {
    pub(crate) key: SigningKey,
    /// Lines and time from one to the next; 0: however many, however long.
    pub(crate) lines: u64,
    pub(crate) every: Duration,
    /// What was written since the last.
    since: u64,
    last: Instant,
}

impl Signing {
    pub(crate) fn new(key: SigningKey, config: &AuditConfig) -> Self {
        let every = Duration::from_mins(config.checkpoint_minutes);
        Self { key, lines: config.checkpoint_lines, every, since: 0, last: Instant::now() }
    }

    fn is_due(&self) -> bool {
        let enough = self.lines > 0 && self.since >= self.lines;
        let late = !self.every.is_zero() && self.last.elapsed() >= self.every;
        self.since > 0 && (enough || late)
    }
}

impl Writer {
    pub(crate) fn new(folder: &Path, found: Found, lock: File) -> Self {
        Self {
            folder: folder.to_owned(),
            _lock: lock,
            place: found.place,
            open: None,
            last_day: found.last.as_ref().map(|(file, _)| file.day),
            last: found.last.map(|(file, length)| (file, length, found.unended)),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            unsynced: Vec::new(),
            since: None,
            awaited: Vec::new(),
            lost: 0,
            failed: false,
            written: 0,
            pruned: None,
            signing: None,
        }
    }

    /// Has it make checkpoints.
    pub(crate) fn sign_with(&mut self, signing: Option<Signing>) {
        self.signing = signing;
    }

    /// Takes lines that came.
    pub(crate) fn take(&mut self, items: &mut VecDeque<Item>) {
        self.waiting_bytes += items.iter().map(|item| item.body.len()).sum::<usize>();
        self.waiting.append(items);
    }

    /// So many lines found no room.
    pub(crate) fn lost(&mut self, lines: u64) {
        self.lost += lines;
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Lines that are not written.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn failing(&self) -> bool {
        self.failed
    }

    pub(crate) fn unsynced_since(&self) -> Option<Instant> {
        self.since
    }

    /// Lines that were written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Writes what waits, and brings it to the disk where somebody waits for that or `sync` says so. After a
    /// failure everything that is not on the disk is written again at the next turn.
    pub(crate) fn turn(&mut self, sync: bool, keep_days: u32) -> io::Result<()> {
        let done = self.write_and_sync(sync);
        match done {
            Ok(()) => self.prune_daily(keep_days),
            Err(_) => self.failed = true,
        }
        done
    }

    /// Tells whoever waits that it failed. Their lines wait on.
    pub(crate) fn give_up(&mut self, error: &io::Error) {
        let told = AuditError::unwritten(error);
        let items = self.waiting.iter_mut().filter_map(|item| item.done.take().map(|(_, done)| done));
        for done in items.chain(self.awaited.drain(..)) {
            done(Err(told.clone()));
        }
        // Of those that say nothing nothing is left to be done.
        self.waiting.retain(|item| !item.body.is_empty());
    }

    /// Takes out of the file what is not on the disk, as far as that can be done: a line that failed, of
    /// which there may be a part. It is for who writes no more.
    pub(crate) fn take_back(&mut self) {
        if let Some(open) = &self.open {
            let _ = open.file.set_len(open.synced);
        }
    }

    fn write_and_sync(&mut self, sync: bool) -> io::Result<()> {
        self.settle()?;
        self.look()?;
        self.bring_back()?;
        while !self.waiting.is_empty() {
            self.write_day()?;
        }
        if self.lost > 0 {
            let detail = "lines that could not be written and found no room to wait";
            let record = AuditRecord::own(AuditEvent::Lost, Some(self.lost), detail);
            self.write_own(&record)?;
            self.lost = 0;
        }
        if sync || !self.awaited.is_empty() {
            self.sync()?;
        }
        self.checkpoint()
    }

    /// Signs where the trail stands, if it is time to: what is on the disk, told in the next line and in the
    /// log.
    fn checkpoint(&mut self) -> io::Result<()> {
        if !self.signing.as_ref().is_some_and(Signing::is_due) {
            return Ok(());
        }
        self.sync()?;
        let Some(signing) = &self.signing else { return Ok(()) };
        let text = signing.key.sign(self.place, OffsetDateTime::now_utc()).to_string();
        self.write_own(&AuditRecord::own(AuditEvent::Checkpoint, None, text.clone()))?;
        if let Some(signing) = &mut self.signing {
            (signing.since, signing.last) = (0, Instant::now());
        }
        tracing::info!(checkpoint = %text, "a checkpoint of the audit trail; kept elsewhere it shows that its end was cut off");
        Ok(())
    }

    fn count(&mut self, lines: u64) {
        self.written += lines;
        if let Some(signing) = &mut self.signing {
            signing.since += lines;
        }
    }

    /// Puts the end of the last file in order: what a killed process had begun goes, and what is kept though
    /// it is no whole line gets an end.
    fn settle(&mut self) -> io::Result<()> {
        let Some((last, length, unended)) = &self.last else { return Ok(()) };
        let mut file = layout::lines_options().open(&last.path)?;
        if file.metadata()?.len() > *length {
            file.set_len(*length)?;
        }
        if *unended {
            file.write_all(b"\n")?;
        }
        file.sync_all()?;
        self.last = None;
        Ok(())
    }

    /// Looks whether the file is still where it was. What another one took away is told by the hashes; this
    /// only goes on.
    fn look(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let length = open.file.metadata()?.len();
        if layout::is_there(&open.file, &open.day.path)? {
            if length != open.length && !self.failed {
                tracing::error!(file = %open.day.path.display(), "SOMEBODY ELSE CHANGED THE AUDIT TRAIL'S FILE");
                (open.length, open.synced) = (length, length);
            }
            return Ok(());
        }
        tracing::error!(file = %open.day.path.display(), "THE AUDIT TRAIL'S FILE IS GONE; it is begun anew");
        // Where the folder is gone too this fails, and the file that is open is gone on with once it is back.
        let file = layout::lines_options().open(&open.day.path)?;
        let length = file.metadata()?.len();
        let day = open.day.clone();
        self.open = Some(Open { file, day, synced: length, length, last_begins: length });
        // What was not on the disk yet went with the other file.
        self.failed = true;
        Ok(())
    }

    /// Brings the file back to what is on the disk, and writes again what was not.
    fn bring_back(&mut self) -> io::Result<()> {
        if !self.failed {
            return Ok(());
        }
        if let Some(open) = &mut self.open {
            // What a failed sync has let go of is not in the memory of the system either.
            open.file = layout::lines_options().open(&open.day.path)?;
            open.file.set_len(open.synced)?;
            open.file.write_all(&self.unsynced)?;
            open.length = open.synced + self.unsynced.len() as u64;
        }
        self.failed = false;
        Ok(())
    }

    /// Writes the lines that wait and are of one day.
    fn write_day(&mut self) -> io::Result<()> {
        let Some(first) = self.waiting.front() else { return Ok(()) };
        let day = self.day_of(first.at);
        let count = self.waiting.iter().take_while(|item| self.day_of(item.at) == day).count();
        let mut bytes = Vec::new();
        let (mut place, mut last_begins, mut lines) = (self.place, 0, 0);
        for item in self.waiting.iter().take(count).filter(|item| !item.body.is_empty()) {
            last_begins = bytes.len() as u64;
            place = line::seal(place, &line::told(item.at), &item.body, &mut bytes);
            lines += 1;
        }
        if lines > 0 {
            self.write(day, &bytes, last_begins)?;
            self.place = place;
            self.count(lines);
        }
        for item in self.waiting.drain(..count) {
            self.waiting_bytes -= item.body.len();
            match item.done {
                Some((AuditWait::Written, done)) => done(Ok(())),
                Some((AuditWait::Synced, done)) => self.awaited.push(done),
                None => {}
            }
        }
        Ok(())
    }

    /// Writes a line of the trail's own.
    fn write_own(&mut self, record: &AuditRecord) -> io::Result<()> {
        let now = OffsetDateTime::now_utc();
        let mut bytes = Vec::new();
        let body = serde_json::to_string(record)?;
        let place = line::seal(self.place, &line::told(now), &body, &mut bytes);
        self.write(self.day_of(now), &bytes, 0)?;
        self.place = place;
        self.count(1);
        Ok(())
    }

    /// The day whose file a line belongs to: never one before the last, also where the clock is set back.
    fn day_of(&self, at: OffsetDateTime) -> Date {
        let day = at.to_offset(UtcOffset::UTC).date();
        self.last_day.map_or(day, |last| last.max(day))
    }

    fn write(&mut self, day: Date, bytes: &[u8], last_begins: u64) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|open| open.day.day != day) {
            if self.open.is_some() {
                self.sync()?;
            }
            self.begin(day)?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.file.write_all(bytes)?;
        open.last_begins = open.length + last_begins;
        open.length += bytes.len() as u64;
        self.unsynced.extend_from_slice(bytes);
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Opens the file of a day.
    fn begin(&mut self, day: Date) -> io::Result<()> {
        let day = DayFile::of(&self.folder, day);
        let file = layout::lines_options().open(&day.path)?;
        let length = file.metadata()?.len();
        layout::sync_folder(&self.folder)?;
        self.last_day = Some(day.day);
        self.open = Some(Open { file, day, synced: length, length, last_begins: length });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.length > open.synced {
            open.file.sync_data()?;
            open.synced = open.length;
            self.unsynced.clear();
            // Only now is there something for which the record of the end can stand.
            EndRecord::new(self.place, &open.day, open.last_begins, open.length).write(&self.folder)?;
        }
        self.since = None;
        for done in self.awaited.drain(..) {
            done(Ok(()));
        }
        Ok(())
    }

    /// Looks for old files once a day. What stands in the way keeps nothing from being written.
    fn prune_daily(&mut self, keep_days: u32) {
        let today = OffsetDateTime::now_utc().date();
        if keep_days == 0 || self.pruned == Some(today) || self.open.is_none() {
            return;
        }
        self.pruned = Some(today);
        if let Err(error) = self.prune(today - time::Duration::days(i64::from(keep_days))) {
            tracing::error!(%error, "old files of the audit trail were not removed");
        }
    }

    /// Removes whole files that are older than `first`. What the first line that stays follows is kept, and
    /// told in the trail itself, so that nobody else can say so.
    fn prune(&mut self, first: Date) -> io::Result<()> {
        let other = |error: AuditError| match error {
            AuditError::File { source, .. } => io::Error::new(source.kind(), source.to_string()),
            other => io::Error::other(other),
        };
        let files = layout::day_files(&self.folder).map_err(other)?;
        let current = self.open.as_ref().map(|open| open.day.clone());
        let old: Vec<&DayFile> =
            files.iter().filter(|file| file.day < first && Some(*file) != current.as_ref()).collect();
        if let Some(last) = old.last() {
            // The file after it begins with what it ends with.
            let next = files.iter().find(|file| file.day > last.day);
            if let Some(place) = next.map(first_follows).transpose()?.flatten() {
                let before = layout::written(first);
                let detail = format!("files of days before {before}, up to the hash {}", place.hash.to_hex());
                self.write_own(&AuditRecord::own(AuditEvent::Pruned, Some(place.seq), detail))?;
                self.sync()?;
                Anchor::new(place, first).write(&self.folder)?;
                for file in &old {
                    std::fs::remove_file(&file.path)?;
                }
                layout::sync_folder(&self.folder)?;
                tracing::info!(files = old.len(), before, "old files of the audit trail were removed");
            }
        }
        Ok(())
    }
}

/// The place that the first line of a file follows.
fn first_follows(file: &DayFile) -> io::Result<Option<Place>> {
    let mut line = Vec::new();
    io::BufRead::read_until(&mut io::BufReader::new(File::open(&file.path)?), b'\n', &mut line)?;
    let sealed = line.strip_suffix(b"\n").and_then(line::unseal);
    Ok(sealed.map(|sealed| Place { seq: sealed.seq.saturating_sub(1), hash: sealed.prev }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_due_by_number_or_by_time_if_there_is_anything() {
        let place = tempfile::tempdir().unwrap();
        let key = SigningKey::open(&place.path().join("key")).unwrap();
        let config = AuditConfig { checkpoint_lines: 2, checkpoint_minutes: 1, ..AuditConfig::default() };
        let mut signing = Signing::new(key, &config);
        let ago = |minutes| Instant::now().checked_sub(Duration::from_mins(minutes)).unwrap();
        let mut due = |since, minutes: u64| {
            (signing.since, signing.last) = (since, ago(minutes));
            signing.is_due()
        };
        assert_eq!([due(1, 0), due(2, 0), due(1, 1), due(0, 9)], [false, true, true, false]);
        (signing.lines, signing.every) = (0, Duration::ZERO);
        (signing.since, signing.last) = (9, ago(9));
        assert!(!signing.is_due());
    }

    #[test]
    fn what_is_not_on_the_disk_is_taken_back() {
        let place = tempfile::tempdir().unwrap();
        let found = crate::recover::recover(place.path()).unwrap();
        let mut writer = Writer::new(place.path(), found, layout::lock(place.path()).unwrap());
        let at = time::macros::datetime!(2026-11-30 09:00 UTC);
        let mut length = |sync, detail: &str| {
            let body = format!("{{\"detail\":\"{detail}\"}}");
            writer.take(&mut VecDeque::from([Item { at, body, done: None }]));
            writer.turn(sync, 0).unwrap();
            let path = layout::day_files(place.path()).unwrap().remove(0).path;
            let written = path.metadata().unwrap().len();
            writer.take_back();
            (written, path.metadata().unwrap().len())
        };
        let (written, kept) = length(true, "kept");
        assert!(written > 0 && kept == written, "{written} {kept}");
        let (more, kept) = length(false, "taken back");
        assert!(more > written && kept == written, "{more} {kept}");
    }
}
