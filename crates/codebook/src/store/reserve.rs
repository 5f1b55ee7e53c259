//! Room that is kept on the disk for a start: sled writes as it opens, so that a store would not open where
//! no room is left. A file of the store's folder takes it up; it goes before the store is opened on a full
//! disk, and is filled again as far as there is room. As long as it isn't whole the disk counts as full, so
//! that edits don't take what the next start needs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The file's name.
pub(super) const FILE: &str = "reserve";
/// Bytes of it, and how many times what sled keeps of its pages beside the log comes to it.
const BYTES: u64 = 4 << 20;
const SNAPSHOTS: u64 = 2;
/// Bytes that are written at a time.
const STEP: usize = 64 << 10;

/// How many bytes the disk of a folder has left; `None` if it doesn't say.
pub(super) fn left(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Gives up the room that is kept in the folder of a store, if less than `least` bytes are left beside it.
pub(super) fn give_up(folder: &Path, least: u64) {
    if left(folder).is_none_or(|left| left >= least) {
        return;
    }
    match fs::remove_file(folder.join(FILE)) {
        Ok(()) => tracing::warn!("the disk is full; what was kept for a start is given up for it"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(error = %error.kind(), "what was kept for a start can't be given up"),
    }
}

/// The room of a store.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    folder: PathBuf,
}

impl Reserve {
    pub(super) fn of(folder: &Path) -> Self {
        Self { path: folder.join(FILE), folder: folder.to_owned() }
    }

    /// Takes up the room, durably, as far as there is any; whether all of it is.
    ///
    /// # Errors
    /// What the disk says but for that it is full.
    pub(super) fn fill(&self) -> io::Result<bool> {
        let wanted = self.wanted();
        let there = fs::metadata(&self.path).map_or(0, |file| file.len());
        if there >= wanted {
            return Ok(true);
        }
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(there))?;
        let mut noise = blake3::Hasher::new().finalize_xof();
        noise.set_position(there);
        let (mut piece, mut at) = (vec![0; STEP], there);
        let mut written = || -> io::Result<()> {
            while at < wanted {
                // Not zeros: some disks keep none of those.
                noise.fill(&mut piece);
                let count = piece.len().min(usize::try_from(wanted - at).unwrap_or(STEP));
                let count = file.write(&piece[..count])?;
                if count == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                at += count as u64;
                noise.set_position(at);
            }
            file.sync_all()?;
            File::open(&self.folder)?.sync_all()
        };
        match written() {
            Ok(()) => Ok(true),
            Err(error) if crate::Unwritable::is_full(error.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn wanted(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.folder) else { return BYTES };
        let snapshots =
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("snap."));
        let largest = snapshots.filter_map(|entry| Some(entry.metadata().ok()?.len())).max().unwrap_or(0);
        // In steps, so that it isn't written to at every start.
        BYTES + (SNAPSHOTS * largest).div_ceil(BYTES) * BYTES * u64::from(largest > BYTES / 8)
    }
}

#[cfg(test)]
mod tests;
