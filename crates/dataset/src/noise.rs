//! Noise in the reasoning: statements replaced by, or joined by, facts that have nothing to do with the
//! picture (method section 7).

use std::collections::HashSet;

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reasonedit_editor::{StatementInput, plain_facts};
use serde::{Deserialize, Serialize};

/// What becomes of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseKind {
    /// A fact stands in the place of a statement.
    Replace,
    /// A fact stands beside the statements.
    Add,
}

impl NoiseKind {
    /// As it is named in options, passes and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Add => "add",
        }
    }
}

/// Puts noise into the reasoning of all edits: facts for `percent` of the statements, counted over all edits
/// together, so that the share is exact although an edit has only a few. No edit gets the same fact twice.
/// The same seed gives the same noise.
pub fn disturb(edits: &mut [Vec<StatementInput>], kind: NoiseKind, percent: u32, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(percent) * 2 + u64::from(kind == NoiseKind::Add));
    let mut places: Vec<(usize, usize)> = edits
        .iter()
        .enumerate()
        .flat_map(|(edit, reasoning)| (0..reasoning.len()).map(move |statement| (edit, statement)))
        .collect();
    places.shuffle(&mut rng);
    let count = (places.len() as f64 * f64::from(percent) / 100.0).round() as usize;
    let facts: Vec<&str> = plain_facts().collect();
    let mut used: HashSet<(usize, usize)> = HashSet::new();
    for (edit, statement) in places.into_iter().take(count) {
        let fact = loop {
            let fact = rng.random_range(0..facts.len());
            // There are more facts than an edit has statements, so that one is found.
            if used.insert((edit, fact)) {
                break facts[fact];
            }
        };
        let fact = StatementInput { statement: fact.to_owned(), evidence: Vec::new() };
        match kind {
            NoiseKind::Replace => edits[edit][statement] = fact,
            NoiseKind::Add => {
                let at = rng.random_range(0..=edits[edit].len());
                edits[edit].insert(at, fact);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits() -> Vec<Vec<StatementInput>> {
        let statement = |text: String| StatementInput { statement: text, evidence: Vec::new() };
        (0..20).map(|edit| (0..3).map(|s| statement(format!("S{edit}.{s}"))).collect()).collect()
    }

    #[test]
    fn the_share_is_exact_and_the_rest_stays() {
        let facts: HashSet<&str> = plain_facts().collect();
        let noisy = |edits: &[Vec<StatementInput>]| {
            edits.iter().flatten().filter(|s| facts.contains(s.statement.as_str())).count()
        };
        for (percent, expected) in [(0, 0), (10, 6), (30, 18), (50, 30)] {
            let mut replaced = edits();
            disturb(&mut replaced, NoiseKind::Replace, percent, 1);
            assert_eq!((noisy(&replaced), replaced.iter().flatten().count()), (expected, 60));
            let mut added = edits();
            disturb(&mut added, NoiseKind::Add, percent, 1);
            assert_eq!((noisy(&added), added.iter().flatten().count()), (expected, 60 + expected));
            // What was said is still said, in its order.
            for (before, mut after) in edits().into_iter().zip(added) {
                after.retain(|s| !facts.contains(s.statement.as_str()));
                assert_eq!(before, after);
            }
        }
    }

    #[test]
    fn the_seed_decides() {
        let with = |seed| {
            let mut all = edits();
            disturb(&mut all, NoiseKind::Replace, 30, seed);
            all
        };
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
    }
}
