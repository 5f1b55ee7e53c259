//! Sets of pictures and texts that layers can be measured on besides a codebook's own: the demo world, and
//! the dataset folders that the settings name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reasonedit_dataset::Dataset;
use reasonedit_editor::SampleSet;
use reasonedit_server::Sources;
use reasonedit_world::vocabulary::EVALUATION_SEED_START;
use reasonedit_world::writer::write_records;

use crate::error::{CliError, Result};

/// Name of the synthetic picture world.
pub(crate) const WORLD: &str = "world";
/// Name of the codebook's own pictures.
pub(crate) const CODEBOOK: &str = "codebook";

/// Most samples of the world: making its pictures takes longer than measuring them is worth. Draws share some
/// when there are fewer than they take.
const MOST: usize = 400;
/// Samples are taken from this many times as many records: some repeat a text of others.
const SPARE: usize = 4;

/// The world, and every folder under its last name.
///
/// # Errors
/// Two folders of one name, or one that is called as the world or as the codebook's own pictures are: a
/// request could not tell them apart.
pub(crate) fn sources(folders: &[PathBuf]) -> Result<Sources> {
    check_names(folders)?;
    let world = Sources::default()
        .with(WORLD, |count, seed| self::world(count, seed).map_err(|error| error.to_string()));
    Ok(folders.iter().fold(world, |sources, folder| {
        let (name, folder) = (name_of(folder), folder.clone());
        sources.with(name, move |count, _| self::folder(&folder, count).map_err(|error| error.to_string()))
    }))
}

/// Whether every folder can be named in a request.
///
/// # Errors
/// As [`sources`].
pub(crate) fn check_names(folders: &[PathBuf]) -> Result<()> {
    let mut taken: BTreeMap<String, String> =
        [(WORLD, "the demo world"), (CODEBOOK, "the codebook's own pictures")]
            .map(|(name, what)| (name.to_owned(), what.to_owned()))
            .into();
    for folder in folders {
        let name = name_of(folder);
        if let Some(other) = taken.get(&name) {
            return Err(CliError::Usage(format!(
                "modularity.datasets: {} and {other} would both be called {name:?}; rename the folder, or name it by a link",
                folder.display()
            )));
        }
        taken.insert(name, folder.display().to_string());
    }
    Ok(())
}

/// What a folder is called in requests.
fn name_of(folder: &Path) -> String {
    folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Samples of a dataset folder.
///
/// # Errors
/// Data that can't be read.
pub(crate) fn folder(folder: &Path, count: usize) -> Result<SampleSet> {
    let data = Dataset::open(folder).map_err(CliError::failed)?;
    data.samples(&name_of(folder), count).map_err(CliError::failed)
}

/// Samples of the picture world, of a seed that no model was trained on.
///
/// # Errors
/// The temporary folder can't be written.
pub(crate) fn world(count: usize, seed: u64) -> Result<SampleSet> {
    let scratch = tempfile::tempdir().map_err(|error| CliError::file("temporary folder", error))?;
    // Far from the seeds that figures are measured on.
    let seed = EVALUATION_SEED_START + 700_000 + seed % 100_000;
    let count = count.min(MOST);
    write_records(scratch.path(), seed, count * SPARE, |_, _| {}).map_err(CliError::failed)?;
    let data = Dataset::open(scratch.path()).map_err(CliError::failed)?;
    data.samples(&format!("{WORLD}, seed {seed}"), count).map_err(CliError::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_requests_could_not_tell_apart_are_refused_by_both_names() {
        let check = |folders: &[&str]| {
            let folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
            sources(&folders).map_err(|error| (error.status(), error.to_string()))
        };
        let named = check(&["data/aokvqa", "/data/fvqa/"]).unwrap();
        assert_eq!(named.names().collect::<Vec<_>>(), ["aokvqa", "fvqa", "world"]);
        for (folders, both) in [
            (&["a/vqa", "b/vqa/"][..], ["b/vqa/", "a/vqa"]),
            (&["my/world"], ["my/world", "the demo world"]),
            (&["x", "my/codebook"], ["my/codebook", "the codebook's own"]),
        ] {
            let (status, message) = check(folders).unwrap_err();
            assert_eq!(status, 2);
            assert!(both.iter().all(|name| message.contains(name)), "{message}");
        }
    }
}
