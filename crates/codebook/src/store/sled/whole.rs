//! Whether all of a codebook is there. sled takes a log that was cut, or has a changed byte in it, for one
//! that ends there, and opens without a word: what it left out shows only in what no longer fits together.
//! The history says which edits there are, and the head how long the history is; everything else has to be
//! there for them.

use std::collections::BTreeSet;

use super::layout::{
    CODEBOOKS, EDITS, EVENTS, Head, IDEMPOTENCY, MEMBERS, MemberRow, NAMES, OUTCOMES, REVERTS, STAGED,
    VECTORS, edit_of, idempotency_key, parse, under,
};
use super::seal::{FILE, Sealed};
use super::{SledStore, values};
use crate::ids::{CodebookName, EditId};
use crate::records::EditRecord;
use crate::store::contract::{Event, LoggedEvent};
use crate::{CodebookError, Result};

/// What a history says, and what is wrong with it.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) live: BTreeSet<EditId>,
    /// Those whose records are kept.
    pub(super) reverted: BTreeSet<EditId>,
    /// Those of which nothing is left but their events.
    pub(super) erased: BTreeSet<EditId>,
    pub(super) faults: Vec<CodebookError>,
}

impl SledStore {
    /// Compares what is there with what had been acknowledged, and begins the file of that anew.
    pub(super) fn compare_with(&mut self, sealed: Option<Sealed>) -> Result<()> {
        let mut now = sealed.unwrap_or_default();
        if std::mem::take(&mut now.damaged) {
            self.faults.push(format!("a line of the file `{FILE}` was damaged; it was written anew"));
        }
        let mut names = self.names_of()?;
        // A version of before left it empty where there were no codebooks.
        if std::mem::take(&mut now.emptied) && !names.is_empty() {
            self.faults.push(format!(
                "the file `{FILE}`, which says how much was acknowledged, was empty and is written anew: what may be \
                 missing at the end of the log can't be told"
            ));
        }
        names.extend(now.events.keys().cloned());
        for name in names {
            // Of one that can't be read it isn't known; it is set aside and what was sealed stays.
            let Ok(head) = self.head(&name) else { continue };
            let found = head.map_or(0, |head| head.next_event);
            let had = now.events.get(&name).copied().unwrap_or_default();
            if found < had {
                let cut = now.cut.entry(name.clone()).or_insert((had, found));
                *cut = (cut.0.max(had), cut.1.min(found));
            }
            // One that is gone altogether is set aside as long as it is known that it was there.
            if found > 0 {
                now.events.insert(name, found);
            }
        }
        let told = |(name, (had, found)): (&CodebookName, &(u64, u64))| {
            format!(
                "of the codebook {name} {} of {had} events (edits made and taken back) are missing at its end, \
                 which had been acknowledged; import a backup, then remove the file `{}`",
                had - found,
                FILE
            )
        };
        self.faults.extend(now.cut.iter().map(told));
        self.sealed_names = now.events.keys().cloned().collect();
        self.seal.begin(&now)
    }

    /// Writes how many events a codebook has by now.
    pub(super) fn seal(&self, name: &CodebookName) -> Result<()> {
        self.seal.record(name, self.head(name)?.map_or(0, |head| head.next_event))
    }

    /// Names of codebooks that anything is stored of: by their heads, their histories, and
    /// what had been acknowledged.
    pub(super) fn names_of(&self) -> Result<Vec<CodebookName>> {
        let (heads, end) = values::keys(self.tree(CODEBOOKS), &[]);
        let mut names: BTreeSet<Vec<u8>> = heads.into_iter().collect();
        let mut at = Vec::new();
        // From name to name, so that events are passed over unread.
        let histories = loop {
            match self.tree(EVENTS).range(at.clone()..).keys().next() {
                None => break Ok(()),
                Some(Err(error)) => break Err(values::failed(self.tree(EVENTS), &at, error)),
                Some(Ok(key)) => {
                    let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
                    at = [name, &[1]].concat();
                    names.insert(name.to_vec());
                }
            }
        };
        // One of the three is enough to know them by.
        if self.sealed_names.is_empty() {
            end.or(histories)?;
        }
        names.extend(self.sealed_names.iter().map(|name| name.as_str().as_bytes().to_vec()));
        let parsed = |name: &Vec<u8>| {
            let text = String::from_utf8_lossy(name);
            text.parse().map_err(|e| CodebookError::corrupt(values::describe(self.tree(CODEBOOKS), name), e))
        };
        names.iter().map(parsed).collect()
    }

