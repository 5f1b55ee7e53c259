//! An archive as it comes: exported by this program, or unpacked and packed again by a tool of its own ways.
//! Entries may come in any order, under a common folder, with folders and the companions that operating
//! systems add, plain or compressed; what else it holds is named in the refusal. Nothing is ever unpacked
//! under a name of the archive's.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use reasonedit_codebook::{
    CodebookError, Generation, ImageId, ImageInfo, Scratch, ScratchReader, StagedImages, Unwritable,
};
use tar::{EntryType, PaxExtensions};

use crate::error::{ArchiveError, Result};
use crate::format::{EDITS, IMAGES, MANIFEST, Manifest};
use crate::pictures::Pictures;

/// Longest name of an entry, in bytes; longer than any file system's.
const MAX_NAME: u64 = 64 << 10;
/// Longest list of extended attributes of an entry, in bytes.
const MAX_EXTENSIONS: u64 = 1 << 20;
/// Longest manifest, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;
/// Most characters of a name that are shown.
const SHOWN: usize = 120;
/// Largest window of a zstd frame, as a power of two in bytes: the 8 MiB that RFC 8878 asks every decoder
/// for. Tools need no more below their `--ultra` levels and without `--long`: `zstd -3` has 2 MiB, `zstd -19`
/// all 8.
const ZSTD_WINDOW: u32 = 23;
/// How zstd says that a frame asks for more. It reaches a reader as words alone.
const ZSTD_TOO_LARGE: &str = "too much memory";
/// Beginnings of files that are no tar, and what they are.
const OTHERS: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "a zip file"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (b"Rar!", "a rar file"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
];

/// What was in an archive, none of it taken in yet.
pub struct Unpacked {
    /// What it says of itself.
    pub(crate) manifest: Manifest,
    /// The lines of `edits.jsonl`, from the beginning.
    pub(crate) edits: ScratchReader,
    pub(crate) images: StagedImages,
    /// The pictures that came with it, with their sizes.
    pub(crate) came: HashMap<ImageId, ImageInfo>,
}

/// Reads an archive to its end, its pictures to where they are staged. Those that were checked there before,
/// when the same work was begun, aren't decoded again. `limit`: most bytes that it may come to, decompressed.
///
/// # Errors
/// `Invalid` names what is wrong and the entry that it is wrong with; `Codebook` and `Io` if the disk
/// refuses.
pub fn unpack(
    pictures: &dyn Pictures,
    images: StagedImages,
    input: impl Read,
    limit: u64,
) -> Result<Unpacked> {
    let source = Source::default();
    let (input, compressed) = decompressed(Watched { input, left: u64::MAX, end: Rc::clone(&source.read) })?;
    let mut input = Watched { input, left: limit, end: Rc::clone(&source.unpacked) };
    let mut contents = Contents::new(pictures, images);
    contents.read(&mut input).map_err(|error| match error {
        Fault::Said(said) => ArchiveError::Invalid(said),
        Fault::Other(error) => error,
        Fault::Io { after, error } => source.explain(after.as_deref(), &error, limit),
    })?;
    if compressed {
        // The checksum comes last.
        let drained = io::copy(&mut input, &mut io::sink());
        drained.map_err(|error| source.explain(contents.last.as_deref(), &error, limit))?;
    }
    contents.finished()
}

fn refused<T>(said: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Said(said.into()))
}

/// What went wrong while an archive was read.
enum Fault {
    /// What the client is told.
    Said(String),
    /// Reading failed, after this entry; why, [`Source`] knows.
    Io { after: Option<String>, error: io::Error },
    /// Not the archive's fault.
    Other(ArchiveError),
}

impl From<CodebookError> for Fault {
    fn from(error: CodebookError) -> Self {
        Self::Other(error.into())
    }
}

/// How far bytes could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    NotYet,
    Reached,
    TooMany,
    /// A compression asks for more memory than any has.
    TooLarge,
    Failed,
}

