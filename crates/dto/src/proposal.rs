//! Edits that wait until somebody else has approved of them.

use reasonedit_api::{BoxInput, Metadata, WarningDto, rfc3339};
use reasonedit_editor::{
    Approved, Proposal, ProposalFilter, ProposalState, ProposalStep, ProposedContent, ProposedVersion,
    ReviewRule, StatementInput, StepKind,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::edit::EditDto;
use crate::standing::OnConflictDto;

/// An edit, or a new version of one, that waits or waited until somebody else had approved of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Proposal)]
pub struct ProposalDto {
    /// Its ULID. Approved, it is the edit's, or that of the version which it is stored as.
    #[schema(example = "01KAEJ5W5M3H5C1T5P2R7Q8Y9Z")]
    pub id: String,
    /// What becomes of it.
    pub state: ProposalStateDto,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Whose token it came with; `null` where callers have no names.
    pub by: Option<String>,
    /// Who the edit will be by.
    pub author: Option<String>,
    /// ULID of the edit that it would be a new version of; `null`: it would be an edit of its own.
    pub amends: Option<String>,
    /// ULID of the edit that it became; `null` while it is none.
    pub edit: Option<String>,
    /// What it says now.
    #[serde(flatten)]
    pub content: ProposedDto,
    /// Number of the version that is shown, from 1: it may have been amended while it waited.
    #[schema(minimum = 1)]
    pub version: u32,
    /// Who has approved of this version.
    pub approvals: Vec<ApprovalDto>,
    /// How many have to.
    #[schema(minimum = 1)]
    pub approvals_needed: usize,
    /// Who did what with it, oldest first.
    pub steps: Vec<ProposalStepDto>,
}

/// What would be an edit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProposedContent)]
pub struct ProposedDto {
    /// The picture.
    pub image_id: String,
    /// The question.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// Answers to choose from; empty if the question has none.
    pub choices: Vec<String>,
    /// Why, statement by statement, with the boxes that were drawn; where none was the model looks for them.
    pub reasoning: Vec<ProposedStatementDto>,
    /// Labels.
    pub tags: Vec<String>,
    /// What the client wants kept with it.
    #[schema(value_type = Metadata)]
    pub metadata: Map<String, Value>,
    /// ULIDs of the edits that it names: they wouldn't stand while it is live.
    pub supersedes: Vec<String>,
    /// What would become of older edits that answer otherwise; `null`: as it is configured.
    pub on_conflict: Option<OnConflictDto>,
    /// What of the request was not taken as it came.
    pub warnings: Vec<WarningDto>,
}

/// A statement that would be one of an edit's.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProposedStatement)]
pub struct ProposedStatementDto {
    /// The statement.
    pub statement: String,
    /// The boxes that were drawn.
    pub evidence: Vec<BoxInput>,
}

/// What becomes of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProposalState)]
pub enum ProposalStateDto {
    /// Nobody has decided, or not enough have.
    Waiting,
    /// It is an edit, or was one.
    Approved,
    /// It is none, for the reason that its last step gives.
    Rejected,
    /// Who made it took it back.
    Withdrawn,
}

/// Somebody's approval of a proposal as it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Approval)]
pub struct ApprovalDto {
    /// Who; `null` where callers have no names.
    pub by: Option<String>,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
}

/// What somebody did with a proposal.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProposalStep)]
pub struct ProposalStepDto {
    /// What.
    pub what: ProposalStepKind,
    /// Who; `null` where callers have no names.
    pub by: Option<String>,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Number of the version that it is about.
    #[schema(minimum = 1)]
    pub version: u32,
    /// Why; present where it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// What can be done with a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProposalStepKind)]
pub enum ProposalStepKind {
    /// It was made.
    Proposed,
    /// It was amended: the approvals before don't count any more.
    Amended,
    /// Somebody approved of it.
    Approved,
    /// It was rejected.
    Rejected,
    /// It was taken back.
    Withdrawn,
}

/// A correction that waits.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProposedEdit)]
pub struct ProposedEditDto {
    /// That it is no edit yet.
    pub status: ProposedStatus,
    /// The proposal.
    #[serde(flatten)]
    pub proposal: ProposalDto,
}

/// That a correction waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProposedStatus)]
pub enum ProposedStatus {
    /// It waits until somebody else has approved of it.
    Proposed,
}

/// A proposal with what it said before.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProposalWithHistory)]
pub struct ProposalHistoryDto {
    /// The proposal.
    #[serde(flatten)]
    pub proposal: ProposalDto,
    /// What it said before it was amended, oldest first.
    pub earlier: Vec<ProposedVersionDto>,
}

/// What a proposal said.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProposedVersion)]
pub struct ProposedVersionDto {
    /// Its number, from 1.
    #[schema(minimum = 1)]
    pub number: u32,
    /// Who said so; `null` where callers have no names.
    pub by: Option<String>,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub content: ProposedDto,
}

/// A proposal that was approved of.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ApprovedProposal)]
pub struct ApprovedDto {
    /// The proposal.
    pub proposal: ProposalDto,
    /// The edit, durable and live; `null` while more approvals are needed.
    pub edit: Option<EditDto>,
}

/// A page of proposals.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProposalPage)]
pub struct ProposalPageDto {
    /// The proposals, newest first.
    pub proposals: Vec<ProposalDto>,
    /// Where the next page begins; `null` on the last.
    pub next_cursor: Option<String>,
}

/// Why a proposal is rejected.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RejectionInput)]
pub struct RejectionInput {
    /// Why, for whoever made it.
    #[schema(min_length = 1, max_length = 2000, example = "The border is regular on this picture.")]
    pub reason: String,
}

/// Which proposals are listed.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProposalParams {
    /// Name of the codebook; `default` if not given.
    #[param(pattern = "^[a-z0-9-]{1,64}$", example = "default")]
    pub codebook: Option<String>,
    /// Most proposals of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9A-HJKMNP-TV-Z]{26}$")]
    pub cursor: Option<String>,
    /// Only those in this state.
    pub state: Option<ProposalStateDto>,
    /// Only those that came with this name's token, or whose edit would be by this author.
    pub author: Option<String>,
}

impl ProposalParams {
    /// Which are listed.
    pub fn filter(&self) -> ProposalFilter {
        ProposalFilter { state: self.state.map(Into::into), author: self.author.clone() }
    }
}

impl From<ProposalStateDto> for ProposalState {
    fn from(state: ProposalStateDto) -> Self {
        match state {
            ProposalStateDto::Waiting => Self::Waiting,
            ProposalStateDto::Approved => Self::Approved,
            ProposalStateDto::Rejected => Self::Rejected,
            ProposalStateDto::Withdrawn => Self::Withdrawn,
        }
    }
}

impl From<ProposalState> for ProposalStateDto {
    fn from(state: ProposalState) -> Self {
        match state {
            ProposalState::Waiting => Self::Waiting,
            ProposalState::Approved => Self::Approved,
            ProposalState::Rejected => Self::Rejected,
            ProposalState::Withdrawn => Self::Withdrawn,
        }
    }
}

impl ProposalDto {
    /// A proposal of a codebook of which this holds.
    pub fn new(proposal: &Proposal, rule: ReviewRule) -> Self {
        let approved = proposal.state == ProposalState::Approved;
        let edit = proposal.amends.map_or_else(|| proposal.id.to_string(), |edit| edit.to_string());
        Self {
            id: proposal.id.to_string(),
            state: proposal.state.into(),
            created_at: rfc3339(proposal.steps.first().map_or(proposal.newest.at, |first| first.at)),
            by: proposal.by.clone(),
            author: proposal.author.clone(),
            amends: proposal.amends.map(|edit| edit.to_string()),
            edit: approved.then_some(edit),
            content: ProposedDto::from(&proposal.newest.content),
            version: proposal.newest.number,
            approvals: proposal
                .approvals()
                .iter()
                .map(|given| ApprovalDto { by: given.by.map(str::to_owned), at: rfc3339(given.at) })
                .collect(),
            approvals_needed: rule.approvals,
            steps: proposal.steps.iter().map(Into::into).collect(),
        }
    }
}

impl ApprovedDto {
    /// What became of it, in a codebook of which this holds.
    pub fn new(approved: &Approved, rule: ReviewRule) -> Self {
        Self {
            proposal: ProposalDto::new(&approved.proposal, rule),
            edit: approved.edit.as_deref().map(EditDto::from),
        }
    }
}

impl From<&ProposedContent> for ProposedDto {
    fn from(content: &ProposedContent) -> Self {
        Self {
            image_id: content.image.to_string(),
            question: content.question.clone(),
            answer: content.answer.clone(),
            choices: content.choices.clone(),
            reasoning: content.reasoning.iter().map(Into::into).collect(),
            tags: content.tags.clone(),
            metadata: content.metadata.as_object().cloned().unwrap_or_default(),
            supersedes: content.supersedes.iter().map(ToString::to_string).collect(),
            on_conflict: content.on_conflict.map(Into::into),
            warnings: content.warnings.iter().map(Into::into).collect(),
        }
    }
}

impl From<&StatementInput> for ProposedStatementDto {
    fn from(said: &StatementInput) -> Self {
        let drawn = said.evidence.iter();
        let evidence =
            drawn.map(|area| BoxInput { x: area.x, y: area.y, width: area.width, height: area.height });
        Self { statement: said.statement.clone(), evidence: evidence.collect() }
    }
}

impl From<&ProposedVersion> for ProposedVersionDto {
    fn from(version: &ProposedVersion) -> Self {
        Self {
            number: version.number,
            by: version.by.clone(),
            at: rfc3339(version.at),
            content: ProposedDto::from(&version.content),
        }
    }
}

impl From<&ProposalStep> for ProposalStepDto {
    fn from(step: &ProposalStep) -> Self {
        let (what, reason) = match &step.what {
            StepKind::Proposed => (ProposalStepKind::Proposed, None),
            StepKind::Amended => (ProposalStepKind::Amended, None),
            StepKind::Approved => (ProposalStepKind::Approved, None),
            StepKind::Rejected(reason) => (ProposalStepKind::Rejected, Some(reason.clone())),
            StepKind::Withdrawn => (ProposalStepKind::Withdrawn, None),
        };
        Self { what, by: step.by.clone(), at: rfc3339(step.at), version: step.version, reason }
    }
}
