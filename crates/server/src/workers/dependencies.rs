//! What workers work with.

use reasonedit_backup::BackupService;
use reasonedit_editor::Editor;
use reasonedit_http::audit::AuditSink;
use reasonedit_http::fetch::Fetcher;

use crate::sources::Sources;

/// What workers work with; cheap to clone.
#[derive(Clone)]
pub(crate) struct JobDependencies {
    pub(crate) editor: Editor,
    pub(crate) fetcher: Fetcher,
    /// Sets that layers can be measured on.
    pub(crate) sources: Sources,
    /// Bytes of a line or a picture of an upload.
    pub(crate) item_bytes: u64,
    /// Bytes of an archive.
    pub(crate) import_bytes: u64,
    /// Where backups go; `None` if nobody said so.
    pub(crate) backups: Option<BackupService>,
    /// Where the audit trail is.
    pub(crate) audit: AuditSink,
}
