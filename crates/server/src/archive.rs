//! Archives as they pass through: pipes between HTTP bodies and the editor's blocking reader and writer, a
//! few pieces long.

use std::io::{self, Read, Write};
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, stream};
use reasonedit_editor::{CallContext, CodebookName, Editor, EditorError, ImportOptions, ImportSummary};
use reasonedit_http::body::Pieces;
use reasonedit_http::limits::ArchivePlace;
use reasonedit_http::problem::{Problem, Result};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::task::JoinHandle;

/// Media type of a tar.
pub(crate) const TAR: &str = "application/x-tar";

/// Pieces in the pipe.
const PIECES: usize = 16;
/// Largest piece that is written, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// The end of the pipe that the editor writes into. Blocks while the client is slow; fails once it has gone,
/// or takes nothing for too long.
pub(crate) struct PipeWriter {
    pieces: mpsc::Sender<Bytes>,
    runtime: Handle,
    patience: Duration,
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        let sending = self.pieces.send_timeout(Bytes::copy_from_slice(piece), self.patience);
        self.runtime.block_on(sending).map_err(|error| match error {
            SendTimeoutError::Timeout(_) => {
                io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")
            }
            SendTimeoutError::Closed(_) => io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone"),
        })?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers with an archive while it is being written. `permit` is held until then.
///
/// # Errors
/// As [`file`].
pub(crate) async fn stream<T, Written>(
    name: &str,
    permit: ArchivePlace,
    patience: Duration,
    write: impl FnOnce(PipeWriter) -> Written,
) -> Result<Response>
where
    T: Send + 'static,
    Written: Future<Output = Result<T, EditorError>> + Send + 'static,
{
    file(TAR, &format!("{name}.tar"), permit, patience, write).await
}

/// Answers with a file while it is being written. `permit` is held until then.
///
/// # Errors
/// What the writer says, if it fails before the first byte; later failures cut the answer short, which the
/// client notices.
pub(crate) async fn file<T, Failed, Written>(
    kind: &'static str,
    name: &str,
    permit: ArchivePlace,
    patience: Duration,
    write: impl FnOnce(PipeWriter) -> Written,
) -> Result<Response>
where
    T: Send + 'static,
    Failed: Into<Problem> + Send + 'static,
    Written: Future<Output = Result<T, Failed>> + Send + 'static,
{
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let disposition = format!("attachment; filename=\"{name}\"");
    let written = write(PipeWriter { pieces: sender, runtime: Handle::current(), patience });
    let writing = tokio::spawn(async move {
        let _permit = permit;
        written.await.map(drop)
    });
    let first = pieces.recv().await;
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, &*disposition)];
    let Some(first) = first else {
        finished(writing).await?;
        return Ok((headers, Body::empty()).into_response());
    };
    let state = (Some(first), pieces, Some(writing));
    let body = stream::unfold(state, async |(first, mut pieces, writing)| {
        let next = match first {
            Some(first) => Some(first),
            None => pieces.recv().await,
        };
        if let Some(piece) = next {
            return Some((Ok(piece), (None, pieces, writing)));
        }
        // The last piece alone doesn't say whether the archive is whole.
        finished(writing?)
            .await
            .err()
            .map(|_| (Err(io::Error::other("the export failed")), (None, pieces, None)))
    });
    Ok((headers, Body::from_stream(body.fuse())).into_response())
}

async fn finished<Failed: Into<Problem>>(writing: JoinHandle<Result<(), Failed>>) -> Result<()> {
    match writing.await {
        Ok(result) => result.map_err(Into::into),
        Err(failure) => Err(Problem::internal(&failure)),
    }
}

enum Piece {
    Data(Bytes),
    End,
}

/// The end of the pipe that the editor reads from.
struct PipeReader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Data(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                // The upload broke off: without this, half an archive would look like a whole one.
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the upload broke off")),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Hands the body on to the editor as it arrives; `unpacked` is what the archive may weigh without the
/// compression that it has itself.
///
/// # Errors
/// 413 above the limit, 408 when the body stalls, 400 when it breaks off, and what the editor says.
pub(crate) async fn import(
    editor: &Editor,
    codebook: &CodebookName,
    body: Pieces,
    options: ImportOptions,
    call: CallContext,
) -> Result<ImportSummary> {
    let (sender, pieces) = mpsc::channel(PIECES);
    let reader = PipeReader { pieces, current: Bytes::new(), ended: false };
    let (pumped, imported) = tokio::join!(pump(body, sender), editor.import(codebook, reader, options, call));
    // What was wrong with the upload explains why the archive looked damaged, not the other way round.
    pumped?;
    Ok(imported?)
}

async fn pump(mut body: Pieces, sender: mpsc::Sender<Piece>) -> Result<()> {
    while let Some(bytes) = body.next().await? {
        if sender.send(Piece::Data(bytes)).await.is_err() {
            // The editor has seen enough: the archive ended, or was refused.
            return Ok(());
        }
    }
    let _ = sender.send(Piece::End).await;
    Ok(())
}

#[cfg(test)]
mod tests;
