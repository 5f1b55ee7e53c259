//! Retrieved sentences by what they say: who says each, and what that rests on.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use reasonedit_codebook::{EditId, EditRecord, EntryKind, Fact, Statement};
use reasonedit_text::canonical;

/// What the model said of the statements that it was asked about: the probability that the picture shows
/// them, `None` where its context has no room for the statement.
pub type Judged<'a> = HashMap<&'a str, Option<f64>>;

/// The odds that its edit's picture shows a doubted statement are above so many times those that pictures
/// without content do: the model sees something of it there. (On a development world all from 3 to 20 did
/// the same.)
const MOVED_ODDS: f64 = 3.0;

/// A statement that the model can be asked about: it recognised it on its edit's picture, or saw something of
/// it there.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The statement.
    pub text: &'a str,
    /// What it said on its edit's picture, where it doubted it: what it says of others is held against that.
    doubted: Option<f64>,
    /// Whether the model affirms it of a picture without content too.
    affirmed_anyway: bool,
    /// Above this probability the model says yes.
    min_support: f64,
}

impl Ground<'_> {
    /// Whether a yes says something.
    pub(crate) fn telling(&self) -> bool {
        !self.affirmed_anyway
    }

    /// Whether it can stand by itself.
    fn recognised(&self) -> bool {
        self.doubted.is_none()
    }

    /// What the picture says of it, of a doubted one in proportion to its edit's picture: nothing, where the
    /// model was not asked, or says yes to what it says yes to anyway.
    pub(crate) fn verdict(&self, judged: &Judged<'_>) -> Option<f64> {
        let p = judged.get(self.text).copied().flatten()?;
        if let Some(own) = self.doubted {
            return Some((p / own).min(1.0));
        }
        (p <= self.min_support || self.telling()).then_some(p)
    }
}

fn odds(p: f64) -> f64 {
    p / (1.0 - p)
}

/// What an edit stands or falls with.
#[derive(Debug)]
pub struct Grounds<'a> {
    pub(crate) record: &'a EditRecord,
    /// What the model can be asked about.
    pub statements: Vec<Ground<'a>>,
}

impl<'a> Grounds<'a> {
    /// Of an edit; the model says yes above `min_support`.
    pub fn new(record: &'a EditRecord, min_support: f64) -> Self {
        let ground = |s: &'a Statement| {
            let doubted = s.p_yes.filter(|p| *p <= min_support);
            let moved = |own: f64| s.prior.is_some_and(|prior| odds(own) > MOVED_ODDS * odds(prior));
            doubted.is_none_or(moved).then(|| Ground {
                text: &s.statement,
                doubted,
                affirmed_anyway: doubted.is_none() && s.prior.is_some_and(|p| p > min_support),
                min_support,
            })
        };
        Self { record, statements: record.reasoning.iter().filter_map(ground).collect() }
    }

    /// The edit.
    pub fn record(&self) -> &'a EditRecord {
        self.record
    }

    /// Its answer, as it is compared with those of others.
    pub(crate) fn answer(&self) -> Cow<'a, str> {
        canonical(&self.record.answer)
    }

    pub(crate) fn all_asked(&self, judged: &Judged<'_>) -> bool {
        self.statements.iter().all(|ground| judged.contains_key(ground.text))
    }

    /// Mean of what the picture says of its statements; `None` where it says nothing of any.
    pub fn mean(&self, judged: &Judged<'_>) -> Option<f64> {
        let known: Vec<f64> = self.statements.iter().filter_map(|ground| ground.verdict(judged)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// Whether the mean can't be above this any more, whatever is said of what was not asked about.
    pub(crate) fn is_refuted(&self, judged: &Judged<'_>, most: f64) -> bool {
        let known: Vec<f64> = self.statements.iter().filter_map(|ground| ground.verdict(judged)).collect();
        let open = self.statements.iter().filter(|g| g.telling() && !judged.contains_key(g.text)).count();
        let all = (known.len() + open) as f64;
        !known.is_empty() && (known.iter().sum::<f64>() + open as f64) / all <= most
    }
}

/// An edit that says a sentence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// Place among the candidates of the nearest one that it says it by.
    pub(crate) at: usize,
    /// Place among the edits of that candidate.
    pub(crate) turn: usize,
    pub(crate) grounds: &'a Grounds<'a>,
}

/// A sentence with all edits that say it.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) value: String,
    pub(crate) kind: EntryKind,
    /// Whether it may be put in front by itself, without its edit.
    pub(crate) alone: bool,
    /// Nearest first.
    pub(crate) sources: Vec<Source<'a>>,
    /// What a statement is judged by itself: as one of them has it of whom the model recognised it, rather
    /// one whose yes says something.
    pub(crate) ground: Option<Ground<'a>>,
}

/// The candidates by what they say, in the order of the first that says it; `alone` says which sentences may
/// be put in front without their edits.
pub(crate) fn claims<'a>(
    candidates: &[Fact],
    edits: &'a HashMap<EditId, Grounds<'a>>,
    alone: impl Fn(&str) -> bool,
) -> Vec<Claim<'a>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    // By claim and edit: very many may share one.
    let mut known: HashSet<(usize, EditId)> = HashSet::new();
    let mut claims: Vec<Claim<'a>> = Vec::new();
    for (at, fact) in candidates.iter().enumerate() {
        let place = *places.entry(&fact.value).or_insert_with(|| {
            let value = fact.value.clone();
            let alone = alone(&value);
            claims.push(Claim { value, kind: fact.kind, alone, sources: Vec::new(), ground: None });
            claims.len() - 1
        });
        let claim = &mut claims[place];
        let edits = fact.edit_ids.iter().filter_map(|id| edits.get(id));
        for (turn, grounds) in edits.enumerate() {
            if known.insert((place, grounds.record.id)) {
                claim.sources.push(Source { at, turn, grounds });
            }
        }
    }
    for claim in claims.iter_mut().filter(|claim| claim.kind == EntryKind::Statement) {
        let all = claim.sources.iter().flat_map(|source| &source.grounds.statements);
        let own: Vec<Ground<'a>> =
            all.filter(|ground| ground.recognised() && ground.text == claim.value).copied().collect();
        claim.ground = own.iter().find(|ground| ground.telling()).or(own.first()).copied();
    }
    claims
}
