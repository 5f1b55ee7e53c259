//! Answers to one question that exclude each other: which of them fits the picture.
//!
//! The better borne out stands where the model's yes to one is clearly above that to the other. Where it
//! isn't, or where the edits differ in a detail that models are known to overlook (a side, a negation, a
//! number), each is held against the other's picture too. First what the model says: the log-odds of what one
//! edit says against what the other says, on the asked picture, lie between those on the two edits' own
//! pictures, nearer to the one that it is like. Where the model sees no difference between these either, the
//! pictures themselves are compared, of a side in the halves of that side. What is left undecided is not put
//! in front.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use reasonedit_codebook::{EditId, EditRecord, EntryKind};
use reasonedit_contradiction::{Disagreement, Reading, detail_between};
use reasonedit_editor_config::{DisputeConfig, Undecided, VerifyConfig};
use reasonedit_editor_types::WithheldReason;
use reasonedit_text::canonical;

use crate::claims::{Claim, Grounds};
use crate::support::Word;

/// An edit that answers a question that others answer otherwise.
#[derive(Clone, Debug)]
pub struct Contender<'a> {
    /// The edit: of those that answer so the one that is borne out best.
    pub record: &'a EditRecord,
    /// How well it is borne out: a probability, infinite where it was said of this very picture.
    pub support: f64,
    answer: Cow<'a, str>,
    /// Whether the picture bears it out.
    holds: bool,
}

/// One question and the different answers to it that hold on the picture, the best borne out first (the
/// nearest of equals).
#[derive(Clone, Debug)]
pub struct Dispute<'a> {
    /// Two at least.
    pub contenders: Vec<Contender<'a>>,
    question: usize,
}

/// What two edits are told apart by, besides what the model says of their statements as such.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Apart {
    /// Log-odds of what the first says against what the second says, on the picture of the first, on that of
    /// the second, and on the asked one. `None` where the model can't be asked.
    pub log_odds: Option<[f64; 3]>,
    /// How far the asked picture is from that of the first, and from that of the second. `None` where one of
    /// them isn't there any more.
    pub distances: Option<[f64; 2]>,
}

/// Which of two contenders fits the asked picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first.
    First,
    /// The second.
    Second,
    /// Nothing tells.
    Neither,
}

/// What two edits are told apart by, judged.
pub fn verdict(config: &DisputeConfig, apart: &Apart) -> Verdict {
    let of = |value: f64| if value > 0.0 { Verdict::First } else { Verdict::Second };
    if let Some([first, second, asked]) = apart.log_odds {
        let gap = first - second;
        // From -1, as the second's picture, to 1, as the first's.
        let place = (2.0 * asked - first - second) / gap;
        if gap.abs() >= config.min_gap && place.abs() >= config.min_place {
            return of(place);
        }
    }
    match apart.distances {
        Some([first, second]) if (second - first).abs() > config.min_nearness * (first + second) => {
            of(second - first)
        }
        _ => Verdict::Neither,
    }
}

impl<'a> Contender<'a> {
    /// What it says and the other doesn't, in its order.
    pub fn says_alone(&self, other: &Self) -> Vec<&'a str> {
        let of = |record: &'a EditRecord| record.reasoning.iter().map(|s| s.statement.as_str());
        let others: HashSet<Cow<'_, str>> = of(other.record).map(canonical).collect();
        of(self.record).filter(|statement| !others.contains(&canonical(statement))).collect()
    }

    /// The detail in which the two differ, in what they say or in what they answer.
    pub fn differs_from(&self, other: &Self) -> Option<Disagreement> {
        let (one, two) = (self.says_alone(other), other.says_alone(self));
        let readings =
            |texts: &[&str]| -> Vec<Reading> { texts.iter().map(|text| Reading::of(text)).collect() };
        let (one, two) = (readings(&one), readings(&two));
        let mut between = one.iter().flat_map(|a| two.iter().filter_map(|b| a.differs_from(b)));
        between.next().or_else(|| detail_between(&self.record.answer, &other.record.answer))
    }

    /// Whether this one stands against the other by what the model says of their statements alone.
    pub fn stands_by_support(&self, other: &Self, config: &DisputeConfig) -> bool {
        self.support.is_infinite()
            || (self.support - other.support >= config.margin && self.differs_from(other).is_none())
    }
}

