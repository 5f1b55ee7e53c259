//! Envelope encryption: what a data folder holds is sealed, each thing that can be erased by itself under a
//! key of its own, and the keys lie in one file. To erase is to write over a key: whatever still has the
//! sealed bytes (a log, a copy, a backup) has nothing.
//!
//! The keys are wrapped by a root key, and that by the operator's (`KEK` elsewhere) if there is one, else it
//! stands in the file as it is: erasing works then, and whoever reads the folder reads everything.
//!
//! ```
//! use reasonedit_keyring::{KeyId, Keyring, KeyringError};
//!
//! let folder = tempfile::tempdir()?;
//! let keys = Keyring::open(&folder.path().join("keys"), None)?;
//! let edit = KeyId::of("edit", &[b"ward-3", b"7"]);
//! keys.ensure(&[edit])?;
//! let sealed = keys.seal(edit, b"its answer", b"effusion")?;
//! assert_eq!(keys.unseal(edit, b"its answer", &sealed)?, b"effusion");
//!
//! keys.erase(&[edit], Some("Dr. Ada"))?;
//! assert!(matches!(keys.unseal(edit, b"its answer", &sealed), Err(KeyringError::Erased(_))));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod block;
mod cipher;
mod copies;
mod erasure;
mod error;
mod file;
mod ring;
mod stream;

pub use block::{KeyId, Lifetime};
pub use cipher::OperatorKey;
pub use copies::{is_whole, salvaged_copy, whole_copy};
pub use erasure::Erasure;
pub use error::{KeyringError, Result};
pub use file::overwrite;
pub use ring::{Keyring, MAX_BY};
pub use stream::{StreamReader, StreamSealer};
