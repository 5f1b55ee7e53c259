//! `world`: pictures, questions and edits of the synthetic picture world.

use std::path::Path;

use reasonedit_world::vocabulary::EVALUATION_SEED_START;
use reasonedit_world::writer::{EpisodeOptions, write_episodes, write_pairs, write_probes};

use crate::args::{RecordsArgs, WorldArgs, WorldCommand};
use crate::error::{CliError, Result};
use crate::output;
use crate::progress::Progress;

/// Writes what was asked for.
///
/// # Errors
/// A folder that can't be written, seeds of the evaluation asked for as training episodes.
pub(crate) fn run(args: &WorldArgs) -> Result<()> {
    match (&args.command, &args.records) {
        (Some(WorldCommand::Episodes { seed_start, scenes, sentences, out }), _) => {
            episodes(*seed_start, *scenes, *sentences, out)
        }
        (None, Some(records)) => self::records(records),
        (None, None) => Err(CliError::Usage("world: --seed, --count and --out are needed".to_owned())),
    }
}

fn records(args: &RecordsArgs) -> Result<()> {
    if !args.probes && !args.pairs {
        write_records(args.seed, args.count, &args.out)?;
        return output::print(&format!("{} edits in {}", args.count, args.out.join("edits.jsonl").display()));
    }
    make(&args.out)?;
    let mut progress = Progress::items("pictures", 0);
    let tell = |done: usize, all: usize| progress.set(done as u64, all as u64);
    let (seed, count, out) = (args.seed, args.count, &args.out);
    let made = if args.pairs {
        write_pairs(out, seed, count, tell).map(|made| format!("{} edits in pairs", made.len()))
    } else {
        write_probes(out, seed, count, tell).map(|made| format!("{} probes", made.len()))
    };
    progress.finish();
    let file = if args.pairs { "edits.jsonl" } else { "probes.jsonl" };
    output::print(&format!("{} in {}", made.map_err(CliError::failed)?, out.join(file).display()))
}

/// Writes native records (`edits.jsonl` and `images/`) into a folder, which is made if missing.
///
/// # Errors
/// The folder can't be written.
pub(crate) fn write_records(seed: u64, count: usize, out: &Path) -> Result<()> {
    make(out)?;
    let mut progress = Progress::items("pictures", 0);
    let made = reasonedit_world::writer::write_records(out, seed, count, |done, all| {
        progress.set(done as u64, all as u64);
    });
    progress.finish();
    made.map(|_| ()).map_err(CliError::failed)
}

fn episodes(seed_start: u64, scenes: u64, sentences: Option<usize>, out: &Path) -> Result<()> {
    if seed_start.saturating_add(scenes) > EVALUATION_SEED_START {
        return Err(CliError::Usage(format!(
            "seeds from {EVALUATION_SEED_START} on are for measuring and never trained on"
        )));
    }
    make(out)?;
    let mut options = EpisodeOptions::default();
    if let Some(pairs) = sentences {
        options.sentence_pairs = pairs;
    }
    let mut progress = Progress::items("scenes", scenes);
    let counts = write_episodes(out, seed_start, scenes, &options, |done| progress.set(done, scenes));
    progress.finish();
    let counts = counts.map_err(CliError::failed)?;
    output::print(&format!(
        "{} scenes, {} views, {} rows, {} answers in {}",
        counts.scenes,
        counts.views,
        counts.rows,
        counts.branches,
        out.display()
    ))
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| CliError::file(folder, error))
}
