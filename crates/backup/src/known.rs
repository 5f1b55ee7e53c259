//! Which repositories a data folder has: a backup disk that isn't mounted must not get another one in its
//! mount point without a word, nor must one that another disk has be taken for it.
//!
//! A repository has an id, in its file `repository`, beside the number of its form. A data folder keeps the
//! ids of those that it was backed up to, with the folders where they were found, in a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::error::{BackupError, Result};
use crate::objects::write_whole;

/// A repository that a data folder was backed up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownRepository {
    folder: PathBuf,
    id: Ulid,
}

/// The file as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownFile {
    repositories: Vec<KnownRepository>,
    /// BLAKE3 of the repositories: a folder or an id that decays into another is none. Files of before have
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sum: Option<String>,
}

/// What [`KnownFile::sum`] is of.
fn sum(repositories: &[KnownRepository]) -> serde_json::Result<String> {
    Ok(blake3::hash(&serde_json::to_vec(repositories)?).to_hex().to_string())
}

impl KnownFile {
    /// A file that was written whole and has stayed so.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let file: Self = serde_json::from_slice(bytes).ok()?;
        let sum = sum(&file.repositories).ok()?;
        file.sum.as_ref().is_none_or(|own| *own == sum).then_some(file)
    }
}

/// The repositories of a data folder.
#[derive(Debug)]
pub(crate) struct KnownRepositories {
    path: PathBuf,
    file: KnownFile,
}

impl KnownRepositories {
    /// Those of a file; none where it isn't there.
    ///
    /// # Errors
    /// `Source` for a file that is damaged: whether a repository is missing isn't known then.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = match fs::read(path) {
            Ok(bytes) => KnownFile::parse(&bytes).ok_or_else(|| BackupError::Source {
                name: name(path),
                reason: "is damaged, so that it isn't known whether the folder for backups is the one that it was; \
                         remove it if it is",
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => KnownFile::default(),
            Err(error) => return Err(BackupError::file(path)(error)),
        };
        Ok(Self { path: path.to_owned(), file })
    }

    /// The ids of those that were found in this folder.
    pub(crate) fn of(&self, folder: &Path) -> Vec<Ulid> {
        let folder = resolved(folder);
        let there = self.file.repositories.iter().filter(|known| known.folder == folder);
        there.map(|known| known.id).collect()
    }

    /// Keeps that a repository is in this folder, durably; a file without a sum gets one.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn add(&mut self, folder: &Path, id: Ulid) -> Result<()> {
        let known = KnownRepository { folder: resolved(folder), id };
        let there = self.file.repositories.contains(&known);
        if there && self.file.sum.is_some() {
            return Ok(());
        }
        if !there {
            self.file.repositories.push(known);
        }
        let failed = |error: serde_json::Error| BackupError::file(&self.path)(error.into());
        self.file.sum = Some(sum(&self.file.repositories).map_err(failed)?);
        let text = serde_json::to_vec_pretty(&self.file).map_err(failed)?;
        write_whole(self.path.parent().unwrap_or(Path::new(".")), &name(&self.path), &text)
    }
}

/// Looks whether the file of a data folder that says which repositories it has is as it was written.
///
/// # Errors
/// `Source` where it isn't, `File` where it can't be read.
pub fn verify_known(path: &Path) -> Result<()> {
    KnownRepositories::read(path).map(drop)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The same for every way to say it, be it there or not.
fn resolved(folder: &Path) -> PathBuf {
    let absolute = || std::path::absolute(folder);
    folder.canonicalize().or_else(|_| absolute()).unwrap_or_else(|_| folder.to_owned())
}

#[cfg(test)]
mod tests;
