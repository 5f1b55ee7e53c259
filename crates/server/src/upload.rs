//! Uploads on their way to a job.

use reasonedit_http::body::Pieces;
use reasonedit_http::problem::Result;
use reasonedit_jobs::{Spool, SpooledUpload};

/// Receives a body, without its codings, into a file that is no job's yet.
///
/// # Errors
/// What ends the body before its end; 500 when the disk refuses.
pub(crate) async fn receive(spool: &Spool, mut body: Pieces) -> Result<SpooledUpload> {
    let mut upload = spool.receive().await?;
    while let Some(piece) = body.next().await? {
        upload.write(&piece).await?;
    }
    Ok(upload.finish().await?)
}

#[cfg(test)]
mod tests;
