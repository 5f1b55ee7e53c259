//! Reads the whole trail, and names what is not as it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};

use serde::Serialize;

use crate::checkpoint::AuditCheckpoint;
use crate::error::{AuditError, Result};
use crate::head::{Anchor, AuditHead, EndRecord};
use crate::inbox::Waiting;
use crate::layout::DayFile;
use crate::line::{Place, Sealed, unseal};
use crate::read::AuditReader;
use crate::record::{AuditEvent, AuditLine};

/// Faults that are named; of more the count alone is told.
const NAMED: usize = 1000;
/// What lines of requests have. In texts of lines the quotes would be escaped.
const REQUEST: &str = "\"event\":\"request\"";
/// How often it is begun again where files go meanwhile.
const TRIES: u32 = 3;

/// What is wrong at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditFaultKind {
    /// The line is not as it was written.
    Changed,
    /// It does not follow from the one before: lines were removed, put between, or put in another order.
    Broken,
    /// The end of the trail is gone.
    Cut,
    /// The record of its end is gone.
    NoHead,
    /// Its beginning is gone, and it was not the service that removed it.
    NoBeginning,
    /// The line that was noted elsewhere is not in it, or is another one.
    NotAsNoted,
    /// The service found at its start that the end was not as it had left it.
    Reported,
    /// A checkpoint is not of the line before it, or not signed by the key that it names, or by one that was
    /// given.
    NotSigned,
    /// Something lies where commands leave their lines that can't be taken in.
    NotTaken,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditFault {
    /// The file, by its name.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u64>,
    /// What is wrong.
    pub kind: AuditFaultKind,
    /// The same in words.
    pub detail: String,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Files.
    pub files: usize,
    /// Lines.
    pub lines: u64,
    /// The number of the first.
    pub first: Option<u64>,
    /// The last line: what to note elsewhere, to compare the trail with later.
    pub head: Option<AuditHead>,
    /// Bytes behind the last whole line: one that is just written, or that a killed process had begun.
    pub unfinished_bytes: u64,
    /// Lines that a killed process had begun and that were cut off.
    pub healed: u64,
    /// Lines that were lost since they could not be written.
    pub lost: u64,
    /// Commands that began and of which nothing says what came of them: they are at work, or were killed.
    pub unended: u64,
    /// Lines that commands left and that are not taken in yet.
    pub waiting: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// The public keys that they are signed with, in the order in which they come.
    pub keys: Vec<String>,
    /// What is not as it was written, the first thousand.
    pub faults: Vec<AuditFault>,
    /// How many there are.
    pub fault_count: u64,
}

/// What was noted of a trail elsewhere, and has to hold of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditNotes {
    /// Lines that have to be in it.
    pub heads: Vec<AuditHead>,
    /// Public keys: its checkpoints have to be signed with one of them. None: with whichever they name.
    pub keys: Vec<String>,
}

struct Check {
    report: AuditReport,
    /// The line that the next one has to follow.
    expected: Place,
    head: Option<Place>,
    /// Lines that were noted and are not found yet.
    noted: BTreeMap<(u64, String), AuditHead>,
    /// Keys that may have signed, if only some may.
    may_sign: Vec<String>,
    anchored: Option<Place>,
    anchor_told: bool,
    /// Commands that began, until their outcome is found.
    begun: BTreeSet<String>,
}

impl AuditReader {
    /// Reads the whole trail, also while it is written; `noted` is a line that was noted elsewhere.
    ///
    /// # Errors
    /// [`AuditError::File`].
    pub fn verify(&self, noted: Option<&AuditHead>) -> Result<AuditReport> {
        self.verify_against(&AuditNotes { heads: noted.cloned().into_iter().collect(), keys: Vec::new() })
    }