    /// Whether the codebook has a history.
    pub(super) fn has_history(&self, name: &CodebookName) -> Result<bool> {
        let (tree, prefix) = (self.tree(EVENTS), under(name, &[]));
        let first = tree.scan_prefix(&prefix).keys().next().transpose();
        Ok(first.map_err(|e| values::failed(tree, &prefix, e))?.is_some())
    }

    /// Reads the history, and compares it with what the head says of it.
    pub(super) fn replay(&self, name: &CodebookName, head: Option<&Head>) -> Replay {
        let tree = self.tree(EVENTS);
        let (events, end) = values::scan_each(tree, &under(name, &[]));
        let mut replay = Replay::default();
        let mut next = 0u64;
        for (key, value) in events {
            let whole_key = under(name, &key);
            let Ok(number) = <[u8; 8]>::try_from(key.as_slice()).map(u64::from_be_bytes) else {
                let described = values::describe(tree, &whole_key);
                replay.faults.push(CodebookError::corrupt(described, "its key is not that of an event"));
                continue;
            };
            replay.missing(tree, name, next, number);
            next = number.saturating_add(1);
            match value.and_then(|bytes| parse::<LoggedEvent>(tree, &whole_key, &bytes)) {
                Ok(logged) => replay.take(&logged.event),
                Err(error) => replay.faults.push(error),
            }
        }
        replay.faults.extend(end.err());
        if let Some(head) = head {
            replay.missing(tree, name, next, head.next_event);
            if next > head.next_event {
                let counted = head.next_event;
                let detail =
                    format!("it counts {counted} events and there are {next}: it is an earlier state");
                replay.faults.push(self.head_fault(name, &detail));
            }
        }
        replay
    }

    pub(super) fn head_fault(&self, name: &CodebookName, detail: &str) -> CodebookError {
        CodebookError::corrupt(values::describe(self.tree(CODEBOOKS), name.as_str().as_bytes()), detail)
    }

    /// The first thing that is missing of a codebook with this head, whose members are there of the edits
    /// `with_members`; values themselves are not looked at.
    ///
    /// # Errors
    /// `Corrupt` names it.
    pub(super) fn check_complete(
        &self,
        name: &CodebookName,
        head: &Head,
        with_members: &BTreeSet<EditId>,
    ) -> Result<()> {
        let replay = self.replay(name, Some(head));
        if let Some(fault) = replay.faults.into_iter().next() {
            return Err(fault);
        }
        let missing = |tree: usize, edit: &EditId| {
            let described = values::describe(self.tree(tree), &under(name, &edit.to_bytes()));
            CodebookError::corrupt(described, "it is missing")
        };
        if let Some(edit) = replay.live.difference(with_members).next() {
            return Err(missing(MEMBERS, edit));
        }
        let kept = replay.reverted.iter().flat_map(|edit| [(EDITS, edit), (REVERTS, edit)]);
        for (tree, edit) in kept.chain(replay.erased.iter().map(|edit| (REVERTS, edit))) {
            if !values::is_there(self.tree(tree), &under(name, &edit.to_bytes()))? {
                return Err(missing(tree, edit));
            }
        }
        Ok(())
    }

    /// Reads every value that is stored of a codebook, and tells of each that can't be read or is missing.
    pub(super) fn examine_all(&self, name: &CodebookName) -> Vec<CodebookError> {
        let mut faults = Vec::new();
        let head = match self.head(name) {
            Ok(Some(head)) => Some(head),
            Ok(None) => {
                if self.sealed_names.contains(name) || self.has_history(name).unwrap_or(true) {
                    faults.push(self.head_fault(name, "it is missing"));
                }
                None
            }
            Err(error) => {
                faults.push(error);
                None
            }
        };
        let replay = self.replay(name, head.as_ref());
        let mut there: [BTreeSet<Vec<u8>>; NAMES.len()] = Default::default();
        for tree in [EDITS, MEMBERS, VECTORS, REVERTS, OUTCOMES, IDEMPOTENCY, STAGED] {
            let (found, end) = values::scan_each(self.tree(tree), &under(name, &[]));
            for (key, value) in found {
                let read = value.and_then(|bytes| self.check_value(tree, name, &key, &bytes));
                faults.extend(read.err());
                there[tree].insert(key);
            }
            faults.extend(end.err());
        }
        let stands = |tree: usize, key: &[u8]| there[tree].contains(key);
        let keyed = |edit| Some(self.idempotency_of(name, edit).ok()??.key);
        faults.extend(self.lacking(name, head.as_ref(), &replay, &stands, &keyed));
        faults.extend(replay.faults);
        faults
    }

