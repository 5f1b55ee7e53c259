//! The tokens that were given, in a file that a running service and the command line both change.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use time::OffsetDateTime;
use ulid::Ulid;

use crate::caller::Caller;
use crate::error::{AccessError, Result};
use crate::token::{IssuedToken, NewToken, TokenRecord, TokenState};

#[cfg(test)]
mod tests;

/// The file's form.
const VERSION: u32 = 1;
/// How often the file is looked at for what others changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What the names of files begin with that are being written.
const UNFINISHED: &str = ".tokens-";
/// Tokens that are kept, revoked ones included.
const MOST: usize = 10_000;

/// The file as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    version: u32,
    tokens: Vec<TokenRecord>,
    /// BLAKE3 of the tokens: a role or a codebook that decays into another is no token's. Files of before
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sum: Option<String>,
}

/// What [`TokenFile::sum`] is of.
fn sum(tokens: &[TokenRecord]) -> serde_json::Result<String> {
    Ok(blake3::hash(&serde_json::to_vec(tokens)?).to_hex().to_string())
}

/// What tells one state of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

#[derive(Debug, Default)]
struct Loaded {
    stamp: Option<Stamp>,
    tokens: Vec<TokenRecord>,
    by_digest: HashMap<[u8; 32], usize>,
}

/// The tokens that were given. Methods but [`Self::find`], [`Self::list`] and [`Self::is_empty`] write a
/// file.
#[derive(Debug)]
pub struct TokenStore {
    path: PathBuf,
    loaded: RwLock<Loaded>,
    looked: Mutex<Instant>,
    /// Uses that the file doesn't have yet.
    uses: Mutex<HashMap<Ulid, OffsetDateTime>>,
}

impl TokenStore {
    /// Those of a file; none, if it isn't there. Where it holds some, what says that some were given is made
    /// anew if it is gone, as far as the disk lets that be done.
    ///
    /// # Errors
    /// [`AccessError::File`], [`AccessError::Malformed`] and [`AccessError::Gone`]: nobody is let in by what
    /// can't be read.
    pub fn open(path: &Path) -> Result<Self> {
        let loaded = read(path)?;
        let lock = path.with_extension("lock");
        if !loaded.tokens.is_empty()
            && !is_marked(&lock)
            && let Err(error) = mark_anew(&lock)
        {
            // The tokens hold; it is tried again at the next start and change.
            tracing::warn!(%error, file = %lock.display(), "what says that tokens were given is gone, and can't be made anew");
        }
        Ok(Self {
            path: path.to_owned(),
            loaded: RwLock::new(loaded),
            looked: Mutex::new(Instant::now()),
            uses: Mutex::default(),
        })
    }

    /// Whether none was ever given.
    pub fn is_empty(&self) -> bool {
        self.look();
        self.loaded.read().tokens.is_empty()
    }

    /// All that were given, revoked and expired ones too, the oldest first.
    pub fn list(&self) -> Vec<TokenRecord> {
        self.look();
        let mut tokens = self.loaded.read().tokens.clone();
        let uses = self.uses.lock();
        for token in &mut tokens {
            token.last_used_at = token.last_used_at.max(uses.get(&token.id).copied());
        }
        tokens
    }

    /// Who shows this token, if it is taken.
    pub fn find(&self, digest: &blake3::Hash, now: OffsetDateTime) -> Option<Caller> {
        self.look();
        let loaded = self.loaded.read();
        // A token is 256 bits of chance: how long the look-up of its digest takes helps nobody to guess one.
        let record = &loaded.tokens[*loaded.by_digest.get(digest.as_bytes())?];
        if record.state(now) != TokenState::Live {
            return None;
        }
        self.uses.lock().insert(record.id, now.replace_nanosecond(0).unwrap_or(now));
        Some(record.into())
    }

    /// Gives a token; durable when this returns.
    ///
    /// # Errors
    /// [`AccessError::Invalid`] for what none can have; [`AccessError::TooMany`]; a file that can't be
    /// written.
    pub fn issue(&self, new: NewToken, now: OffsetDateTime) -> Result<IssuedToken> {
        let issued = new.issue(now)?;
        self.change(|tokens| {
            if tokens.len() >= MOST {
                return Err(AccessError::TooMany(MOST));
            }
            tokens.push(issued.record.clone());
            Ok(())
        })?;
        Ok(issued)
    }

    /// Revokes the token of this id, or all of this name; they are taken no more when this returns, by other
    /// processes within a second. Those that were revoked before stay as they are.
    ///
    /// Returns those of the id or name.
    ///
    /// # Errors
    /// [`AccessError::Unknown`] when there is none; a file that can't be written.
    pub fn revoke(&self, id_or_name: &str, now: OffsetDateTime) -> Result<Vec<TokenRecord>> {
        let id = Ulid::from_string(id_or_name).ok();
        self.change(|tokens| {
            let meant = |token: &TokenRecord| Some(token.id) == id || token.name == id_or_name;
            let meant: Vec<_> = tokens.iter_mut().filter(|token| meant(token)).collect();
            if meant.is_empty() {
                return Err(AccessError::Unknown(id_or_name.to_owned()));
            }
            Ok(meant
                .into_iter()
                .map(|token| {
                    token.revoked_at.get_or_insert(now.replace_nanosecond(0).unwrap_or(now));
                    token.clone()
                })
                .collect())
        })
    }

