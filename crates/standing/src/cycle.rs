//! That no edit supersedes, over others, itself. Edits that are made can't, as they name only what is there;
//! those of an archive can say what they like.

use std::collections::{BTreeMap, BTreeSet};

use reasonedit_records::ids::EditId;
use reasonedit_records::records::EditRecord;

/// An edit that supersedes itself over those that it names, if there is one. Versions count as the edit that
/// they are known as.
pub fn cycle<'r>(records: impl IntoIterator<Item = &'r EditRecord>) -> Option<EditId> {
    let mut known = BTreeMap::new();
    let mut names = BTreeMap::<EditId, BTreeSet<EditId>>::new();
    for record in records {
        let own = record.known_as();
        known.insert(record.id, own);
        if !record.relations.supersedes.is_empty() {
            names.entry(own).or_default().extend(&record.relations.supersedes);
        }
    }
    let mut left: BTreeMap<EditId, BTreeSet<EditId>> = names
        .into_iter()
        .map(|(own, named)| (own, named.iter().map(|id| known.get(id).copied().unwrap_or(*id)).collect()))
        .collect();
    // Whoever names nobody that is left isn't part of a circle.
    loop {
        let names_nobody = |named: &BTreeSet<EditId>| named.iter().all(|id| !left.contains_key(id));
        let done: Vec<EditId> =
            left.iter().filter(|(_, named)| names_nobody(named)).map(|(own, _)| *own).collect();
        if done.is_empty() {
            return left.keys().next().copied();
        }
        for own in done {
            left.remove(&own);
        }
    }
}
