//! What a line says.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What a line tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditEvent {
    /// A request.
    #[default]
    Request,
    /// Further requests of a caller or an address that were refused within a minute, counted.
    Refusals,
    /// An edit that a job made.
    Job,
    /// A command of the program in the data folder.
    Command,
    /// What was erased because it had been kept long enough.
    Retention,
    /// An event that a receiver of webhooks was told of.
    Delivery,
    /// Somebody signed in at an issuer, or failed to.
    SignIn,
    /// The service began to write.
    Opened,
    /// It was stopped in order.
    Closed,
    /// A line that a killed process had begun was cut off.
    Healed,
    /// The end of the trail was not as it had been left.
    Gap,
    /// Lines were lost, since they could not be written.
    Lost,
    /// Old files were removed.
    Pruned,
    /// Where the trail stood, signed.
    Checkpoint,
}

impl AuditEvent {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Refusals => "refusals",
            Self::Job => "job",
            Self::Command => "command",
            Self::Retention => "retention",
            Self::Delivery => "delivery",
            Self::SignIn => "sign_in",
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Healed => "healed",
            Self::Gap => "gap",
            Self::Lost => "lost",
            Self::Pruned => "pruned",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AuditCaller {
    /// Whoever shows a token that was given.
    Token {
        /// Its id, which is no secret.
        id: String,
        /// The name that it was given to.
        name: String,
    },
    /// Whom an issuer vouches for.
    Issuer {
        /// The issuer.
        issuer: String,
        /// The name.
        name: String,
    },
    /// Whoever shows a token of the configuration, which has no name.
    Configured,
    /// A user of the machine, by a command.
    Cli {
        /// The system user's name.
        name: String,
    },
    /// The service itself.
    Service,
    /// Nobody by name: no tokens are asked for, or none was shown that is taken.
    Anonymous,
}

impl AuditCaller {
    /// The kind of caller.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::Issuer { .. } => "issuer",
            Self::Configured => "configured",
            Self::Cli { .. } => "cli",
            Self::Service => "service",
            Self::Anonymous => "anonymous",
        }
    }

    /// The token's id.
    pub fn id(&self) -> Option<&str> {
        if let Self::Token { id, .. } = self { Some(id) } else { None }
    }

    /// The name.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Token { name, .. } | Self::Issuer { name, .. } | Self::Cli { name } => Some(name),
            Self::Configured | Self::Service | Self::Anonymous => None,
        }
    }

    /// The issuer.
    pub fn issuer(&self) -> Option<&str> {
        if let Self::Issuer { issuer, .. } = self { Some(issuer) } else { None }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was done, or answered.
    Answered,
    /// It was refused: no valid token, too small a role, another codebook, too many requests.
    Refused,
    /// It was understood and came to nothing, or failed.
    Failed,
    /// The client was gone before the answer.
    Aborted,
}

impl AuditOutcome {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }

    /// What an HTTP status stands for.
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 | 429 => Self::Refused,
            499 => Self::Aborted,
            ..=399 => Self::Answered,
            _ => Self::Failed,
        }
    }
}

/// What a line says of its own, without its place in the trail. Nothing in it is what people sent but ids
/// and names that were checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditRecord {
    /// What it tells of.
    pub event: AuditEvent,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<AuditCaller>,
    /// What they may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Where they asked from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The template of the route, never the path that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What became of it; none in the line that a command begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AuditOutcome>,
    /// The request's id, as in the log and in the answer; of a command the same in both of its lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The codebook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codebook: Option<String>,
    /// Whether all of the codebook was handed out or taken in.
    #[serde(skip_serializing_if = "is_false")]
    pub whole: bool,
    /// Edits that were made, taken back, shown, or put in front of a question.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<String>,
    /// Pictures that were sent, shown, or asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Jobs that were begun, looked at or stopped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<String>,
    /// Tokens that were given, listed or revoked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// Ids beyond those that a line has room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Requests, lines or bytes that the line stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Which command; the host of a receiver; what happened to the trail itself: in words of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl AuditRecord {
    /// What happened to the trail itself.
    pub(crate) fn own(event: AuditEvent, count: Option<u64>, detail: impl Into<String>) -> Self {
        Self { event, count, detail: Some(detail.into()), ..Self::default() }
    }
}

/// A line of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its number; the first has 1.
    pub seq: u64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What it says.
    #[serde(flatten)]
    pub record: AuditRecord,
    /// The hash of the line before; zeros before the first.
    pub prev: String,
    /// BLAKE3 of all that stands before this field.
    pub hash: String,
}
