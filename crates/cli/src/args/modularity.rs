//! Options of `modularity`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::shared::SettingsArgs;

/// `modularity`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  reasonedit modularity --source world --out report\n  \
    reasonedit modularity --apply if_better          (on the codebook's own pictures)")]
pub(crate) struct ModularityArgs {
    /// Pictures and texts that are measured on: codebook (its own), world (the demo model's), or a folder of
    /// native, A-OKVQA or FVQA records
    #[arg(long, value_name = "codebook|world|DIR", default_value = "codebook")]
    pub(crate) source: String,

    /// Folder that gets report.json, report.md and the figures; made if missing
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Whether the codebook is moved to what is chosen
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ApplyChoice::Never)]
    pub(crate) apply: ApplyChoice,

    /// Pairs of picture and text in a draw for the taps
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) samples: usize,

    /// Draws for the taps
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) runs: usize,

    /// Pairs in a draw for the weights
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) weight_samples: usize,

    /// Draws for the weights
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) weight_runs: usize,

    /// Mismatched pictures and texts of a draw, for the biases; 0: the draw's other pairs serve, which is
    /// several times faster
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) mismatched: usize,

    /// A tap that is measured (repeatable); without any, all are
    #[arg(long = "tap", value_name = "TAP")]
    pub(crate) taps: Vec<String>,

    /// Seed of every random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Name of the codebook
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) codebook: String,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// When a selection is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum ApplyChoice {
    /// The report is all
    Never,
    /// If it leads what is in use by more than the standard error of the lead
    IfBetter,
    /// Whatever the lead
    Always,
}
