//! Options of `heads`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::shared::CommonArgs;

/// `heads`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HeadsArgs {
    #[command(subcommand)]
    pub(crate) command: HeadsCommand,
}

/// What is done to heads.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum HeadsCommand {
    /// Train one on records, for the sentence encoder in use
    Train(TrainHeadArgs),
}

/// `heads train`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Records that say what their questions and statements are about (`truth`, `meanings`) teach most; \
    of others every statement of an edit is taken to bear on its question.\n\
    A head serves as editor.retrieval.relevance.head, with editor.retrieval.relevance.enabled = true; a model's folder \
    brings its own as relevance-head.safetensors.\n\
    Example:\n  reasonedit heads train --data world:701:300 --data world:702:300 --out relevance-head.safetensors"
)]
pub(crate) struct TrainHeadArgs {
    /// Records, as for `eval`: a folder, a file, or world:SEED:COUNT (repeatable)
    #[arg(long = "data", value_name = "DIR_OR_FILE_OR_WORLD", required = true)]
    pub(crate) data: Vec<String>,

    /// File to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Steps of the training
    #[arg(long, value_name = "N", default_value_t = 3000)]
    pub(crate) steps: usize,

    /// Share of unrelated questions that a statement of another topic may come near
    #[arg(long, value_name = "SHARE", default_value_t = 0.03)]
    pub(crate) share: f64,

    /// Seed of what is drawn
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: CommonArgs,
}
