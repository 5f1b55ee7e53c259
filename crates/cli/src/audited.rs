//! The lines that a command leaves in the audit trail of the data folder that it works on: that it begins,
//! before it reads or gives out anything, and what came of it. Who looked into it or changed it without the
//! service stands there, also where it was killed.

use std::path::{Path, PathBuf};

use reasonedit_audit::{AuditCaller, AuditConfig, AuditError, AuditEvent, AuditOutcome, AuditRecord};
use reasonedit_codebook::store;
use reasonedit_resilience::blocking;
use ulid::Ulid;

use crate::args::{
    AuditCommand, BackupCommand, CodebookCommand, Command, KeysCommand, SettingsArgs, TargetArgs,
};
use crate::error::{CliError, Result};
use crate::settings::Settings;
use crate::{output, service};

/// Ids of one kind that a line has room for, as in those of requests; of more their number is told.
const MOST_IDS: usize = 1000;

/// What a command does in a data folder.
pub(crate) struct CommandLine {
    config: AuditConfig,
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
        Command::DryRun(args) => target("dry-run", &args.edit.target, false),
        Command::Amend(args) => target("amend", &args.target, false),
        Command::TakeBack(args) => target("take-back", &args.target, false),
        Command::Query(args) => target("query", &args.target, false),
        Command::Export(args) => target("export", &args.target, true),
        Command::Adapt(args) => line("adapt", &args.settings, Some(&args.codebook), true).map(Some),
        Command::Modularity(args) => {
            line("modularity", &args.settings, Some(&args.codebook), false).map(Some)
        }
        Command::Codebook(args) => match &args.command {
            CodebookCommand::Export { target: args, .. } => target("codebook export", args, true),
            CodebookCommand::Import { target: args, .. } => target("codebook import", args, true),
            CodebookCommand::Salvage { out, settings, .. } => {
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
            Ok(Some(CommandLine::new("restore", &settings, None, true)))
        }
        Command::Keys(args) => match &args.command {
            KeysCommand::Rotate(args) => line("keys rotate", &args.settings, None, false).map(Some),
            KeysCommand::New => Ok(None),
        },
        Command::Audit(args) => match &args.command {
            AuditCommand::Export(args) => line("audit export", &args.settings, None, false).map(Some),
            AuditCommand::Verify { .. } | AuditCommand::Key(_) => Ok(None),
        },
        _ => Ok(None),
    }
}

fn line(what: &str, args: &SettingsArgs, codebook: Option<&str>, whole: bool) -> Result<CommandLine> {
    Ok(CommandLine::new(what, &Settings::load(args)?, codebook, whole))
}

impl CommandLine {
    fn new(what: &str, settings: &Settings, codebook: Option<&str>, whole: bool) -> Self {
        let record = AuditRecord {
            event: AuditEvent::Command,
            caller: Some(AuditCaller::Cli { name: user() }),
            request_id: Some(Ulid::new().to_string()),
            codebook: codebook.map(str::to_owned),
            whole,
            detail: Some(what.to_owned()),
            ..AuditRecord::default()
        };
        Self { folders: vec![settings.data.clone()], config: settings.audit.clone(), record }
    }

    /// Writes the line that it begins. A folder that is yet to be made has nothing to be given out, and gets
    /// the line of what came of it alone.
    ///
    /// # Errors
    /// A trail that can't be written, where the settings refuse what isn't in it: nothing is to be done then.
    pub(crate) fn begin(self) -> Result<Self> {
        for folder in self.there() {
            let begun = reasonedit_audit::begin(&service::audit_folder(folder), &self.config, &self.record);
            self.told(folder, begun)?;
        }
        Ok(self)
    }

    /// Writes the line of what came of it.
    ///
    /// # Errors
    /// The command's own; a trail that can't be written, where the settings refuse what isn't in it.
    pub(crate) fn end<T>(mut self, done: Result<T>) -> Result<T> {
        let outcome = if done.is_ok() { AuditOutcome::Answered } else { AuditOutcome::Failed };
        self.record.outcome = Some(outcome);
        let noted = self.there().into_iter().map(|folder| {
            let added = reasonedit_audit::add(&service::audit_folder(folder), &self.config, &self.record);
            self.told(folder, added)
        });
        // In each of them, whatever becomes of the others.
        let noted = noted.fold(Ok(()), Result::and);
        match (done, noted) {
            (Err(error), Err(untold)) => {
                output::note(&format!("reasonedit: {untold}"));
                Err(error)
            }
            (done, noted) => done.and_then(|done| noted.map(|()| done)),
        }
    }

    /// The folders that are there: where nothing is, nothing is done yet, or was.
    fn there(&self) -> Vec<&Path> {
        self.folders.iter().map(PathBuf::as_path).filter(|folder| service::is_in_use(folder)).collect()
    }

    /// Says what is not in the trail; an error where the settings refuse that.
    fn told(&self, folder: &Path, done: Result<(), AuditError>) -> Result<()> {
        let Err(error) = done else { return Ok(()) };
        let what = self.record.detail.as_deref().unwrap_or_default();
        let (what, undone) = match self.record.outcome {
            None => (format!("that `{what}` begins"), "; nothing was done"),
            Some(_) => (format!("what came of `{what}`"), ""),
        };
        let told = format!("data folder {}: {what} is not in the audit trail: {error}", folder.display());
        if self.config.refuses() {
            return Err(CliError::Failed(format!("{told}{undone} (audit.on_failure is \"refuse\")")));
        }
        output::note(&format!("reasonedit: WARNING: {told}"));
        Ok(())
    }
}

/// Does something to tokens in the data folder, and tells to which.
///
/// # Errors
/// Those of the work; a trail that can't be written, where the settings refuse what isn't in it.
pub(crate) async fn tokens<T: Send + 'static>(
    settings: &Settings,
    what: &str,
    work: impl FnOnce() -> Result<(T, Vec<String>)> + Send + 'static,
) -> Result<T> {
    let line = CommandLine::new(what, settings, None, false);
    let [codebooks, ..] = service::folders(&settings.data);
    blocking(move || {
        // Where the disk is full, for the lines as for the tokens.
        store::make_room(&codebooks);
        let mut line = line.begin()?;
        let done = work().map(|(done, mut ids)| {
            line.record.more = ids.len().saturating_sub(MOST_IDS) as u64;
            ids.truncate(MOST_IDS);
            line.record.tokens = ids;
            done
        });
        line.end(done)
    })
    .await
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
