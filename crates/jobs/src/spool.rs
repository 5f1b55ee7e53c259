//! Inputs that are too large for a record: files beside the store, one a job, until the job has ended.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use ulid::Ulid;

use crate::error::{JobsError, Result};

/// What a file is called before it is whole.
const UNFINISHED: &str = ".new-";

/// The folder of inputs.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

/// An upload that is being received; gone when it is dropped.
#[derive(Debug)]
pub struct UploadWriter {
    file: NamedTempFile,
    writer: tokio::fs::File,
    hasher: blake3::Hasher,
}

impl UploadWriter {
    /// Writes the next bytes.
    ///
    /// # Errors
    /// [`JobsError::Upload`] when the disk refuses.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.writer.write_all(bytes).await.map_err(refused)
    }

    /// The upload, durable but for its name.
    ///
    /// # Errors
    /// [`JobsError::Upload`] when the disk refuses.
    pub async fn finish(mut self) -> Result<SpooledUpload> {
        self.writer.flush().await.map_err(refused)?;
        self.writer.sync_all().await.map_err(refused)?;
        Ok(SpooledUpload { file: self.file, digest: self.hasher.finalize() })
    }
}

/// An upload on disk; gone when it is dropped, unless a job keeps it.
#[derive(Debug)]
pub struct SpooledUpload {
    file: NamedTempFile,
    digest: blake3::Hash,
}

impl SpooledUpload {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Its bytes, if the disk says.
    pub fn bytes(&self) -> Option<u64> {
        self.file.as_file().metadata().ok().map(|metadata| metadata.len())
    }

    /// BLAKE3 of its bytes.
    pub fn digest(&self) -> blake3::Hash {
        self.digest
    }
}

impl Spool {
    /// The folder at `folder`; made if it is missing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Begins a file that is no job's yet.
    ///
    /// # Errors
    /// [`JobsError::Upload`] when the disk refuses.
    pub fn receive(&self) -> Result<UploadWriter> {
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder).map_err(refused)?;
        let writer = tokio::fs::File::from_std(file.reopen().map_err(refused)?);
        Ok(UploadWriter { file, writer, hasher: blake3::Hasher::new() })
    }

    /// Where the input of a job lies.
    pub(crate) fn path(&self, job: Ulid) -> PathBuf {
        self.folder.join(job.to_string())
    }

    /// Makes an upload the input of a job: durable when this returns.
    pub(crate) fn keep(&self, upload: SpooledUpload, job: Ulid) -> Result<()> {
        upload.file.persist_noclobber(self.path(job)).map_err(|error| refused(error.error))?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(refused)
    }

    /// Removes the input of a job. There need not be any.
    pub(crate) fn remove(&self, job: Ulid) {
        match fs::remove_file(self.path(job)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%job, error = %error.kind(), "the input of a job was not removed");
            }
            _ => {}
        }
    }

    /// Removes what belongs to no job of `kept`: what a crash left behind.
    pub(crate) fn clean(&self, kept: &BTreeSet<Ulid>) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Only what was made here: a person may have put something else beside it.
            let job = Ulid::from_string(&name).ok();
            if job.is_some_and(|job| !kept.contains(&job)) || name.starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn uploads_are_kept_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let receive = async |pieces: &[&[u8]]| {
            let mut upload = spool.receive().unwrap();
            for piece in pieces {
                upload.write(piece).await.unwrap();
            }
            upload
        };
        drop(receive(&[b"abc", b"def"]).await);
        drop(receive(&[b"abc"]).await.finish().await.unwrap());
        assert!(files(folder.path()).is_empty(), "nothing is left of any");

        let upload = receive(&[b"abc", b"", b"de"]).await.finish().await.unwrap();
        assert_eq!((upload.digest(), upload.bytes()), (blake3::hash(b"abcde"), Some(5)));
        let job = Ulid::new();
        spool.keep(upload, job).unwrap();
        assert_eq!(fs::read(spool.path(job)).unwrap(), b"abcde");
        assert_eq!(files(folder.path()), [job.to_string()]);
    }

    #[test]
    fn what_a_crash_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let (kept, gone) = (Ulid::new(), Ulid::new());
        for name in [&kept.to_string(), &gone.to_string(), ".new-a1", "notes.txt"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        spool.clean(&BTreeSet::from([kept])).unwrap();
        assert_eq!(files(folder.path()), [kept.to_string(), "notes.txt".to_owned()]);
        spool.remove(kept);
        spool.remove(kept);
        assert_eq!(files(folder.path()), ["notes.txt"]);
    }
}
