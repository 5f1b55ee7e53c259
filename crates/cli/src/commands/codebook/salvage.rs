//! `codebook salvage`: what can be saved of a damaged data folder, into a new one; what can't is listed.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use reasonedit_codebook::store::{self, SalvagedBook, SalvagedStore};
use reasonedit_codebook::{EditRecord, HarmedImage, ImageStore};
use serde::Serialize;

use crate::args::SettingsArgs;
use crate::error::{CliError, Result};
use crate::settings::Settings;
use crate::{logging, output, service};

/// The file that says what was saved and what wasn't.
const REPORT: &str = "salvage.json";

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    store: &'a SalvagedStore,
    pictures: usize,
    lost_pictures: &'a [HarmedImage],
}

/// Makes the folder `out`: a data folder with all that could be saved, and the report; and in `archives`, if
/// that is wanted, an archive for each codebook with edits whose keys are lost. The damaged folder stays as
/// it is.
///
/// # Errors
/// Wrong settings, a folder that is in use, or is there already, or can't be written to.
pub(in crate::commands) fn run(out: &Path, archives: Option<&Path>, args: &SettingsArgs) -> Result<()> {
    let settings = Settings::load(args)?;
    logging::start(&settings.log, true)?;
    let [damaged_store, damaged_images, damaged_keys] = service::folders(&settings.data);
    if !damaged_store.is_dir() {
        return Err(CliError::Failed(format!("{}: no codebooks here", settings.data.display())));
    }
    // Nothing is written to the damaged folder.
    let data = settings.data.canonicalize().map_err(|error| CliError::file(&settings.data, error))?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if parent.canonicalize().is_ok_and(|parent| parent.starts_with(&data)) {
        return Err(CliError::Usage(format!("{}: it would lie in the damaged folder", out.display())));
    }
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(CliError::Failed(format!("{}: it is there already, and not empty", out.display())));
    }
    outside(archives, out)?;
    let failed = |error| CliError::Failed(format!("data folder {}: {error}", settings.data.display()));
    let [new_store, new_images, new_keys] = service::folders(out);
    service::private_folder(out).map_err(|error| CliError::file(out, error))?;
    if damaged_keys.is_file() {
        fs::copy(&damaged_keys, &new_keys).map_err(|error| CliError::file(&new_keys, error))?;
    }
    let keys = service::open_keys(&settings, &new_keys)?;
    let saved = store::salvage(&damaged_store, &new_store, Arc::clone(&keys)).map_err(failed)?;
    // Before there is anything to be served: without them the new folder would ask for no tokens.
    service::copy_tokens(&settings.data, out).map_err(|error| CliError::file(out, error))?;
    service::copy_audit(&settings.data, out).map_err(|error| CliError::file(out, error))?;
    let images = ImageStore::open_with(&new_images, Arc::clone(&keys)).map_err(failed)?;
    let (pictures, lost) = if damaged_images.is_dir() {
        let damaged = ImageStore::open_with(&damaged_images, keys).map_err(failed)?;
        copy_pictures(&damaged, &images).map_err(failed)?
    } else {
        (0, Vec::new())
    };
    write_archives(archives, &saved, &images)?;
    let path = out.join(REPORT);
    let file = File::create(&path).map_err(|error| CliError::file(&path, error))?;
    let report = Report { store: &saved, pictures, lost_pictures: &lost };
    serde_json::to_writer_pretty(file, &report).map_err(|error| CliError::file(&path, error.into()))?;
    output::print(&told(&saved, pictures, &lost, out, archives))
}

fn copy_pictures(
    from: &ImageStore,
    to: &ImageStore,
) -> std::result::Result<(usize, Vec<HarmedImage>), reasonedit_codebook::CodebookError> {
    let (mut copied, mut lost) = (0, Vec::new());
    for id in from.ids()? {
        if let Ok(bytes) = from.get(id) {
            to.put_under(id, &bytes)?;
            copied += 1;
        } else {
            lost.extend(from.harmed([id]));
        }
    }
    Ok((copied, lost))
}

/// Archives are in clear: none is to lie where all else is sealed, and where erasing doesn't see it.
///
/// # Errors
/// `archives` lies in the new data folder.
pub(in crate::commands) fn outside(archives: Option<&Path>, out: &Path) -> Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| CliError::file(path, error));
    let Some(archives) = archives else { return Ok(()) };
    if !absolute(archives)?.starts_with(absolute(out)?) {
        return Ok(());
    }
    let told = "archives are in clear; name a folder outside of the data folder";
    Err(CliError::Usage(format!("{}: {told}", archives.display())))
}

/// An archive of each codebook with edits whose keys are lost, if that is wanted: for its owner alone.
///
/// # Errors
/// A file that is there already, or can't be written.
pub(in crate::commands) fn write_archives(
    archives: Option<&Path>,
    saved: &SalvagedStore,
    images: &ImageStore,
) -> Result<()> {
    let Some(folder) = archives else { return Ok(()) };
    service::private_folder(folder).map_err(|error| CliError::file(folder, error))?;
    let mut lacking = saved.codebooks.iter().filter(|book| !book.without_keys.is_empty());
    lacking.try_for_each(|book| write_archive(folder, book, images))
}

/// An archive of the edits that have a picture: their keys are made anew when it is imported.
fn write_archive(folder: &Path, book: &SalvagedBook, images: &ImageStore) -> Result<()> {
    let there = |record: &&EditRecord| images.contains(record.image.id);
    let edits: Vec<EditRecord> = book.without_keys.iter().filter(there).cloned().collect();
    let path = folder.join(archive_name(book));
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|error| CliError::file(&path, error))?;
    reasonedit_archive::write_records(file, &book.name, &edits, images).map_err(CliError::failed)?;
    Ok(())
}

fn archive_name(book: &SalvagedBook) -> String {
    format!("{}.without-keys.tar", book.name)
}

fn told(
    saved: &SalvagedStore,
    pictures: usize,
    lost: &[HarmedImage],
    out: &Path,
    archives: Option<&Path>,
) -> String {
    let mut lines = lines_of(saved, archives);
    lines.push(format!("pictures: {pictures} saved, {} lost", lost.len()));
    lines.extend(lost.iter().map(|image| format!("  the picture {} is {}", image.id, image.harm)));
    lines.push(format!("{}: the new data folder; {REPORT} in it says the same", out.display()));
    lines.join("\n")
}

/// What was saved of codebooks and what wasn't, line by line.
pub(in crate::commands) fn lines_of(saved: &SalvagedStore, archives: Option<&Path>) -> Vec<String> {
    let mut lines = Vec::new();
    for book in &saved.codebooks {
        let verdict = if book.whole { "whole" } else { "saved in part" };
        lines.push(format!("{}: {verdict}; {} edits", book.name, book.edits));
        lines.extend(book.lost.iter().map(|what| format!("  {what}")));
        if !book.without_keys.is_empty() {
            let how = match archives {
                Some(folder) => {
                    format!("reasonedit codebook import {}", folder.join(archive_name(book)).display())
                }
                None => "--archives DIR makes archives of them to import, in clear".to_owned(),
            };
            lines.push(format!("  {} edits without their keys: {how}", book.without_keys.len()));
        }
    }
    lines.extend(saved.faults.iter().map(|fault| format!("store: {fault}")));
    lines
}
