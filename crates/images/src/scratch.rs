//! What an import needs on the disk for a while: a file without a name, sealed under a key that this process
//! alone has and that goes with it.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use reasonedit_keyring::{KeyId, Keyring, KeyringError, StreamReader, StreamSealer};

/// What was kept in a [`Scratch`], from its beginning.
pub type ScratchReader = StreamReader<File>;

/// A file that is written once and then read. Holds a piece of it.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    keys: Arc<Keyring>,
    sealer: StreamSealer,
}

fn key() -> KeyId {
    KeyId::of("scratch", &[])
}

fn refused(error: KeyringError) -> io::Error {
    io::Error::other(error)
}

impl Scratch {
    /// Begins one on the disk of a folder.
    pub(crate) fn begin(folder: &Path) -> io::Result<Self> {
        let mut file = tempfile::tempfile_in(folder)?;
        let keys = Keyring::ephemeral().map_err(refused)?;
        keys.ensure(&[key()]).map_err(refused)?;
        let mut head = Vec::new();
        let sealer = keys.seal_stream(key(), &mut head).map_err(refused)?;
        file.write_all(&head)?;
        Ok(Self { file, keys, sealer })
    }

    /// Ends it, to be read.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(self) -> io::Result<ScratchReader> {
        let Self { mut file, keys, sealer } = self;
        let mut rest = Vec::new();
        sealer.finish(&mut rest).map_err(refused)?;
        file.write_all(&rest)?;
        file.seek(SeekFrom::Start(0))?;
        keys.open_stream(key(), file)
    }
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sealed = Vec::new();
        self.sealer.push(bytes, &mut sealed).map_err(refused)?;
        self.file.write_all(&sealed)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_kept_for_a_while_lies_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let secret = "effusion at the left base. ".repeat(9000);
        let mut scratch = Scratch::begin(folder.path()).unwrap();
        io::copy(&mut secret.as_bytes(), &mut scratch).unwrap();
        let mut stored = Vec::new();
        let mut file = scratch.file.try_clone().unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut stored).unwrap();
        assert!(stored.len() > 100_000 && !stored.windows(8).any(|part| part == b"effusion"));
        let mut read = String::new();
        scratch.read().unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, secret);
        assert_eq!(Scratch::begin(folder.path()).unwrap().read().unwrap().length(), 0);
    }
}
