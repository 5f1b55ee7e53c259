//! Options of `amend`.

use clap::Args;
use reasonedit_editor::EditId;

use super::shared::TargetArgs;

/// `amend`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  reasonedit amend 01KAEJ5W5M3H5C1T5P2R7Q8Y9Z --answer benign --reasoning 'The edge of the thing is smooth.'\n  \
    reasonedit amend 01KAEJ5W5M3H5C1T5P2R7Q8Y9Z --undo 2"
)]
pub(crate) struct AmendArgs {
    /// The edit, by its id
    #[arg(value_name = "ID")]
    pub(crate) id: EditId,

    /// The right answer
    #[arg(long, value_name = "TEXT")]
    pub(crate) answer: Option<String>,

    /// A statement that says why (repeatable); all of them, in place of those of the version before
    #[arg(long, value_name = "STATEMENT")]
    pub(crate) reasoning: Vec<String>,

    /// Where a statement is seen: its number from 1, then x,y,width,height in pixels (repeatable)
    #[arg(long, value_name = "N:X,Y,W,H", requires = "reasoning")]
    pub(crate) evidence: Vec<String>,

    /// No reasoning any more
    #[arg(long, conflicts_with = "reasoning")]
    pub(crate) no_reasoning: bool,

    /// A label (repeatable); all of them, in place of those of the version before
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,

    /// No labels any more
    #[arg(long, conflicts_with = "tags")]
    pub(crate) no_tags: bool,

    /// Who says so
    #[arg(long, value_name = "NAME")]
    pub(crate) author: Option<String>,

    /// Undo the newest version instead, which has this number
    #[arg(
        long,
        value_name = "VERSION",
        conflicts_with_all = ["answer", "reasoning", "no_reasoning", "tags", "no_tags", "author"],
    )]
    pub(crate) undo: Option<u32>,

    /// Don't ask the model after it
    #[arg(long)]
    pub(crate) no_verify: bool,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}
