//! Training episodes: fixed-size binary views, rows and sentence pairs as JSON lines, text for the tokeniser.

use std::path::Path;

use rayon::prelude::*;
use serde_json::json;

use super::Output;
use crate::WorldError;
use crate::episode::{EpisodeView, ROWS_PER_VIEW, episode};
use crate::random::{RandomExt, stream};
use crate::scene::Attribute;
use crate::sentence::pair;
use crate::view::{IGNORED, MAX_CELLS, VIEW_BYTES};
use crate::vocabulary::{
    CLASSES, EVALUATION_SEED_START, NAME_WORDS, NOUNS, RELATIONS, Split, VALUE_WORDS, kind_name,
};

/// Version of the file formats; a reader refuses others.
pub const FORMAT_VERSION: u32 = 1;

/// Sizes of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpisodeOptions {
    /// Cuts of each picture, beside the whole.
    pub cuts: usize,
    /// Pairs for the sentence encoder.
    pub sentence_pairs: usize,
    /// Scenes whose text goes into the tokeniser's corpus.
    pub corpus_scenes: usize,
    /// Invented names in the corpus, so that the tokeniser learns their syllables.
    pub corpus_names: usize,
}

impl Default for EpisodeOptions {
    fn default() -> Self {
        Self { cuts: 2, sentence_pairs: 300_000, corpus_scenes: 4_000, corpus_names: 20_000 }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpisodeCounts {
    /// Scenes.
    pub scenes: u64,
    /// Views; fewer than scenes × (1 + cuts) because views of too many cells are left out.
    pub views: u64,
    /// Rows.
    pub rows: u64,
    /// Question–answer branches in them.
    pub branches: u64,
}

/// Scenes made between two writes.
const BATCH: u64 = 256;
/// Pairs made between two writes.
const PAIR_BATCH: usize = 8_192;

fn corpus_lines(view: &EpisodeView) -> Vec<&str> {
    let trees = view.rows.iter().flatten();
    trees
        .flat_map(|tree| {
            let texts =
                tree.branches.iter().flat_map(|branch| [branch.question.as_str(), branch.answer.as_str()]);
            std::iter::once(tree.context.as_str()).chain(texts)
        })
        .filter(|text| !text.is_empty())
        .collect()
}

fn write_sentences(directory: &Path, seed: u64, count: usize) -> Result<(), WorldError> {
    let mut output = Output::create(directory, "sentences.jsonl")?;
    for start in (0..count).step_by(PAIR_BATCH) {
        let end = (start + PAIR_BATCH).min(count);
        let lines: Vec<String> = (start..end)
            .into_par_iter()
            .map(|index| serde_json::to_string(&pair(seed, index as u64)))
            .collect::<Result<_, _>>()?;
        for line in lines {
            output.line(&line)?;
        }
    }
    output.finish()
}

/// The words every tokeniser must know, and many invented names.
fn write_vocabulary(output: &mut Output, seed: u64, names: usize) -> Result<(), WorldError> {
    let attribute_words = Attribute::ALL.iter().flat_map(|attribute| attribute.values());
    let class_words = CLASSES.iter().flat_map(|(first, second)| [first, second]);
    let noun_words = NOUNS.iter().flat_map(|(noun, default)| [noun, default]);
    let relation_words =
        RELATIONS.iter().flat_map(|relation| [&relation.one, &relation.many, &relation.default]);
    let words: Vec<&str> = attribute_words
        .chain(class_words)
        .chain(noun_words)
        .chain(relation_words)
        .chain(&VALUE_WORDS)
        .chain(&NAME_WORDS)
        .copied()
        .collect();
    for _ in 0..40 {
        output.line(&words.join(" "))?;
    }
    for _ in 0..50 {
        output.line("user assistant system yes no unknown")?;
    }
    let mut rng = stream(seed, "corpus names", 0);
    for _ in 0..names {
        let name = kind_name(Split::Training, &mut rng);
        let plural = crate::vocabulary::plural(&name);
        output.line(if rng.chance(0.3) { &plural } else { &name })?;
    }
    Ok(())
}

/// Writes the episodes of `scenes` consecutive seeds into `directory`, which must exist. The files depend on
/// nothing but the arguments; `progress` is called with the number of scenes written so far.
///
/// # Errors
/// [`WorldError::Write`] if a file cannot be written.
pub fn write_episodes(
    directory: &Path,
    seed_start: u64,
    scenes: u64,
    options: &EpisodeOptions,
    mut progress: impl FnMut(u64),
) -> Result<EpisodeCounts, WorldError> {
    let mut views = Output::create(directory, "views.u8")?;
    let mut grids = Output::create(directory, "views.grid")?;
    let mut cells = Output::create(directory, "views.cells")?;
    let mut rows = Output::create(directory, "rows.jsonl")?;
    let mut corpus = Output::create(directory, "corpus.txt")?;
    write_vocabulary(&mut corpus, seed_start, options.corpus_names)?;
    let mut counts = EpisodeCounts::default();
    while counts.scenes < scenes {
        let start = seed_start + counts.scenes;
        let end = start + BATCH.min(scenes - counts.scenes);
        let batch: Vec<Vec<EpisodeView>> =
            (start..end).into_par_iter().map(|seed| episode(seed, options.cuts)).collect::<Result<_, _>>()?;
        for found in batch {
            for view in found {
                views.write(&view.pixels.bytes)?;
                grids.write(&view.pixels.grid)?;
                let labels: Vec<u8> = view.pixels.labels.iter().map(|label| label.cast_unsigned()).collect();
                cells.write(&labels)?;
                if counts.scenes < options.corpus_scenes as u64 {
                    for line in corpus_lines(&view) {
                        corpus.line(line)?;
                    }
                }
                for row in &view.rows {
                    let trees = serde_json::to_string(row)?;
                    rows.line(&format!(
                        "{{\"v\":{},\"w\":{},\"t\":{trees}}}",
                        counts.views,
                        u8::from(view.whole)
                    ))?;
                    counts.branches += row.iter().map(|tree| tree.branches.len() as u64).sum::<u64>();
                    counts.rows += 1;
                }
                counts.views += 1;
            }
            counts.scenes += 1;
        }
        progress(counts.scenes);
    }
    for output in [views, grids, cells, rows, corpus] {
        output.finish()?;
    }
    write_sentences(directory, seed_start, options.sentence_pairs)?;
    let attributes: Vec<_> = Attribute::ALL
        .iter()
        .map(|attribute| json!({"name": attribute.name(), "values": attribute.values()}))
        .collect();
    let meta = json!({
        "format": FORMAT_VERSION,
        "seed_start": seed_start,
        "scenes": counts.scenes,
        "views": counts.views,
        "rows": counts.rows,
        "rows_per_view": ROWS_PER_VIEW,
        "branches": counts.branches,
        "sentence_pairs": options.sentence_pairs,
        "view_bytes": VIEW_BYTES,
        "max_cells": MAX_CELLS,
        "ignored_label": IGNORED,
        "attributes": attributes,
        "evaluation_seed_start": EVALUATION_SEED_START,
    });
    let mut output = Output::create(directory, "meta.json")?;
    output.line(&serde_json::to_string_pretty(&meta)?)?;
    output.finish()?;
    Ok(counts)
}
