//! Whether what jobs are still to work on is as it came.

use std::io;
use std::path::Path;
use std::sync::Arc;

use reasonedit_codebook::Library;
use reasonedit_keyring::Keyring;

use crate::error::OpenError;
use crate::record::JobRecord;
use crate::spool::Spool;

/// Reads the uploads in `folder` of all jobs of a library that have not ended, and tells of each that is
/// damaged or missing. With one that is empty nothing is lost. Records of jobs that can't be read are among
/// the faults of the library's store.
///
/// # Errors
/// [`OpenError`].
pub fn verify_uploads(library: &Library, folder: &Path) -> Result<Vec<String>, OpenError> {
    let Some(keys) = library.keys() else { return Ok(Vec::new()) };
    let spool = spool_of(folder, keys)?;
    let mut faults = Vec::new();
    for (_, bytes) in library.journal("jobs").all()? {
        // Of another version, which knows it.
        let Ok(record) = serde_json::from_slice::<JobRecord>(&bytes) else { continue };
        let Some(length) = record.upload_bytes.filter(|bytes| *bytes > 0 && !record.state.ended()) else {
            continue;
        };
        if let Err(error) = spool.check(record.id, length) {
            let what = match error.kind() {
                io::ErrorKind::NotFound => "missing".to_owned(),
                io::ErrorKind::InvalidData => "damaged".to_owned(),
                kind => format!("unreadable ({kind})"),
            };
            faults.push(format!("the upload of the job {} ({}) is {what}", record.id, record.kind));
        }
    }
    Ok(faults)
}

fn spool_of(folder: &Path, keys: Arc<Keyring>) -> Result<Spool, OpenError> {
    Spool::open(folder, keys).map_err(|error| OpenError::Folder(error.kind()))
}
