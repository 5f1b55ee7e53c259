//! Options that several subcommands have.

use std::path::PathBuf;

use clap::Args;

/// Options that choose settings; all of them can be set in the file and by variables too.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsArgs {
    /// Folder of codebooks and pictures [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Options of every subcommand that needs settings, also of those that keep nothing in the data folder.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct CommonArgs {
    /// Settings file [default: reasonedit.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Model: a folder (a bundle of vlm/ and sentence-encoder/, or a checkpoint) or a hub id
    /// [default: the demo bundle]
    #[arg(long, value_name = "DIR_OR_ID")]
    pub(crate) model: Option<String>,

    /// Sentence encoder: a folder or a hub id [default: the bundle's, else paraphrase-mpnet-base-v2]
    #[arg(long, value_name = "DIR_OR_ID")]
    pub(crate) sentence_encoder: Option<String>,

    /// Low-rank adapter of the model in PEFT's layout [default: none]
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,

    /// Device that runs the model: cpu, cuda:0 … [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,

    /// Type of the weights: f32, bf16, f16 [default: f32 on the CPU, bf16 elsewhere]
    #[arg(long, value_name = "TYPE")]
    pub(crate) dtype: Option<String>,

    /// Any other setting, for example --set editor.codebook.retrieval.k=7 (repeatable; values as in TOML)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Where `edit`, `query` and `codebook` work: on a data folder in process, or at a running service.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    /// A running service, for example http://127.0.0.1:8080; without it the data folder is used in process
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// Bearer token for --server [env: REASONEDIT_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,

    /// Codebook to work on
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) codebook: String,

    /// Print the answer as JSON, as the HTTP service gives it
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}