impl End {
    fn of(error: &io::Error) -> Self {
        if error.to_string().contains(ZSTD_TOO_LARGE) { Self::TooLarge } else { Self::Failed }
    }
}

/// What the readers below a tar have seen, so that a failure is told in words of our own, not of a codec's.
#[derive(Default)]
struct Source {
    read: Rc<Cell<End>>,
    unpacked: Rc<Cell<End>>,
}

impl Source {
    fn explain(&self, after: Option<&str>, error: &io::Error, limit: u64) -> ArchiveError {
        if Unwritable::is_full(error.kind()) || error.kind() == io::ErrorKind::ReadOnlyFilesystem {
            // It is the disk here that fails, not the archive.
            return ArchiveError::Io(error.kind().into());
        }
        let place = after.map_or_else(String::new, |name| format!(" after `{name}`"));
        let said = match (self.unpacked.get(), self.read.get()) {
            (End::TooMany, _) => format!("it comes to more than {limit} bytes"),
            (End::TooLarge, _) => format!(
                "its zstd compression asks for a window of more than {} MiB; compress it without `--long` and `--ultra`",
                (1 << ZSTD_WINDOW) >> 20
            ),
            (_, End::Failed) => format!("it could not be read to its end{place}"),
            (End::Reached | End::NotYet, _) if after.is_none() => "it is not a tar".to_owned(),
            (End::Reached, _) => format!("it is cut short{place}"),
            (End::Failed, End::Reached) if error.kind() == io::ErrorKind::UnexpectedEof => {
                format!("it is cut short{place}")
            }
            (End::Failed, _) => format!("its compression is damaged{place}"),
            _ => format!("it is damaged{place}"),
        };
        ArchiveError::Invalid(said)
    }
}

/// Reads a limited number of bytes, and notes how that ended.
struct Watched<R> {
    input: R,
    left: u64,
    end: Rc<Cell<End>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = match self.input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            other => other.inspect_err(|error| self.end.set(End::of(error)))?,
        };
        if count == 0 {
            self.end.set(End::Reached);
        }
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            self.end.set(End::TooMany);
            io::Error::other("too many bytes")
        })?;
        Ok(count)
    }
}

/// The bytes within a compression, which their beginning tells; and whether there was one.
fn decompressed<'a>(mut input: impl Read + 'a) -> Result<(Box<dyn Read + 'a>, bool)> {
    let mut head = Vec::new();
    let could = input.by_ref().take(6).read_to_end(&mut head);
    could.map_err(|_| ArchiveError::Invalid("it could not be read to its end".to_owned()))?;
    if head.is_empty() {
        return Err(ArchiveError::Invalid("it is empty".to_owned()));
    }
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        let said = format!("it is {what}; send a tar, plain or compressed with gzip or zstd");
        return Err(ArchiveError::Invalid(said));
    }
    let gzip = head.starts_with(&[0x1f, 0x8b]);
    let zstd = matches!(head[..], [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    let whole = Cursor::new(head).chain(input);
    if gzip {
        return Ok((Box::new(flate2::read::MultiGzDecoder::new(whole)), true));
    }
    if zstd {
        let mut decoder = zstd::Decoder::new(whole)?;
        decoder.window_log_max(ZSTD_WINDOW)?;
        return Ok((Box::new(decoder), true));
    }
    Ok((Box::new(whole), false))
}

/// What an entry is to us.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A folder, or what an operating system put there.
    Nothing,
    Manifest,
    Edits,
    Image(ImageId),
}

