//! Inputs that are too large for a record: files beside the store, one a job, until the job has ended. Each
//! is sealed under a key of its own as it comes, and the key goes with it: what a disk still has of an input
//! that is no more can't be read.
//!
//! A file is called by its job and `.sealed`. It begins with 16 bytes by which its key is found; what follows
//! is a stream of [`reasonedit_keyring`]. One that a version of before left is called by its job alone, and
//! lies as it came.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reasonedit_keyring::{KeyId, Keyring, KeyringError, Lifetime, StreamReader, StreamSealer, overwrite};
use reasonedit_resilience::blocking;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use ulid::Ulid;

use crate::error::{JobsError, Result};

/// What a file is called before it is whole.
const UNFINISHED: &str = ".new-";
/// What follows the job in the name of its input.
const SEALED: &str = ".sealed";
/// Bytes that the key of a file is found by.
const STAMP: usize = 16;

/// The folder of inputs.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    keys: Arc<Keyring>,
}

fn key_of(stamp: [u8; STAMP]) -> KeyId {
    KeyId::of("upload", &[&stamp])
}

/// The key of a file that is called as one that is sealed, if it has come as far as to have one.
fn key_in(path: &Path) -> Option<KeyId> {
    let mut stamp = [0; STAMP];
    File::open(path).ok()?.read_exact(&mut stamp).ok()?;
    Some(key_of(stamp))
}

/// A key that goes when this is dropped.
#[derive(Debug)]
struct OwnKey {
    keys: Arc<Keyring>,
    id: Option<KeyId>,
}

impl Drop for OwnKey {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let keys = Arc::clone(&self.keys);
        let forget = move || {
            if let Err(error) = keys.forget(&[id]) {
                tracing::warn!(%error, "the key of an upload goes at the next start");
            }
        };
        // It waits for the disk.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(forget)),
            Err(_) => forget(),
        }
    }
}

/// An upload that is being received; gone when it is dropped.
#[derive(Debug)]
pub struct UploadWriter {
    file: NamedTempFile,
    key: OwnKey,
    sealer: StreamSealer,
    writer: tokio::fs::File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl UploadWriter {
    /// Writes the next bytes.
    ///
    /// # Errors
    /// [`JobsError::Upload`] when the disk refuses.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        let mut sealed = Vec::new();
        self.sealer.push(bytes, &mut sealed).map_err(of_keys)?;
        self.writer.write_all(&sealed).await.map_err(refused)
    }

    /// The upload, durable but for its name.
    ///
    /// # Errors
    /// [`JobsError::Upload`] when the disk refuses.
    pub async fn finish(mut self) -> Result<SpooledUpload> {
        let mut rest = Vec::new();
        self.sealer.finish(&mut rest).map_err(of_keys)?;
        self.writer.write_all(&rest).await.map_err(refused)?;
        self.writer.flush().await.map_err(refused)?;
        self.writer.sync_all().await.map_err(refused)?;
        let Self { file, key, hasher, bytes, .. } = self;
        Ok(SpooledUpload { file, key, digest: hasher.finalize(), bytes })
    }
}

/// An upload on disk; gone when it is dropped, unless a job keeps it.
#[derive(Debug)]
pub struct SpooledUpload {
    file: NamedTempFile,
    key: OwnKey,
    digest: blake3::Hash,
    bytes: u64,
}

impl SpooledUpload {
    /// What it is read by, as long as it is there.
    pub fn file(&self) -> UploadFile {
        UploadFile { path: self.file.path().to_owned(), keys: Arc::clone(&self.key.keys), sealed: true }
    }

    /// Its bytes, as it came.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// BLAKE3 of its bytes.
    pub fn digest(&self) -> blake3::Hash {
        self.digest
    }
}

/// Where an upload lies, and what it is read by.
#[derive(Clone, Debug)]
pub struct UploadFile {
    path: PathBuf,
    keys: Arc<Keyring>,
    sealed: bool,
}

impl UploadFile {
    /// Whether it is there at all. Backups are made without uploads, so it isn't in what was restored of one.
    pub fn is_there(&self) -> bool {
        self.path.is_file()
    }

    /// Opens it. Blocks.
    ///
    /// # Errors
    /// What the disk says; `InvalidData` for what isn't as it was written, also while it is read.
    pub fn open(&self) -> io::Result<UploadReader> {
        let mut file = File::open(&self.path)?;
        if !self.sealed {
            return Ok(UploadReader::Plain(file));
        }
        let mut stamp = [0; STAMP];
        file.read_exact(&mut stamp).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::InvalidData, KeyringError::Changed),
            _ => error,
        })?;
        Ok(UploadReader::Sealed(Box::new(self.keys.open_stream(key_of(stamp), file)?)))
    }
}

/// An upload as it came, from any place of it. Holds a piece at a time.
#[derive(Debug)]
pub enum UploadReader {
    /// As it is now.
    Sealed(Box<StreamReader<File>>),
    /// One that a version of before left.
    Plain(File),
}

impl UploadReader {
    /// How many bytes it has.
    ///
    /// # Errors
    /// What the disk says.
    pub fn length(&self) -> io::Result<u64> {
        match self {
            Self::Sealed(reader) => Ok(reader.length()),
            Self::Plain(file) => Ok(file.metadata()?.len()),
        }
    }
}

