//! What is proposed, and what became of it.

use reasonedit_codebook::{CodebookName, EditId, ImageId, OnConflict};
use reasonedit_editor_types::StatementInput;
use reasonedit_text::Warning;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Ulid;

/// What an edit, or a new version of one, would say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProposedContent {
    /// The picture, which is stored.
    pub image: ImageId,
    /// The question.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// Why, statement by statement.
    pub reasoning: Vec<StatementInput>,
    /// Answers to choose from; may be empty.
    pub choices: Vec<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// What the client wants kept with it.
    pub metadata: serde_json::Value,
    /// Edits that don't stand while it is live.
    pub supersedes: Vec<EditId>,
    /// What becomes of older edits that answer otherwise; by the configuration where it isn't said.
    pub on_conflict: Option<OnConflict>,
    /// Whether the model is to be asked before and after.
    pub verify: bool,
    /// What of the request was not taken as it came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One version of what is proposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProposedVersion {
    /// From 1.
    pub number: u32,
    /// When it was said, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// By whom, as far as that is known.
    pub by: Option<String>,
    /// What it says.
    pub content: ProposedContent,
    /// Of a proposed version of an edit: the stored version that it is made of.
    pub made_of: Option<EditId>,
}

/// What becomes of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// Nobody has decided.
    Waiting,
    /// It is an edit.
    Approved,
    /// It is none, and won't be.
    Rejected,
    /// Who made it took it back.
    Withdrawn,
}

impl ProposalState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Made it.
    Proposed,
    /// Said otherwise what it says.
    Amended,
    /// Approved of it.
    Approved,
    /// Rejected it, for this reason.
    Rejected(String),
    /// Took it back.
    Withdrawn,
}

/// Who did what, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalStep {
    /// When, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who, as far as that is known.
    pub by: Option<String>,
    /// What.
    pub what: StepKind,
    /// The version that it is about.
    pub version: u32,
}

/// One person's word for the newest version of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval<'a> {
    /// Who.
    pub by: Option<&'a str>,
    /// When, UTC.
    pub at: OffsetDateTime,
}

/// Who does something with a proposal, and how they saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reviewer {
    /// Their name, as far as it is known.
    pub name: Option<String>,
    /// The numbers of steps of which it has to have one still, where that matters.
    pub seen: Option<Vec<usize>>,
}

/// The key of the request that a proposal came with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestKey {
    /// What the client sent as `Idempotency-Key`.
    pub key: String,
    /// BLAKE3 of the request's body.
    pub body: [u8; 32],
}

/// An edit that waits, or waited.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The id that its edit, or the version of one, is stored under once it is approved.
    pub id: Ulid,
    /// The codebook that it is for.
    pub codebook: CodebookName,
    /// Who made it: whose token it came with, as far as that is known.
    pub by: Option<String>,
    /// Who the edit will be by.
    pub author: Option<String>,
    /// The edit that it is a new version of, by the id that people know; `None`: it is an edit of its own.
    pub amends: Option<EditId>,
    /// What it says now.
    pub newest: ProposedVersion,
    /// What becomes of it.
    pub state: ProposalState,
    /// All that was done, oldest first.
    pub steps: Vec<ProposalStep>,
    /// The request that it came with, where that had a key.
    pub idempotency: Option<RequestKey>,
}

impl Proposal {
    /// Who has approved of the newest version, oldest first. A version that is not the newest has none any
    /// more.
    pub fn approvals(&self) -> Vec<Approval<'_>> {
        let number = self.newest.number;
        let given =
            self.steps.iter().filter(|step| step.what == StepKind::Approved && step.version == number);
        given.map(|step| Approval { by: step.by.as_deref(), at: step.at }).collect()
    }

    /// Whether it is somebody's: they made it, or the edit would be by them. Those who give no name can't be
    /// told apart.
    pub fn is_of(&self, name: Option<&str>) -> bool {
        self.by.as_deref() == name || (self.author.is_some() && self.author.as_deref() == name)
    }

    /// Whether its newest version is in somebody's words.
    pub fn is_said_by(&self, name: Option<&str>) -> bool {
        self.newest.by.as_deref() == name
    }
}
