//! See [`Standing`].

use std::collections::BTreeSet;
use std::sync::Arc;

use reasonedit_records::ids::{EditId, ImageId};
use reasonedit_records::records::{EditRecord, EvidenceSource};
use reasonedit_records::relations::OnConflict;
use reasonedit_records::sorted::SortedMap;
use reasonedit_text::canonical;

/// Hash of a text in the form that texts are compared in, or of a fact.
type Digest = [u8; 32];

/// A picture and a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Topic {
    image: ImageId,
    question: Digest,
}

/// Where an edit stands in the order of those that are about the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    /// Since when it answers as it does, in nanoseconds since 1970.
    at: i128,
    edit: EditId,
}

impl Moment {
    /// Before all others.
    fn first() -> Self {
        Self { at: i128::MIN, edit: EditId::from_bytes([0; 16]) }
    }
}

/// An edit under what it is about; of one topic the newest is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    topic: Topic,
    moment: Moment,
}

/// What an edit says, as far as it matters here.
#[derive(Debug)]
struct Said {
    answer: Digest,
    /// Everything: topic, answer, reasoning.
    fact: Digest,
    known_as: EditId,
    keeps_both: bool,
    shares_keys: bool,
}

/// An edit that is about the same as another.
struct Other<'a> {
    moment: Moment,
    said: &'a Said,
}

impl Claim {
    fn of(record: &EditRecord) -> Self {
        let topic = Topic { image: record.image.id, question: digest(&record.question) };
        let at = record.said_at().unix_timestamp_nanos();
        Self { topic, moment: Moment { at, edit: record.id } }
    }
}

impl Said {
    fn of(record: &EditRecord, topic: &Topic) -> Self {
        let answer = digest(&record.answer);
        let mut fact = blake3::Hasher::new();
        fact.update(&topic.image.0).update(&topic.question).update(&answer);
        for statement in &record.reasoning {
            fact.update(&digest(&statement.statement));
            // What the model found is no part of what the person said.
            for drawn in statement.evidence.iter().filter(|one| one.source == EvidenceSource::User) {
                let area = drawn.area;
                for number in [area.x, area.y, area.width, area.height] {
                    fact.update(&number.to_le_bytes());
                }
            }
        }
        Self {
            answer,
            fact: *fact.finalize().as_bytes(),
            known_as: record.known_as(),
            keeps_both: record.relations.on_conflict == OnConflict::KeepBoth,
            shares_keys: record.relations.shares_keys,
        }
    }
}

/// Which of the live edits stand, which of them say the same, and which are versions of one. Copies share
/// structure.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Every live edit.
    claims: SortedMap<Claim, Arc<Said>>,
    places: SortedMap<EditId, Claim>,
    /// Edits that are named to be superseded, each with the order of the one that names it, and what that is
    /// known as.
    named: SortedMap<(EditId, Moment), EditId>,
    /// Later versions: what they are known as, number and order.
    versions: SortedMap<(EditId, u32, Moment), ()>,
    /// The edits of each fact.
    facts: SortedMap<(Digest, Moment), ()>,
    /// The superseded ones, each with the edit that stands in its place.
    superseded: SortedMap<EditId, EditId>,
}

