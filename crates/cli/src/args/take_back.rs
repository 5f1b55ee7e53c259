//! Options of `take-back`.

use clap::Args;
use reasonedit_editor::{EditId, RevertId};

use super::shared::TargetArgs;

/// `take-back`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  reasonedit take-back --author 'Dr. Eve' --from 2026-11-01T00:00:00Z --dry-run\n  \
    reasonedit take-back --undo 01KAEJ5W5M3H5C1T5P2R7Q8Y9Z"
)]
pub(crate) struct TakeBackArgs {
    /// Edits, by their ids; those for which the options hold too
    #[arg(value_name = "ID")]
    pub(crate) edits: Vec<EditId>,

    /// Those of this author
    #[arg(long, value_name = "NAME")]
    pub(crate) author: Option<String>,

    /// Those that bear this label
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,

    /// Those made at this time or later, as 2026-11-01T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,

    /// Those made before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,

    /// Those that this job made, a batch or an import; needs --server
    #[arg(long, value_name = "JOB", requires = "server")]
    pub(crate) job: Option<String>,

    /// Only tell which they are
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// With --dry-run: tell which answers to the logged questions would be others
    #[arg(long, requires = "dry_run")]
    pub(crate) log: bool,

    /// Undo what was taken back under this id instead
    #[arg(
        long,
        value_name = "REVERT",
        conflicts_with_all = ["edits", "author", "tag", "from", "to", "job", "dry_run", "log"],
    )]
    pub(crate) undo: Option<RevertId>,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}
