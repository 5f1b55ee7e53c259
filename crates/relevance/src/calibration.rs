//! How alike two questions have to be: a threshold with a promise (method section 5.7).
//!
//! The head brings questions that no edit concerns. Each is asked about the picture of one of the codebook's
//! own edits, and its score is the cosine of the likest question of an edit that stands on that picture: one
//! that would be put in front of it. The threshold is the k-th greatest of these scores
//! ([`crate::conformal`]). It follows from the live edits alone, whatever was made and reverted before, and
//! rises as there are more of them.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};

use reasonedit_codebook::{EditId, ImageId};

use crate::head::RelevanceHead;
use crate::texts::{EditTexts, FLOOR, Near};

/// Edits of one question that verdicts are asked for at a time: mostly the first decides.
const AT_A_TIME: usize = 4;

/// Scores that are sorted at first.
const FIRST: usize = 2048;

/// Whether an edit stands on a picture has to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenVerdict {
    /// The picture.
    pub picture: ImageId,
    /// The edit.
    pub edit: EditId,
}

/// The threshold for edits' questions, or what has to be known first. `stands` says whether an edit would be
/// put in front of a question about a picture by all other tests; `None` if that is not known yet.
///
/// # Errors
/// The verdicts that are missing; fewer each time, until there are none.
pub fn threshold(
    texts: &EditTexts,
    head: &RelevanceHead,
    rank: usize,
    stands: impl Fn(OpenVerdict) -> Option<bool>,
) -> Result<f64, Vec<OpenVerdict>> {
    let unrelated = head.unrelated();
    let pictures = pictures(texts, unrelated.len());
    let mut near = texts.near(&unrelated);
    let mut search = Search {
        texts,
        pictures,
        rank,
        counted: HashSet::new(),
        doubtful: HashMap::new(),
        open: BTreeSet::new(),
    };
    // Mostly the greatest few decide, of very many.
    let (mut sorted, mut wanted) = (0, FIRST);
    while sorted < near.len() {
        let rest = &mut near[sorted..];
        if wanted < rest.len() {
            rest.select_nth_unstable_by(wanted, by_score);
        }
        let part = wanted.min(rest.len());
        let part = &mut rest[..part];
        part.sort_unstable_by(by_score);
        if let Some(found) = part.iter().find_map(|one| search.take(*one, &stands)) {
            return found;
        }
        sorted += part.len();
        wanted *= 4;
    }
    if search.open.is_empty() { Ok(FLOOR) } else { Err(search.open.into_iter().collect()) }
}

/// Greatest score first, ties by question and edit.
fn by_score(a: &Near, b: &Near) -> Ordering {
    b.score.total_cmp(&a.score).then((a.unrelated, a.edit).cmp(&(b.unrelated, b.edit)))
}

/// What has been seen of the questions, greatest scores first.
struct Search<'a> {
    texts: &'a EditTexts,
    /// Of each question.
    pictures: Vec<ImageId>,
    rank: usize,
    /// Questions that an edit is put in front of.
    counted: HashSet<u32>,
    /// Those of which that is not known, with how many edits are to be asked about.
    doubtful: HashMap<u32, usize>,
    open: BTreeSet<OpenVerdict>,
}

impl Search<'_> {
    /// Looks at the next greatest score: what was found, if that is decided now.
    fn take(
        &mut self,
        one: Near,
        stands: impl Fn(OpenVerdict) -> Option<bool>,
    ) -> Option<Result<f64, Vec<OpenVerdict>>> {
        let asked_enough = self.doubtful.get(&one.unrelated).is_some_and(|edits| *edits == AT_A_TIME);
        if self.counted.contains(&one.unrelated) || asked_enough {
            return None;
        }
        let picture = *self.pictures.get(one.unrelated as usize)?;
        let verdict = OpenVerdict { picture, edit: one.edit };
        let own = self.texts.picture_of(one.edit) == Some(picture);
        match if own { Some(true) } else { stands(verdict) } {
            Some(true) => {
                self.counted.insert(one.unrelated);
                self.doubtful.remove(&one.unrelated);
                if self.counted.len() >= self.rank && self.open.is_empty() {
                    return Some(Ok(f64::from(one.score).max(FLOOR)));
                }
            }
            Some(false) => {}
            None => {
                self.open.insert(verdict);
                *self.doubtful.entry(one.unrelated).or_default() += 1;
            }
        }
        // Nothing that comes later can matter before these are known.
        let enough = !self.open.is_empty() && self.counted.len() + self.doubtful.len() >= self.rank;
        enough.then(|| Err(std::mem::take(&mut self.open).into_iter().collect()))
    }
}

/// The picture that each unrelated question is asked about: of all edits' pictures the one that comes first
/// in an order of the question's own, so that another edit changes the picture of few.
pub(crate) fn pictures(texts: &EditTexts, questions: usize) -> Vec<ImageId> {
    let pictures: Vec<(u64, ImageId)> =
        texts.pictures().into_iter().map(|picture| (number(picture), picture)).collect();
    let first = |question: u64| {
        let salt = mixed(question.wrapping_add(0x9e37_79b9_7f4a_7c15));
        pictures.iter().min_by_key(|(number, picture)| (mixed(number ^ salt), *picture)).map(|one| one.1)
    };
    (0..questions as u64).filter_map(first).collect()
}

/// The first bits of a picture's id, which is a hash.
fn number(picture: ImageId) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&picture.0[..8]);
    u64::from_le_bytes(bytes)
}

/// The finaliser of `SplitMix64` (Steele et al. 2014): every bit of the number changes every bit of this.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
