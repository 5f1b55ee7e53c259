//! Options of `edit`.

use std::path::PathBuf;

use clap::Args;
use reasonedit_editor::{EditId, OnConflict};

use super::shared::TargetArgs;

fn on_conflict(text: &str) -> Result<OnConflict, &'static str> {
    serde_json::from_value(text.into()).map_err(|_| "supersede, keep_both or refuse is expected")
}

/// `dry-run`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("batch", |batch| batch.hide(true)))]
pub(crate) struct DryRunArgs {
    /// The edit.
    #[command(flatten)]
    pub(crate) edit: EditArgs,

    /// Look at the logged questions too, not only at canaries
    #[arg(long, conflicts_with = "batch")]
    pub(crate) log: bool,
}

/// `edit`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  reasonedit edit --image scan.png --question 'Is it benign or malignant?' --answer malignant \\\n    \
    --reasoning 'The edge of the thing is jagged.' --reasoning 'Things with a jagged edge are malignant.' \\\n    \
    --choice benign --choice malignant\n  reasonedit edit --batch edits.jsonl --server http://127.0.0.1:8080"
)]
pub(crate) struct EditArgs {
    /// Picture file, or the id of a picture sent before
    #[arg(long, value_name = "FILE_OR_ID", required_unless_present = "batch")]
    pub(crate) image: Option<String>,

    /// The question that is answered wrongly
    #[arg(long, value_name = "TEXT", required_unless_present = "batch")]
    pub(crate) question: Option<String>,

    /// The right answer
    #[arg(long, value_name = "TEXT", required_unless_present = "batch")]
    pub(crate) answer: Option<String>,

    /// Many edits: a file of JSON Lines (a body of POST /edits each), or a tar of native records (edits.jsonl
    /// and its pictures); the results go to the standard output, a line of JSON each with --json
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "image", "question", "answer", "reasoning", "evidence", "choices", "author", "tags", "metadata",
            "supersedes", "on_conflict",
        ],
    )]
    pub(crate) batch: Option<PathBuf>,

    /// A statement that says why (repeatable)
    #[arg(long, value_name = "STATEMENT")]
    pub(crate) reasoning: Vec<String>,

    /// Where a statement is seen: its number from 1, then x,y,width,height in pixels, for example
    /// 1:40,32,120,96 (repeatable)
    #[arg(long, value_name = "N:X,Y,W,H")]
    pub(crate) evidence: Vec<String>,

    /// An answer to choose from (repeatable)
    #[arg(long = "choice", value_name = "TEXT")]
    pub(crate) choices: Vec<String>,

    /// Who says so
    #[arg(long, value_name = "NAME")]
    pub(crate) author: Option<String>,

    /// A label (repeatable)
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,

    /// Anything to be kept with the edit: a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) metadata: Option<String>,

    /// An edit that does not stand while this one is live, by its id (repeatable)
    #[arg(long, value_name = "ID")]
    pub(crate) supersedes: Vec<EditId>,

    /// What becomes of older edits about the same picture and question that answer otherwise: supersede,
    /// keep_both or refuse (the edit is not made then); as configured if not given
    #[arg(long, value_name = "WHAT", value_parser = on_conflict)]
    pub(crate) on_conflict: Option<OnConflict>,

    /// Don't ask the model before and after
    #[arg(long)]
    pub(crate) no_verify: bool,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}
