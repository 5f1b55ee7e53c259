use reasonedit_codebook::CodebookName;

use super::*;
use crate::{ReviewMode, ReviewRule};

#[test]
fn defaults_are_in_range() {
    EditorConfig::default().validate().unwrap();
}

#[test]
fn what_is_out_of_range_is_named() {
    let wrong = |set: fn(&mut EditorConfig), name: &str| {
        let mut config = EditorConfig::default();
        set(&mut config);
        let Err(OutOfRange(what)) = config.validate() else { panic!("{name} was taken") };
        assert!(what.starts_with(name), "{what}");
    };
    wrong(|c| c.patchify.grid.rows = 0, "patchify.grid");
    wrong(|c| c.patchify.grid.kernels[0].columns = 4, "patchify.grid.kernels");
    wrong(|c| c.patchify.min_p_yes = 1.5, "patchify.min_p_yes");
    wrong(|c| c.radius.pairs = 0, "radius.pairs");
    wrong(|c| c.radius.augment.area_kept = f32::NAN, "radius.augment.area_kept");
    wrong(|c| c.radius.augment.hue = 0.6, "radius.augment.hue");
    wrong(|c| c.retrieval.max_k = 0, "retrieval.max_k");
    wrong(|c| c.retrieval.verify.min_support = f64::NAN, "retrieval.verify.min_support");
    wrong(|c| c.retrieval.verify.min_edit_support = -0.1, "retrieval.verify.min_edit_support");
    wrong(|c| c.retrieval.verify.unjudged_reach = f64::INFINITY, "retrieval.verify.unjudged_reach");
    wrong(|c| c.retrieval.relevance.false_injection = 0.0, "retrieval.relevance.false_injection");
    wrong(|c| c.retrieval.relevance.confidence = 1.0, "retrieval.relevance.confidence");
    wrong(|c| c.answer.max_tokens = 2000, "answer.max_tokens");
    wrong(|c| c.review.approvals = 0, "review.approvals");
    wrong(|c| c.review.most = 0, "review.most");
    wrong(
        |c| {
            let named = ReviewRule { mode: ReviewMode::All, approvals: 21 };
            c.review.codebooks.insert(CodebookName::default(), named);
        },
        "review.approvals",
    );
    wrong(|c| c.retrieval.verify.disputes.margin = -0.1, "retrieval.verify.disputes.margin");
    wrong(|c| c.retrieval.verify.disputes.min_place = 1.1, "retrieval.verify.disputes.min_place");
    wrong(|c| c.retrieval.verify.disputes.same_question = 2.0, "retrieval.verify.disputes.same_question");
    wrong(|c| c.retrieval.verify.disputes.contenders = 1, "retrieval.verify.disputes.contenders");
    wrong(|c| c.canaries.most = 10_001, "canaries.most");
    wrong(|c| c.question_log.most = 0, "question_log.most");
    wrong(|c| c.question_log.keep_days = 0, "question_log.keep_days");
    wrong(|c| c.answer.max_thinking_tokens = 10_000, "answer.max_thinking_tokens");
}
