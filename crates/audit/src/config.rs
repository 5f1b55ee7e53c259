//! Settings of the trail.

use serde::{Deserialize, Serialize};

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
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { enabled: true, keep_days: 0, on_failure: AuditFailurePolicy::Serve, sync: AuditSync::Every }
    }
}

impl AuditConfig {
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
