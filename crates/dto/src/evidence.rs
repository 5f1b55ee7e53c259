//! Evidence looked for without making an edit.

use std::collections::BTreeMap;

use bytes::Bytes;
use reasonedit_editor::{EvidenceFound, PatchOpinion, PatchSearch};
use reasonedit_http::multipart::{Field, FilePart, FormBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::edit::{EvidenceDto, ImageDto};
use reasonedit_api::image::{IMAGE_PART, ImageInput, ImageSchema};
use reasonedit_api::{WarningDto, rounded};

/// Statements that evidence is looked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceInput {
    /// The picture.
    #[schema(value_type = ImageSchema)]
    pub image: ImageInput,
    /// What is to be seen in it, one sentence each.
    #[schema(min_items = 1, example = json!(["The lesion has an irregular border."]))]
    pub statements: Vec<String>,
}

impl FormBody for EvidenceInput {
    const FILE: FilePart = IMAGE_PART;
    const FIELDS: &'static [(&'static str, Field)] = &[("statements", Field::Texts)];

    fn set_file(&mut self, bytes: Bytes) {
        self.image = ImageInput::Bytes(bytes);
    }
}

/// `POST /evidence` as a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form in the contract")]
pub struct EvidenceForm {
    /// The picture file; or as a text what `image` of the JSON body has.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// One statement each (also as `statements[]`), or one JSON list.
    statements: Vec<String>,
}

/// Where a picture shows each statement, by the model.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EvidenceSearch)]
pub struct EvidenceSearchDto {
    /// The picture.
    pub image: ImageDto,
    /// The statements, in the order given.
    pub statements: Vec<FoundDto>,
    /// Milliseconds by stage: queue, total.
    pub timings_ms: BTreeMap<String, f64>,
    /// What of the request was not taken as it came, such as a picture whose greys were scaled.
    pub warnings: Vec<WarningDto>,
}

/// Where the picture shows one statement.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Found)]
pub struct FoundDto {
    /// The statement.
    pub statement: String,
    /// Probability that the whole picture shows it.
    #[schema(minimum = 0, maximum = 1)]
    pub p_yes: f64,
    /// What an edit would store: the best part, and the best among the smallest. Empty if no part shows it.
    pub evidence: Vec<EvidenceDto>,
    /// Every part that was looked at.
    pub candidates: Vec<CandidateDto>,
}

/// A part of the picture that was looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Candidate)]
pub struct CandidateDto {
    /// Column of the leftmost pixel.
    pub x: u32,
    /// Row of the topmost pixel.
    pub y: u32,
    /// Columns covered.
    pub width: u32,
    /// Rows covered.
    pub height: u32,
    /// Probability that it shows the statement.
    #[schema(minimum = 0, maximum = 1)]
    pub p_yes: f64,
    /// Per-token log-likelihood of the statement as its description; of parts that show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub log_likelihood: Option<f64>,
}

impl From<&PatchOpinion> for CandidateDto {
    fn from(opinion: &PatchOpinion) -> Self {
        Self {
            x: opinion.area.x,
            y: opinion.area.y,
            width: opinion.area.width,
            height: opinion.area.height,
            p_yes: opinion.p_yes,
            log_likelihood: opinion.log_likelihood,
        }
    }
}

impl EvidenceSearchDto {
    /// What was found for these statements.
    pub fn new(statements: Vec<String>, found: &EvidenceFound) -> Self {
        let of = |((statement, search), p_yes): ((String, &PatchSearch), &f64)| FoundDto {
            statement,
            p_yes: *p_yes,
            evidence: search.evidence.iter().map(Into::into).collect(),
            candidates: search.candidates.iter().map(Into::into).collect(),
        };
        let timings =
            BTreeMap::from([("queue".to_owned(), found.queue_ms), ("total".to_owned(), found.total_ms)]);
        Self {
            image: (&found.image).into(),
            statements: statements.into_iter().zip(&found.searches).zip(&found.p_yes).map(of).collect(),
            timings_ms: rounded(&timings),
            warnings: found.warnings.iter().map(Into::into).collect(),
        }
    }
}