impl Standing {
    /// Adds edits. Returns those whose keys stood for a fact and don't any more, as an older one says the
    /// same; of the new ones [`Self::carries`] tells.
    pub fn insert<'r>(&mut self, records: impl IntoIterator<Item = &'r EditRecord>) -> Vec<EditId> {
        let (mut touched, mut displaced) = (BTreeSet::new(), Vec::new());
        for record in records {
            let claim = Claim::of(record);
            let said = Said::of(record, &claim.topic);
            let before = self.first_of(&said.fact);
            self.facts.insert((said.fact, claim.moment), ());
            let shares = |edit: &EditId| self.said(*edit).is_some_and(|said| said.shares_keys);
            displaced.extend(before.filter(|_| self.first_of(&said.fact) == Some(record.id)).filter(shares));
            for named in &record.relations.supersedes {
                self.named.insert((*named, claim.moment), said.known_as);
            }
            if let Some(version) = record.relations.version {
                self.versions.insert((version.of, version.number, claim.moment), ());
            }
            self.claims.insert(claim, Arc::new(said));
            self.places.insert(record.id, claim);
            touched.insert(claim.topic);
            touched.extend(self.topics_named_by(record));
        }
        for topic in touched {
            self.settle(topic);
        }
        displaced
    }

    /// Takes an edit out. Returns the one whose keys stand for its fact from now on, if its own did.
    pub fn remove(&mut self, record: &EditRecord) -> Option<EditId> {
        let claim = self.places.remove(&record.id)?;
        let said = self.claims.remove(&claim)?;
        let carried = self.first_of(&said.fact) == Some(record.id);
        self.facts.remove(&(said.fact, claim.moment));
        for named in &record.relations.supersedes {
            self.named.remove(&(*named, claim.moment));
        }
        if let Some(version) = record.relations.version {
            self.versions.remove(&(version.of, version.number, claim.moment));
        }
        self.superseded.remove(&record.id);
        self.settle(claim.topic);
        for topic in self.topics_named_by(record) {
            self.settle(topic);
        }
        let next = carried.then(|| self.first_of(&said.fact)).flatten();
        next.filter(|next| self.said(*next).is_some_and(|said| said.shares_keys))
    }

    /// The edit that stands in the place of this one; `None` where it stands itself.
    pub fn superseded_by(&self, edit: EditId) -> Option<EditId> {
        self.superseded.get(&edit).copied()
    }

    /// Whether every edit stands.
    pub fn all_stand(&self) -> bool {
        self.superseded.is_empty()
    }

    /// The first edit that stands of those that say the same as this one, as a rule itself; `None` if none
    /// does.
    pub fn speaker(&self, edit: EditId) -> Option<EditId> {
        if !self.superseded.contains(&edit) {
            return Some(edit);
        }
        let said = self.said(edit)?;
        let stands = |moment: &Moment| !self.superseded.contains(&moment.edit);
        self.saying(&said.fact).find(stands).map(|moment| moment.edit)
    }

    /// The edit whose keys stand for what this one says: the first of those that say the same, unless it has
    /// keys of its own.
    pub fn carrier(&self, edit: EditId) -> EditId {
        let said = self.said(edit).filter(|said| said.shares_keys);
        said.and_then(|said| self.first_of(&said.fact)).unwrap_or(edit)
    }

    /// Whether the keys of this edit are in the codebook, as no older one says the same.
    pub fn carries(&self, edit: EditId) -> bool {
        self.carrier(edit) == edit
    }

    /// The newest version of the edit that is known as this; `None` if none is live.
    pub fn newest_version(&self, known_as: EditId) -> Option<EditId> {
        let versions = self.versions.from(&(known_as, 0, Moment::first()));
        let newest = versions.take_while(|((of, ..), ())| *of == known_as).last();
        newest
            .map(|((.., moment), ())| moment.edit)
            .or_else(|| self.places.contains(&known_as).then_some(known_as))
    }

    /// The versions of the edit that is known as this, oldest first; those that are live.
    pub fn versions(&self, known_as: EditId) -> Vec<EditId> {
        let later = self.versions.from(&(known_as, 0, Moment::first()));
        let later = later.take_while(|((of, ..), ())| *of == known_as);
        let first = self.places.contains(&known_as).then_some(known_as);
        first.into_iter().chain(later.map(|((.., moment), ())| moment.edit)).collect()
    }

    /// How many live edits are later versions of others.
    pub fn later_versions(&self) -> usize {
        self.versions.len()
    }

    /// Edits about the same as this one that are older and give another answer, newest first.
    pub fn conflicts(&self, record: &EditRecord) -> Vec<EditId> {
        let (own, answer) = (Claim::of(record).moment, digest(&record.answer));
        let older = self.others(record).filter(|other| other.moment < own && other.said.answer != answer);
        let mut conflicts: Vec<EditId> = older.map(|other| other.moment.edit).collect();
        conflicts.reverse();
        conflicts
    }

    /// Edits about the same as this one that stand and give another answer, newest first, but for those that
    /// it names itself.
    pub fn in_the_way(&self, record: &EditRecord) -> Vec<EditId> {
        let answer = digest(&record.answer);
        let named = &record.relations.supersedes;
        let stands = |edit: &EditId| !self.superseded.contains(edit) && !named.contains(edit);
        let others = self.others(record).filter(|other| other.said.answer != answer);
        let mut found: Vec<EditId> = others.map(|other| other.moment.edit).filter(stands).collect();
        found.reverse();
        found
    }

    /// The first edit that said the same before, of whatever is known under another id.
    pub fn duplicate_of(&self, record: &EditRecord) -> Option<EditId> {
        let claim = Claim::of(record);
        let fact = Said::of(record, &claim.topic).fact;
        let mut others = self.others(record);
        others
            .find(|other| other.moment < claim.moment && other.said.fact == fact)
            .map(|other| other.moment.edit)
    }

    /// Edits about the same as this one that give the same answer for other reasons, newest first.
    pub fn near_duplicates(&self, record: &EditRecord) -> Vec<EditId> {
        let own = Said::of(record, &Claim::of(record).topic);
        let alike = |other: &Other<'_>| other.said.answer == own.answer && other.said.fact != own.fact;
        let mut found: Vec<EditId> =
            self.others(record).filter(alike).map(|other| other.moment.edit).collect();
        found.reverse();
        found
    }

    /// The edits that say exactly what this one says, itself included, oldest first.
    pub fn same_fact(&self, edit: EditId) -> Vec<EditId> {
        let said = self.said(edit);
        said.map(|said| self.saying(&said.fact).map(|moment| moment.edit).collect()).unwrap_or_default()
    }

    /// The newest versions of other edits about the same, oldest first.
    fn others(&self, record: &EditRecord) -> impl Iterator<Item = Other<'_>> {
        let (topic, own) = (Claim::of(record).topic, record.known_as());
        self.about(topic)
            .map(|(claim, said)| Other { moment: claim.moment, said })
            .filter(move |other| other.said.known_as != own && self.is_newest(other.moment.edit, other.said))
    }

    fn said(&self, edit: EditId) -> Option<&Arc<Said>> {
        self.claims.get(self.places.get(&edit)?)
    }

    fn is_newest(&self, edit: EditId, said: &Said) -> bool {
        self.versions.is_empty() || self.newest_version(said.known_as) == Some(edit)
    }

    /// The edits that say this, oldest first.
    fn saying(&self, fact: &Digest) -> impl Iterator<Item = Moment> + use<'_> {
        let fact = *fact;
        let saying = self.facts.from(&(fact, Moment::first()));
        saying.take_while(move |((other, _), ())| *other == fact).map(|((_, moment), ())| *moment)
    }

    fn first_of(&self, fact: &Digest) -> Option<EditId> {
        self.saying(fact).next().map(|moment| moment.edit)
    }

    /// What the live edits are about that an edit names.
    fn topics_named_by(&self, record: &EditRecord) -> BTreeSet<Topic> {
        // A version may be live without what it is a version of.
        let named = record.relations.supersedes.iter().flat_map(|id| [Some(*id), self.newest_version(*id)]);
        named.flatten().filter_map(|id| self.places.get(&id)).map(|claim| claim.topic).collect()
    }

    /// The newest edit that names this one, or what it is known as after it was said.
    fn named_by(&self, moment: Moment, said: &Said) -> Option<Moment> {
        let namers = |id: EditId| {
            let found =
                self.named.from(&(id, Moment::first())).take_while(move |((named, _), _)| *named == id);
            found.filter(|(_, by)| **by != said.known_as).map(|((_, by), _)| *by)
        };
        let version = moment.edit != said.known_as;
        let later = version.then(|| namers(said.known_as).filter(|by| *by > moment));
        namers(moment.edit).chain(later.into_iter().flatten()).max()
    }

    /// The edits about this, oldest first.
    fn about(&self, topic: Topic) -> impl Iterator<Item = (&Claim, &Said)> {
        let first = Claim { topic, moment: Moment::first() };
        let about = self.claims.from(&first).take_while(move |(claim, _)| claim.topic == topic);
        about.map(|(claim, said)| (claim, said.as_ref()))
    }

    /// Finds out which edits about this stand.
    fn settle(&mut self, topic: Topic) {
        let about: Vec<(Moment, &Said)> =
            self.about(topic).map(|(claim, said)| (claim.moment, said)).collect();
        let rules = |(moment, said): &&(Moment, &Said)| !said.keeps_both && self.is_newest(moment.edit, said);
        let ruling = about.iter().rfind(rules).copied();
        let by = |moment: Moment, said: &Said| {
            if !self.is_newest(moment.edit, said) {
                return self.newest_version(said.known_as);
            }
            let overruled = ruling.filter(|(newest, ruled)| moment < *newest && said.answer != ruled.answer);
            self.named_by(moment, said).max(overruled.map(|(newest, _)| newest)).map(|by| by.edit)
        };
        let settled: Vec<(EditId, Option<EditId>)> =
            about.iter().map(|(moment, said)| (moment.edit, by(*moment, said))).collect();
        for (edit, by) in settled {
            match by {
                Some(by) => drop(self.superseded.insert(edit, by)),
                None => drop(self.superseded.remove(&edit)),
            }
        }
    }
}

fn digest(text: &str) -> Digest {
    *blake3::hash(canonical(text).as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests;
