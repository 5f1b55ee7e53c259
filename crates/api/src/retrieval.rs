//! What an answer rests on: what was retrieved, judged and left out.

use reasonedit_editor::{
    Fact, Familiarity, Relevance, Retrieval, Superseded, Verification, Withheld, WithheldReason,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{BoxDto, KindDto};

/// What was retrieved, and why or why not.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Retrieval)]
pub struct RetrievalDto {
    /// The query was too far from every edit, nothing bears on it, its picture is like none that the codebook
    /// has seen, the codebook is empty, or retrieval is off.
    pub rejected: bool,
    /// Distance to the nearest key; `null` without keys.
    pub nearest_distance: Option<f64>,
    /// The distance beyond which nothing is retrieved; `null` without keys, and where relevance decides.
    pub threshold: Option<f64>,
    /// What was asked about relevance; present where only what bears on the question is retrieved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub relevance: Option<RelevanceDto>,
    /// How like the pictures that the codebook has seen the asked one is; present where that is asked
    /// (`editor.codebook.retrieval.familiarity`) and there are enough pictures to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub familiarity: Option<FamiliarityDto>,
    /// Keys asked for.
    pub k: usize,
    /// Statements put in front of the question, nearest first.
    pub facts: Vec<FactDto>,
    /// Statements that were retrieved and not put in front; present when what was retrieved was judged on the
    /// picture, or when there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub withheld: Option<Vec<WithheldDto>>,
    /// Statements that were left out because the model's context has no more room beside the question and its
    /// answer, nearest first.
    pub omitted: Vec<OmittedDto>,
    /// The nearest statement, when it was too far to be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub nearest: Option<FactDto>,
}

/// What a question was held against: how much edits' questions are like it, as the cosine that a trained head
/// gives.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Relevance)]
pub struct RelevanceDto {
    /// Of the edit whose question is likest; `null` without edits.
    #[schema(minimum = -1, maximum = 1)]
    pub question: Option<f64>,
    /// All that an edit says is considered where its question is above this. It is calibrated on questions
    /// that no edit concerns, and rises with the number of edits.
    #[schema(minimum = -1, maximum = 1)]
    pub question_threshold: f64,
    /// A statement is considered where it is itself above this.
    #[schema(minimum = -1, maximum = 1)]
    pub statement_threshold: f64,
}

/// What a picture was held against: the distances between pairs of the pictures that live edits are about, in
/// the picture's part of keys alone.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Familiarity)]
pub struct FamiliarityDto {
    /// Whether the picture is like any of them. For one that is like none nothing is retrieved.
    pub familiar: bool,
    /// Distance to the nearest of them.
    #[schema(minimum = 0)]
    pub distance: f64,
    /// Beyond it the picture is like none.
    #[schema(minimum = 0)]
    pub threshold: f64,
}

impl From<Familiarity> for FamiliarityDto {
    fn from(held: Familiarity) -> Self {
        Self { familiar: held.familiar(), distance: held.distance, threshold: held.threshold }
    }
}

/// A retrieved statement that was not put in front of the question.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Withheld)]
pub struct WithheldDto {
    /// The statement.
    #[serde(flatten)]
    pub fact: FactDto,
    /// Why not.
    pub reason: WithheldReasonDto,
    /// ULIDs of the edits that stand in its place; present where it is superseded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub superseded_by: Option<Vec<String>>,
}

/// A retrieved statement that was left out.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Omitted)]
pub struct OmittedDto {
    /// The statement.
    #[serde(flatten)]
    pub fact: FactDto,
    /// Why.
    pub reason: OmittedReasonDto,
}

/// Why a retrieved statement was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OmittedReason)]
pub enum OmittedReasonDto {
    /// The model's context has no room for it.
    ContextFull,
}

/// Why a retrieved statement was not put in front of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WithheldReason)]
pub enum WithheldReasonDto {
    /// The model says that the picture doesn't show it.
    NotShown,
    /// Another answer to the same question fits the picture better, or what this says is at odds with it.
    Contradicted,
    /// Another answer to the same question fits the picture as well: nothing tells which of them holds, so
    /// that neither is put in front.
    Undecided,
    /// Nothing that it rests on can be judged, and the question is outside of the radius of its key.
    OutOfReach,
    /// A newer edit about the same picture and question gives another answer, and no edit that stands says
    /// this too.
    Superseded,
}

impl From<WithheldReason> for WithheldReasonDto {
    fn from(reason: WithheldReason) -> Self {
        match reason {
            WithheldReason::NotShown => Self::NotShown,
            WithheldReason::Contradicted => Self::Contradicted,
            WithheldReason::Undecided => Self::Undecided,
            WithheldReason::OutOfReach => Self::OutOfReach,
        }
    }
}

/// A statement from the codebook.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Fact)]
pub struct FactDto {
    /// The key it belongs to.
    pub entry_id: String,
    /// The edits it comes from; of what was verified and stands, those that bear it out.
    pub edit_ids: Vec<String>,
    /// What it stands for.
    pub kind: KindDto,
    /// The statement.
    pub value: String,
    /// Distance of the query to the key.
    pub distance: f64,
    /// How much it bears on the question, by its edit's question or by itself, as a cosine; present where
    /// that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = -1, maximum = 1)]
    pub relevance: Option<f64>,
    /// Probability, by the model, that the asked picture bears it out, of an answer the mean over the
    /// statements of its edit; present where it was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub support: Option<f64>,
    /// The picture it was said about.
    pub image_id: String,
    /// The part of that picture; `null` for the whole.
    pub evidence: Option<BoxDto>,
}

impl FactDto {
    fn new(fact: &Fact, verification: Option<&Verification>) -> Self {
        Self {
            entry_id: fact.entry_id.to_string(),
            edit_ids: fact.edit_ids.iter().map(ToString::to_string).collect(),
            kind: fact.kind.into(),
            value: fact.value.clone(),
            distance: fact.distance,
            relevance: fact.relevance,
            support: verification.and_then(|v| v.support.get(&fact.value)).copied(),
            image_id: fact.image_id.to_string(),
            evidence: fact.evidence.map(Into::into),
        }
    }
}

impl From<Relevance> for RelevanceDto {
    fn from(held_against: Relevance) -> Self {
        let Relevance { question, question_threshold, statement_threshold } = held_against;
        Self { question, question_threshold, statement_threshold }
    }
}

impl RetrievalDto {
    /// What was retrieved, with what was judged on the picture.
    pub fn new(report: &Retrieval, verification: Option<&Verification>) -> Self {
        let fact = |fact: &Fact| FactDto::new(fact, verification);
        let judged =
            |w: &Withheld| WithheldDto { fact: fact(&w.fact), reason: w.reason.into(), superseded_by: None };
        let superseded = |s: &Superseded| WithheldDto {
            fact: fact(&s.fact),
            reason: WithheldReasonDto::Superseded,
            superseded_by: Some(s.by.iter().map(ToString::to_string).collect()),
        };
        let withheld = verification.into_iter().flat_map(|v| &v.withheld).map(judged);
        let withheld: Vec<WithheldDto> = withheld.chain(report.superseded.iter().map(superseded)).collect();
        Self {
            rejected: report.rejected,
            nearest_distance: report.nearest_distance,
            threshold: report.threshold,
            relevance: report.relevance.map(Into::into),
            familiarity: report.familiarity.map(Into::into),
            k: report.k,
            facts: report.facts.iter().map(fact).collect(),
            withheld: (verification.is_some() || !withheld.is_empty()).then_some(withheld),
            omitted: report
                .omitted
                .iter()
                .map(|one| OmittedDto { fact: fact(one), reason: OmittedReasonDto::ContextFull })
                .collect(),
            nearest: report.nearest.as_ref().filter(|_| report.rejected).map(fact),
        }
    }
}
