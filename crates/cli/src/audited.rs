//! The line that a command leaves in the audit trail of the data folder that it works on: who looked into it
//! or changed it without the service.

use std::path::{Path, PathBuf};

use reasonedit_audit::{AuditCaller, AuditEvent, AuditOutcome, AuditRecord};

use crate::args::{
    AuditCommand, BackupCommand, CodebookCommand, Command, KeysCommand, SettingsArgs, TargetArgs,
};
use crate::error::{CliError, Result};
use crate::service;
use crate::settings::Settings;

/// What a command does in a data folder.
pub(crate) struct CommandLine {
    settings: Settings,
    /// The folders in whose trails it is told.
    folders: Vec<PathBuf>,
    record: AuditRecord,
}

/// What a command is going to do in a data folder; nothing where it has a service do it, or keeps and shows
/// nothing of what people gave. `token` tells by itself which tokens.
///
/// # Errors
/// Wrong settings.
pub(crate) fn of(command: &Command) -> Result<Option<CommandLine>> {
    let target = |what, args: &TargetArgs, whole| {
        let here = args.server.is_none();
        here.then(|| line(what, &args.settings, Some(&args.codebook), whole)).transpose()
    };
    match command {
        Command::Edit(args) => target("edit", &args.target, false),
        Command::Query(args) => target("query", &args.target, false),
        Command::Export(args) => target("export", &args.target, true),
        Command::Codebook(args) => match &args.command {
            CodebookCommand::Export { target: args, .. } => target("codebook export", args, true),
            CodebookCommand::Import { target: args, .. } => target("codebook import", args, true),
            CodebookCommand::Salvage { out, settings } => {
                let mut line = line("codebook salvage", settings, None, true)?;
                line.folders.push(out.clone());
                Ok(Some(line))
            }
            CodebookCommand::Stats(_) | CodebookCommand::Verify { .. } => Ok(None),
        },
        Command::Backup(args) => match &args.command {
            BackupCommand::Create(args) if args.server.is_none() => {
                line("backup create", &args.settings, None, true).map(Some)
            }
            _ => Ok(None),
        },
        Command::Restore(args) => {
            let settings = Settings::load_for_scratch(&args.settings, &args.out)?;
            Ok(Some(CommandLine::new("restore", settings, None, true)))
        }
        Command::Keys(args) => match &args.command {
            KeysCommand::Rotate(args) => line("keys rotate", &args.settings, None, false).map(Some),
            KeysCommand::New => Ok(None),
        },
        Command::Audit(args) => match &args.command {
            AuditCommand::Export(args) => line("audit export", &args.settings, None, false).map(Some),
            AuditCommand::Verify { .. } => Ok(None),
        },
        _ => Ok(None),
    }
}

fn line(what: &str, args: &SettingsArgs, codebook: Option<&str>, whole: bool) -> Result<CommandLine> {
    Ok(CommandLine::new(what, Settings::load(args)?, codebook, whole))
}

impl CommandLine {
    fn new(what: &str, settings: Settings, codebook: Option<&str>, whole: bool) -> Self {
        let record = AuditRecord {
            event: AuditEvent::Command,
            caller: Some(AuditCaller::Cli { name: user() }),
            codebook: codebook.map(str::to_owned),
            whole,
            detail: Some(what.to_owned()),
            ..AuditRecord::default()
        };
        Self { folders: vec![settings.data.clone()], settings, record }
    }

    /// Writes the line of what came of it.
    ///
    /// # Errors
    /// The command's own; a trail that can't be written.
    pub(crate) fn note(self, done: Result<()>) -> Result<()> {
        let Self { settings, folders, mut record } = self;
        // Where nothing is, nothing was done.
        let mut there = folders.iter().filter(|folder| service::is_in_use(folder));
        record.outcome = Some(if done.is_ok() { AuditOutcome::Answered } else { AuditOutcome::Failed });
        let noted = there.try_for_each(|folder| add(&settings, folder, &record));
        // What went wrong first is what is told.
        done.and(noted)
    }
}

/// Tells what was done to tokens in the data folder.
///
/// # Errors
/// A trail that can't be written.
pub(crate) fn tokens(settings: &Settings, what: &str, ids: Vec<String>) -> Result<()> {
    let mut line = CommandLine::new(what, settings.clone(), None, false);
    line.record.tokens = ids;
    line.note(Ok(()))
}

fn add(settings: &Settings, folder: &Path, record: &AuditRecord) -> Result<()> {
    reasonedit_audit::add(&service::audit_folder(folder), &settings.audit, record).map_err(|error| {
        let what = record.detail.as_deref().unwrap_or_default();
        CliError::Failed(format!(
            "data folder {}: `{what}` is not in the audit trail: {error}",
            folder.display()
        ))
    })
}

/// The system user's name, or number where the list of users has none: not what the environment says, which
/// anybody sets.
#[cfg(unix)]
fn user() -> String {
    use std::os::unix::fs::MetadataExt as _;

    // A file that is made belongs to who makes it.
    let Ok(id) = tempfile::tempfile().and_then(|file| file.metadata()).map(|made| made.uid()) else {
        return "unknown".to_owned();
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    named(&users, id).map_or_else(|| format!("uid {id}"), str::to_owned)
}

/// The name of a user of this number (passwd(5)).
#[cfg(unix)]
fn named(users: &str, id: u32) -> Option<&str> {
    let of = |line: &&str| line.split(':').nth(2).is_some_and(|number| number.parse() == Ok(id));
    users.lines().find(of)?.split(':').next()
}

#[cfg(not(unix))]
fn user() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_names_of_the_list() {
        let users = "root:x:0:0:root:/root:/bin/bash\n# a comment\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(named(users, 1000), Some("ada"));
        assert_eq!(named(users, 0), Some("root"));
        assert_eq!(named(users, 7), None);
        assert!(!user().is_empty());
    }
}
