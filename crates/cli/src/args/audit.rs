//! Options of `audit`.

use clap::{Args, Subcommand, ValueEnum};

use super::shared::SettingsArgs;

/// `audit`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// What is done with the audit trail. The service may run meanwhile.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Read every line, and name what was changed, removed or put between; exit status 1 if anything was
    Verify {
        /// A last line that was noted before: it has to be there, so that the trail was not cut off or
        /// written anew since
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<String>,
        /// A checkpoint that was kept elsewhere, or a file or log with any number of them (repeatable): the
        /// trail has to have the lines that they are of
        #[arg(long = "checkpoint", value_name = "FILE|TEXT")]
        checkpoints: Vec<String>,
        /// A public key that checkpoints may be signed with (repeatable) [default: whichever they name]
        #[arg(long = "key", value_name = "HEX")]
        keys: Vec<String>,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Box<SettingsArgs>,
    },
    /// Print the public key that checkpoints are signed with
    Key(Box<SettingsArgs>),
    /// Write its lines to the standard output
    Export(Box<ExportAuditArgs>),
}

/// `audit export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  reasonedit audit export --from 2026-11-01 --to 2026-11-30 --format csv")]
pub(crate) struct ExportAuditArgs {
    /// Not before this day (UTC), or this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,

    /// Until this day, itself included, or before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,

    /// Only of this caller: a name, the id of a token, anonymous, configured
    #[arg(long, value_name = "NAME_OR_ID")]
    pub(crate) caller: Option<String>,

    /// Only with this edit
    #[arg(long, value_name = "ID")]
    pub(crate) edit: Option<String>,

    /// Only with this picture
    #[arg(long, value_name = "ID")]
    pub(crate) image: Option<String>,

    /// Only of this codebook
    #[arg(long, value_name = "NAME")]
    pub(crate) codebook: Option<String>,

    /// As they stand in the trail, or as a table
    #[arg(long, value_enum, default_value_t = AuditFormatChoice::Jsonl)]
    pub(crate) format: AuditFormatChoice,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditFormatChoice {
    /// As they stand in the trail, so that their hashes can be compared
    Jsonl,
    /// As rows of a table
    Csv,
}
