//! Which statements the model is asked about: the configuration bounds them.

use std::collections::HashSet;

use reasonedit_codebook::ImageId;
use reasonedit_editor_config::VerifyConfig;

use crate::claims::{Claim, Grounds, Judged};

/// What can be asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// A statement that is judged by itself.
    Statement(&'a str),
    /// An edit, by the statements that it rests on.
    Edit(&'a Grounds<'a>),
}

/// What has to be asked about these claims, each subject once: nearest keys first, of the edits of one key
/// the first before any second one, so that a key that many share does not take the room of all others.
/// Nothing about what was said of this very picture.
pub(crate) fn subjects<'a>(claims: &[Claim<'a>], picture: ImageId) -> Vec<Subject<'a>> {
    let mut subjects = Vec::new();
    for claim in claims {
        if claim.sources.iter().any(|source| source.grounds.record.image.id == picture) {
            continue;
        }
        if let (Some(ground), Some(first)) = (claim.ground, claim.sources.first()) {
            subjects.push(((0, first.at), Subject::Statement(ground.text)));
        }
        if !claim.alone || claim.ground.is_none_or(|ground| !ground.telling()) {
            let edits = claim.sources.iter();
            subjects.extend(edits.map(|source| ((source.turn, source.at), Subject::Edit(source.grounds))));
        }
    }
    subjects.sort_by_key(|(place, _)| *place);
    let mut edits = HashSet::new();
    let mut once = |subject: &Subject<'a>| match subject {
        Subject::Statement(_) => true,
        Subject::Edit(grounds) => edits.insert(grounds.record.id),
    };
    subjects.into_iter().map(|(_, subject)| subject).filter(|subject| once(subject)).collect()
}

impl<'a> Subject<'a> {
    /// All that it is judged by.
    fn statements(self) -> Vec<&'a str> {
        match self {
            Self::Statement(text) => vec![text],
            Self::Edit(grounds) => grounds.statements.iter().map(|ground| ground.text).collect(),
        }
    }

    /// The least that says something of it: a statement that is asked about anyway, else the shortest whose
    /// yes says something.
    fn cheapest(self, asked: &[&str]) -> Option<&'a str> {
        match self {
            Self::Statement(text) => Some(text),
            Self::Edit(grounds) => {
                let telling = || grounds.statements.iter().filter(|ground| ground.telling());
                let known = telling().find(|ground| asked.contains(&ground.text));
                known.or_else(|| telling().min_by_key(|ground| ground.text.len())).map(|ground| ground.text)
            }
        }
    }
}

/// The next statements to ask about, given what the model has said already: all, where there is room. Where
/// there is not, half of the room goes to one telling statement of every subject, and then the rest to what
/// is left to ask about those that this has not refuted.
pub(crate) fn next<'a>(config: &VerifyConfig, subjects: &[Subject<'a>], judged: &Judged<'a>) -> Vec<&'a str> {
    let room = config.statements;
    if !judged.is_empty() {
        return rest(config, subjects, judged, room.saturating_sub(judged.len()));
    }
    let all = new(subjects.iter().flat_map(|subject| subject.statements()), &Judged::new(), &[]);
    if all.len() <= room {
        return all;
    }
    let most = (room / 2).max(1).min(room);
    let mut first: Vec<&'a str> = Vec::new();
    for subject in subjects {
        let Some(text) = subject.cheapest(&first).filter(|text| !first.contains(text)) else { continue };
        if first.len() == most {
            break;
        }
        first.push(text);
    }
    if first.is_empty() { rest(config, subjects, judged, room) } else { first }
}

/// What is left to ask about, subject by subject, each as a whole: what was asked about in part must not be
/// taken for judged. The nearest edit is judged by as many of its statements as there is room for.
fn rest<'a>(
    config: &VerifyConfig,
    subjects: &[Subject<'a>],
    judged: &Judged<'a>,
    room: usize,
) -> Vec<&'a str> {
    let mut questions: Vec<&'a str> = Vec::new();
    for subject in subjects {
        let mut more = new(subject.statements().into_iter(), judged, &questions);
        let left = room - questions.len();
        if let Subject::Edit(grounds) = subject {
            if grounds.is_refuted(judged, config.min_edit_support) {
                continue;
            }
            if is_nearest(subjects, grounds) {
                more.truncate(left);
            }
        }
        if more.len() <= left {
            questions.append(&mut more);
        }
    }
    questions
}

/// Whether it is the first edit that is asked about.
pub(crate) fn is_nearest(subjects: &[Subject<'_>], grounds: &Grounds<'_>) -> bool {
    let first = subjects.iter().find_map(|subject| match subject {
        Subject::Edit(grounds) => Some(grounds.record.id),
        Subject::Statement(_) => None,
    });
    first == Some(grounds.record.id)
}

/// The texts that are in neither, each once.
fn new<'a>(texts: impl Iterator<Item = &'a str>, judged: &Judged<'_>, planned: &[&str]) -> Vec<&'a str> {
    let mut seen: HashSet<&str> = planned.iter().copied().collect();
    texts.filter(|text| !judged.contains_key(text) && seen.insert(text)).collect()
}
