//! How alike two questions have to be: a threshold with a promise (method section 5.7).
//!
//! The head brings questions that no edit concerns. Each is asked about the picture of one of the codebook's
//! own edits, and its score is the cosine of the likest question of an edit that stands on that picture: one
//! that would be put in front of it. The threshold is the k-th greatest of these scores
//! ([`crate::conformal`]). It follows from the live edits alone, whatever was made and reverted before, and
//! rises as there are more of them.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

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

/// The search for the threshold at a state of a codebook, gone on with as verdicts become known.
pub struct Calibration {
    texts: Arc<EditTexts>,
    /// Of each unrelated question.
    pictures: Vec<ImageId>,
    near: Vec<Near>,
    /// So many of them stand where they belong, greatest scores first: mostly few decide, of very many.
    sorted: usize,
    rank: usize,
}

impl Calibration {
    /// A search for the `rank`-th greatest score ([`crate::conformal::rank`]).
    pub fn new(texts: Arc<EditTexts>, head: &RelevanceHead, rank: usize) -> Self {
        let pictures = pictures(&texts, head.unrelated().len());
        let near = texts.near(head.unrelated());
        Self { texts, pictures, near, sorted: 0, rank }
    }

    /// The threshold for edits' questions, or what has to be known first. `stands` says whether an edit would
    /// be put in front of a question about a picture by all other tests; `None` if that is not known yet.
    ///
    /// # Errors
    /// The verdicts that are missing, none of which was missing before.
    pub fn threshold(
        &mut self,
        stands: impl Fn(OpenVerdict) -> Option<bool>,
    ) -> Result<f64, Vec<OpenVerdict>> {
        let mut seen = Seen::default();
        for at in 0..self.near.len() {
            if at == self.sorted {
                self.sort_more();
            }
            if let Some(found) = self.take(self.near[at], &mut seen, &stands) {
                return found;
            }
        }
        if seen.open.is_empty() { Ok(FLOOR) } else { Err(seen.open.into_iter().collect()) }
    }

    fn sort_more(&mut self) {
        let more = FIRST.max(3 * self.sorted);
        let mut rest = &mut self.near[self.sorted..];
        if more < rest.len() {
            rest = rest.select_nth_unstable_by(more, by_score).0;
        }
        rest.sort_unstable_by(by_score);
        self.sorted += rest.len();
    }

    /// Looks at the next greatest score: what was found, if that is decided now.
    fn take(
        &self,
        one: Near,
        seen: &mut Seen,
        stands: impl Fn(OpenVerdict) -> Option<bool>,
    ) -> Option<Result<f64, Vec<OpenVerdict>>> {
        let asked_enough = seen.doubtful.get(&one.unrelated).is_some_and(|edits| *edits == AT_A_TIME);
        if seen.counted.contains(&one.unrelated) || asked_enough {
            return None;
        }
        let picture = *self.pictures.get(one.unrelated as usize)?;
        let verdict = OpenVerdict { picture, edit: one.edit };
        let own = self.texts.picture_of(one.edit) == Some(picture);
        match if own { Some(true) } else { stands(verdict) } {
            Some(true) => {
                seen.counted.insert(one.unrelated);
                seen.doubtful.remove(&one.unrelated);
                if seen.counted.len() >= self.rank && seen.open.is_empty() {
                    return Some(Ok(f64::from(one.score).max(FLOOR)));
                }
            }
            Some(false) => {}
            None => {
                seen.open.insert(verdict);
                *seen.doubtful.entry(one.unrelated).or_default() += 1;
            }
        }
        // Nothing that comes later can matter before these are known.
        let enough = !seen.open.is_empty() && seen.counted.len() + seen.doubtful.len() >= self.rank;
        enough.then(|| Err(std::mem::take(&mut seen.open).into_iter().collect()))
    }
}

/// Greatest score first, ties by question and edit.
fn by_score(a: &Near, b: &Near) -> Ordering {
    b.score.total_cmp(&a.score).then((a.unrelated, a.edit).cmp(&(b.unrelated, b.edit)))
}

/// What has been seen of the questions, greatest scores first.
#[derive(Default)]
struct Seen {
    /// Those that an edit is put in front of.
    counted: HashSet<u32>,
    /// Those of which that is not known, with how many edits are to be asked about.
    doubtful: HashMap<u32, usize>,
    open: BTreeSet<OpenVerdict>,
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