impl Read for UploadReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Sealed(reader) => reader.read(buffer),
            Self::Plain(file) => file.read(buffer),
        }
    }
}

impl Seek for UploadReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Sealed(reader) => reader.seek(to),
            Self::Plain(file) => file.seek(to),
        }
    }
}

impl Spool {
    /// The folder at `folder`, made if it is missing; what lies in it is sealed by keys among these.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(folder: &Path, keys: Arc<Keyring>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), keys })
    }

    /// Begins a file that is no job's yet.
    ///
    /// # Errors
    /// [`JobsError::Upload`] when the disk refuses.
    pub async fn receive(&self) -> Result<UploadWriter> {
        let spool = self.clone();
        blocking(move || spool.begin()).await
    }

    fn begin(&self) -> Result<UploadWriter> {
        let mut file =
            tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder).map_err(refused)?;
        let stamp = Ulid::new().to_bytes();
        // Before there is a key, so that none is left that nobody finds.
        io::Write::write_all(&mut file, &stamp).map_err(refused)?;
        let id = key_of(stamp);
        let key = OwnKey { keys: Arc::clone(&self.keys), id: Some(id) };
        self.keys.ensure_for(&[id], Lifetime::Passing).map_err(of_keys)?;
        let mut head = Vec::new();
        let sealer = self.keys.seal_stream(id, &mut head).map_err(of_keys)?;
        io::Write::write_all(&mut file, &head).map_err(refused)?;
        let mut again = file.reopen().map_err(refused)?;
        again.seek(SeekFrom::End(0)).map_err(refused)?;
        let (writer, hasher) = (tokio::fs::File::from_std(again), blake3::Hasher::new());
        Ok(UploadWriter { file, key, sealer, writer, hasher, bytes: 0 })
    }

    /// The input of a job, as it may be.
    fn places(&self, job: Ulid) -> [UploadFile; 2] {
        let file = |name: String, sealed| UploadFile {
            path: self.folder.join(name),
            keys: Arc::clone(&self.keys),
            sealed,
        };
        [file(format!("{job}{SEALED}"), true), file(job.to_string(), false)]
    }

    /// The input of a job.
    pub(crate) fn file(&self, job: Ulid) -> UploadFile {
        let [sealed, plain] = self.places(job);
        if plain.path.exists() && !sealed.path.exists() { plain } else { sealed }
    }

    /// Makes an upload the input of a job: durable when this returns.
    pub(crate) fn keep(&self, upload: SpooledUpload, job: Ulid) -> Result<()> {
        let SpooledUpload { file, mut key, .. } = upload;
        let [sealed, _] = self.places(job);
        file.persist_noclobber(sealed.path).map_err(|error| refused(error.error))?;
        key.id = None;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(refused)
    }

    /// Removes the input of a job. There need not be any.
    pub(crate) fn remove(&self, job: Ulid) {
        for place in self.places(job) {
            match self.erase(&place.path, place.sealed) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%job, error = %error.kind(), "the input of a job was not removed");
                }
                _ => {}
            }
        }
    }

    /// Removes a file: its key first, or what it says where it lies as it came.
    fn erase(&self, path: &Path, sealed: bool) -> io::Result<()> {
        if sealed {
            if let Some(id) = key_in(path) {
                self.keys.forget(&[id]).map_err(io::Error::other)?;
            }
        } else {
            overwrite(&File::options().write(true).open(path)?)?;
        }
        fs::remove_file(path)
    }

    /// Reads the input of a job through, which has to have so many bytes.
    ///
    /// # Errors
    /// `NotFound` if it is gone, `InvalidData` if it is not as it came; what the disk says.
    pub(crate) fn check(&self, job: Ulid, bytes: u64) -> io::Result<()> {
        let read = io::copy(&mut self.file(job).open()?, &mut io::sink())?;
        if read == bytes { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Removes what belongs to no job of `kept`: what a crash left behind. What can't be removed is told.
    ///
    /// # Errors
    /// The folder can't be read.
    pub(crate) fn clean(&self, kept: &BTreeSet<Ulid>) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let (job, sealed) = match name.strip_suffix(SEALED) {
                Some(job) => (job, true),
                None => (&*name, false),
            };
            // Only what was made here: a person may have put something else beside it.
            let job = Ulid::from_string(job).ok();
            let unfinished = name.starts_with(UNFINISHED);
            if (job.is_some_and(|job| !kept.contains(&job)) || unfinished)
                && let Err(error) = self.erase(&entry.path(), sealed || unfinished)
            {
                tracing::warn!(error = %error.kind(), "an upload that no job has was not removed");
            }
        }
        Ok(())
    }
}

/// The disk refused. The kind of the error and not its text, which may hold a path.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refused(error: io::Error) -> JobsError {
    JobsError::Upload(error.kind())
}

fn of_keys(error: KeyringError) -> JobsError {
    match error {
        KeyringError::Disk { source, .. } => refused(source),
        other => {
            tracing::error!(error = %other, "the key of an upload can't be had");
            JobsError::Upload(io::ErrorKind::Other)
        }
    }
}

#[cfg(test)]
mod tests;
