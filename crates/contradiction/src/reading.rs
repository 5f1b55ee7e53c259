//! A statement as the rules see it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use reasonedit_text::canonical;
use unicode_segmentation::UnicodeSegmentation;

use crate::words::{Measure, NEGATIONS, NUMBERS, OPPOSITES, Poles, SIDES, STOP_WORDS, UNITS};
use crate::{Detail, Disagreement};

/// Of the words of the statement that has fewer, so many have to be the other's too: else they are about
/// different things.
const SHARED_OF_FEWER: f64 = 0.6;
/// The same of the statement that has more.
const SHARED_OF_MORE: f64 = 0.4;
/// Measures that differ by less than this share are the same, read off twice.
const SAME_MEASURE: f64 = 0.1;

/// What a word is to the rules.
#[derive(Clone, Copy)]
enum Known {
    Side(usize, bool),
    Negation,
    Number(f64),
    Opposite(usize, bool),
    Stop,
}

static KNOWN: LazyLock<HashMap<&'static str, Known>> = LazyLock::new(|| {
    let mut known = HashMap::new();
    known.extend(STOP_WORDS.map(|word| (word, Known::Stop)));
    let mut add = |poles: Poles, of: &dyn Fn(bool) -> Known| {
        known.extend(poles.0.iter().map(|word| (*word, of(false))));
        known.extend(poles.1.iter().map(|word| (*word, of(true))));
    };
    for (group, poles) in OPPOSITES.into_iter().enumerate() {
        add(poles, &|pole| Known::Opposite(group, pole));
    }
    for (group, (_, poles)) in SIDES.into_iter().enumerate() {
        add(poles, &|pole| Known::Side(group, pole));
    }
    known.extend(NUMBERS.map(|(word, value)| (word, Known::Number(value))));
    // "Absent" denies: that says more than that it is the opposite of "present".
    known.extend(NEGATIONS.map(|word| (word, Known::Negation)));
    known
});

static UNIT_OF: LazyLock<HashMap<&'static str, (Measure, f64)>> =
    LazyLock::new(|| UNITS.into_iter().map(|(word, measure, size)| (word, (measure, size))).collect());

/// What a statement is about, and the details that it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Words that say what it is about.
    about: BTreeSet<String>,
    /// By group of sides, which of both it names.
    sides: BTreeMap<usize, BTreeSet<bool>>,
    /// By group of opposites, which of both it names.
    opposites: BTreeMap<usize, BTreeSet<bool>>,
    denies: bool,
    /// Counts and measures, in the unit of the measure.
    numbers: BTreeMap<Measure, Vec<f64>>,
}

impl Reading {
    /// Reads a statement.
    pub fn of(text: &str) -> Self {
        let text = canonical(text).to_lowercase().replace('’', "'");
        let mut reading = Self::default();
        let mut pending: Option<f64> = None;
        // "%" and "°" are no words, but units.
        let pieces = text.split_word_bounds().flat_map(|piece| match number_with_unit(piece) {
            Some((number, unit)) => vec![number, unit],
            None => vec![piece],
        });
        for piece in pieces.filter(|piece| !piece.trim().is_empty()) {
            if let Some(value) = pending.take() {
                let (measure, size) = UNIT_OF.get(piece).copied().unwrap_or((Measure::Count, 1.0));
                reading.numbers.entry(measure).or_default().push(value * size);
                if measure != Measure::Count {
                    continue;
                }
            }
            if let Some(value) = parse(piece) {
                pending = Some(value);
                continue;
            }
            reading.word(piece, &mut pending);
        }
        if let Some(value) = pending {
            reading.numbers.entry(Measure::Count).or_default().push(value);
        }
        reading
    }

    fn word(&mut self, word: &str, pending: &mut Option<f64>) {
        if !word.chars().any(char::is_alphanumeric) {
            return;
        }
        match KNOWN.get(word).copied() {
            Some(Known::Stop) => {}
            Some(Known::Negation) => self.denies = !self.denies,
            Some(Known::Side(group, pole)) => {
                self.sides.entry(group).or_default().insert(pole);
            }
            Some(Known::Opposite(group, pole)) => {
                self.opposites.entry(group).or_default().insert(pole);
            }
            Some(Known::Number(value)) => *pending = Some(value),
            None => {
                if let Some(stem) = word.strip_suffix("n't") {
                    self.denies = !self.denies;
                    if stem.len() < 4 {
                        return;
                    }
                }
                self.about.insert(stem(word).to_owned());
            }
        }
    }

    /// The detail in which two readings of the same differ.
    pub fn differs_from(&self, other: &Self) -> Option<Disagreement> {
        if !self.is_about_the_same(other) {
            return None;
        }
        let of = |detail, axis| Some(Disagreement { detail, axis });
        if let Some(group) = opposed(&self.sides, &other.sides) {
            return of(Detail::Side, Some(SIDES[group].0));
        }
        if self.denies != other.denies {
            return of(Detail::Negation, None);
        }
        let measured = |measure: &Measure| {
            let (one, two) = (self.numbers.get(measure)?, other.numbers.get(measure)?);
            Some(!is_same(*measure, one, two))
        };
        if self.numbers.keys().any(|measure| measured(measure).unwrap_or(false)) {
            return of(Detail::Number, None);
        }
        opposed(&self.opposites, &other.opposites).and_then(|_| of(Detail::Opposite, None))
    }

    fn is_about_the_same(&self, other: &Self) -> bool {
        let shared = self.about.intersection(&other.about).count() as f64;
        let (one, two) = (self.about.len() as f64, other.about.len() as f64);
        shared >= SHARED_OF_FEWER * one.min(two) && shared >= SHARED_OF_MORE * one.max(two)
    }
}

/// A group of which one names one word and the other the other alone.
fn opposed(one: &BTreeMap<usize, BTreeSet<bool>>, two: &BTreeMap<usize, BTreeSet<bool>>) -> Option<usize> {
    let apart = |(group, poles): (&usize, &BTreeSet<bool>)| {
        two.get(group).filter(|others| others.is_disjoint(poles)).map(|_| *group)
    };
    one.iter().find_map(apart)
}

/// Whether they count or measure the same. Of "one of two" the two counts.
fn is_same(measure: Measure, one: &[f64], two: &[f64]) -> bool {
    let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if measure == Measure::Count {
        return most(one) == most(two);
    }
    one.iter().any(|a| two.iter().any(|b| (a - b).abs() <= SAME_MEASURE * a.abs().max(b.abs())))
}

/// A number in digits; a comma is a point, unless it groups thousands.
fn parse(piece: &str) -> Option<f64> {
    if !piece.starts_with(|c: char| c.is_ascii_digit()) || piece.len() > 24 {
        return None;
    }
    let grouped = piece.split_once(',').is_some_and(|(_, rest)| rest.len() == 3 && !rest.contains('.'));
    let plain = if grouped { piece.replace(',', "") } else { piece.replace(',', ".") };
    plain.parse().ok().filter(|value: &f64| value.is_finite())
}

/// "30mm" as number and unit.
fn number_with_unit(piece: &str) -> Option<(&str, &str)> {
    let end = piece.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').filter(|end| *end > 0)?;
    let (number, unit) = piece.split_at(end);
    UNIT_OF.contains_key(unit).then_some((number, unit))
}

/// Without the ending of a plural, so that "rims" are about a rim.
fn stem(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(one) if one.chars().count() > 3 && !one.ends_with('s') => one,
        _ => word,
    }
}