/// What an entry of this name is, and the folder that the archive lies in by it.
fn place(name: &str, folder: bool) -> Result<(Place, String), &'static str> {
    if name.starts_with('/') || name.contains(['\\', '\0']) {
        return Err("has a name that is not relative");
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err("has a name that leads out of the archive");
    }
    let Some((last, above)) = parts.split_last() else { return Ok((Place::Nothing, String::new())) };
    let companion = last.starts_with("._")
        || matches!(*last, ".DS_Store" | "Thumbs.db" | "desktop.ini" | "pax_global_header")
        || parts.contains(&"__MACOSX");
    if folder || companion {
        return Ok((Place::Nothing, String::new()));
    }
    match (*last, above) {
        (MANIFEST, above) => Ok((Place::Manifest, above.join("/"))),
        (EDITS, above) => Ok((Place::Edits, above.join("/"))),
        (id, [above @ .., images]) if *images == IMAGES => match id.parse() {
            Ok(id) => Ok((Place::Image(id), above.join("/"))),
            Err(_) => Err("has a name that is not that of a picture"),
        },
        _ => Err("does not belong there"),
    }
}

/// What has been read so far.
struct Contents<'a> {
    pictures: &'a dyn Pictures,
    manifest: Option<Manifest>,
    edits: Option<Scratch>,
    images: StagedImages,
    came: HashMap<ImageId, ImageInfo>,
    /// The folder that everything lies in, once something was read.
    folder: Option<String>,
    /// The name of the last entry.
    last: Option<String>,
}

impl Unpacked {
    /// What the keys of its edits were made with; `None` for an archive of a codebook without edits.
    pub fn generation(&self) -> Option<Generation> {
        self.manifest.generation()
    }
}

impl<'a> Contents<'a> {
    fn new(pictures: &'a dyn Pictures, images: StagedImages) -> Self {
        let came = HashMap::new();
        Self { pictures, manifest: None, edits: None, images, came, folder: None, last: None }
    }

    /// Headers that describe the next entry are read here and not by the library, which would hold them in
    /// memory however long they are.
    fn read(&mut self, input: impl Read) -> Result<(), Fault> {
        let mut tar = tar::Archive::new(input);
        let mut long_name: Option<Vec<u8>> = None;
        for entry in tar.entries().map_err(|error| self.failed(error))?.raw(true) {
            let mut entry = entry.map_err(|error| self.failed(error))?;
            let kind = entry.header().entry_type();
            let read = match kind {
                EntryType::GNULongName => bounded(&mut entry, MAX_NAME).map(|name| match name {
                    Some(mut name) => {
                        name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
                        long_name = Some(name);
                        Ok(())
                    }
                    None => refused("one of its entries has a name that is too long"),
                }),
                EntryType::XHeader => {
                    bounded(&mut entry, MAX_EXTENSIONS).map(|extensions| match extensions {
                        Some(extensions) => extended(&extensions, &mut long_name),
                        None => refused("one of its entries has attributes that are too long"),
                    })
                }
                EntryType::XGlobalHeader | EntryType::GNULongLink => Ok(Ok(())),
                _ => {
                    let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                    let shown = shown(&name);
                    let size = entry.size();
                    let taken = self.take(&String::from_utf8_lossy(&name), &shown, kind, size, &mut entry);
                    self.last = Some(shown);
                    Ok(taken)
                }
            };
            read.map_err(|error| self.failed(error))??;
        }
        Ok(())
    }

