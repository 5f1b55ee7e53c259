//! GRACE's codebook: keys with deferral radii that grow and split (Hartvigsen et al. 2023, section 3.2,
//! algorithm 1).

use serde::{Deserialize, Serialize};

/// What a split leaves between two radii, as a share of the distance of their keys: no state is within both.
const GAP: f32 = 1e-5;

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The state that enters the layer.
    #[serde(with = "bits")]
    pub(super) key: Vec<f32>,
    /// What leaves it instead.
    #[serde(with = "bits")]
    pub(super) value: Vec<f32>,
    /// Deferral radius ε, Euclidean.
    pub(super) radius: f32,
    /// The answer that the value was learned for.
    pub(super) label: String,
    /// The edit that it is from.
    pub(super) edit: usize,
}

/// All entries, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct GraceCodebook {
    entries: Vec<Entry>,
}

/// What a new edit does to the codebook.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Placing {
    /// A new entry with this radius; another's radius becomes smaller.
    Add { radius: f32, shrinks: Option<(usize, f32)> },
    /// An entry of the same answer is near enough: its radius takes the new key in.
    Expand { at: usize, radius: f32 },
}

impl GraceCodebook {
    /// Where an edit with this key and answer belongs; `share` of the key's length is `ε_init`.
    pub(super) fn place(&self, key: &[f32], label: &str, share: f32) -> Placing {
        let initial = share * key.iter().map(|x| x * x).sum::<f32>().sqrt();
        let alone = Placing::Add { radius: initial, shrinks: None };
        let Some((at, distance)) = self.nearest(key) else { return alone };
        let entry = &self.entries[at];
        if distance > initial + entry.radius {
            alone
        } else if entry.label == label {
            Placing::Expand { at, radius: entry.radius.max(distance) }
        } else {
            let half = distance / 2.0 * (1.0 - GAP);
            Placing::Add { radius: half, shrinks: Some((at, half.min(entry.radius))) }
        }
    }

    /// Does what [`Self::place`] said. An expansion needs nothing of `entry`.
    pub(super) fn put(&mut self, placing: &Placing, entry: Entry) {
        match *placing {
            Placing::Add { radius, shrinks } => {
                if let Some((at, smaller)) = shrinks {
                    self.entries[at].radius = smaller;
                }
                self.entries.push(Entry { radius, ..entry });
            }
            Placing::Expand { at, radius } => self.entries[at].radius = radius,
        }
    }

    /// What [`Self::back_to`] goes back to: the radii.
    pub(super) fn mark(&self) -> Vec<f32> {
        self.entries.iter().map(|entry| entry.radius).collect()
    }

    /// As it was when it was marked.
    pub(super) fn back_to(&mut self, mark: &[f32]) {
        self.entries.truncate(mark.len());
        for (entry, radius) in self.entries.iter_mut().zip(mark) {
            entry.radius = *radius;
        }
    }

    /// The nearest entry, if the state is within its radius.
    pub(super) fn lookup(&self, key: &[f32]) -> Option<&Entry> {
        let (at, distance) = self.nearest(key)?;
        self.entries.get(at).filter(|entry| distance <= entry.radius)
    }

    /// Bytes of keys, values, radii and answers.
    pub(super) fn bytes(&self) -> u64 {
        let floats = |entry: &Entry| (entry.key.len() + entry.value.len() + 1) * size_of::<f32>();
        self.entries.iter().map(|entry| (floats(entry) + entry.label.len()) as u64).sum()
    }

    /// The nearest key and its distance; the earlier of equals.
    fn nearest(&self, key: &[f32]) -> Option<(usize, f32)> {
        let distance =
            |entry: &Entry| entry.key.iter().zip(key).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        self.entries.iter().map(distance).enumerate().min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Numbers to the last bit, whatever JSON makes of fractions.
mod bits {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(numbers: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(numbers.iter().map(|x| x.to_bits()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        Ok(Vec::<u32>::deserialize(deserializer)?.into_iter().map(f32::from_bits).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(key: &[f32], label: &str, edit: usize) -> Entry {
        Entry { key: key.to_vec(), value: vec![edit as f32], radius: 0.0, label: label.into(), edit }
    }

    fn put(codebook: &mut GraceCodebook, key: &[f32], label: &str, edit: usize) {
        let placing = codebook.place(key, label, 0.1);
        codebook.put(&placing, entry(key, label, edit));
    }

    #[test]
    fn far_keys_stand_alone() {
        let mut codebook = GraceCodebook::default();
        assert_eq!(codebook.lookup(&[10.0, 0.0]), None);
        put(&mut codebook, &[10.0, 0.0], "red", 0);
        put(&mut codebook, &[0.0, 20.0], "blue", 1);
        assert_eq!(codebook.lookup(&[10.9, 0.0]).unwrap().edit, 0);
        assert_eq!(codebook.lookup(&[0.0, 21.9]).unwrap().edit, 1);
        // Beyond 0.1 of the key's length.
        assert_eq!(codebook.lookup(&[11.1, 0.0]), None);
    }

    #[test]
    fn equal_answers_expand() {
        let mut codebook = GraceCodebook::default();
        put(&mut codebook, &[10.0, 0.0], "red", 0);
        put(&mut codebook, &[11.5, 0.0], "red", 1);
        assert_eq!(codebook.entries.len(), 1);
        assert_eq!(codebook.entries[0].radius, 1.5);
        assert_eq!(codebook.lookup(&[8.6, 0.0]).unwrap().edit, 0);
        // What is within the radius already leaves it as it is.
        put(&mut codebook, &[10.5, 0.0], "red", 2);
        assert_eq!((codebook.entries.len(), codebook.entries[0].radius), (1, 1.5));
    }

    #[test]
    fn different_answers_split() {
        let mut codebook = GraceCodebook::default();
        put(&mut codebook, &[10.0, 0.0], "red", 0);
        put(&mut codebook, &[11.0, 0.0], "blue", 1);
        assert_eq!(codebook.lookup(&[10.4, 0.0]).unwrap().label, "red");
        assert_eq!(codebook.lookup(&[10.6, 0.0]).unwrap().label, "blue");
        // A radius that is smaller than half the distance doesn't grow by a split.
        put(&mut codebook, &[8.6, 0.0], "green", 2);
        assert!((codebook.entries[0].radius - 0.5).abs() < 1e-4);
    }

    proptest! {
        /// Whatever came before, the state of an edit that was added is answered with that edit until a
        /// nearer one comes.
        #[test]
        fn what_was_just_added_is_found(keys in proptest::collection::vec((-9f32..9.0, -9f32..9.0, 0u8..3), 1..30)) {
            let mut codebook = GraceCodebook::default();
            for (edit, (x, y, label)) in keys.into_iter().enumerate() {
                let (key, label) = ([x, y], label.to_string());
                // The very same state with another answer can't be told apart: a radius of 0 on both.
                let placing = codebook.place(&key, &label, 0.1);
                let apart = !matches!(placing, Placing::Add { radius, .. } if radius == 0.0);
                codebook.put(&placing, entry(&key, &label, edit));
                let found = codebook.lookup(&key);
                prop_assert!(!apart || found.is_some_and(|found| found.label == label));
                prop_assert!(codebook.entries.iter().all(|entry| entry.radius >= 0.0));
            }
        }
    }
}
