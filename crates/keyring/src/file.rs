//! The file itself: blocks that are read at once and written one by one, in their places.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::block::{BLOCK, Block, Head};
use crate::cipher::OperatorKey;
use crate::error::{KeyringError, Result};

/// How the names of files begin that are being written.
const UNFINISHED: &str = ".new-keys-";
/// Blocks of the head.
const HEADS: usize = 2;

/// An open file of keys; nobody else has it open.
#[derive(Debug)]
pub(crate) struct KeyFile {
    file: File,
}

/// What was read of a file.
pub(crate) struct Contents {
    pub(crate) heads: [Block; HEADS],
    pub(crate) records: Vec<Block>,
}

impl Contents {
    /// Reads the blocks of a file. What a killed process was adding at its end may be there in part.
    ///
    /// # Errors
    /// `Malformed` for what is too short.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self> {
        let (blocks, _) = bytes.as_chunks::<BLOCK>();
        let (heads, records) =
            blocks.split_first_chunk::<HEADS>().ok_or(KeyringError::Malformed("it is too short"))?;
        Ok(Self { heads: *heads, records: records.to_vec() })
    }

    /// The head by whichever of its copies can be read, whether an operator's key wraps it, and whether both
    /// copies are the same: where one isn't, the file is to be healed.
    ///
    /// # Errors
    /// As [`Head::parse`], of the first.
    pub(crate) fn head(&self, operator: Option<&OperatorKey>) -> Result<(Head, bool, bool)> {
        let same = self.heads[0] == self.heads[1];
        let [first, second] = &self.heads;
        let read = Head::parse(first, operator).or_else(|error| {
            // Of a change of the operator's key that was interrupted, the second copy is of the new one.
            Head::parse(second, operator).map_err(|_| error)
        });
        let (head, wrapped) = read?;
        Ok((head, wrapped, same))
    }
}

impl KeyFile {
    /// Makes the file, durably, if it isn't there.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn create(path: &Path, blocks: &[Block]) -> Result<()> {
        let made = || -> io::Result<()> {
            let file = whole(path, blocks)?;
            match file.persist_noclobber(path) {
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                persisted => persisted.map(drop).map_err(|error| error.error),
            }?;
            File::open(parent(path))?.sync_all()
        };
        made().map_err(KeyringError::disk("make"))
    }

    /// Puts a file in the place of the one that is there, and writes over what that held.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn replace(path: &Path, blocks: &[Block]) -> Result<()> {
        let replaced = || -> io::Result<()> {
            sweep(parent(path))?;
            let former = match OpenOptions::new().write(true).open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                former => Some(former?),
            };
            whole(path, blocks)?.persist(path).map_err(|error| error.error)?;
            File::open(parent(path))?.sync_all()?;
            former.map_or(Ok(()), |former| overwrite(&former))
        };
        replaced().map_err(KeyringError::disk("replace"))
    }

    /// Opens and reads it; it is this process's as long as it is open.
    ///
    /// # Errors
    /// `Locked`, `Disk`, `Malformed`.
    pub(crate) fn open(path: &Path) -> Result<(Self, Contents)> {
        let failed = || KeyringError::disk("read");
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(KeyringError::Locked),
            Err(TryLockError::Error(error)) => return Err(failed()(error)),
        }
        sweep(parent(path)).map_err(failed())?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed())?;
        let contents = Contents::of(&bytes)?;
        Ok((Self { file }, contents))
    }

    /// Reads one without opening it for this process alone; `None` if there is none.
    ///
    /// # Errors
    /// `Disk`, `Malformed`.
    pub(crate) fn read(path: &Path) -> Result<Option<Contents>> {
        Self::bytes(path)?.map(|bytes| Contents::of(&bytes)).transpose()
    }

    /// Its bytes; `None` if there is none.
    ///
    /// # Errors
    /// `Disk`.
    pub(crate) fn bytes(path: &Path) -> Result<Option<Vec<u8>>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(KeyringError::disk("read")(error)),
        }
    }

    /// Writes records into their places, durably.
    pub(crate) fn write(&self, records: &[(usize, Block)]) -> io::Result<()> {
        for (place, block) in records {
            self.file.write_all_at(block, at(HEADS + place))?;
        }
        self.file.sync_data()
    }

    /// Writes both copies of the head, one after the other: at any moment one of them can be read.
    pub(crate) fn write_head(&self, block: &Block) -> io::Result<()> {
        for copy in (0..HEADS).rev() {
            self.file.write_all_at(block, at(copy))?;
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// Writes zeros over a file, durably.
///
/// # Errors
/// What the disk says.
pub fn overwrite(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.write_all_at(&vec![0; length as usize], 0)?;
    file.sync_all()
}

/// Removes what a process was writing that was killed, and writes over it before.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            overwrite(&OpenOptions::new().write(true).open(entry.path())?)?;
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn at(block: usize) -> u64 {
    (block * BLOCK) as u64
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file of these blocks beside the place that it is for; its head is the first two of them.
fn whole(path: &Path, blocks: &[Block]) -> io::Result<tempfile::NamedTempFile> {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    let mut file =
        tempfile::Builder::new().prefix(UNFINISHED).permissions(permissions).tempfile_in(parent(path))?;
    file.write_all(blocks.as_flattened())?;
    file.as_file().sync_all()?;
    Ok(file)
}
