//! Whether what stood in front of the model is true of the asked picture and bears on the question, where
//! the data say what statements say (method section 7.1).

use reasonedit_dataset::{QuestionTruth, Record, Sample};

use crate::baseline::{SentenceInFront, SentencePart};

/// Place of the first of these sentences that is true of the asked picture and bears on the question, from 1;
/// 0 if none is. `None` where the data don't know.
pub(crate) fn first_true(asked: &Sample, in_front: &[SentenceInFront], edited: &[&Record]) -> Option<usize> {
    let truth = asked.truth.as_ref()?;
    let edits = || in_front.iter().flat_map(|sentence| &sentence.edits).filter_map(|edit| edited.get(*edit));
    if edits().any(|record| !record.knows_truth()) {
        return None;
    }
    Some(in_front.iter().position(|sentence| holds(truth, sentence, edited)).map_or(0, |at| at + 1))
}

/// Of a sentence that several edits share the meaning is that of any of them; what was put into the reasoning
/// as noise has none.
fn holds(truth: &QuestionTruth, sentence: &SentenceInFront, edited: &[&Record]) -> bool {
    sentence.edits.iter().filter_map(|edit| edited.get(*edit)).any(|record| {
        sentence.says.iter().any(|said| match said {
            SentencePart::Answer => {
                record.answer_meaning().is_some_and(|meaning| truth.is_borne_on_by(&meaning))
            }
            SentencePart::Statement(text) => {
                record.meaning_of(text).is_some_and(|meaning| truth.is_borne_on_by(meaning))
            }
        })
    })
}
