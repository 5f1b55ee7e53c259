//! The states of a codebook that questions are asked about: the live one, one of before, or one without some
//! of its edits. Those that aren't live are made when they are asked for, and the last few are kept, within
//! what memory they may have.

mod asked;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reasonedit_codebook::{CodebookName, EditId, Snapshot};
use reasonedit_resilience::{MemoryBudget, MemoryPermit};
use reasonedit_text::Warning;
use ulid::Ulid;

use crate::config::HypotheticalConfig;
use crate::error::EditorError;
use crate::pictures::DecodedPicture;
use crate::query::CalibrationSlot;

/// How long a question waits for memory that others hold.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a state is kept that nobody asks about.
const IDLE: Duration = Duration::from_mins(5);
/// Edits that a warning names.
const NAMED: usize = 5;

/// A state that isn't live.
pub(crate) struct Hypothetical {
    snapshot: Arc<Snapshot>,
    /// Edits that were live then and have been erased since.
    erased: Vec<EditId>,
    /// Edits that were to be left out and aren't in it anyway.
    absent: Vec<EditId>,
    /// Proposals that were to be taken as approved and don't wait.
    decided: Vec<Ulid>,
    /// The picture of an edit that is tried: it is stored nowhere.
    tried: Option<DecodedPicture>,
    /// What bears on questions there, without and with verification.
    calibrated: [CalibrationSlot; 2],
    #[expect(dead_code, reason = "given back when the last question about it is answered")]
    held: MemoryPermit,
}

/// The state that a question is asked about.
#[derive(Clone)]
pub(crate) struct AskedState {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Where it isn't the live one.
    hypothetical: Option<Arc<Hypothetical>>,
    /// Of the live one: edits that were to be left out and aren't in it anyway.
    absent: Vec<EditId>,
    /// Of the live one: proposals that were to be taken as approved and don't wait.
    decided: Vec<Ulid>,
}

/// What a state is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StateName {
    codebook: CodebookName,
    revision: u64,
    without: BTreeSet<EditId>,
    /// Proposals, each with the number of its version.
    as_if: BTreeSet<(Ulid, u32)>,
}

struct Kept {
    name: StateName,
    state: Arc<Hypothetical>,
    used: Instant,
}

/// The last few states that were asked about and aren't live.
pub(crate) struct States {
    config: HypotheticalConfig,
    memory: OnceLock<MemoryBudget>,
    /// The last one used at the end.
    recent: Mutex<VecDeque<Kept>>,
    /// One at a time is made: who asks for the same waits for it.
    making: tokio::sync::Mutex<()>,
    /// Counts what was forgotten, so that nothing made before is kept after.
    forgotten: AtomicU64,
}

impl AskedState {
    pub(crate) fn live(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, hypothetical: None, absent: Vec::new(), decided: Vec::new() }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.hypothetical.is_none()
    }

    /// Where what bears on questions is remembered, if not with the codebook.
    pub(crate) fn calibration(&self, verify: bool) -> Option<&CalibrationSlot> {
        self.hypothetical.as_ref().map(|state| &state.calibrated[usize::from(verify)])
    }

    /// The picture of the edit that is tried there, if one is.
    pub(crate) fn tried(&self) -> Option<&DecodedPicture> {
        self.hypothetical.as_ref()?.tried.as_ref()
    }

    /// What of a question's wishes can't be fulfilled, or changes nothing.
    pub(crate) fn warnings(&self) -> Vec<Warning> {
        let (erased, absent, decided) = match &self.hypothetical {
            Some(state) => (&state.erased[..], &state.absent[..], &state.decided[..]),
            None => (&[][..], &self.absent[..], &self.decided[..]),
        };
        let mut warnings = Vec::new();
        if !erased.is_empty() {
            let revision = self.snapshot.revision();
            let detail = format!(
                "Edits that were live at revision {revision} have been erased since, and are missing: {}.",
                named(erased)
            );
            warnings.push(Warning::new("erased_edits", "/retrieval/as_of", detail));
        }
        if !absent.is_empty() {
            let detail =
                format!("These edits aren't live there, so that nothing changes: {}.", named(absent));
            warnings.push(Warning::new("no_effect", "/retrieval/without", detail));
        }
        if !decided.is_empty() {
            let detail = format!("These proposals don't wait, so that nothing changes: {}.", named(decided));
            warnings.push(Warning::new("no_effect", "/retrieval/as_if", detail));
        }
        warnings
    }
}

/// The first of these.
fn named(edits: &[impl ToString]) -> String {
    let first: Vec<String> = edits.iter().take(NAMED).map(ToString::to_string).collect();
    match edits.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

impl States {
    pub(crate) fn new(config: HypotheticalConfig) -> Self {
        Self {
            config,
            memory: OnceLock::new(),
            recent: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Takes their memory of what all of a service has. The first call decides.
    pub(crate) fn stay_within(&self, memory: &MemoryBudget) {
        let _ = self.memory.set(memory.share(self.config.bytes, PATIENCE));
    }

    fn memory(&self) -> &MemoryBudget {
        self.memory.get_or_init(|| MemoryBudget::new(self.config.bytes, PATIENCE))
    }

    /// Forgets the states of a codebook: something of them was erased.
    pub(crate) fn forget(&self, codebook: &CodebookName) {
        let mut recent = self.recent.lock();
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        recent.retain(|kept| kept.name.codebook != *codebook);
    }

    /// Gives back what nobody has asked about for a while.
    fn drop_idle(&self) {
        self.recent.lock().retain(|kept| kept.used.elapsed() < IDLE);
    }

    fn known(&self, name: &StateName) -> Option<Arc<Hypothetical>> {
        let mut recent = self.recent.lock();
        let at = recent.iter().position(|kept| kept.name == *name)?;
        let mut kept = recent.remove(at)?;
        kept.used = Instant::now();
        let state = Arc::clone(&kept.state);
        recent.push_back(kept);
        Some(state)
    }

    fn keep(&self, name: StateName, state: &Arc<Hypothetical>, forgotten: u64) {
        let mut recent = self.recent.lock();
        if self.forgotten.load(Ordering::Acquire) != forgotten {
            return;
        }
        recent.push_back(Kept { name, state: Arc::clone(state), used: Instant::now() });
        while recent.len() > self.config.states {
            recent.pop_front();
        }
    }

    /// Memory for one more: what is kept and not in use makes room for it.
    async fn room(&self, bytes: u64) -> Result<MemoryPermit, EditorError> {
        let memory = self.memory();
        let bytes = bytes.min(memory.capacity());
        loop {
            if let Ok(permit) = memory.take_now(bytes) {
                return Ok(permit);
            }
            if self.recent.lock().pop_front().is_none() {
                return memory.take(bytes).await.map_err(|_| EditorError::Busy);
            }
        }
    }
}