    fn take(
        &mut self,
        name: &str,
        shown: &str,
        kind: EntryType,
        size: u64,
        entry: &mut impl Read,
    ) -> Result<(), Fault> {
        let folder = kind == EntryType::Directory || name.ends_with('/');
        let (place, parent) = match place(name, folder) {
            Ok((Place::Nothing, _)) => return Ok(()),
            Ok(placed) => placed,
            Err(said) => return refused(format!("`{shown}` {said}")),
        };
        if let Some(what) = unusual(kind) {
            return refused(format!("`{shown}` is {what}, not a plain file"));
        }
        let common = self.folder.get_or_insert_with(|| parent.clone());
        if *common != parent {
            return refused(format!("`{shown}` lies in another folder than what came before it"));
        }
        match place {
            Place::Nothing => Ok(()),
            Place::Manifest => {
                let bytes = self.whole(shown, size, MAX_MANIFEST, entry)?;
                let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
                let Ok(manifest) = serde_json::from_slice(bytes) else {
                    return refused(format!("`{shown}` is not the manifest of an archive"));
                };
                match self.manifest.replace(manifest) {
                    None => Ok(()),
                    Some(_) => refused(format!("`{shown}` is there twice")),
                }
            }
            Place::Edits => {
                let mut file = self.images.scratch()?;
                let copied = io::copy(entry, &mut file).map_err(|error| self.failed(error))?;
                if copied != size {
                    return refused(format!("it is cut short in `{shown}`"));
                }
                match self.edits.replace(file) {
                    None => Ok(()),
                    Some(_) => refused(format!("`{shown}` is there twice")),
                }
            }
            Place::Image(id) => {
                let bytes = self.whole(shown, size, self.pictures.max_bytes(), entry)?;
                if ImageId::of(&bytes) != id {
                    return refused(format!("`{shown}` does not have the bytes of its name"));
                }
                let before = self.images.checked(id);
                let Some(info) = before.or_else(|| self.pictures.info(&bytes)) else {
                    return refused(format!("`{shown}` is not a picture that can be read here"));
                };
                self.images.put(&bytes)?;
                self.images.note(info)?;
                if before.is_none() {
                    self.pictures.taken();
                }
                // The same picture twice is one picture.
                self.came.insert(id, info);
                Ok(())
            }
        }
    }

    fn failed(&self, error: io::Error) -> Fault {
        Fault::Io { after: self.last.clone(), error }
    }

    /// All bytes of an entry.
    fn whole(&self, shown: &str, size: u64, limit: u64, entry: &mut impl Read) -> Result<Vec<u8>, Fault> {
        let bytes = match bounded(entry, limit) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return refused(format!("`{shown}` is larger than {limit} bytes")),
            Err(error) => return Err(self.failed(error)),
        };
        if bytes.len() as u64 != size {
            return refused(format!("it is cut short in `{shown}`"));
        }
        Ok(bytes)
    }

    fn finished(self) -> Result<Unpacked> {
        let missing = |name: &str| ArchiveError::Invalid(format!("it has no `{name}`"));
        let manifest = self.manifest.ok_or_else(|| missing(MANIFEST))?;
        manifest.check().map_err(ArchiveError::Invalid)?;
        let edits = match self.edits {
            Some(file) => file.read()?,
            None if manifest.edits == 0 => self.images.scratch()?.read()?,
            None => return Err(missing(EDITS)),
        };
        Ok(Unpacked { manifest, edits, images: self.images, came: self.came })
    }
}

/// What an entry is that is not a plain file.
fn unusual(kind: EntryType) -> Option<&'static str> {
    match kind {
        EntryType::Regular | EntryType::Continuous => None,
        EntryType::Link => Some("a hard link"),
        EntryType::Symlink => Some("a symbolic link"),
        EntryType::GNUSparse => Some("a sparse file"),
        EntryType::Char | EntryType::Block | EntryType::Fifo => Some("a device"),
        _ => Some("something else"),
    }
}

/// Reads the extended attributes of the next entry.
fn extended(bytes: &[u8], long_name: &mut Option<Vec<u8>>) -> Result<(), Fault> {
    for attribute in PaxExtensions::new(bytes) {
        let Ok(attribute) = attribute else {
            return refused("the attributes of one of its entries are damaged");
        };
        match attribute.key_bytes() {
            b"path" => *long_name = Some(attribute.value_bytes().to_vec()),
            // Nothing of an archive is so large that its size has no place in the header; two sizes would be
            // two readings of the same bytes.
            b"size" => return refused("one of its entries is larger than any of an archive may be"),
            key if key.starts_with(b"GNU.sparse.") => {
                return refused("it holds a sparse file, not a plain one");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The bytes of a reader; `None` if there are more than `limit`.
fn bounded(reader: &mut impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// A name as it may be shown: its beginning, without what terminals act on.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown: String =
        text.chars().map(|c| if c.is_control() || c == '`' { '?' } else { c }).take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