    /// What isn't there though the history of a codebook speaks of it: `stands` says what is there by tree
    /// and key, `keyed` under which idempotency key an edit was made.
    pub(super) fn lacking(
        &self,
        name: &CodebookName,
        head: Option<&Head>,
        replay: &Replay,
        stands: &dyn Fn(usize, &[u8]) -> bool,
        keyed: &dyn Fn(EditId) -> Option<String>,
    ) -> Vec<CodebookError> {
        let mut faults = Vec::new();
        let mut need = |tree: usize, key: &[u8]| {
            if !stands(tree, key) {
                let described = values::describe(self.tree(tree), &under(name, key));
                faults.push(CodebookError::corrupt(described, "it is missing"));
            }
        };
        // What a reverted edit was is kept as well.
        for edit in replay.live.iter().chain(&replay.reverted) {
            need(EDITS, &edit.to_bytes());
            need(MEMBERS, &edit.to_bytes());
            if let Some(key) = keyed(*edit) {
                need(IDEMPOTENCY, &idempotency_key(&key));
            }
        }
        if let Some(head) = head {
            for edit in &replay.live {
                need(VECTORS, &[head.embedding.id.to_bytes(), edit.to_bytes()].concat());
            }
        }
        for edit in replay.reverted.iter().chain(&replay.erased) {
            need(REVERTS, &edit.to_bytes());
        }
        faults
    }

    /// Whether a value is what belongs into its tree.
    fn check_value(&self, tree: usize, name: &CodebookName, key: &[u8], bytes: &[u8]) -> Result<()> {
        let (of, whole_key) = (self.tree(tree), under(name, key));
        let plain = match tree {
            // What is left of one that was erased.
            IDEMPOTENCY if bytes.len() == 16 => return Ok(()),
            EDITS | MEMBERS | VECTORS | OUTCOMES | IDEMPOTENCY => {
                self.unseal_value(tree, &whole_key, bytes)?
            }
            _ => bytes.to_vec(),
        };
        let bytes = &plain;
        match tree {
            EDITS => {
                let record: EditRecord = parse(of, &whole_key, bytes)?;
                if record.id != edit_of(of, key)? {
                    let described = values::describe(of, &whole_key);
                    return Err(CodebookError::corrupt(described, "it is the record of another edit"));
                }
            }
            MEMBERS => drop(parse::<Vec<MemberRow>>(of, &whole_key, bytes)?),
            REVERTS => drop(parse::<u64>(of, &whole_key, bytes)?),
            IDEMPOTENCY if bytes.len() != 32 => {
                return Err(CodebookError::corrupt(values::describe(of, &whole_key), "it is no digest"));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Replay {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Edited(id) => drop(self.live.insert(*id)),
            Event::Reverted(id) => {
                self.live.remove(id);
                self.reverted.insert(*id);
            }
            Event::Restored(id) => {
                self.reverted.remove(id);
                self.live.insert(*id);
            }
            Event::Erased(id) => {
                self.live.remove(id);
                self.reverted.remove(id);
                self.erased.insert(*id);
            }
            Event::Reembedded(_) => {}
        }
    }

    /// Tells of the events from `from` to before `to`, if there are any.
    fn missing(&mut self, tree: &sled::Tree, name: &CodebookName, from: u64, to: u64) {
        if from < to {
            let described = values::describe(tree, &under(name, &from.to_be_bytes()));
            let detail = format!("{} events from number {from} on are missing", to - from);
            self.faults.push(CodebookError::corrupt(described, detail));
        }
    }
}
