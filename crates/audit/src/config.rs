//! Settings of the trail.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::layout::SIGNING_KEY;

/// Settings of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// Days that whole files are kept; 0: for ever.
    pub keep_days: u32,
    /// What becomes of requests and commands while it can't be written.
    pub on_failure: AuditFailurePolicy,
    /// When lines are brought to the disk.
    pub sync: AuditSync,
    /// Lines from one checkpoint to the next; 0: none after however many.
    pub checkpoint_lines: u64,
    /// Minutes from one to the next, if there are lines between; 0: none after however long.
    pub checkpoint_minutes: u64,
    /// The file of the key that signs them; empty: one in the folder of the trail. It is made if it isn't
    /// there.
    pub signing_key_file: PathBuf,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            keep_days: 0,
            on_failure: AuditFailurePolicy::Serve,
            sync: AuditSync::Every,
            checkpoint_lines: 10_000,
            checkpoint_minutes: 60,
            signing_key_file: PathBuf::new(),
        }
    }
}

impl AuditConfig {
    /// The file of the key that signs checkpoints of the trail in this folder.
    pub(crate) fn signing_key(&self, folder: &Path) -> PathBuf {
        if self.signing_key_file.as_os_str().is_empty() {
            folder.join(SIGNING_KEY)
        } else {
            self.signing_key_file.clone()
        }
    }

    /// Whether checkpoints are made.
    pub(crate) fn makes_checkpoints(&self) -> bool {
        self.checkpoint_lines > 0 || self.checkpoint_minutes > 0
    }

    /// Whether nothing is to be told or changed that isn't in the trail.
    pub fn refuses(&self) -> bool {
        self.on_failure == AuditFailurePolicy::Refuse
    }
}

/// What becomes of requests and commands while the trail can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditFailurePolicy {
    /// They are refused: nothing is answered or done that isn't in the trail.
    Refuse,
    /// They are served. Lines of requests wait in memory, as many as fit, and what is lost is counted in the
    /// trail; commands warn.
    Serve,
}

/// When lines are brought to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditSync {
    /// Before a change is acknowledged; all others within a second.
    Every,
    /// All of them within a second.
    Second,
}
