//! Files under the BLAKE3 of their bytes: `ab/abcd…`, the first two digits of the sum and then all of them,
//! as pictures lie in a data folder.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use blake3::Hash;
use tempfile::{NamedTempFile, TempPath};

use crate::error::{BackupError, ObjectHarm, Result};
use crate::manifest::BackupObject;

/// How the names of files begin that are being written.
pub(crate) const UNFINISHED: &str = ".new-";

/// Bytes of a file that are held while it is copied.
const COPIED_AT_ONCE: usize = 256 << 10;

/// A folder of such files. What was put there is durable after [`Self::sync`].
#[derive(Debug)]
pub(crate) struct Objects {
    folder: PathBuf,
    /// As it is called in the repository.
    name: &'static str,
    /// Folders in which something was put since they were last synced.
    touched: BTreeSet<PathBuf>,
}

/// An object that is written and not yet under its name.
#[derive(Debug)]
pub(crate) struct Unnamed {
    pub(crate) object: BackupObject,
    file: TempPath,
}

impl Objects {
    /// The folder `name` below another one. It need not be there before something is put into it.
    pub(crate) fn new(parent: &Path, name: &'static str) -> Self {
        Self { folder: parent.join(name), name, touched: BTreeSet::new() }
    }

    fn path(&self, sum: &Hash) -> PathBuf {
        let digits = sum.to_hex();
        self.folder.join(&digits[..2]).join(digits.as_str())
    }

    /// Where an object lies in the repository.
    pub(crate) fn place(&self, sum: &Hash) -> String {
        let digits = sum.to_hex();
        format!("{}/{}/{digits}", self.name, &digits[..2])
    }

    /// How long the file of this sum is; `None` if there is none.
    pub(crate) fn length(&self, sum: &Hash) -> Option<u64> {
        fs::metadata(self.path(sum)).ok().filter(fs::Metadata::is_file).map(|found| found.len())
    }

    /// Whether a file of this sum and length is there; its bytes are not looked at.
    pub(crate) fn stands(&self, object: &BackupObject) -> bool {
        self.length(&object.sum) == Some(object.bytes)
    }

    /// The bytes of an object, if they are those that were written.
    ///
    /// # Errors
    /// What became of it.
    pub(crate) fn read(&self, sum: &Hash) -> Result<Vec<u8>, ObjectHarm> {
        match fs::read(self.path(sum)) {
            Ok(bytes) if blake3::hash(&bytes) == *sum => Ok(bytes),
            Ok(_) => Err(ObjectHarm::Changed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ObjectHarm::Missing),
            Err(_) => Err(ObjectHarm::Unreadable),
        }
    }

