//! Sets of pictures and texts that layers can be measured on besides a codebook's own: the demo world, and the dataset folders that the
//! settings name.

use std::path::{Path, PathBuf};

use reasonedit_editor::SampleSet;
use reasonedit_evaluation::Dataset;
use reasonedit_server::Sources;
use reasonedit_world::vocabulary::EVALUATION_SEED_START;
use reasonedit_world::writer::write_records;

use crate::error::{CliError, Result};

/// Name of the synthetic picture world.
pub(crate) const WORLD: &str = "world";

/// Most samples of the world: making its pictures takes longer than measuring them is worth. Draws share some when there are fewer than they take.
const MOST: usize = 400;
/// Samples are taken from this many times as many records: some repeat a text of others.
const SPARE: usize = 4;

/// The world, and every folder under its last name.
pub(crate) fn sources(folders: &[PathBuf]) -> Sources {
    let world = Sources::default()
        .with(WORLD, |count, seed| self::world(count, seed).map_err(|error| error.to_string()));
    folders.iter().fold(world, |sources, folder| {
        let (name, folder) = (name_of(folder), folder.clone());
        sources.with(name, move |count, _| self::folder(&folder, count).map_err(|error| error.to_string()))
    })
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