    /// Writes when tokens were last used, where that has changed.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn write_uses(&self) -> Result<()> {
        if self.uses.lock().is_empty() {
            return Ok(());
        }
        // `change` takes them in.
        self.change(|_| Ok(()))
    }

    /// Changes the file under its lock, beginning with what it holds now.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<TokenRecord>) -> Result<T>) -> Result<T> {
        let lock = self.path.with_extension("lock");
        let held = locked(&lock).map_err(|error| AccessError::file(&lock, error))?;
        self.remove_unfinished();
        // What was read before is put back where the file is gone or holds none: nobody takes tokens away so.
        let mut tokens = match read(&self.path) {
            Ok(found) if found.stamp.is_some() => found.tokens,
            _ if !self.loaded.read().tokens.is_empty() => self.loaded.read().tokens.clone(),
            found => found?.tokens,
        };
        let uses = self.uses.lock().clone();
        for token in &mut tokens {
            token.last_used_at = token.last_used_at.max(uses.get(&token.id).copied());
        }
        let changed = change(&mut tokens)?;
        write(&self.path, tokens).map_err(|error| AccessError::file(&self.path, error))?;
        mark(&held).map_err(|error| AccessError::file(&lock, error))?;
        *self.loaded.write() = read(&self.path)?;
        self.uses.lock().retain(|id, used| uses.get(id).is_none_or(|written| written < used));
        Ok(changed)
    }

    /// Removes what processes that were killed were writing; the lock is held.
    fn remove_unfinished(&self) {
        let Some(Ok(entries)) = self.path.parent().map(fs::read_dir) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // It is tried again at the next change.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Reads the file anew where another process changed it. One that can't be read is told of, and what was
    /// read before holds: a mishap to the file neither opens the service nor locks everyone out.
    fn look(&self) {
        {
            let mut looked = self.looked.lock();
            if looked.elapsed() < LOOK_EVERY {
                return;
            }
            *looked = Instant::now();
        }
        let known = self.loaded.read().stamp;
        match stamp(&self.path) {
            Ok(found) if found == known => {}
            Ok(None) => {
                tracing::error!(path = %self.path.display(), "the file of tokens is gone");
                // Told once.
                self.loaded.write().stamp = None;
            }
            Ok(found) => match read(&self.path) {
                Ok(loaded) => *self.loaded.write() = loaded,
                Err(error) => {
                    tracing::error!(%error, "tokens can't be read again; those of before hold");
                    if matches!(error, AccessError::Malformed { .. }) {
                        self.loaded.write().stamp = found;
                    }
                }
            },
            Err(error) => tracing::error!(%error, path = %self.path.display(), "tokens can't be looked at"),
        }
    }
}

fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Ok(Some(Stamp { modified: metadata.modified()?, bytes: metadata.len(), inode }))
}

fn read(path: &Path) -> Result<Loaded> {
    let failed = |error| AccessError::file(path, error);
    // Before the text: a change between the two is seen at the next look.
    let Some(stamp) = stamp(path).map_err(failed)? else {
        // The lock's file stays where tokens were given once: that they are gone is a mishap, not a
        // beginning.
        let lock = path.with_extension("lock");
        if is_marked(&lock) {
            return Err(AccessError::Gone { path: path.to_owned(), lock });
        }
        return Ok(Loaded::default());
    };
    let text = fs::read(path).map_err(failed)?;
    let file: TokenFile =
        serde_json::from_slice(&text).map_err(|error| AccessError::malformed(path, &error))?;
    if file.version != VERSION {
        return Err(AccessError::malformed(
            path,
            &format!("its form is {}, known is {VERSION}", file.version),
        ));
    }
    let sum = sum(&file.tokens).map_err(|error| AccessError::malformed(path, &error))?;
    if file.sum.is_some_and(|own| own != sum) {
        return Err(AccessError::malformed(path, &"it is not as it was written: its sum does not hold"));
    }
    if file.tokens.is_empty() {
        return Err(AccessError::malformed(path, &"it holds no tokens, and a file of none is never written"));
    }
    let mut by_digest = HashMap::with_capacity(file.tokens.len());
    for (at, token) in file.tokens.iter().enumerate() {
        let digest = blake3::Hash::from_hex(&token.digest)
            .map_err(|error| AccessError::malformed(path, &format!("token {}: {error}", token.id)))?;
        by_digest.insert(*digest.as_bytes(), at);
    }
    Ok(Loaded { stamp: Some(stamp), tokens: file.tokens, by_digest })
}

/// The lock, which is this process's until the file is closed.
fn locked(lock: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let held = options.open(lock)?;
    held.lock()?;
    Ok(held)
}

/// Says that tokens were given, durably: from now on a file of them that is gone is missed.
fn mark(mut held: &File) -> io::Result<()> {
    if held.metadata()?.len() > 0 {
        return Ok(());
    }
    held.write_all(b"tokens were given\n")?;
    held.sync_all()
}

/// As [`mark`], where the file is gone.
fn mark_anew(lock: &Path) -> io::Result<()> {
    mark(&locked(lock)?)?;
    #[cfg(unix)]
    File::open(lock.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

/// Whether tokens were given once.
fn is_marked(lock: &Path) -> bool {
    fs::metadata(lock).is_ok_and(|metadata| metadata.len() > 0)
}

/// Puts a whole new file in the place of the old one, durably. A temporary file is its owner's alone.
fn write(path: &Path, tokens: Vec<TokenRecord>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::with_prefix_in(UNFINISHED, folder)?;
    let sum = Some(sum(&tokens)?);
    serde_json::to_writer_pretty(&mut file, &TokenFile { version: VERSION, tokens, sum })?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}
