//! Trails in folders of their own.

use std::fs;
use std::path::{Path, PathBuf};

use reasonedit_audit::{
    AuditCaller, AuditConfig, AuditFilter, AuditLine, AuditOutcome, AuditReader, AuditRecord, AuditReport,
    AuditTrail, AuditWait,
};
use tempfile::TempDir;

/// A folder with a trail.
pub(crate) struct Folder {
    place: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { place: tempfile::tempdir().unwrap() }
    }

    /// A trail that was closed in order, with so many requests.
    pub(crate) fn closed(requests: usize) -> Self {
        let folder = Self::new();
        let trail = folder.open();
        for number in 0..requests {
            trail.append(&request(number));
        }
        trail.close();
        folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().join("audit")
    }

    pub(crate) fn open(&self) -> AuditTrail {
        AuditTrail::open(&self.path(), &AuditConfig::default()).unwrap()
    }

    pub(crate) fn reader(&self) -> AuditReader {
        AuditReader::new(&self.path())
    }

    pub(crate) fn verify(&self) -> AuditReport {
        self.reader().verify(None).unwrap()
    }

    /// The one day's file.
    pub(crate) fn file(&self) -> PathBuf {
        let mut files: Vec<PathBuf> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
            .collect();
        files.sort();
        files.pop().unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<AuditLine> {
        let mut lines = self.reader().page(&AuditFilter::default(), None, 100_000).unwrap().lines;
        lines.reverse();
        lines
    }

    /// The folder as a process leaves it that is killed now.
    pub(crate) fn killed(&self) -> Self {
        let killed = Self::new();
        fs::create_dir(killed.path()).unwrap();
        copy(&self.path(), &killed.path());
        killed
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// A request of someone.
pub(crate) fn request(number: usize) -> AuditRecord {
    AuditRecord {
        caller: Some(AuditCaller::Token { id: format!("01TOKEN{number}"), name: "Dr. Ada".to_owned() }),
        role: Some("reader".to_owned()),
        address: Some("192.0.2.1".parse().unwrap()),
        method: Some("GET".to_owned()),
        route: Some("/edits/{id}".to_owned()),
        status: Some(200),
        outcome: Some(AuditOutcome::Answered),
        request_id: Some(format!("request-{number}")),
        codebook: Some(if number.is_multiple_of(2) { "default" } else { "ward-3" }.to_owned()),
        edits: vec![format!("01EDIT{number}")],
        images: vec![format!("{number:064x}")],
        ..AuditRecord::default()
    }
}

/// Adds a line and waits for it.
pub(crate) fn append_and_wait(
    trail: &AuditTrail,
    record: &AuditRecord,
    until: AuditWait,
) -> reasonedit_audit::Result<()> {
    let (sender, receiver) = std::sync::mpsc::channel();
    trail.append_then(record, until, move |result| sender.send(result).unwrap());
    receiver.recv().unwrap()
}

/// Gives the one file of a trail the name of an earlier day, as if it had been written then.
pub(crate) fn age(folder: &Folder, day: &str) -> PathBuf {
    let (file, name) = (folder.file(), format!("{day}.jsonl"));
    let aged = folder.path().join(&name);
    fs::rename(file, &aged).unwrap();
    let head = folder.path().join("head");
    let slots = fs::read(&head).unwrap();
    let records = slots.chunks(320).filter_map(|slot| serde_json::from_slice::<serde_json::Value>(slot).ok());
    let mut record = records.max_by_key(|record| record["seq"].as_u64()).unwrap();
    record["file"] = name.into();
    let field = |name: &str| record[name].to_string().replace('"', "");
    let said = ["seq", "hash", "file", "begins", "ends"].map(field).join(" ");
    record["sum"] = blake3::hash(said.as_bytes()).to_hex()[..16].into();
    fs::write(head, record.to_string()).unwrap();
    aged
}
