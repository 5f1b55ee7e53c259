//! All rows at one moment: writers wait while they are read, readers don't. A dump of a damaged store is
//! refused, since nobody would miss what isn't in it until it is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Instant;

use super::layout::{EDITS, JOURNAL, NAMES, SCHEMA, parse, under};
use super::whole::Replay;
use super::{SledStore, values};
use crate::ids::{CodebookName, EditId, ImageId};
use crate::records::EditRecord;
use crate::store::dump::{DumpReport, DumpedRow};
use crate::{CodebookError, Result};

/// A row of the journal that is about a picture says so in this way, whoever wrote it.
#[derive(serde::Deserialize)]
struct Pictured {
    image: ImageId,
}

/// What is known of the rows that were dumped.
#[derive(Default)]
struct Census {
    /// Keys of each tree, with the names of their codebooks.
    there: [BTreeSet<Vec<u8>>; NAMES.len()],
    /// Picture and idempotency key of each edit, by its key.
    edits: BTreeMap<Vec<u8>, (ImageId, Option<String>)>,
    rows: u64,
}

impl SledStore {
    pub(super) fn dump_to(
        &self,
        take: &mut dyn FnMut(DumpedRow<'_>) -> ControlFlow<()>,
    ) -> Result<Option<DumpReport>> {
        let asked = Instant::now();
        let alone = self.writing.write();
        let mut census = Census::default();
        for (index, tree) in NAMES.into_iter().enumerate() {
            let stored = self.tree(index);
            let read = values::each(stored, &mut |key, value| {
                if index == EDITS {
                    let record: EditRecord = parse(stored, key, &self.unseal_value(EDITS, key, value)?)?;
                    let keyed = record.idempotency.map(|given| given.key);
                    census.edits.insert(key.to_vec(), (record.image.id, keyed));
                }
                census.there[index].insert(key.to_vec());
                census.rows += 1;
                Ok(take(DumpedRow { tree, key, value }))
            });
            if read?.is_break() {
                return Ok(None);
            }
        }
        let (mut faults, mut lost, mut pictured) = (self.faults.clone(), Vec::new(), BTreeSet::new());
        let (rows, end) = values::reached(self.journal_tree(), &[]);
        for (key, value) in rows {
            match value {
                Ok(value) => {
                    census.rows += 1;
                    let plain = self.unseal_row(&key, &value).unwrap_or_default();
                    pictured.extend(serde_json::from_slice(&plain).ok().map(|row: Pictured| row.image));
                    if take(DumpedRow { tree: JOURNAL, key: &key, value: &value }).is_break() {
                        return Ok(None);
                    }
                }
                Err(error) => lost.push(error.to_string()),
            }
        }
        lost.extend(end.err().map(|error| error.to_string()));
        // What was found when the store was opened is told already.
        lost.retain(|new| !faults.iter().any(|told| told.starts_with(new.as_str())));
        faults.extend(lost);
        let mut replays = Vec::new();
        for name in self.names_of()? {
            let replay = self.replayed_whole(&name, &census)?;
            replays.push((name, replay));
        }
        drop(alone);
        let writers_waited = asked.elapsed();
        let mut report = DumpReport {
            schema: SCHEMA,
            codebooks: replays.len(),
            edits: replays.iter().map(|(_, replay)| replay.live.len()).sum(),
            rows: census.rows,
            writers_waited,
            faults,
            ..DumpReport::default()
        };
        for (name, replay) in &replays {
            let images = replay.live.iter().filter_map(|edit| census.of(name, *edit));
            report.images.extend(images.map(|(image, _)| *image));
        }
        let all = census.edits.values().map(|(image, _)| *image).chain(pictured);
        report.other_images = all.filter(|image| !report.images.contains(image)).collect();
        Ok(Some(report))
    }

    /// The history of a codebook, if everything that it speaks of was dumped.
    fn replayed_whole(&self, name: &CodebookName, census: &Census) -> Result<Replay> {
        let head = self.head(name)?;
        let mut faults = Vec::new();
        if head.is_none() {
            faults.push(self.head_fault(name, "it is missing"));
        }
        let replay = self.replay(name, head.as_ref());
        let stands = |tree: usize, key: &[u8]| census.there[tree].contains(&under(name, key));
        let keyed = |edit| census.of(name, edit).and_then(|(_, key)| key.clone());
        faults.extend(self.lacking(name, head.as_ref(), &replay, &stands, &keyed));
        match replay.faults.first().or(faults.first()) {
            Some(fault) => Err(CodebookError::Damaged { name: name.clone(), reason: fault.to_string() }),
            None => Ok(replay),
        }
    }
}

impl Census {
    fn of(&self, name: &CodebookName, edit: EditId) -> Option<&(ImageId, Option<String>)> {
        self.edits.get(&under(name, &edit.to_bytes()))
    }
}

#[cfg(test)]
mod tests;
