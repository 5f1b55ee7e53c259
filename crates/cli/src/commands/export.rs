//! `export`: edits as training data.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Read as _};
use std::path::Path;

use reasonedit_editor::TrainingOptions;
use reasonedit_resilience::blocking;
use serde_json::Value;

use super::target::Target;
use super::unfinished_file::UnfinishedFile;
use crate::args::ExportArgs;
use crate::error::{CliError, Result};
use crate::{output, service};

const MANIFEST: &str = "manifest.json";

/// Writes the training data.
///
/// # Errors
/// Options that don't go together, a service or data folder that can't be used, a codebook that isn't there,
/// a place that can't be written to.
pub(crate) async fn run(args: &ExportArgs) -> Result<()> {
    let options = args.options();
    options.check().map_err(|error| CliError::Usage(error.to_string()))?;
    let out = args.out.as_path();
    if out == Path::new("-") {
        return match Target::open_existing(&args.target).await? {
            Target::Remote(client) => {
                client.download(&path(&options), out, &mut tokio::io::stdout()).await.map(drop)
            }
            Target::Local(local, name) => {
                local.editor.training_data(&name, options, io::stdout()).await.map_err(service::refused)?;
                Ok(())
            }
        };
    }
    let as_file = out.extension().is_some_and(|ending| ending == "tar");
    if !as_file {
        require_room(out)?;
    }
    let archive = UnfinishedFile::create(out)?;
    match Target::open_existing(&args.target).await? {
        Target::Remote(client) => {
            let mut writer = tokio::fs::File::from_std(archive.open()?);
            client.download(&path(&options), out, &mut writer).await?;
        }
        Target::Local(local, name) => {
            let writer = BufWriter::new(archive.open()?);
            local.editor.training_data(&name, options, writer).await.map_err(service::refused)?;
        }
    }
    let read = archive.open()?;
    let manifest = blocking(move || Ok::<_, CliError>(manifest(&read))).await?;
    let manifest = manifest.map_err(|error| CliError::file(out, error))?;
    if as_file {
        archive.keep()?;
    } else {
        let (packed, folder) = (archive.open()?, out.to_owned());
        blocking(move || Ok::<_, CliError>(unpack(packed, &folder)))
            .await?
            .map_err(|error| CliError::file(out, error))?;
    }
    if args.target.json { output::print_json(&manifest) } else { output::print(&summary(out, &manifest)) }
}

/// The request for these options.
fn path(options: &TrainingOptions) -> String {
    format!(
        "export?format={}&task={}&reasoning={}&images={}&split={}&seed={}",
        options.format.word(),
        options.task.word(),
        options.reasoning.word(),
        options.images.word(),
        options.split,
        options.seed,
    )
}

/// Nothing that is there is written over.
fn require_room(folder: &Path) -> Result<()> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(CliError::Usage(format!("{}: the folder is not empty", folder.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CliError::file(folder, error)),
    }
}

/// What the archive says of itself. It is its last entry: an archive without is not whole.
fn manifest(archive: &File) -> io::Result<Value> {
    for entry in tar::Archive::new(archive).entries_with_seek()? {
        let mut entry = entry?;
        if entry.path()?.as_ref() == Path::new(MANIFEST) {
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            return Ok(serde_json::from_slice(&text)?);
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is not whole"))
}

/// Unpacks beside the folder and renames at the end.
fn unpack(archive: File, folder: &Path) -> io::Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new().prefix(".export-").tempdir_in(parent)?;
    let unpacked = beside.path().join("unpacked");
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_mtime(false);
    archive.unpack(&unpacked)?;
    std::fs::rename(&unpacked, folder)
}

fn summary(out: &Path, manifest: &Value) -> String {
    let mut said = format!(
        "{}: {} rows to train on, {} to test with, {} pictures; codebook {} at revision {}",
        out.display(),
        manifest["sides"]["train"]["rows"],
        manifest["sides"]["test"]["rows"],
        manifest["pictures"]["written"],
        manifest["codebook"]["name"].as_str().unwrap_or_default(),
        manifest["codebook"]["revision"],
    );
    for (reason, count) in manifest["left_out"].as_object().into_iter().flatten() {
        if count.as_u64().is_some_and(|count| count > 0) {
            let _ = write!(said, "\nleft out: {count} ({})", reason.replace('_', " "));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use reasonedit_editor::{Trainer, TrainingTask};

    fn packed(names: &[&str]) -> File {
        let mut tar = tar::Builder::new(tempfile::tempfile().unwrap());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(2);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &b"{}"[..]).unwrap();
        }
        let mut file = tar.into_inner().unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file
    }

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("training");
        unpack(packed(&["images/a.png", MANIFEST]), &folder).unwrap();
        assert!(folder.join("images/a.png").is_file() && folder.join(MANIFEST).is_file());
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left beside it");
        assert!(matches!(require_room(&folder), Err(CliError::Usage(_))));
        assert!(unpack(packed(&["a"]), &folder).is_err(), "what is there stays");
        assert!(folder.join(MANIFEST).is_file());
        assert!(require_room(&parent.path().join("other")).is_ok());
    }

    #[test]
    fn an_archive_without_manifest_is_not_whole() {
        assert!(manifest(&packed(&["images/a.png", MANIFEST])).is_ok());
        assert_eq!(manifest(&packed(&["images/a.png"])).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_service_is_asked_for_the_same() {
        let options = TrainingOptions {
            split: 0.1,
            seed: 7,
            ..TrainingOptions::new(Trainer::MsSwift, TrainingTask::Dpo)
        };
        assert_eq!(
            path(&options),
            "export?format=ms-swift&task=dpo&reasoning=none&images=files&split=0.1&seed=7"
        );
    }

    #[test]
    fn what_was_left_out_is_said() {
        let manifest = serde_json::json!({
            "sides": {"train": {"rows": 3}, "test": {"rows": 1}}, "pictures": {"written": 4},
            "codebook": {"name": "default", "revision": 9},
            "left_out": {"superseded": 0, "answer_before_unknown": 2},
        });
        assert_eq!(
            summary(Path::new("out"), &manifest),
            "out: 3 rows to train on, 1 to test with, 4 pictures; codebook default at revision 9\n\
             left out: 2 (answer before unknown)"
        );
    }
}
