//! What the service gives to its integrations.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reasonedit_editor::Editor;
use reasonedit_http::audit::AuditSink;
use reasonedit_http::fetch::Fetcher;
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use time::OffsetDateTime;

/// What the service gives to its integrations; cheap to clone.
#[derive(Clone)]
pub struct ServiceContext {
    /// The editor, once it is there.
    pub editor: EditorCell,
    /// Fetches pictures from allowed hosts.
    pub fetcher: Fetcher,
    /// Bytes that a picture may have that is fetched.
    pub picture_bytes: usize,
    /// How long fetching one may take.
    pub fetch: Duration,
    /// Time between two signs of life on an event stream.
    pub keep_alive: Duration,
    /// Where the audit trail is, for what is done in the background.
    pub audit: AuditSink,
}

/// Where the editor arrives once its model is loaded; cheap to clone.
#[derive(Clone, Default)]
pub struct EditorCell(Arc<OnceLock<(Editor, OffsetDateTime)>>);

impl EditorCell {
    /// Puts the editor in; a second one is ignored. Returns whether this one was taken.
    pub fn set(&self, editor: Editor) -> bool {
        self.0.set((editor, OffsetDateTime::now_utc())).is_ok()
    }

    /// The editor, if it has arrived.
    pub fn get(&self) -> Option<&Editor> {
        self.0.get().map(|(editor, _)| editor)
    }

    /// When the editor came.
    pub fn since(&self) -> Option<OffsetDateTime> {
        self.0.get().map(|(_, since)| *since)
    }

    /// The editor if its model is loaded.
    pub fn loaded(&self) -> Option<&Editor> {
        self.get().filter(|editor| editor.is_ready())
    }

    /// The editor, ready to work.
    ///
    /// # Errors
    /// 503 while the model is being loaded.
    pub fn ready(&self) -> Result<&Editor> {
        self.loaded().ok_or_else(|| {
            Problem::new(
                ProblemKind::NotReady,
                "The model is being loaded; /health/ready says when it is done.",
            )
        })
    }
}
