//! Verified retrieval: asks the model about the query's picture until it is known which of the retrieved
//! sentences it bears out. What follows from that is decided by `reasonedit_verification`.

use std::collections::HashMap;

use reasonedit_codebook::{Relevant, Retrieval};
use reasonedit_verification::{Grounds, Judged, Settled, Verifier};

use super::telling_apart::TellingApart;
use crate::error::EditorError;
use crate::pictures::DecodedPicture;
use crate::types::Verification;

/// Times that the model is asked at most: where there is no room for all statements, the second time only
/// about edits that the first has not refuted.
const ROUNDS: usize = 2;

/// Judges the facts of a retrieval, each told of every key that holds it, on the query's picture: leaves in
/// it those that are borne out, of the nearest `k` keys, each once and told of the edits that bear it out,
/// and tells about the others. Returns also the milliseconds that the questions waited for the engine.
pub(super) async fn withhold(
    apart: &TellingApart<'_>,
    picture: &DecodedPicture,
    relevant: Option<&Relevant>,
    retrieval: &mut Retrieval,
    k: usize,
) -> Result<(Verification, f64), EditorError> {
    let (config, snapshot) = (&apart.core.config().retrieval.verify, apart.snapshot);
    let candidates = std::mem::take(&mut retrieval.facts);
    let mut edits = HashMap::new();
    for id in candidates.iter().flat_map(|fact| &fact.edit_ids) {
        if let Some(record) = snapshot.edit(*id) {
            edits.insert(*id, Grounds::new(record.as_ref(), config.min_support));
        }
    }
    let alone = |sentence: &str| relevant.is_none_or(|r| r.statements.contains_key(sentence));
    let verifier = Verifier::new(config, candidates, (&edits, alone), picture.id);
    let (mut judged, mut queue_ms) = (Judged::new(), 0.0);
    for _ in 0..ROUNDS {
        let questions = verifier.questions(&judged);
        if questions.is_empty() {
            break;
        }
        let (answers, waited) = apart.looks.judge.row(picture.input(None), &questions).await?;
        judged.extend(questions.into_iter().zip(answers));
        queue_ms += waited;
    }
    let asked: Vec<_> = edits.values().map(Grounds::record).collect();
    let same = apart.same_questions(&asked, config.disputes.same_question).await?;
    let disputes = verifier.disputes(&judged, &same);
    let mut settled = Settled::new(same);
    for dispute in &disputes {
        settled.settle(dispute, apart.standing(dispute, picture, &judged).await?);
    }
    let (mut facts, verification) = verifier.decide(&judged, &settled, k);
    for fact in &mut facts {
        let first = fact.edit_ids.first();
        if let Some((image, area)) =
            first.and_then(|edit| snapshot.said_at(*edit, fact.entry_id, &fact.value))
        {
            (fact.image_id, fact.evidence) = (image, area);
        }
    }
    retrieval.facts = facts;
    Ok((verification, queue_ms))
}
