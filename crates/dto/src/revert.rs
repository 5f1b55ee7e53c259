//! Many edits taken back at once, on the wire.

use reasonedit_api::{EditIdInput, TimeInput, rfc3339};
use reasonedit_editor::{
    EditFilter, EditId, EditSelection, ForeseenRevert, RestoredEdits, Revert, RevertId, RevertedEdits,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::dry_run::{DryRunQuestionsSchema, EffectsDto, QuestionsInput};

/// Which edits to take back: those for which all that is given holds. At least one of `author`, `tag`,
/// `from`, `to`, `job` and `edits` is.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertInput {
    /// Made by this author. Of an edit that another made first, the newest versions go as far as they are
    /// this author's.
    #[schema(example = "dermatology-2")]
    pub author: Option<String>,
    /// Bearing this label now.
    pub tag: Option<String>,
    /// Made at this time or later, as the author was meant.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<TimeInput>,
    /// Made before this time.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<TimeInput>,
    /// ULID of the job, a batch or an import, that made them.
    pub job: Option<String>,
    /// ULIDs of live edits.
    #[schema(value_type = Option<Vec<String>>)]
    pub edits: Option<Vec<EditIdInput>>,
    /// Only tells what would be taken back.
    #[serde(default)]
    pub dry_run: bool,
    /// With `dry_run`: questions; or `log`: those of the log, where one is kept (for editors). What becomes
    /// of them is told, and of the canaries.
    #[serde(default)]
    #[schema(value_type = Option<DryRunQuestionsSchema>)]
    pub questions: Option<QuestionsInput>,
}

impl RevertInput {
    /// Whether it says which edits.
    pub fn says_which(&self) -> bool {
        self.author.is_some()
            || self.tag.is_some()
            || self.from.is_some()
            || self.to.is_some()
            || self.job.is_some()
            || self.edits.is_some()
    }

    /// The edits that it takes, of those that its job made if it names one.
    pub fn selection(&self, of_job: Option<Vec<EditId>>) -> EditSelection {
        let (author, tag) = (self.author.clone(), self.tag.clone());
        let filter = EditFilter {
            author,
            tag,
            from: self.from.map(|time| time.0),
            to: self.to.map(|time| time.0),
            ..EditFilter::default()
        };
        let named = self.edits.as_ref().map(|edits| edits.iter().map(|EditIdInput(id)| *id).collect());
        EditSelection { filter, edits: named, among: of_job.map(|edits| edits.into_iter().collect()) }
    }
}

/// What was taken back, or would be.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RevertResult)]
pub struct RevertResultDto {
    /// ULID of the step, for `DELETE /reverts/{id}`; `null` if nothing was taken back.
    pub id: Option<String>,
    /// How many edits.
    pub count: usize,
    /// The edits, in the order in which they were made.
    pub edits: Vec<RevertedEditDto>,
    /// ULIDs of edits that stood back for one of them, and stand now.
    pub standing: Vec<String>,
    /// The state of the codebook after it, or of which it is told.
    pub revision: u64,
    /// What would become of questions and canaries, where they were to be looked at; else `null`.
    pub effects: Option<EffectsDto>,
}

/// An edit of which something was taken back.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RevertedEdit)]
pub struct RevertedEditDto {
    /// Its ULID.
    pub id: String,
    /// How many of its versions went.
    pub versions: usize,
    /// Whether that is all of it; else the versions before are live.
    pub whole: bool,
}

/// A step that took edits back.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Revert)]
pub struct RevertDto {
    /// Its ULID.
    pub id: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: Option<String>,
    /// Who did it; `null` where tokens are not asked for, or have no name.
    pub by: Option<String>,
    /// How many versions of edits it took back.
    pub count: usize,
    /// Whether it was undone.
    pub undone: bool,
    /// When that was.
    #[schema(format = DateTime)]
    pub undone_at: Option<String>,
    /// Who did that.
    pub undone_by: Option<String>,
}

/// A page of steps.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RevertPage)]
pub struct RevertPageDto {
    /// Steps, the last one first.
    pub reverts: Vec<RevertDto>,
    /// `cursor` of the next page; `null` if this is the last.
    pub next_cursor: Option<String>,
}

/// Which page of steps.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RevertListParams {
    /// Name of the codebook; without it the one of the token, or `default`.
    pub codebook: Option<String>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Most steps in the page, 1 to 200; 50 if not given.
    pub limit: Option<usize>,
}

/// What came back.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Restored)]
pub struct RestoredDto {
    /// ULID of the step that was undone.
    pub id: String,
    /// How many versions of edits came back.
    pub count: usize,
    /// Their ULIDs.
    pub edits: Vec<String>,
    /// ULIDs of those that stay away, because they were erased meanwhile.
    pub erased: Vec<String>,
    /// The state of the codebook after it.
    pub revision: u64,
}

fn texts(ids: &[EditId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

impl RevertResultDto {
    /// Of what was taken back.
    pub fn of(id: Option<RevertId>, reverted: &RevertedEdits) -> Self {
        let edits = reverted.edits.iter().map(|one| RevertedEditDto {
            id: one.edit.to_string(),
            versions: one.versions.len(),
            whole: one.whole,
        });
        Self {
            id: id.map(|id| id.to_string()),
            count: reverted.edits.len(),
            edits: edits.collect(),
            standing: texts(&reverted.standing),
            revision: reverted.snapshot.revision(),
            effects: None,
        }
    }

    /// Of a codebook in which nothing has happened.
    pub fn nothing() -> Self {
        Self { id: None, count: 0, edits: Vec::new(), standing: Vec::new(), revision: 0, effects: None }
    }
}

impl From<&ForeseenRevert> for RevertResultDto {
    fn from(foreseen: &ForeseenRevert) -> Self {
        let effects = foreseen.effects.as_ref();
        let effects = effects.map(|(questions, broken)| EffectsDto::of(questions, broken, None));
        Self { effects, ..Self::of(None, &foreseen.reverted) }
    }
}

impl From<&Revert> for RevertDto {
    fn from(step: &Revert) -> Self {
        let (undone_at, undone_by) = step.undone.clone().unwrap_or_default();
        Self {
            id: step.id.to_string(),
            at: step.at.map(rfc3339),
            by: step.by.clone(),
            count: step.edits.len(),
            undone: step.undone.is_some(),
            undone_at: undone_at.map(rfc3339),
            undone_by,
        }
    }
}

impl RestoredDto {
    /// Of what came back as this was undone.
    pub fn of(id: RevertId, restored: &RestoredEdits) -> Self {
        Self {
            id: id.to_string(),
            count: restored.edits.len(),
            edits: texts(&restored.edits),
            erased: texts(&restored.erased),
            revision: restored.snapshot.revision(),
        }
    }
}
