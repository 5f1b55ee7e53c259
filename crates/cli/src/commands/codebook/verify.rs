//! `codebook verify`: reads everything that is stored, and names what is not as it was written.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use reasonedit_audit::AuditReader;
use reasonedit_codebook::{
    Codebook, CodebookError, CodebookName, HarmedImage, ImageId, ImageStore, Library, VerifyReport,
};
use reasonedit_jobs::verify_uploads;
use serde::Serialize;

use super::super::target::codebook_name;
use crate::args::SettingsArgs;
use crate::error::{CliError, Result};
use crate::settings::Settings;
use crate::{logging, output, service};

/// What was found.
#[derive(Serialize)]
struct Report {
    sound: bool,
    codebooks: Vec<BookReport>,
    /// Pictures that no live edit refers to; none if one codebook alone was asked about.
    other_pictures: Pictures,
    /// What is wrong with the store as a whole.
    store: Vec<String>,
    /// What is wrong with other files: tokens, which folders have backups, the audit trail, uploads of jobs.
    /// None if one codebook alone was asked about.
    files: Vec<String>,
}

#[derive(Serialize)]
struct BookReport {
    codebook: CodebookName,
    sound: bool,
    /// Whether it can't be opened.
    set_aside: bool,
    #[serde(flatten)]
    counts: Option<VerifyReport>,
    /// Stored values that can't be read, or are missing.
    damaged: Vec<String>,
    /// Pictures of its live edits.
    pictures: Pictures,
}

#[derive(Default, Serialize)]
struct Pictures {
    read: usize,
    harmed: Vec<HarmedImage>,
}

impl Pictures {
    fn of(images: &ImageStore, ids: &BTreeSet<ImageId>) -> Self {
        Self { read: ids.len(), harmed: images.harmed(ids.iter().copied()) }
    }
}

/// Checks one codebook, or all of the data folder.
///
/// # Errors
/// Wrong settings, a data folder that can't be opened; [`CliError::CheckFailed`] if anything is not as it was
/// written.
pub(super) fn run(codebook: Option<&str>, as_json: bool, args: &SettingsArgs) -> Result<()> {
    let asked = codebook.map(codebook_name).transpose()?;
    let settings = Settings::load(args)?;
    logging::start(&settings.log, true)?;
    let (library, images) = service::open_existing_library(&settings)?;
    let mut report = examine(&library, &images, asked.as_ref())?;
    if asked.is_none() {
        report.files = other_files(&settings, &library)?;
        report.sound &= report.files.is_empty();
    }
    if as_json {
        output::print_json(&report)?;
    } else {
        output::print(&told(&report))?;
    }
    if report.sound {
        return Ok(());
    }
    let unsound = report.codebooks.iter().filter(|book| !book.sound).map(|book| book.codebook.to_string());
    let mut unsound: Vec<String> = unsound.collect();
    if !report.other_pictures.harmed.is_empty() {
        unsound.push("pictures that no live edit refers to".to_owned());
    }
    if !report.store.is_empty() {
        unsound.push("the store".to_owned());
    }
    if !report.files.is_empty() {
        unsound.push("other files".to_owned());
    }
    Err(CliError::CheckFailed(format!("not as it was written: {}", unsound.join(", "))))
}

fn examine(library: &Library, images: &ImageStore, asked: Option<&CodebookName>) -> Result<Report> {
    let open = library.books().into_iter().map(|book| book.name().clone());
    let all = open.chain(library.damaged().into_iter().map(|(name, _)| name));
    let names: BTreeSet<CodebookName> = all.filter(|name| asked.is_none_or(|asked| asked == name)).collect();
    if let Some(unknown) = asked.filter(|asked| !names.contains(asked)) {
        return Err(CliError::failed(CodebookError::UnknownCodebook(unknown.clone())));
    }
    let (mut codebooks, mut referred) = (Vec::new(), BTreeSet::new());
    for name in names {
        let book = match library.get(&name) {
            Ok(book) => Some(book),
            Err(CodebookError::Damaged { .. }) => None,
            Err(error) => return Err(CliError::failed(error)),
        };
        codebooks.push(examine_book(library, images, name, book.as_deref(), &mut referred)?);
    }
    let other_pictures = if asked.is_none() {
        let stored: BTreeSet<ImageId> = images.ids().map_err(CliError::failed)?.into_iter().collect();
        Pictures::of(images, &stored.difference(&referred).copied().collect())
    } else {
        Pictures::default()
    };
    let store = library.store_faults();
    let sound =
        store.is_empty() && other_pictures.harmed.is_empty() && codebooks.iter().all(|book| book.sound);
    Ok(Report { sound, codebooks, other_pictures, store, files: Vec::new() })
}

