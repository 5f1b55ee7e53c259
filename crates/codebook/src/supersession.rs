//! What edits are about: a picture and a question. Of edits about the same that give different answers the
//! newest stands, the others are superseded until it is reverted. Everything here follows from the records of
//! the live edits, in whatever order they came.

use std::collections::BTreeSet;

use reasonedit_text::canonical;

use crate::ids::{EditId, ImageId};
use crate::records::EditRecord;
use crate::sorted::SortedMap;

/// Hash of a text in the form that texts are compared in.
type Digest = [u8; 32];

/// A picture and a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Topic {
    image: ImageId,
    question: Digest,
}

/// An edit under what it is about; of one topic the newest is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    topic: Topic,
    /// When it was made, in nanoseconds since 1970.
    at: i128,
    edit: EditId,
}

impl Claim {
    fn of(record: &EditRecord) -> Self {
        Self {
            topic: Topic { image: record.image.id, question: digest(&record.question) },
            at: record.created_at.unix_timestamp_nanos(),
            edit: record.id,
        }
    }
}

/// See the module's description. Copies share structure.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supersession {
    /// Every live edit with its answer.
    claims: SortedMap<Claim, Digest>,
    /// The superseded ones, each with the edit that stands in its place.
    superseded: SortedMap<EditId, EditId>,
}

impl Supersession {
    /// Adds edits.
    pub(crate) fn insert<'r>(&mut self, records: impl IntoIterator<Item = &'r EditRecord>) {
        let mut touched = BTreeSet::new();
        for record in records {
            let claim = Claim::of(record);
            self.claims.insert(claim, digest(&record.answer));
            touched.insert(claim.topic);
        }
        for topic in touched {
            self.settle(topic);
        }
    }

    /// Takes an edit out.
    pub(crate) fn remove(&mut self, record: &EditRecord) {
        let claim = Claim::of(record);
        self.claims.remove(&claim);
        self.superseded.remove(&claim.edit);
        self.settle(claim.topic);
    }

    /// Whether every edit stands.
    pub(crate) fn all_stand(&self) -> bool {
        self.superseded.is_empty()
    }

    /// The edit whose answer stands in the place of this one's; `None` where its own does.
    pub(crate) fn superseded_by(&self, edit: EditId) -> Option<EditId> {
        self.superseded.get(&edit).copied()
    }

    /// Edits about the same as this one that are older and give another answer, newest first.
    pub(crate) fn conflicts(&self, record: &EditRecord) -> Vec<EditId> {
        let (own, answer) = (Claim::of(record), digest(&record.answer));
        let older = self.about(own.topic).take_while(|(claim, _)| **claim < own);
        let mut conflicts: Vec<EditId> =
            older.filter(|(_, theirs)| **theirs != answer).map(|(claim, _)| claim.edit).collect();
        conflicts.reverse();
        conflicts
    }

    /// The edits about this, oldest first.
    fn about(&self, topic: Topic) -> impl Iterator<Item = (&Claim, &Digest)> {
        let first = Claim { topic, at: i128::MIN, edit: EditId::from_bytes([0; 16]) };
        self.claims.from(&first).take_while(move |(claim, _)| claim.topic == topic)
    }

    /// Finds out which edits about this stand.
    fn settle(&mut self, topic: Topic) {
        let about: Vec<(EditId, Digest)> =
            self.about(topic).map(|(claim, answer)| (claim.edit, *answer)).collect();
        let Some((newest, answer)) = about.last().copied() else { return };
        for (edit, theirs) in about {
            if theirs == answer {
                self.superseded.remove(&edit);
            } else {
                self.superseded.insert(edit, newest);
            }
        }
    }
}

fn digest(text: &str) -> Digest {
    *blake3::hash(canonical(text).as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests;
