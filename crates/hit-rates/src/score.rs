//! Retrieval from a codebook in memory, and how often it was right.

use std::collections::HashSet;
use std::sync::Arc;

use reasonedit_codebook::{
    Codebook, CodebookConfig, CodebookName, EditRecord, Embedding, Generation, GenerationId, Member,
    MemoryStore, MergeConfig, RetrievalParams, Seeds,
};
use reasonedit_editor::EditorError;
use reasonedit_imaging::PixelRules;
use reasonedit_topology::TapKey;

use crate::{AMONG, Difference, HitCounts, HitRateCell, HitRateError, HitShare, KindHits, QuestionKind};

/// Entries among which mean distances are taken: enough for two digits.
const MOST_ROWS: usize = 400;

/// Edits and questions with their embedded halves.
#[derive(Default)]
pub(super) struct Scene {
    /// Records with their members, whose keys and radii are the editor's and not used.
    pub(super) edits: Vec<(EditRecord, Vec<Member>)>,
    /// Halves of every member, edit by edit.
    pub(super) entries: Vec<Halves>,
    /// What should find the edits.
    pub(super) questions: Vec<Question>,
    /// Text halves, λ not applied.
    pub(super) texts: Vec<Vec<f32>>,
}

/// What a key is joined from.
pub(super) struct Halves {
    /// The picture half of every tap, in the order of the taps.
    pub(super) pictures: Vec<Vec<f32>>,
    /// Index into [`Scene::texts`].
    pub(super) text: usize,
}

/// A question that should find an edit.
pub(super) struct Question {
    /// Index into [`Scene::edits`].
    pub(super) edit: usize,
    pub(super) kind: QuestionKind,
    pub(super) halves: Halves,
}

/// What the codebook in memory is made with besides tap and weight.
pub(super) struct Layout<'a> {
    pub(super) model: &'a str,
    pub(super) encoder: &'a str,
    pub(super) config: CodebookConfig,
}

/// What one question found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The first sentence is one of the right edit's.
    pub(super) first: bool,
    /// One of the first keys holds one.
    pub(super) among: bool,
}

impl Scene {
    /// `[picture half ; λ · text half]`.
    pub(super) fn key(&self, halves: &Halves, tap: usize, weight: f64) -> Vec<f32> {
        let text = self.texts[halves.text].iter().map(|x| x * weight as f32);
        halves.pictures[tap].iter().copied().chain(text).collect()
    }

    /// Picture halves of the entries under one tap.
    pub(super) fn entry_halves(&self, tap: usize) -> Vec<&[f32]> {
        self.entries.iter().map(|halves| halves.pictures[tap].as_slice()).collect()
    }

    /// Text halves of the entries.
    pub(super) fn entry_texts(&self) -> Vec<&[f32]> {
        self.entries.iter().map(|halves| self.texts[halves.text].as_slice()).collect()
    }

    /// The sentences of each edit.
    fn sentences(&self) -> Vec<HashSet<&str>> {
        self.edits
            .iter()
            .map(|(_, members)| members.iter().map(|member| member.sentence.as_str()).collect())
            .collect()
    }
}

/// Asks every question of a codebook whose keys are made with this tap and weight. Keys are not merged, since
/// radii belong to one embedding; the gate is left out, since what is asked is which key comes first.
pub(super) fn retrieve(
    scene: &Scene,
    at: usize,
    tap: &TapKey,
    weight: f64,
    layout: &Layout<'_>,
) -> Result<Vec<Outcome>, HitRateError> {
    let first = scene.entries.first();
    let embedding = Embedding {
        id: GenerationId::from_bytes([0; 16]),
        model_fingerprint: layout.model.to_owned(),
        tap: tap.tap.clone(),
        pooling: tap.pooling.name().to_owned(),
        lambda: weight,
        encoder_fingerprint: layout.encoder.to_owned(),
        vision_dim: first.map_or(0, |halves| halves.pictures[at].len()) as u32,
        sentence_dim: first.map_or(0, |halves| scene.texts[halves.text].len()) as u32,
        pixels: PixelRules::CURRENT,
        seeds: Seeds::CURRENT,
    };
    let generation = Generation { embedding, chosen: true };
    let config =
        CodebookConfig { merge: MergeConfig { enabled: false, ..layout.config.merge }, ..layout.config };
    let store = Arc::new(MemoryStore::new());
    let book = Codebook::open(store, CodebookName::default(), Arc::new(config)).map_err(EditorError::from)?;
    let mut entries = scene.entries.iter();
    for (record, members) in &scene.edits {
        let record = EditRecord { embedding: generation.embedding.id, ..record.clone() };
        let members = members.iter().zip(&mut entries).map(|(member, halves)| Member {
            key: scene.key(halves, at, weight),
            radius: 0.0,
            ..member.clone()
        });
        book.apply(record, members.collect(), &generation).map_err(EditorError::from)?;
    }
    let snapshot = book.snapshot();
    let params = RetrievalParams { k: AMONG, gate: false, ..config.retrieval };
    let right = scene.sentences();
    let ask = |question: &Question| {
        let key = scene.key(&question.halves, at, weight);
        let found = snapshot.retrieve(&key, &params).map_err(EditorError::from)?;
        let is_right = |sentence: &str| right[question.edit].contains(sentence);
        Ok(Outcome {
            first: found.facts.first().is_some_and(|fact| is_right(&fact.value)),
            among: found.facts.iter().any(|fact| fact.rank <= AMONG && is_right(&fact.value)),
        })
    };
    scene.questions.iter().map(ask).collect()
}

