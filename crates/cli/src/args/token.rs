//! Options of `token`.

use clap::{Args, Subcommand};
use reasonedit_access::AccessRole;

use super::shared::SettingsArgs;

/// `token`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// What is done to tokens.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Give a token: it is printed once, and only its digest is kept
    Create(CreateTokenArgs),
    /// List the tokens that were given
    List {
        #[command(flatten)]
        target: TokenTargetArgs,
    },
    /// Revoke a token; a running service takes it no more a second later
    Revoke {
        /// Its id, or the name that all to be revoked were given to
        #[arg(value_name = "ID_OR_NAME")]
        id_or_name: String,
        #[command(flatten)]
        target: TokenTargetArgs,
    },
}

/// `token create`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Roles: a reader asks and looks; a contributor also makes edits and takes back their own; \
    an editor also takes back others', imports, and chooses layers; an admin does everything, tokens included.\n\
    The first token makes the service ask for tokens, a running one too. Give an admin's first.\n\
    Examples:\n  reasonedit token create --name ops --role admin\n  \
    reasonedit token create --name 'Dr. Ada' --role contributor --for ward-3 --days 90"
)]
pub(crate) struct CreateTokenArgs {
    /// Whose it is, a person or a program: the author of edits made with it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// What they may do: reader, contributor, editor, admin
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: AccessRole,

    /// Codebook that this holds for (repeatable) [default: all, those yet to be made too]
    #[arg(long = "for", value_name = "CODEBOOK")]
    pub(crate) codebooks: Vec<String>,

    /// Days that it is taken [default: until it is revoked]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: Option<u32>,

    #[command(flatten)]
    pub(crate) target: TokenTargetArgs,
}

/// Where tokens are looked after.
#[derive(Clone, Debug, Args)]
pub(crate) struct TokenTargetArgs {
    /// A running service, for example http://127.0.0.1:8080; without it the data folder, be it in use or not
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// Bearer token of an admin for --server [env: REASONEDIT_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,

    /// Print JSON, as the HTTP service gives it
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}
