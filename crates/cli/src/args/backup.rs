//! Options of `backup` and `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reasonedit_backup::BackupId;

use super::shared::{CommonArgs, SettingsArgs};

/// `backup`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(subcommand)]
    pub(crate) command: BackupCommand,
}

/// What is done with backups.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Back up codebooks, pictures and tokens; what is there from earlier backups is not written again
    Create(Box<CreateBackupArgs>),
    /// List backups
    List {
        /// Folder of backups
        #[arg(value_name = "REPO")]
        repository: PathBuf,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Read everything that backups are made of, and name what is damaged; exit status 1 if anything is
    Verify {
        /// Folder of backups
        #[arg(value_name = "REPO")]
        repository: PathBuf,
        /// The backup to read [default: all]
        #[arg(long, value_name = "ID")]
        snapshot: Option<BackupId>,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove old backups, and what no other one needs
    Prune {
        /// Folder of backups
        #[arg(value_name = "REPO")]
        repository: PathBuf,
        /// Backups to keep, the newest that are whole
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        keep: u32,
        /// Read everything to know which are whole, not lengths alone
        #[arg(long)]
        check: bool,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

/// `backup create`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "With --server the service backs itself up while it serves, into the folder of its setting backup.folder;\n\
    without it the service has to be stopped.\n\
    Examples:\n  reasonedit backup create --server http://127.0.0.1:8080\n  \
    reasonedit backup create /backup/reasonedit --data data"
)]
pub(crate) struct CreateBackupArgs {
    /// Folder of backups; made if missing
    #[arg(value_name = "REPO", required_unless_present = "server", conflicts_with = "server")]
    pub(crate) repository: Option<PathBuf>,

    /// Also read what earlier backups brought, and write it anew where it has decayed
    #[arg(long)]
    pub(crate) check: bool,

    /// Begin a new repository where the one of before is gone: otherwise a disk that isn't mounted is told
    #[arg(long)]
    pub(crate) new_repository: bool,

    /// A running service, for example http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// Bearer token of an admin for --server [env: REASONEDIT_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,

    /// Print the result as JSON, as the HTTP service gives it
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// `restore`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Everything is read and compared before anything is said to be done; then serve from the new folder:\n  \
    reasonedit restore /backup/reasonedit restored\n  reasonedit codebook verify --data restored\n  \
    reasonedit serve --data restored"
)]
pub(crate) struct RestoreArgs {
    /// Folder of backups
    #[arg(value_name = "REPO")]
    pub(crate) repository: PathBuf,

    /// Data folder to make; it is new or empty
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,

    /// The backup to restore [default: the newest]
    #[arg(long, value_name = "ID")]
    pub(crate) snapshot: Option<BackupId>,

    /// Restore what can be had of a backup that is damaged, and name the rest; exit status 1 if there is any
    #[arg(long)]
    pub(crate) incomplete: bool,

    /// Folder for archives of edits whose keys are lost, to be imported: in clear, and no part of OUT
    #[arg(long, value_name = "DIR", requires = "incomplete")]
    pub(crate) archives: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Settings; the operator's key is among them, where one wraps the keys of the backups
    #[command(flatten)]
    pub(crate) settings: CommonArgs,
}