    /// Writes an object to `to`, and says how long it is, if its bytes are those that were written. Holds a
    /// piece of it at a time; what was written is of no use where it fails.
    ///
    /// # Errors
    /// The inner one: what became of it; the outer one: what `to` says.
    pub(crate) fn copy(&self, sum: &Hash, to: &mut dyn io::Write) -> io::Result<Result<u64, ObjectHarm>> {
        let file = match File::open(self.path(sum)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(ObjectHarm::Missing)),
            Err(_) => return Ok(Err(ObjectHarm::Unreadable)),
        };
        match hashed(file, to)? {
            Ok((found, bytes)) if found == *sum => Ok(Ok(bytes)),
            Ok(_) => Ok(Err(ObjectHarm::Changed)),
            Err(_) => Ok(Err(ObjectHarm::Unreadable)),
        }
    }

    /// How long an object is, if its bytes are those that were written.
    ///
    /// # Errors
    /// What became of it.
    pub(crate) fn check(&self, sum: &Hash) -> Result<u64, ObjectHarm> {
        self.copy(sum, &mut io::sink()).unwrap_or(Err(ObjectHarm::Unreadable))
    }

    /// Keeps what a file holds, unless that is there already, or `check` and not whole. Holds a piece of it
    /// at a time. Returns what it is, and whether it was written.
    ///
    /// # Errors
    /// The disk refuses. The inner one: the file can't be read.
    pub(crate) fn put_file(&mut self, path: &Path, check: bool) -> Result<io::Result<(BackupObject, bool)>> {
        let opened = || File::open(path);
        let first = opened().and_then(|file| hashed(file, &mut io::sink()).and_then(|read| read));
        let (sum, bytes) = match first {
            Ok(first) => first,
            Err(error) => return Ok(Err(error)),
        };
        let object = BackupObject { sum, bytes };
        let sound = if check { self.check(&sum).is_ok() } else { self.stands(&object) };
        if sound {
            return Ok(Ok((object, false)));
        }
        // Beside its kind: which folder it belongs into is known at the end, since it may grow meanwhile.
        let beside = self.folder.parent().unwrap_or(&self.folder).to_owned();
        let begun = || tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&beside);
        let mut written = begun().map_err(BackupError::file(&beside))?;
        let copied = match opened() {
            Ok(file) => hashed(file, &mut written).map_err(BackupError::file(&beside))?,
            Err(error) => return Ok(Err(error)),
        };
        let (sum, bytes) = match copied {
            Ok(copied) => copied,
            Err(error) => return Ok(Err(error)),
        };
        let object = BackupObject { sum, bytes };
        self.shard(&sum).map_err(BackupError::file(&self.folder))?;
        self.name(Unnamed { object, file: written.into_temp_path() })?;
        Ok(Ok((object, true)))
    }

    /// Writes bytes beside their place, without waiting for the disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn write(&mut self, sum: Hash, bytes: &[u8]) -> Result<Unnamed> {
        let shard = self.shard(&sum).map_err(BackupError::file(&self.folder))?;
        let written = || {
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&shard)?;
            file.write_all(bytes)?;
            Ok(file.into_temp_path())
        };
        let file = written().map_err(BackupError::file(&shard))?;
        Ok(Unnamed { object: BackupObject { sum, bytes: bytes.len() as u64 }, file })
    }

    /// Makes what was written durable, and gives it its name.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn name(&mut self, written: Unnamed) -> Result<()> {
        let path = self.path(&written.object.sum);
        let named = || {
            File::open(&written.file)?.sync_all()?;
            written.file.persist(&path).map_err(|error| error.error)
        };
        named().map_err(BackupError::file(&path))?;
        self.touched.extend(path.parent().map(Path::to_owned));
        Ok(())
    }

    /// Writes bytes under their name, in place of what may stand there.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn put(&mut self, sum: Hash, bytes: &[u8]) -> Result<()> {
        let written = self.write(sum, bytes)?;
        self.name(written)
    }

    /// The folder that an object of this sum lies in; made if it is missing.
    fn shard(&mut self, sum: &Hash) -> io::Result<PathBuf> {
        let shard = self.folder.join(&sum.to_hex()[..2]);
        if !shard.is_dir() {
            private_folder(&shard)?;
            self.touched.insert(self.folder.clone());
            self.touched.extend(self.folder.parent().map(Path::to_owned));
        }
        Ok(shard)
    }

    /// Makes the names durable of what was put there.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn sync(&mut self) -> Result<()> {
        for folder in std::mem::take(&mut self.touched) {
            sync_folder(&folder)?;
        }
        Ok(())
    }

    /// The sums of all that is there.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn all(&self) -> Result<Vec<Hash>> {
        let mut sums = Vec::new();
        self.each_file(&mut |path, name| {
            // What lies in another folder than its name says is none of these.
            sums.extend(Hash::from_hex(name).ok().filter(|sum| self.path(sum) == path));
            Ok(())
        })?;
        Ok(sums)
    }

    /// Removes an object; how long it was.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn remove(&mut self, sum: &Hash) -> Result<u64> {
        let path = self.path(sum);
        let bytes = self.length(sum).unwrap_or_default();
        fs::remove_file(&path).map_err(BackupError::file(&path))?;
        self.touched.extend(path.parent().map(Path::to_owned));
        Ok(bytes)
    }

    /// Removes what a killed process was writing; nobody else is.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn sweep_unfinished(&self) -> Result<()> {
        self.each_file(&mut |path, name| {
            if name.starts_with(UNFINISHED) { fs::remove_file(path) } else { Ok(()) }
        })
    }

    fn each_file(&self, visit: &mut dyn FnMut(&Path, &str) -> io::Result<()>) -> Result<()> {
        let mut each = || -> io::Result<()> {
            for shard in fs::read_dir(&self.folder)? {
                let shard = shard?;
                if !shard.file_type()?.is_dir() {
                    continue;
                }
                for file in fs::read_dir(shard.path())? {
                    let file = file?;
                    visit(&file.path(), &file.file_name().to_string_lossy())?;
                }
            }
            Ok(())
        };
        match each() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.folder.exists() => Ok(()),
            done => done.map_err(BackupError::file(&self.folder)),
        }
    }
}

/// Copies what there is to read, and says what its sum and length are. The inner error is the reader's.
fn hashed(mut from: impl io::Read, to: &mut dyn io::Write) -> io::Result<io::Result<(Hash, u64)>> {
    let (mut hasher, mut bytes, mut piece) = (blake3::Hasher::new(), 0, vec![0; COPIED_AT_ONCE]);
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(Ok((hasher.finalize(), bytes))),
            Ok(count) => {
                hasher.update(&piece[..count]);
                to.write_all(&piece[..count])?;
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Makes a folder, and those above it, for its owner alone.
pub(crate) fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// The disk refuses.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(BackupError::file(folder))
}

/// Puts a whole file under a name of the folder, durably.
///
/// # Errors
/// The disk refuses.
pub(crate) fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    let written = || {
        let mut file = NamedTempFile::with_prefix_in(UNFINISHED, folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)
    };
    written().map_err(BackupError::file(&path))?;
    sync_folder(folder)
}
