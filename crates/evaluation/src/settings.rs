//! Settings of an editor as named numbers: what a tuning varies.

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What stands behind an editor's name and before a label of its settings.
const LABEL: char = '@';
/// The label of settings as they were published.
pub(crate) const PUBLISHED: &str = "published";

/// The name that an editor has with settings under a label: `ft@published`.
pub(crate) fn labelled(name: &str, label: &str) -> String {
    format!("{name}{LABEL}{label}")
}

/// An editor's name without a label.
pub(crate) fn unlabelled(name: &str) -> &str {
    name.split_once(LABEL).map_or(name, |(name, _)| name)
}

/// Whether a name is that of a tuning's trial, whose labels are numbers.
pub(crate) fn is_trial(name: &str) -> bool {
    name.split_once(LABEL).is_some_and(|(_, label)| label.parse::<usize>().is_ok())
}

/// Settings by name: a JSON object of numbers. What is not named has the editor's own default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EditorSettings(BTreeMap<String, f64>);

impl EditorSettings {
    /// These settings.
    pub fn new<'a>(named: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        Self(named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The setting of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The setting of this name, or what it is by default.
    pub fn or(&self, name: &str, default: f64) -> f64 {
        self.get(name).unwrap_or(default)
    }

    /// The same as a number of things: layers, steps.
    pub fn count_or(&self, name: &str, default: usize) -> usize {
        // Below 0 it is 0, and a fraction is left out.
        self.get(name).map_or(default, |value| value.round() as usize)
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// These, and where they don't say it, what `others` say.
    #[must_use]
    pub fn over(mut self, others: &Self) -> Self {
        for (name, value) in &others.0 {
            self.0.entry(name.clone()).or_insert(*value);
        }
        self
    }

    /// In words: `learning_rate 0.001, steps 100`.
    pub fn describe(&self) -> String {
        let said: Vec<String> = self.iter().map(|(name, value)| format!("{name} {value}")).collect();
        said.join(", ")
    }
}

/// What of an editor can be tuned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TuningSpace {
    /// Its settings as they were published.
    pub published: EditorSettings,
    /// Each setting with the values that are tried.
    pub grid: Vec<(String, Vec<f64>)>,
}

impl TuningSpace {
    /// The settings of so many trials, fewer where there are fewer: those published first, then points of the
    /// grid, each once, in an order that the seed decides.
    pub fn trials(&self, budget: usize, seed: u64) -> Vec<EditorSettings> {
        let mut points = vec![EditorSettings::default()];
        for (name, values) in &self.grid {
            points = points
                .iter()
                .flat_map(|point| {
                    values.iter().map(|value| {
                        let mut longer = point.clone();
                        longer.0.insert(name.clone(), *value);
                        longer
                    })
                })
                .collect();
        }
        // What the grid doesn't vary stays as published.
        let points: Vec<EditorSettings> =
            points.into_iter().map(|point| point.over(&self.published)).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut chosen: Vec<EditorSettings> =
            Some(self.published.clone()).filter(|published| !published.is_empty()).into_iter().collect();
        for at in rand::seq::index::sample(&mut rng, points.len(), points.len()) {
            if chosen.len() >= budget {
                break;
            }
            if !chosen.contains(&points[at]) {
                chosen.push(points[at].clone());
            }
        }
        chosen.truncate(budget);
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_begin_with_what_was_published_and_are_each_another() {
        let space = TuningSpace {
            published: EditorSettings::new([("steps", 100.0), ("rate", 0.1), ("decay", 0.0)]),
            grid: vec![("steps".into(), vec![100.0, 500.0]), ("rate".into(), vec![0.1, 0.01, 0.001])],
        };
        let trials = space.trials(4, 7);
        assert_eq!((trials.len(), &trials[0]), (4, &space.published));
        assert_eq!(trials, space.trials(4, 7));
        assert_ne!(trials, space.trials(4, 8));
        // The published one is a point of the grid: it is tried once.
        let all = space.trials(100, 7);
        assert_eq!(all.len(), 6);
        assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)));
        assert!(all.iter().all(|trial| trial.get("decay") == Some(0.0)));
        assert_eq!(TuningSpace::default().trials(3, 0), [EditorSettings::default()]);
        assert!(space.trials(0, 7).is_empty());
    }

    #[test]
    fn settings_are_an_object_of_numbers_and_what_is_not_said_is_the_default() {
        let settings: EditorSettings = serde_json::from_str(r#"{"steps": 120, "rate": 0.5}"#).unwrap();
        assert_eq!((settings.count_or("steps", 1), settings.or("rate", 1.0)), (120, 0.5));
        assert_eq!((settings.count_or("layer", 3), settings.get("layer")), (3, None));
        assert_eq!(settings.describe(), "rate 0.5, steps 120");
        assert!(serde_json::from_str::<EditorSettings>(r#"{"steps": "many"}"#).is_err());
    }
}
