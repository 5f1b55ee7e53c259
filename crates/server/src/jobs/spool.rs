//! Inputs that are too large for a record: files beside the store, one a job, until the job has ended.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use ulid::Ulid;

use crate::body::Pieces;
use crate::problem::{Problem, Result};

/// What a file is called before it is whole.
const UNFINISHED: &str = ".new-";

/// The folder of inputs.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
}

/// An upload on disk; gone when it is dropped, unless a job keeps it.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) file: NamedTempFile,
    /// BLAKE3 of its bytes.
    pub(crate) digest: blake3::Hash,
}

impl Spool {
    /// The folder at `folder`; made if it is missing.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Receives a body, without its codings, into a file that is no job's yet.
    ///
    /// # Errors
    /// What ends the body before its end; 500 when the disk refuses.
    pub(crate) async fn receive(&self, mut body: Pieces) -> Result<Upload> {
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder).map_err(refused)?;
        let mut writer = tokio::fs::File::from_std(file.reopen().map_err(refused)?);
        let mut hasher = blake3::Hasher::new();
        while let Some(piece) = body.next().await? {
            hasher.update(&piece);
            writer.write_all(&piece).await.map_err(refused)?;
        }
        writer.sync_all().await.map_err(refused)?;
        Ok(Upload { file, digest: hasher.finalize() })
    }

    /// Where the input of a job lies.
    pub(crate) fn path(&self, job: Ulid) -> PathBuf {
        self.folder.join(job.to_string())
    }

    /// Makes an upload the input of a job: durable when this returns.
    pub(crate) fn keep(&self, upload: Upload, job: Ulid) -> io::Result<()> {
        upload.file.persist_noclobber(self.path(job)).map_err(|error| error.error)?;
        File::open(&self.folder)?.sync_all()
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
fn refused(error: io::Error) -> Problem {
    Problem::internal(&format!("an upload can't be kept: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::HeaderMap;
    use futures::stream;

    use super::*;
    use crate::body::BodyBudget;

    fn body(pieces: &[&'static [u8]], whole: bool) -> Body {
        let mut pieces: Vec<io::Result<&'static [u8]>> = pieces.iter().map(|&piece| Ok(piece)).collect();
        if !whole {
            pieces.push(Err(io::Error::other("reset")));
        }
        Body::from_stream(stream::iter(pieces))
    }

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
        let receive = async |body: Body, limit| {
            let budget = BodyBudget::new(0, 0, Duration::from_secs(5));
            spool.receive(budget.pieces(&HeaderMap::new(), body, limit).unwrap()).await
        };
        let status = |result: Result<Upload>| result.unwrap_err().status().as_u16();
        assert_eq!(status(receive(body(&[b"abc", b"def"], true), 5).await), 413);
        assert_eq!(status(receive(body(&[b"abc"], false), 5).await), 400);
        drop(receive(body(&[b"abc"], true), 5).await.unwrap());
        assert!(files(folder.path()).is_empty(), "nothing is left of any");

        let upload = receive(body(&[b"abc", b"", b"de"], true), 5).await.unwrap();
        assert_eq!(upload.digest, blake3::hash(b"abcde"));
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
