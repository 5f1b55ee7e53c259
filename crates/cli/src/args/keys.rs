//! `keys`: the operator's key that the data folder is encrypted under.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::SettingsArgs;

/// `keys`.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

/// What is done with keys.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Print a new operator's key, to be kept elsewhere than the data
    New,
    /// Put the data folder under another operator's key; the service is stopped meanwhile
    ///
    /// The key that holds now is the one of the settings (storage.encryption_key_file). What is stored stays
    /// as it is: only what wraps its keys is written anew. Backups follow with the next one.
    Rotate(Box<RotateKeyArgs>),
}

/// `keys rotate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RotateKeyArgs {
    /// File with the new key
    #[arg(long, value_name = "FILE", required_unless_present = "remove", conflicts_with = "remove")]
    pub(crate) new_key_file: Option<PathBuf>,

    /// No operator's key from now on: whoever reads the data folder reads everything
    #[arg(long)]
    pub(crate) remove: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}