/// The hit rates of one tap and weight.
pub(super) fn cell(scene: &Scene, tap: usize, weight: f64, found: &[Outcome]) -> HitRateCell {
    let hits = |wanted: &dyn Fn(QuestionKind) -> bool| HitCounts {
        first: share(&tally(scene, found, wanted, |outcome| outcome.first)),
        among: share(&tally(scene, found, wanted, |outcome| outcome.among)),
    };
    let of_kind = |kind| KindHits { kind, hits: hits(&|other| other == kind) };
    HitRateCell {
        tap,
        weight,
        kinds: QuestionKind::ALL.into_iter().map(of_kind).collect(),
        other: hits(&|kind| kind != QuestionKind::Edited),
    }
}

/// Every cell before every later one.
pub(super) fn differences(scene: &Scene, cells: &[Vec<Outcome>]) -> Vec<Difference> {
    let tally =
        |cell: &[Outcome]| tally(scene, cell, &|kind| kind != QuestionKind::Edited, |outcome| outcome.first);
    let tallies: Vec<_> = cells.iter().map(|cell| tally(cell)).collect();
    let mut differences = Vec::new();
    for (first, own) in tallies.iter().enumerate() {
        for (second, other) in tallies.iter().enumerate().skip(first + 1) {
            let by_edit: Vec<Tally> =
                own.iter().zip(other).map(|(a, b)| Tally { sum: a.sum - b.sum, n: a.n }).collect();
            let HitShare { value, standard_error, .. } = share(&by_edit);
            differences.push(Difference { first, second, value, standard_error });
        }
    }
    differences
}

/// What the questions about one edit came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// Hits, or a difference of hits.
    pub(super) sum: f64,
    /// Questions.
    pub(super) n: usize,
}

fn tally(
    scene: &Scene,
    found: &[Outcome],
    wanted: &dyn Fn(QuestionKind) -> bool,
    hit: fn(&Outcome) -> bool,
) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); scene.edits.len()];
    for (question, outcome) in scene.questions.iter().zip(found) {
        if wanted(question.kind) {
            let tally = &mut tallies[question.edit];
            tally.sum += f64::from(u8::from(hit(outcome)));
            tally.n += 1;
        }
    }
    tallies
}

/// The share over all questions and its standard error over edits: that of a ratio of sums, √(m/(m−1) · Σ(hᵢ
/// − p·nᵢ)²) / n.
pub(super) fn share(tallies: &[Tally]) -> HitShare {
    let n: usize = tallies.iter().map(|tally| tally.n).sum();
    if n == 0 {
        return HitShare::default();
    }
    let value = tallies.iter().map(|tally| tally.sum).sum::<f64>() / n as f64;
    let edits = tallies.iter().filter(|tally| tally.n > 0).count() as f64;
    let squares: f64 = tallies.iter().map(|tally| (tally.sum - value * tally.n as f64).powi(2)).sum();
    let standard_error = if edits > 1.0 { (edits / (edits - 1.0) * squares).sqrt() / n as f64 } else { 0.0 };
    HitShare { value, standard_error, n }
}

/// Share of keys that hold a sentence of the right edit, over all questions but the edited ones.
pub(super) fn chance(scene: &Scene) -> f64 {
    let keys: Vec<&str> =
        scene.edits.iter().flat_map(|(_, members)| members).map(|member| member.sentence.as_str()).collect();
    let holding: Vec<usize> = scene
        .sentences()
        .iter()
        .map(|right| keys.iter().filter(|sentence| right.contains(*sentence)).count())
        .collect();
    let asked = scene.questions.iter().filter(|question| question.kind != QuestionKind::Edited);
    let (sum, n) = asked.fold((0, 0), |(sum, n), question| (sum + holding[question.edit], n + 1));
    if n == 0 || keys.is_empty() { 0.0 } else { sum as f64 / n as f64 / keys.len() as f64 }
}

/// Mean Euclidean distance over pairs of rows; of many rows, over pairs of some of them. 0 for fewer than
/// two.
pub(super) fn mean_distance(rows: &[&[f32]]) -> f64 {
    let stride = rows.len().div_ceil(MOST_ROWS).max(1);
    let rows: Vec<&[f32]> = rows.iter().step_by(stride).copied().collect();
    let (mut sum, mut pairs) = (0.0, 0usize);
    for (at, a) in rows.iter().enumerate() {
        for b in &rows[at + 1..] {
            let square: f64 = a.iter().zip(*b).map(|(x, y)| f64::from(x - y).powi(2)).sum();
            sum += square.sqrt();
            pairs += 1;
        }
    }
    if pairs == 0 { 0.0 } else { sum / pairs as f64 }
}