    /// As [`Self::verify`], with all that was noted elsewhere.
    ///
    /// # Errors
    /// As there.
    pub fn verify_against(&self, notes: &AuditNotes) -> Result<AuditReport> {
        let mut tries = 0;
        loop {
            match self.verify_once(notes) {
                // The service removed old files meanwhile.
                Err(AuditError::File { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && tries < TRIES =>
                {
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    fn verify_once(&self, notes: &AuditNotes) -> Result<AuditReport> {
        // First, so that the lines are no fewer.
        let head = EndRecord::read(&self.folder)?;
        let anchor = Anchor::read(&self.folder)?;
        let waiting = Waiting::of(&self.folder)?;
        let files = self.files()?;
        let anchored = anchor.and_then(|anchor| anchor.place());
        let mut check = Check {
            report: AuditReport {
                files: files.len(),
                lines: 0,
                first: None,
                head: None,
                unfinished_bytes: 0,
                healed: 0,
                lost: 0,
                unended: 0,
                waiting: waiting.lines,
                checkpoints: 0,
                keys: Vec::new(),
                faults: Vec::new(),
                fault_count: 0,
            },
            expected: anchored.unwrap_or(Place::BEGIN),
            head: head.as_ref().and_then(EndRecord::place),
            noted: notes.heads.iter().map(|one| ((one.seq, one.hash.clone()), one.clone())).collect(),
            may_sign: notes.keys.clone(),
            anchored,
            anchor_told: false,
            begun: BTreeSet::new(),
        };
        for (at, file) in files.iter().enumerate() {
            check.file(file, at + 1 == files.len())?;
        }
        for (file, why) in waiting.strange {
            let detail = format!("{why}: it is not taken in; look at it, and take it away");
            check.told(Some(file), None, AuditFaultKind::NotTaken, detail);
        }
        Ok(check.end())
    }
}

impl Check {
    fn fault(&mut self, at: Option<(&DayFile, u64)>, kind: AuditFaultKind, detail: impl Into<String>) {
        self.told(at.map(|(file, _)| file.name()), at.map(|(_, line)| line), kind, detail);
    }

    fn told(
        &mut self,
        file: Option<String>,
        line: Option<u64>,
        kind: AuditFaultKind,
        detail: impl Into<String>,
    ) {
        self.report.fault_count += 1;
        if self.report.faults.len() < NAMED {
            self.report.faults.push(AuditFault { file, line, kind, detail: detail.into() });
        }
    }

    fn file(&mut self, file: &DayFile, last: bool) -> Result<()> {
        let failed = || AuditError::file(&file.path);
        let mut lines = BufReader::new(File::open(&file.path).map_err(failed())?);
        let (mut bytes, mut number) = (Vec::new(), 0);
        loop {
            bytes.clear();
            if lines.read_until(b'\n', &mut bytes).map_err(failed())? == 0 {
                return Ok(());
            }
            number += 1;
            match bytes.strip_suffix(b"\n") {
                Some(line) => self.line(file, number, line),
                None if last => self.report.unfinished_bytes = bytes.len() as u64,
                None => self.fault(Some((file, number)), AuditFaultKind::Changed, "its end is gone"),
            }
        }
    }

    fn line(&mut self, file: &DayFile, number: u64, line: &[u8]) {
        let at = Some((file, number));
        self.report.lines += 1;
        let Some(sealed) = unseal(line) else {
            return self.fault(at, AuditFaultKind::Changed, "it is no line of a trail");
        };
        let first = self.report.first.is_none();
        self.report.first.get_or_insert(sealed.seq);
        if !sealed.holds {
            self.fault(at, AuditFaultKind::Changed, format!("line {} is not as it was written", sealed.seq));
        } else if !sealed.follows(self.expected) {
            let (found, wanted) = (sealed.seq, self.expected.seq + 1);
            let detail = match found.cmp(&wanted) {
                std::cmp::Ordering::Equal => format!("line {found} does not follow from the one before"),
                _ => format!("line {found} stands where line {wanted} has to"),
            };
            let kind = if first { AuditFaultKind::NoBeginning } else { AuditFaultKind::Broken };
            self.fault(at, kind, detail);
        }
        self.expected = sealed.place();
        if sealed.holds && !self.noted.is_empty() {
            self.noted.remove(&(sealed.seq, sealed.hash.to_hex().to_string()));
        }
        if let Some(head) = self.head.filter(|head| head.seq == sealed.seq)
            && head.hash != sealed.hash
        {
            self.fault(at, AuditFaultKind::Changed, "it is another line than the record of the end names");
        }
        // Most lines are requests, and tell nothing of the trail.
        let own = !std::str::from_utf8(line).is_ok_and(|text| text.contains(REQUEST));
        if sealed.holds && own {
            self.event(at, sealed, line);
        }
    }

    /// What a line tells of the trail itself, or of a command.
    fn event(&mut self, at: Option<(&DayFile, u64)>, sealed: Sealed, line: &[u8]) {
        let Ok(AuditLine { record, .. }) = serde_json::from_slice(line) else { return };
        let detail = record.detail.unwrap_or_default();
        match record.event {
            AuditEvent::Healed => self.report.healed += 1,
            AuditEvent::Lost => {
                self.report.lost = self.report.lost.saturating_add(record.count.unwrap_or(0));
            }
            // Those of before had the line of their outcome alone.
            AuditEvent::Command => {
                if let Some(id) = record.request_id {
                    match record.outcome {
                        None => drop(self.begun.insert(id)),
                        Some(_) => drop(self.begun.remove(&id)),
                    }
                }
            }
            AuditEvent::Checkpoint => self.checkpoint(at, sealed, &detail),
            AuditEvent::Gap => self.fault(at, AuditFaultKind::Reported, detail),
            AuditEvent::Pruned => {
                let told = self.anchored.filter(|anchor| record.count == Some(anchor.seq));
                self.anchor_told |= told.is_some_and(|anchor| detail.contains(anchor.hash.to_hex().as_str()));
            }
            _ => {}
        }
    }

    /// A checkpoint, which is of the line before it.
    fn checkpoint(&mut self, at: Option<(&DayFile, u64)>, sealed: Sealed, text: &str) {
        self.report.checkpoints += 1;
        let Ok(signed) = text.parse::<AuditCheckpoint>() else {
            return self.fault(at, AuditFaultKind::NotSigned, "the checkpoint is not as it was signed");
        };
        let head = &signed.head;
        if head.seq.checked_add(1) != Some(sealed.seq) || head.hash != sealed.prev.to_hex().as_str() {
            self.fault(at, AuditFaultKind::NotSigned, "the checkpoint is not of the line before it");
        }
        if !self.may_sign.is_empty() && !self.may_sign.contains(&signed.key) {
            let detail = format!("the checkpoint is signed with another key: {}", signed.key);
            self.fault(at, AuditFaultKind::NotSigned, detail);
        }
        if !self.report.keys.contains(&signed.key) && self.report.keys.len() < NAMED {
            self.report.keys.push(signed.key);
        }
    }

    fn end(mut self) -> AuditReport {
        let last = Some(self.expected).filter(|place| place.seq > 0);
        match self.head {
            Some(head) if last.is_none_or(|last| last.seq < head.seq) => {
                let detail = format!("the lines up to {} are gone from the end", head.seq);
                self.fault(None, AuditFaultKind::Cut, detail);
            }
            None if self.report.lines > 0 => {
                self.fault(None, AuditFaultKind::NoHead, "the record of the trail's end is gone");
            }
            _ => {}
        }
        if self.anchored.is_some() && !self.anchor_told {
            let detail = "nothing in the trail says that the service removed its beginning";
            self.fault(None, AuditFaultKind::NoBeginning, detail);
        }
        for noted in std::mem::take(&mut self.noted).into_values() {
            let detail = format!("line {} is not there, or is another one", noted.seq);
            self.fault(None, AuditFaultKind::NotAsNoted, detail);
        }
        self.report.unended = self.begun.len() as u64;
        self.report.head = last.filter(|_| self.report.lines > 0).map(Into::into);
        self.report
    }
}
