//! One scene's training episode: a few views, and rows of questions about each.

use reasonedit_imaging::PixelBox;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use crate::WorldError;
use crate::context::{Context, loose_facts_context, service_context};
use crate::perception::{Branch, default_branch, perception_branch};
use crate::random::{Random, RandomExt, stream};
use crate::render::render;
use crate::scene::{Scene, Traits};
use crate::view::{View, ViewPixels, free_cut, grid_cut, pixels};
use crate::vocabulary::Split;

/// Rows made for each view.
pub const ROWS_PER_VIEW: usize = 3;
/// Words a row holds at least before it is closed.
const ROW_WORDS: usize = 118;

/// A context (perhaps empty) with its questions.
#[derive(Clone, Debug, Serialize)]
pub struct ContextTree {
    /// Text put before each question.
    #[serde(rename = "c")]
    pub context: String,
    /// Questions.
    #[serde(rename = "q", serialize_with = "as_triples")]
    pub branches: Vec<Branch>,
}

fn as_triples<S: Serializer>(branches: &[Branch], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(branches.len()))?;
    for branch in branches {
        list.serialize_element(&(&branch.question, &branch.answer, &branch.tag))?;
    }
    list.end()
}

/// One training row: all trees share the picture.
pub type TrainingRow = Vec<ContextTree>;

/// A view with its rows.
#[derive(Clone, Debug)]
pub struct EpisodeView {
    /// Pixels and labels.
    pub pixels: ViewPixels,
    /// Whether it is the whole picture.
    pub whole: bool,
    /// Its rows.
    pub rows: Vec<TrainingRow>,
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn size(branch: &Branch) -> usize {
    // One more for the turn markers around a reply.
    words(&branch.question) + words(&branch.answer) + 1
}

/// A row about a view: contexts first (a share `knowledge` of the rows has any), then questions without
/// context.
fn row(view: &View, knowledge: f64, split: Split, rng: &mut Random) -> TrainingRow {
    let mut row = TrainingRow::new();
    let mut used = 0;
    if rng.chance(knowledge) {
        while used < 60 {
            let context = if rng.chance(0.66) {
                service_context(view, split, rng).or_else(|| loose_facts_context(view, split, rng))
            } else {
                loose_facts_context(view, split, rng)
            };
            let Some(Context { text, branches }) = context else { break };
            used += words(&text) + branches.iter().map(size).sum::<usize>();
            row.push(ContextTree { context: text, branches });
            if rng.chance(0.25) {
                break;
            }
        }
    }
    let mut plain = Vec::new();
    let mut tries = 0;
    while used < ROW_WORDS && tries < 24 {
        tries += 1;
        let branch = if rng.chance(0.2) {
            default_branch(view, split, rng)
        } else {
            perception_branch(view, split, rng)
        };
        let Some(branch) = branch else { continue };
        if plain.iter().any(|other: &Branch| other.question == branch.question) {
            continue;
        }
        used += size(&branch);
        plain.push(branch);
    }
    if !plain.is_empty() {
        row.push(ContextTree { context: String::new(), branches: plain });
    }
    row
}

/// The cuts of a scene: mostly those of evidence search.
fn cut(scene: &Scene, rng: &mut Random) -> PixelBox {
    if rng.chance(0.6) { grid_cut(scene, rng) } else { free_cut(scene, rng) }
}

/// The episode of a seed: the whole picture and `cuts` cuts of it. Views that need too many cells are left
/// out.
///
/// # Errors
/// [`WorldError`] if the scene cannot be drawn or cut, which does not happen for the scenes made here.
pub fn episode(seed: u64, cuts: usize) -> Result<Vec<EpisodeView>, WorldError> {
    let split = Split::of_seed(seed);
    let mut rng = stream(seed, "episode", 0);
    let scene = Scene::random(&mut rng);
    let picture = render(&scene)?;
    let traits: Vec<Traits> = scene.objects.iter().map(|object| object.traits).collect();
    let all = PixelBox { x: 0, y: 0, width: scene.width, height: scene.height };
    let mut found = Vec::with_capacity(1 + cuts);
    for index in 0..=cuts {
        let whole = index == 0;
        let bounds = if whole { all } else { cut(&scene, &mut rng) };
        let low_resolution = rng.chance(if whole { 0.1 } else { 0.2 }).then(|| 112 + rng.below(80) as u32);
        let view = if whole { View::whole(&traits) } else { View::cut(&scene, &picture, bounds) };
        let Some(pixels) = pixels(&scene, &picture, bounds, low_resolution)? else { continue };
        let knowledge = if whole { 0.92 } else { 0.35 };
        let rows = (0..ROWS_PER_VIEW).map(|_| row(&view, knowledge, split, &mut rng)).collect();
        found.push(EpisodeView { pixels, whole, rows });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{MAX_CELLS, VIEW_BYTES};

    #[test]
    fn the_same_seed_gives_the_same_episode() {
        let text = |seed: u64| {
            let views = episode(seed, 2).unwrap();
            views
                .iter()
                .map(|view| (view.pixels.clone(), serde_json::to_string(&view.rows).unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(text(41), text(41));
        assert_ne!(text(41), text(42));
    }

    #[test]
    fn every_view_has_rows_of_a_useful_length() {
        let mut lengths = Vec::new();
        for seed in 0..60 {
            for view in episode(seed, 2).unwrap() {
                assert_eq!(view.rows.len(), ROWS_PER_VIEW);
                assert_eq!(view.pixels.bytes.len(), VIEW_BYTES);
                assert!(usize::from(view.pixels.grid[0]) * usize::from(view.pixels.grid[1]) <= MAX_CELLS);
                for row in &view.rows {
                    assert!(!row.is_empty() && row.iter().all(|tree| !tree.branches.is_empty()));
                    let tree_words = |tree: &ContextTree| {
                        words(&tree.context) + tree.branches.iter().map(size).sum::<usize>()
                    };
                    lengths.push(row.iter().map(tree_words).sum::<usize>());
                }
            }
        }
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        assert!((100.0..160.0).contains(&mean), "{mean}");
        assert!(lengths.iter().all(|length| *length < 260));
    }

    #[test]
    fn rows_serialise_as_the_trainer_reads_them() {
        let tree = ContextTree { context: "A.".to_owned(), branches: vec![Branch::new("Q?", "a", "tag")] };
        assert_eq!(serde_json::to_string(&tree).unwrap(), r#"{"c":"A.","q":[["Q?","a","tag"]]}"#);
    }
}
