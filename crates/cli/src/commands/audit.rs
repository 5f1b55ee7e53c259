//! `audit`: verifies the trail of a data folder and hands it out, also while a service writes it.

use std::io::{self, Write as _};
use std::path::Path;

use reasonedit_audit::{
    AuditCheckpoint, AuditError, AuditFilter, AuditFormat, AuditHead, AuditNotes, AuditReader, AuditReport,
    moment, public_key,
};
use reasonedit_resilience::blocking;

use crate::args::{AuditArgs, AuditCommand, AuditFormatChoice, ExportAuditArgs, SettingsArgs};
use crate::error::{CliError, Result};
use crate::settings::Settings;
use crate::{logging, output, service};

/// Runs `audit`.
///
/// # Errors
/// Wrong settings, a folder without a trail or that can't be read; a check that came out negative.
pub(crate) async fn run(args: AuditArgs) -> Result<()> {
    blocking(move || match args.command {
        AuditCommand::Verify { head, checkpoints, keys, json, settings } => {
            verify(&notes(head.as_deref(), &checkpoints, keys)?, json, &settings)
        }
        AuditCommand::Key(settings) => key(&settings),
        AuditCommand::Export(args) => export(*args),
    })
    .await
}

/// The trail of the data folder.
fn reader(args: &SettingsArgs) -> Result<AuditReader> {
    let settings = Settings::load(args)?;
    logging::start(&settings.log, true)?;
    let folder = service::audit_folder(&settings.data);
    if !folder.is_dir() {
        return Err(CliError::Failed(format!("{}: no audit trail here", settings.data.display())));
    }
    Ok(AuditReader::new(&folder))
}

/// Prints the public key.
fn key(args: &SettingsArgs) -> Result<()> {
    let settings = Settings::load(args)?;
    logging::start(&settings.log, true)?;
    let key =
        public_key(&service::audit_folder(&settings.data), &settings.audit).map_err(CliError::failed)?;
    let missing = || CliError::Failed("no key yet: the service makes one at its first start".to_owned());
    output::print(&key.ok_or_else(missing)?)
}

/// What was noted elsewhere; checkpoints as they are, or a file that has them among other things.
fn notes(noted: Option<&str>, checkpoints: &[String], keys: Vec<String>) -> Result<AuditNotes> {
    let mut heads: Vec<AuditHead> = noted.map(head).transpose()?.into_iter().collect();
    for given in checkpoints {
        let path = Path::new(given);
        let text = if path.is_file() {
            std::fs::read_to_string(path).map_err(|error| CliError::file(path, error))?
        } else {
            given.clone()
        };
        let wrong = |error: AuditError| CliError::Usage(format!("--checkpoint: {error}"));
        for checkpoint in AuditCheckpoint::all_in(&text).map_err(wrong)? {
            if !keys.is_empty() && !keys.contains(&checkpoint.key) {
                let key = checkpoint.key;
                return Err(CliError::Usage(format!("--checkpoint: it is signed with another key: {key}")));
            }
            heads.push(checkpoint.head);
        }
    }
    Ok(AuditNotes { heads, keys })
}

fn verify(notes: &AuditNotes, json: bool, settings: &SettingsArgs) -> Result<()> {
    let report = reader(settings)?.verify_against(notes).map_err(CliError::failed)?;
    if json {
        output::print_json(&report)?;
    } else {
        output::print(&lines_of(&report))?;
    }
    if report.fault_count == 0 {
        return Ok(());
    }
    Err(CliError::CheckFailed("the audit trail is not as it was written".to_owned()))
}

/// A last line as it was told.
fn head(text: &str) -> Result<AuditHead> {
    let parsed = text.split_once(':').and_then(|(seq, hash)| Some((seq.parse().ok()?, hash)));
    let (seq, hash) = parsed.filter(|(_, hash)| hash.len() == 64).ok_or_else(|| {
        CliError::Usage(format!("--head {text}: the number and the hash of a line are expected, SEQ:HASH"))
    })?;
    Ok(AuditHead { seq, hash: hash.to_owned() })
}

fn lines_of(report: &AuditReport) -> String {
    let mut lines: Vec<String> = report
        .faults
        .iter()
        .map(|fault| {
            let place = fault.file.as_deref().map(|file| match fault.line {
                Some(line) => format!("{file}, line {line}: "),
                None => format!("{file}: "),
            });
            format!("{}{}", place.unwrap_or_default(), fault.detail)
        })
        .collect();
    let unnamed = report.fault_count - report.faults.len() as u64;
    if unnamed > 0 {
        lines.push(format!("and {unnamed} more"));
    }
    let sound = if report.fault_count == 0 { "sound" } else { "NOT SOUND" };
    let mut said = vec![format!("{sound}; {} lines in {} files", report.lines, report.files)];
    said.extend(report.first.filter(|first| *first > 1).map(|first| format!("from line {first} on")));
    if report.healed > 0 {
        said.push(format!("{} cut off by a killed process", report.healed));
    }
    if report.lost > 0 {
        said.push(format!("{} LOST while the trail could not be written", report.lost));
    }
    if report.waiting > 0 {
        said.push(format!("{} left by commands and not taken in yet", report.waiting));
    }
    if report.unended > 0 {
        said.push(format!("{} commands began and have no outcome", report.unended));
    }
    if report.checkpoints > 0 {
        said.push(format!("{} checkpoints", report.checkpoints));
    }
    lines.push(said.join(", "));
    lines.extend(report.keys.iter().map(|key| format!("signed with {key}")));
    lines.extend(report.head.as_ref().map(|head| format!("head {}:{}", head.seq, head.hash)));
    lines.join("\n")
}

fn export(args: ExportAuditArgs) -> Result<()> {
    let at = |text: Option<&str>, end| {
        let moment = text.map(|text| moment(text, end)).transpose();
        moment.map_err(|error| CliError::Usage(error.to_string()))
    };
    let filter = AuditFilter {
        from: at(args.from.as_deref(), false)?,
        to: at(args.to.as_deref(), true)?,
        caller: args.caller,
        edit: args.edit,
        image: args.image,
        codebook: args.codebook,
    };
    let format = match args.format {
        AuditFormatChoice::Jsonl => AuditFormat::Lines,
        AuditFormatChoice::Csv => AuditFormat::Csv,
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = reader(&args.settings)?.export(&filter, format, &mut out);
    match written {
        // A reader that has gone (`| head`) is no error: nobody is left to tell.
        Err(AuditError::File { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::failed(error)),
        Ok(_) => out.flush().map_err(|error| CliError::file(Path::new("standard output"), error)),
    }
}
