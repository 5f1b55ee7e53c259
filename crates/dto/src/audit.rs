//! The audit trail as it is handed out.

use reasonedit_api::rfc3339;
use reasonedit_audit::{AuditHead, AuditLine, AuditOutcome, AuditPage};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which lines are asked for, and how.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// Most lines of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,20}$")]
    pub cursor: Option<String>,
    /// Not before this day, UTC, or this time (RFC 3339).
    #[param(example = "2026-11-01")]
    pub from: Option<String>,
    /// Until this day, itself included, or before this time.
    #[param(example = "2026-11-30T12:00:00Z")]
    pub to: Option<String>,
    /// Only of this caller: the name, the id of a token, `anonymous`, or `configured` for the tokens of the
    /// configuration.
    pub caller: Option<String>,
    /// Only with this edit.
    #[param(pattern = "^[0-9A-HJKMNP-TV-Z]{26}$")]
    pub edit: Option<String>,
    /// Only with this picture.
    #[param(pattern = "^[0-9a-f]{64}$")]
    pub image: Option<String>,
    /// Only of this codebook.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// `json`: a page. `jsonl` and `csv`: all of it, the oldest first, as a file.
    #[param(inline)]
    pub format: Option<AuditFormatDto>,
}

/// The public key of the audit trail's checkpoints.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditKey)]
pub struct AuditKeyDto {
    /// Always Ed25519.
    #[schema(example = "Ed25519")]
    pub algorithm: &'static str,
    /// The key, 64 hexadecimal digits.
    pub key: String,
}

/// How lines are handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuditFormat)]
pub enum AuditFormatDto {
    /// A page.
    #[default]
    Json,
    /// All lines as they stand in the trail, so that their hashes can be compared.
    Jsonl,
    /// All lines as rows of a table.
    Csv,
}

/// Who asked.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditCaller)]
pub struct AuditCallerDto {
    /// `token`, `issuer`, `configured` (a token of the configuration), `cli` (a user of the machine),
    /// `service` (by itself), or `anonymous`.
    #[schema(example = "token")]
    pub kind: &'static str,
    /// The token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// The issuer that vouches for the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub issuer: Option<String>,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "Dr. Ada")]
    pub name: Option<String>,
}

/// A line of the audit trail. What a line doesn't speak of is absent.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditLine)]
pub struct AuditLineDto {
    /// Its number.
    pub seq: u64,
    /// When it was written, RFC 3339.
    pub at: String,
    /// `request`; `refusals` (further refused ones of a minute, counted); `job` (an edit that a job made);
    /// `command` (the program's in the data folder); `retention` (erased since it was kept long enough);
    /// `delivery` (a webhook); `sign_in`; and of the trail itself `opened`, `closed`, `healed`, `gap`,
    /// `lost`, `pruned`.
    #[schema(example = "request")]
    pub event: &'static str,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub caller: Option<AuditCallerDto>,
    /// What they may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "reader")]
    pub role: Option<String>,
    /// Where they asked from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "192.0.2.1")]
    pub address: Option<String>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "GET")]
    pub method: Option<String>,
    /// The template of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "/edits/{id}")]
    pub route: Option<String>,
    /// The status of the answer; 499: the client was gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 200)]
    pub status: Option<u16>,
    /// `answered`, `refused`, `failed` or `aborted`; none where a command begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "answered")]
    pub outcome: Option<&'static str>,
    /// The request's id, as in the log and in the answer; the same in both lines of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<String>,
    /// The codebook.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub codebook: Option<String>,
    /// Whether all of the codebook was handed out or taken in.
    pub whole: bool,
    /// Edits that were made, taken back, shown, or put in front of a question.
    pub edits: Vec<String>,
    /// Pictures that were sent, shown, or asked about.
    pub images: Vec<String>,
    /// Jobs that were begun, looked at or stopped.
    pub jobs: Vec<String>,
    /// Tokens that were given, listed or revoked.
    pub tokens: Vec<String>,
    /// Ids beyond those that a line has room for.
    pub more: u64,
    /// Requests, lines or bytes that the line stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub count: Option<u64>,
    /// Which command, the host of a webhook's receiver, or what happened to the trail itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// BLAKE3 of the line as it stands in the trail.
    pub hash: String,
}

impl From<AuditLine> for AuditLineDto {
    fn from(line: AuditLine) -> Self {
        let record = line.record;
        let owned = |text: &str| text.to_owned();
        Self {
            seq: line.seq,
            at: rfc3339(line.at),
            event: record.event.name(),
            caller: record.caller.map(|caller| AuditCallerDto {
                kind: caller.kind(),
                id: caller.id().map(owned),
                issuer: caller.issuer().map(owned),
                name: caller.name().map(owned),
            }),
            role: record.role,
            address: record.address.map(|address| address.to_string()),
            method: record.method,
            route: record.route,
            status: record.status,
            outcome: record.outcome.map(AuditOutcome::name),
            request_id: record.request_id,
            codebook: record.codebook,
            whole: record.whole,
            edits: record.edits,
            images: record.images,
            jobs: record.jobs,
            tokens: record.tokens,
            more: record.more,
            count: record.count,
            detail: record.detail,
            hash: line.hash,
        }
    }
}

/// Where the trail ends: noted elsewhere, it shows later that nothing was cut off or written anew.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditHead)]
pub struct AuditHeadDto {
    /// The number of the last line that is on the disk.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl From<AuditHead> for AuditHeadDto {
    fn from(head: AuditHead) -> Self {
        Self { seq: head.seq, hash: head.hash }
    }
}

/// A page of lines.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub struct AuditPageDto {
    /// The lines, the newest first. There may be fewer than were asked for though more follow.
    pub lines: Vec<AuditLineDto>,
    /// Where the next page begins; `null` after the last.
    pub next_cursor: Option<String>,
    /// Where the trail ends; `null` before the first line is on the disk.
    pub head: Option<AuditHeadDto>,
}

impl From<AuditPage> for AuditPageDto {
    fn from(page: AuditPage) -> Self {
        Self {
            lines: page.lines.into_iter().map(Into::into).collect(),
            next_cursor: page.next.map(|seq| seq.to_string()),
            head: page.head.map(Into::into),
        }
    }
}