/// The questions that are answered in more than one way, by what holds and by what the model says a weak yes
/// to while it differs from another in a detail. Both lie nearest first.
pub(crate) fn among<'a>(
    (holding, refused): (Vec<Word<'a>>, Vec<Word<'a>>),
    same: &HashMap<EditId, usize>,
    config: &VerifyConfig,
) -> Vec<Dispute<'a>> {
    let mut of_questions: BTreeMap<usize, Vec<Contender<'a>>> = BTreeMap::new();
    let contender = |(source, support): &Word<'a>, holds| Contender {
        record: source.grounds.record,
        support: support.weight(),
        answer: source.grounds.answer(),
        holds,
    };
    for word in &holding {
        let contender = contender(word, true);
        let Some(question) = same.get(&contender.record.id) else { continue };
        let contenders = of_questions.entry(*question).or_default();
        match contenders.iter_mut().find(|known| known.answer == contender.answer) {
            Some(known) if contender.support > known.support => *known = contender,
            Some(_) => {}
            None => contenders.push(contender),
        }
    }
    for word in &refused {
        let contender = contender(word, false);
        let Some(question) = same.get(&contender.record.id) else { continue };
        if contender.support <= config.min_support {
            continue;
        }
        let contenders = of_questions.entry(*question).or_default();
        match contenders.iter_mut().find(|known| known.answer == contender.answer) {
            Some(known) if contender.support > known.support => *known = contender,
            Some(_) => {}
            None => contenders.push(contender),
        }
    }
    for contenders in of_questions.values_mut() {
        let all = contenders.clone();
        let overlooked = |one: &Contender<'a>| {
            let others = all.iter().filter(|other| other.answer != one.answer);
            others.into_iter().any(|other| other.differs_from(one).is_some())
        };
        contenders.retain(|one| one.holds || overlooked(one));
    }
    let disputed = of_questions.into_iter().filter(|(_, contenders)| contenders.len() > 1);
    disputed
        .map(|(question, mut contenders)| {
            // Of several that were said of this very picture the newest.
            let age = |one: &Contender<'_>| {
                if one.support.is_infinite() { Reverse(Some(one.record.created_at)) } else { Reverse(None) }
            };
            contenders.sort_by(|a, b| b.support.total_cmp(&a.support).then_with(|| age(a).cmp(&age(b))));
            contenders.truncate(config.disputes.contenders.max(2));
            Dispute { contenders, question }
        })
        .collect()
}

/// How disputes ended.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// By question the answer that stands; `None` where none could be told from the others.
    stands: HashMap<usize, Option<String>>,
    /// Names of the questions of edits.
    same: HashMap<EditId, usize>,
    /// Edits that stand although the model's yes to them was too weak by itself.
    restored: HashSet<EditId>,
    /// What the edit says that stands, or all say that none could be told from: what others say that is at
    /// odds with it goes with their answers.
    said: HashMap<usize, Vec<Reading>>,
    /// What the others said.
    beaten: HashMap<usize, Vec<Reading>>,
}

impl Settled {
    /// Nothing is settled yet among edits whose questions have these names.
    pub fn new(same: HashMap<EditId, usize>) -> Self {
        Self { same, ..Self::default() }
    }

    /// How one ended: with the contender that stands, or with none.
    pub fn settle(&mut self, dispute: &Dispute<'_>, stands: Option<&Contender<'_>>) {
        self.stands.insert(dispute.question, stands.map(|one| one.answer.clone().into_owned()));
        self.restored.extend(stands.filter(|one| !one.holds).map(|one| one.record.id));
        let heard = stands.map_or(dispute.contenders.as_slice(), std::slice::from_ref).iter();
        let said = heard.flat_map(|one| &one.record.reasoning).map(|s| Reading::of(&s.statement));
        self.said.insert(dispute.question, said.collect());
        let beaten = dispute.contenders.iter().filter(|one| stands.is_none_or(|s| s.answer != one.answer));
        let said = beaten.flat_map(|one| &one.record.reasoning).map(|s| Reading::of(&s.statement));
        self.beaten.insert(dispute.question, said.collect());
    }

    /// Whether a sentence is put in front by the word of an edit although the model's yes was too weak: an
    /// edit that was told apart from others gives its answer, and what it says against theirs.
    pub(crate) fn restores(&self, claim: &Claim<'_>, grounds: &Grounds<'_>) -> bool {
        let reading = Reading::of(&claim.value);
        let beaten = || self.same.get(&grounds.record.id).and_then(|question| self.beaten.get(question));
        let at_odds = || beaten().into_iter().flatten().any(|one| one.differs_from(&reading).is_some());
        self.restored.contains(&grounds.record.id) && (claim.kind == EntryKind::Answer || at_odds())
    }

    /// Why a sentence is not put in front by the word of an edit, if so.
    pub(crate) fn against(&self, claim: &Claim<'_>, grounds: &Grounds<'_>) -> Option<WithheldReason> {
        let question = self.same.get(&grounds.record.id)?;
        let stands = self.stands.get(question)?;
        if stands.as_deref() == Some(grounds.answer().as_ref()) {
            return None;
        }
        let reading = Reading::of(&claim.value);
        let said = self.said.get(question).into_iter().flatten();
        let at_odds = || said.into_iter().any(|heard| heard.differs_from(&reading).is_some());
        let reason = if stands.is_some() { WithheldReason::Contradicted } else { WithheldReason::Undecided };
        (claim.kind == EntryKind::Answer || at_odds()).then_some(reason)
    }
}

/// Which of two stands where nothing tells them apart.
pub fn undecided<'c, 'a>(
    config: &DisputeConfig,
    first: &'c Contender<'a>,
    second: &'c Contender<'a>,
) -> Option<&'c Contender<'a>> {
    match config.undecided {
        Undecided::Withhold => None,
        Undecided::Newer if second.record.created_at > first.record.created_at => Some(second),
        Undecided::Newer => Some(first),
    }
}