/// What is wrong with the files of a data folder that aren't its codebooks', pictures' or keys'.
fn other_files(settings: &Settings, library: &Library) -> Result<Vec<String>> {
    let mut faults = verify_uploads(library, &service::jobs_folder(settings)).map_err(CliError::failed)?;
    faults.extend(service::tokens(settings).err().map(|error| error.to_string()));
    let known = reasonedit_backup::verify_known(&service::known_repositories(&settings.data));
    faults.extend(known.err().map(|error| error.to_string()));
    let audit = service::audit_folder(&settings.data);
    if audit.is_dir() {
        match AuditReader::new(&audit).verify(None) {
            Ok(report) if report.fault_count == 0 => {}
            Ok(report) => faults.push(format!(
                "the audit trail is not as it was written in {} places, which `reasonedit audit verify` names",
                report.fault_count
            )),
            Err(error) => faults.push(error.to_string()),
        }
    }
    Ok(faults)
}

fn examine_book(
    library: &Library,
    images: &ImageStore,
    name: CodebookName,
    book: Option<&Codebook>,
    referred: &mut BTreeSet<ImageId>,
) -> Result<BookReport> {
    let damaged: Vec<String> = library.examine(&name).iter().map(ToString::to_string).collect();
    let (mut counts, mut pictures) = (None, Pictures::default());
    if let Some(book) = book {
        let ids: BTreeSet<ImageId> = book.snapshot().edits().map(|edit| edit.image.id).collect();
        pictures = Pictures::of(images, &ids);
        referred.extend(ids);
        counts = match book.verify() {
            Ok(counts) => Some(counts),
            // Named among what is damaged.
            Err(CodebookError::Corrupt { .. }) => None,
            Err(error) => return Err(CliError::failed(error)),
        };
    }
    let sound =
        damaged.is_empty() && pictures.harmed.is_empty() && counts.as_ref().is_some_and(VerifyReport::ok);
    Ok(BookReport { codebook: name, sound, set_aside: book.is_none(), counts, damaged, pictures })
}

fn told(report: &Report) -> String {
    let mut lines = Vec::new();
    for book in &report.codebooks {
        let verdict = match book {
            BookReport { sound: true, .. } => "sound",
            BookReport { set_aside: true, .. } => "DAMAGED, and set aside",
            BookReport { damaged, pictures, .. } if !damaged.is_empty() || !pictures.harmed.is_empty() => {
                "DAMAGED"
            }
            _ => "DIFFERS from what is stored",
        };
        let mut line = format!("{}: {verdict}", book.codebook);
        if let Some(counts) = &book.counts {
            let _ = write!(
                line,
                "; {} edits, {} entries, {} keys, {} events, {} pictures",
                counts.edits, counts.members, counts.keys, counts.events, book.pictures.read
            );
        }
        lines.push(line);
        let differences = book.counts.iter().flat_map(|counts| &counts.differences);
        lines.extend(book.damaged.iter().chain(differences).map(|what| format!("  {what}")));
        lines.extend(told_pictures(&book.pictures));
    }
    if report.other_pictures.read > 0 {
        let verdict = if report.other_pictures.harmed.is_empty() { "sound" } else { "DAMAGED" };
        lines
            .push(format!("pictures that no live edit refers to: {verdict}; {}", report.other_pictures.read));
        lines.extend(told_pictures(&report.other_pictures));
    }
    lines.extend(report.store.iter().map(|fault| format!("store: {fault}")));
    lines.extend(report.files.iter().map(|fault| format!("files: {fault}")));
    lines.join("\n")
}

fn told_pictures(pictures: &Pictures) -> impl Iterator<Item = String> {
    pictures.harmed.iter().map(|image| format!("  the picture {} is {}", image.id, image.harm))
}
