//! The rows of a proposal, as JSON: what became of it (number 0), and each version of what it says (by its
//! number). A version without the head that names it was never said.

use reasonedit_codebook::{CodebookName, EditId, Journal};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{Proposal, ProposalState, ProposalStep, ProposedVersion, RequestKey, Result};

const HEAD: u64 = 0;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    id: Ulid,
    codebook: CodebookName,
    by: Option<String>,
    author: Option<String>,
    amends: Option<EditId>,
    version: u32,
    state: ProposalState,
    steps: Vec<ProposalStep>,
    idempotency: Option<RequestKey>,
}

/// The rows of one proposal, as they are read.
#[derive(Default)]
pub(crate) struct Rows {
    head: Option<Vec<u8>>,
    versions: Vec<(u64, Vec<u8>)>,
}

impl Rows {
    pub(crate) fn take(&mut self, number: u64, value: Vec<u8>) {
        match number {
            HEAD => self.head = Some(value),
            number => self.versions.push((number, value)),
        }
    }

    /// The proposal; `None` if its rows are not whole.
    pub(crate) fn read(self, id: Ulid) -> Option<Proposal> {
        let head: Head = serde_json::from_slice(&self.head?).ok()?;
        let newest = self.versions.into_iter().find(|(number, _)| *number == u64::from(head.version))?;
        let newest: ProposedVersion = serde_json::from_slice(&newest.1).ok()?;
        let Head { codebook, by, author, amends, state, steps, idempotency, .. } = head;
        (head.id == id).then_some(Proposal {
            id,
            codebook,
            by,
            author,
            amends,
            newest,
            state,
            steps,
            idempotency,
        })
    }
}

/// Writes a version, then the head that names it.
///
/// # Errors
/// `Journal` for one that is too large and when the disk refuses: what was before stands then.
pub(crate) fn write_all(journal: &Journal, proposal: &Proposal) -> Result<()> {
    let newest = &proposal.newest;
    journal.put(proposal.id, newest.number.into(), &serde_json::to_vec(newest)?)?;
    write_head(journal, proposal)
}

/// Writes what became of a proposal whose words stay.
///
/// # Errors
/// As [`write_all`].
pub(crate) fn write_head(journal: &Journal, proposal: &Proposal) -> Result<()> {
    let head = Head {
        id: proposal.id,
        codebook: proposal.codebook.clone(),
        by: proposal.by.clone(),
        author: proposal.author.clone(),
        amends: proposal.amends,
        version: proposal.newest.number,
        state: proposal.state,
        steps: proposal.steps.clone(),
        idempotency: proposal.idempotency.clone(),
    };
    Ok(journal.put(proposal.id, HEAD, &serde_json::to_vec(&head)?)?)
}

/// The versions before the newest, oldest first.
///
/// # Errors
/// `Journal` when the disk refuses, `Form`.
pub(crate) fn earlier(journal: &Journal, id: Ulid, newest: u32) -> Result<Vec<ProposedVersion>> {
    let rows = journal.rows(id, HEAD + 1, newest.saturating_sub(1) as usize)?;
    rows.iter().map(|(_, row)| Ok(serde_json::from_slice(row)?)).collect()
}
