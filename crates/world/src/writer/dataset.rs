//! Data sets for the service and its evaluation: JSON lines beside a folder of PNG pictures.

use std::path::Path;

use rayon::prelude::*;
use reasonedit_imaging::encode_png;
use serde::Serialize;

use super::{Output, write_error};
use crate::WorldError;
use crate::pairs::pairs;
use crate::probe::{WorldProbe, probes};
use crate::record::{Illustration, NativeRecord, RecordSet, records};
use crate::render::render;

/// Pictures drawn between two reports of progress.
const BATCH: usize = 64;

fn write_pictures(
    directory: &Path,
    pictures: &[Illustration],
    mut progress: impl FnMut(usize, usize),
) -> Result<(), WorldError> {
    std::fs::create_dir_all(directory.join("images")).map_err(|source| write_error("images", source))?;
    let mut done = 0;
    for batch in pictures.chunks(BATCH) {
        batch.par_iter().try_for_each(|picture| {
            let bytes = encode_png(&render(&picture.scene)?.image)?;
            std::fs::write(directory.join(&picture.path), bytes)
                .map_err(|source| write_error(&picture.path, source))
        })?;
        done += batch.len();
        progress(done, pictures.len());
    }
    Ok(())
}

fn write_lines<T: Serialize>(directory: &Path, name: &'static str, lines: &[T]) -> Result<(), WorldError> {
    let mut output = Output::create(directory, name)?;
    for line in lines {
        output.line(&serde_json::to_string(line)?)?;
    }
    output.finish()
}

/// Writes `edits.jsonl` and its pictures into `directory`, which must exist; returns the records. `progress`
/// is called with the number of pictures written and their total.
///
/// # Errors
/// [`WorldError::Write`] if a file cannot be written.
pub fn write_records(
    directory: &Path,
    seed: u64,
    count: usize,
    progress: impl FnMut(usize, usize),
) -> Result<Vec<NativeRecord>, WorldError> {
    write_set(directory, records(seed, count)?, progress)
}

/// As [`write_records`], `count` pairs of records that differ in one detail each.
///
/// # Errors
/// [`WorldError::Write`] if a file cannot be written.
pub fn write_pairs(
    directory: &Path,
    seed: u64,
    count: usize,
    progress: impl FnMut(usize, usize),
) -> Result<Vec<NativeRecord>, WorldError> {
    write_set(directory, pairs(seed, count)?, progress)
}

fn write_set(
    directory: &Path,
    set: RecordSet,
    progress: impl FnMut(usize, usize),
) -> Result<Vec<NativeRecord>, WorldError> {
    write_pictures(directory, &set.pictures, progress)?;
    write_lines(directory, "edits.jsonl", &set.records)?;
    Ok(set.records)
}

/// Writes `probes.jsonl` and its pictures into `directory`, which must exist; returns the probes. `progress`
/// as for [`write_records`].
///
/// # Errors
/// [`WorldError::Write`] if a file cannot be written.
pub fn write_probes(
    directory: &Path,
    seed: u64,
    count: usize,
    progress: impl FnMut(usize, usize),
) -> Result<Vec<WorldProbe>, WorldError> {
    let set = probes(seed, count)?;
    write_pictures(directory, &set.pictures, progress)?;
    write_lines(directory, "probes.jsonl", &set.probes)?;
    Ok(set.probes)
}
