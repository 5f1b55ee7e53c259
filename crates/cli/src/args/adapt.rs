//! Options of `adapt`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::shared::SettingsArgs;

/// `adapt`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The folder holds an adapter as PEFT writes it. `reasonedit serve --adapter DIR` merges it into the model when it is \
    loaded; peft's PeftModel.from_pretrained(model, DIR) loads it beside.\n\
    Example:\n  reasonedit adapt --out adapters/corrections --evaluate"
)]
pub(crate) struct AdaptArgs {
    /// Folder that gets the adapter; made if missing, an adapter that is there is replaced
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Codebook whose live edits are trained on
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) codebook: String,

    /// Also train to give the reasoning behind the answer
    #[arg(long)]
    pub(crate) reasoning: bool,

    /// Rank of the factors
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) rank: usize,

    /// The factors' product is multiplied by this over the rank
    #[arg(long, value_name = "X", default_value_t = 16.0)]
    pub(crate) alpha: f64,

    /// A projection that gets factors in every layer (repeatable) [default: those of attention]
    #[arg(long = "target", value_enum, value_name = "NAME")]
    pub(crate) targets: Vec<TargetChoice>,

    /// How often every edit is seen at most; more often where that makes fewer than 200 steps
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) epochs: usize,

    /// Edits of a step
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) batch: usize,

    /// Learning rate of the first step; it falls to 0 by half a cosine
    #[arg(long, value_name = "X", default_value_t = 2e-3)]
    pub(crate) rate: f64,

    /// Decides the factors to begin with and the order of the edits
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Ask every edited question with the codebook alone, with the adapter alone and with both
    #[arg(long)]
    pub(crate) evaluate: bool,

    /// Print the outcome as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// A projection of the language model's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(clippy::enum_variant_names, reason = "checkpoints name them so")]
#[value(rename_all = "snake_case")]
pub(crate) enum TargetChoice {
    /// Queries of attention
    QProj,
    /// Keys of attention
    KProj,
    /// Values of attention
    VProj,
    /// Output of attention
    OProj,
    /// Gate of the feed-forward
    GateProj,
    /// What the gate is multiplied with
    UpProj,
    /// Output of the feed-forward
    DownProj,
}
