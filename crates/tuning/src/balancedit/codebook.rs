//! Keys with radii, and which copy of the weights stands at each.

use serde::{Deserialize, Serialize};

/// What a split leaves between two radii: no key lies within both.
const GAP: f64 = 1e-5;

/// An entry: the same reply to one or several edits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) key: Vec<f32>,
    /// Euclidean.
    pub(super) radius: f32,
    /// What its weights were tuned to say.
    pub(super) reply: String,
    /// Edits by number.
    pub(super) edits: Vec<usize>,
    /// Names its weights in the store.
    pub(super) weights: u64,
}

/// All entries, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Codebook {
    entries: Vec<Entry>,
}

/// Where an edit belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Placing {
    /// An entry of its own with this radius; another's radius becomes smaller.
    Add { radius: f32, shrinks: Option<(usize, f32)> },
    /// The edit lies within an entry of the same reply, whose weights are tuned on.
    Share { at: usize },
}

impl Codebook {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where an edit belongs that would have this radius if it were alone.
    pub(super) fn place(&self, key: &[f32], reply: &str, radius: f32, split: bool) -> Placing {
        let alone = Placing::Add { radius, shrinks: None };
        let Some((at, distance)) = self.nearest(key) else { return alone };
        let entry = &self.entries[at];
        if distance > f64::from(entry.radius) {
            alone
        } else if entry.reply == reply {
            Placing::Share { at }
        } else if split {
            let half = (distance / 2.0 * (1.0 - GAP)) as f32;
            Placing::Add { radius: radius.min(half), shrinks: Some((at, entry.radius.min(half))) }
        } else {
            alone
        }
    }

    /// Does what [`Self::place`] said; returns the name of weights that no entry has any more.
    pub(super) fn put(&mut self, placing: &Placing, entry: Entry) -> Option<u64> {
        match *placing {
            Placing::Add { radius, shrinks } => {
                if let Some((at, smaller)) = shrinks {
                    self.entries[at].radius = smaller;
                }
                self.entries.push(Entry { radius, ..entry });
                None
            }
            Placing::Share { at } => {
                let shared = &mut self.entries[at];
                shared.edits.extend(entry.edits);
                Some(std::mem::replace(&mut shared.weights, entry.weights))
            }
        }
    }

    /// The nearest entry, if the key is within its radius.
    pub(super) fn lookup(&self, key: &[f32]) -> Option<&Entry> {
        let (at, distance) = self.nearest(key)?;
        self.entries.get(at).filter(|entry| distance <= f64::from(entry.radius))
    }

    /// Bytes of keys, radii and replies.
    pub(super) fn bytes(&self) -> u64 {
        let of = |entry: &Entry| size_of_val(entry.key.as_slice()) + size_of::<f32>() + entry.reply.len();
        self.entries.iter().map(|entry| of(entry) as u64).sum()
    }

    /// The nearest key and its distance; the earlier of equals.
    fn nearest(&self, key: &[f32]) -> Option<(usize, f64)> {
        let distances = self.entries.iter().map(|entry| distance(&entry.key, key));
        distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Euclidean distance.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(codebook: &mut Codebook, key: [f32; 2], reply: &str, radius: f32, split: bool) -> Option<u64> {
        let number = codebook.entries.iter().map(|entry| entry.edits.len()).sum();
        let placing = codebook.place(&key, reply, radius, split);
        let (key, weights) = (key.to_vec(), number as u64);
        codebook.put(&placing, Entry { key, radius, reply: reply.into(), edits: vec![number], weights })
    }

    fn found(codebook: &Codebook, key: [f32; 2]) -> Option<&[usize]> {
        codebook.lookup(&key).map(|entry| entry.edits.as_slice())
    }

    #[test]
    fn the_nearest_entry_within_its_radius_is_found() {
        let mut codebook = Codebook::default();
        assert_eq!(found(&codebook, [0.0, 0.0]), None);
        put(&mut codebook, [0.0, 0.0], "red", 2.0, false);
        put(&mut codebook, [3.0, 0.0], "blue", 0.5, false);
        assert_eq!(found(&codebook, [0.0, 2.0]), Some(&[0][..]));
        assert_eq!(found(&codebook, [0.0, 2.1]), None);
        // The nearer one decides, though the other's radius reaches further.
        assert_eq!(found(&codebook, [1.6, 0.0]), None);
        assert_eq!(found(&codebook, [2.6, 0.0]), Some(&[1][..]));
    }

    #[test]
    fn an_edit_within_an_entry_of_its_reply_shares_it() {
        let mut codebook = Codebook::default();
        put(&mut codebook, [0.0, 0.0], "red", 2.0, true);
        assert_eq!(put(&mut codebook, [1.0, 0.0], "red", 5.0, true), Some(0), "weights of before");
        let [entry] = codebook.entries() else { panic!("{codebook:?}") };
        assert_eq!((entry.radius, entry.weights, entry.edits.as_slice()), (2.0, 1, &[0, 1][..]));
        put(&mut codebook, [9.0, 0.0], "red", 1.0, true);
        assert_eq!(codebook.entries().len(), 2);
    }

    #[test]
    fn radii_of_different_replies_are_split_where_that_is_asked_for() {
        for split in [true, false] {
            let mut codebook = Codebook::default();
            put(&mut codebook, [0.0, 0.0], "red", 2.0, split);
            put(&mut codebook, [1.0, 0.0], "blue", 3.0, split);
            let radii: Vec<f32> = codebook.entries().iter().map(|entry| entry.radius).collect();
            if split {
                assert!(radii.iter().all(|radius| *radius < 0.5 && *radius > 0.499), "{radii:?}");
            } else {
                assert_eq!(radii, [2.0, 3.0]);
            }
        }
    }
}
