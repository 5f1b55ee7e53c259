use std::collections::BTreeMap;

use reasonedit_codebook::{EditRecord, GenerationId, ImageInfo, MemberId, Statement};
use reasonedit_editor_config::DisputeConfig;
use reasonedit_text::canonical;

use super::*;
use crate::{Apart, Contender, Verdict, verdict};

/// Times that the model is asked at most.
const ROUNDS: usize = 2;

/// The better borne out stands however small the difference.
fn by_support() -> VerifyConfig {
    VerifyConfig {
        disputes: DisputeConfig { margin: 0.0, ..DisputeConfig::default() },
        ..VerifyConfig::default()
    }
}

/// Statements with what the model said of them on their own picture; "in general" ones it affirms of any.
fn record(n: u128, answer: &str, statements: &[(&str, Option<f64>)]) -> EditRecord {
    let statement = |(text, p_yes): &(&str, Option<f64>)| Statement {
        statement: (*text).to_owned(),
        evidence: Vec::new(),
        p_yes: *p_yes,
        prior: p_yes.map(|_| if text.contains("in general") { 0.9 } else { 0.1 }),
    };
    EditRecord {
        warnings: Vec::new(),
        id: EditId(ulid::Ulid::from(n)),
        created_at: time::OffsetDateTime::UNIX_EPOCH,
        image: ImageInfo { id: ImageId::of(&n.to_be_bytes()), width: 8, height: 8 },
        question: "What is it?".to_owned(),
        answer: answer.to_owned(),
        choices: Vec::new(),
        reasoning: statements.iter().map(statement).collect(),
        author: None,
        tags: Vec::new(),
        metadata: serde_json::Value::Null,
        embedding: GenerationId(ulid::Ulid::nil()),
        before: None,
        timings_ms: BTreeMap::new(),
        relations: reasonedit_codebook::Relations::default(),
        idempotency: None,
    }
}

fn fact(record: &EditRecord, ordinal: u32, value: &str) -> Fact {
    Fact {
        entry_id: MemberId::derive(record.id, ordinal),
        edit_ids: vec![record.id],
        kind: if ordinal == 0 { EntryKind::Answer } else { EntryKind::Statement },
        value: value.to_owned(),
        distance: 1.0,
        reach: Some(1.5),
        image_id: record.image.id,
        evidence: None,
        relevance: None,
        rank: 1,
    }
}

/// What comes of these candidates on a picture, where the model says this of statements, and what it was
/// asked about in each round.
fn judge(
    config: &VerifyConfig,
    records: &[EditRecord],
    picture: u128,
    candidates: Vec<Fact>,
    k: usize,
    p: &[(&str, f64)],
) -> (Vec<Fact>, Verification, Vec<Vec<String>>) {
    judge_where(|_| true, config, records, picture, candidates, k, p)
}

/// The same where only some sentences may be put in front without their edits.
#[allow(clippy::too_many_arguments, reason = "as many things have a say")]
fn judge_where(
    alone: impl Fn(&str) -> bool,
    config: &VerifyConfig,
    records: &[EditRecord],
    picture: u128,
    candidates: Vec<Fact>,
    k: usize,
    p: &[(&str, f64)],
) -> (Vec<Fact>, Verification, Vec<Vec<String>>) {
    let edits: HashMap<EditId, Grounds<'_>> =
        records.iter().map(|record| (record.id, Grounds::new(record, config.min_support))).collect();
    let verifier = Verifier::new(config, candidates, (&edits, alone), ImageId::of(&picture.to_be_bytes()));
    let (mut judged, mut rounds) = (Judged::new(), Vec::new());
    for _ in 0..ROUNDS {
        let questions = verifier.questions(&judged);
        if !questions.is_empty() {
            rounds.push(questions.iter().map(|text| (*text).to_owned()).collect());
        }
        for text in questions {
            judged.insert(text, Some(p.iter().find(|(own, _)| *own == text).map_or(0.9, |(_, p)| *p)));
        }
    }
    let (facts, verification) = decide(&verifier, records, &judged, k, |_, _| Apart::default());
    (facts, verification, rounds)
}

/// What is decided where contenders are told apart by this.
fn decide<'a>(
    verifier: &Verifier<'a>,
    records: &[EditRecord],
    judged: &Judged<'a>,
    k: usize,
    apart: impl Fn(&Contender<'_>, &Contender<'_>) -> Apart,
) -> (Vec<Fact>, Verification) {
    let mut questions: Vec<String> = records.iter().map(|r| canonical(&r.question).to_lowercase()).collect();
    questions.dedup();
    let name = |record: &EditRecord| {
        questions.iter().position(|text| *text == canonical(&record.question).to_lowercase())
    };
    let same: HashMap<EditId, usize> =
        records.iter().filter_map(|record| Some((record.id, name(record)?))).collect();
    let disputes = verifier.disputes(judged, &same);
    let mut settled = Settled::new(same);
    for dispute in &disputes {
        let (first, rest) = dispute.contenders.split_first().unwrap();
        let mut stands = Some(first);
        for other in rest {
            let Some(one) = stands else { break };
            if !one.stands_by_support(other, &verifier.config.disputes) {
                stands = match verdict(&verifier.config.disputes, &apart(one, other)) {
                    Verdict::First => Some(one),
                    Verdict::Second => Some(other),
                    Verdict::Neither => None,
                };
            }
        }
        settled.settle(dispute, stands);
    }
    verifier.decide(judged, &settled, k)
}

fn values(facts: &[Fact]) -> Vec<&str> {
    facts.iter().map(|fact| fact.value.as_str()).collect()
}

fn withheld(verification: &Verification) -> Vec<(&str, WithheldReason)> {
    verification.withheld.iter().map(|w| (w.fact.value.as_str(), w.reason)).collect()
}

#[test]
fn a_statement_stands_for_itself_and_an_answer_for_its_edit() {
    let config = by_support();
    let records = [record(1, "a", &[("It is red.", None), ("It is round.", Some(0.9))])];
    let facts = vec![
        fact(&records[0], 0, "The answer is a."),
        fact(&records[0], 1, "It is red."),
        fact(&records[0], 2, "It is round."),
    ];
    let said = [("It is red.", 0.3), ("It is round.", 0.9)];
    let (front, verification, rounds) = judge(&config, &records, 0, facts.clone(), 5, &said);
    assert_eq!(rounds, [["It is red.", "It is round."]]);
    assert_eq!(values(&front), ["It is round."]);
    let told = [("The answer is a.", WithheldReason::NotShown), ("It is red.", WithheldReason::NotShown)];
    assert_eq!(withheld(&verification), told);
    assert!((verification.support["The answer is a."] - 0.6).abs() < 1e-12);
    let lenient = VerifyConfig { min_edit_support: 0.5, ..by_support() };
    let front = judge(&lenient, &records, 0, facts.clone(), 5, &said).0;
    assert_eq!(values(&front), ["The answer is a.", "It is round."]);
    // No more keys than asked for.
    let front = judge(&config, &records, 0, facts, 2, &[]).0;
    assert_eq!(values(&front), ["The answer is a.", "It is red."]);
}

#[test]
fn what_bears_on_the_question_by_its_edit_alone_stands_with_it() {
    let config = by_support();
    let records = [record(1, "a", &[("It is red.", Some(0.9)), ("It is round.", Some(0.9))])];
    let facts = || vec![fact(&records[0], 1, "It is red."), fact(&records[0], 2, "It is round.")];
    let front = |red: f64, round: f64, alone: &str| {
        let said = [("It is red.", red), ("It is round.", round)];
        let judged = judge_where(|text| text == alone, &config, &records, 0, facts(), 5, &said);
        assert_eq!(judged.2, [["It is red.", "It is round."]]);
        values(&judged.0).join(" ")
    };
    assert_eq!(front(0.9, 0.8, ""), "It is red. It is round.");
    // The edit does not hold here, whatever else does.
    assert_eq!(front(0.9, 0.1, ""), "");
    assert_eq!(front(0.9, 0.1, "It is red."), "It is red.");
    // It holds, and this of it is not shown.
    let lenient = VerifyConfig { min_edit_support: 0.4, ..config.clone() };
    let said = [("It is red.", 0.9), ("It is round.", 0.1)];
    let judged = judge_where(|_| false, &lenient, &records, 0, facts(), 5, &said);
    assert_eq!(values(&judged.0), ["It is red."]);
}

#[test]
fn the_edit_of_this_picture_needs_no_judgement() {
    let config = by_support();
    let records = [record(1, "a", &[("It is red.", None)])];
    let facts = vec![fact(&records[0], 0, "The answer is a."), fact(&records[0], 1, "It is red.")];
    let (front, verification, rounds) = judge(&config, &records, 1, facts, 5, &[("It is red.", 0.0)]);
    assert!(rounds.is_empty());
    assert_eq!(values(&front), ["The answer is a.", "It is red."]);
    assert!(verification.withheld.is_empty() && verification.support.is_empty());
}

#[test]
fn what_the_model_did_not_recognise_goes_with_its_edit() {
    let config = by_support();
    let records = [record(1, "a", &[("It is red.", Some(0.9)), ("Red ones are a.", Some(0.2))])];
    let rule = fact(&records[0], 2, "Red ones are a.");
    for (p, shown) in [(0.85, true), (0.2, false)] {
        let (front, _, rounds) = judge(&config, &records, 0, vec![rule.clone()], 5, &[("It is red.", p)]);
        assert_eq!(rounds, [["It is red."]]);
        assert_eq!(!front.is_empty(), shown);
    }
}

#[test]
fn a_yes_to_what_it_affirms_of_any_picture_says_nothing_and_a_no_does() {
    let config = by_support();
    let records = [record(1, "a", &[("It is red.", Some(0.9)), ("Those are rare in general.", Some(0.9))])];
    let general = fact(&records[0], 2, "Those are rare in general.");
    for (general_p, red_p, support) in [(0.9, 0.2, 0.2), (0.9, 0.85, 0.85), (0.1, 0.85, 0.1)] {
        let said = [("Those are rare in general.", general_p), ("It is red.", red_p)];
        let (front, verification, rounds) = judge(&config, &records, 0, vec![general.clone()], 5, &said);
        assert_eq!(rounds, [["Those are rare in general.", "It is red."]]);
        assert_eq!(verification.support[&general.value], support);
        assert_eq!(front.is_empty(), support < 0.5);
    }
}

#[test]
fn an_edit_that_nothing_can_be_said_of_speaks_within_its_radius() {
    let config = by_support();
    let records = [record(1, "a", &[])];
    let at = |reach| Fact { reach, ..fact(&records[0], 0, "The answer is a.") };
    for (reach, spoken) in [(Some(0.9), true), (Some(1.1), false), (None, false)] {
        let (front, verification, _) = judge(&config, &records, 0, vec![at(reach)], 5, &[]);
        assert_eq!(!front.is_empty(), spoken, "{reach:?}");
        assert_eq!(verification.withheld.is_empty(), spoken);
    }
}

#[test]
fn of_answers_that_contradict_each_other_the_best_borne_out_stays() {
    let config = by_support();
    let records = [
        record(1, "a", &[("It is red.", None)]),
        record(2, "b", &[("It is round.", None)]),
        record(3, "b", &[("It is round.", None)]),
    ];
    let answers = ["a", "b", "b again"].iter().zip(&records);
    let facts = answers.map(|(answer, record)| fact(record, 0, &format!("The answer is {answer}.")));
    let said = [("It is red.", 0.85), ("It is round.", 0.9)];
    let (front, verification, _) = judge(&config, &records, 0, facts.collect(), 5, &said);
    assert_eq!(values(&front), ["The answer is b.", "The answer is b again."]);
    assert_eq!(withheld(&verification), [("The answer is a.", WithheldReason::Contradicted)]);
}

#[test]
fn a_shared_answer_stands_by_the_reasons_of_whoever_they_hold_for() {
    let config = by_support();
    let records = [
        record(1, "a", &[("It is red.", None)]),
        record(2, "b", &[("It is tall.", None)]),
        record(3, "a", &[("It is round.", None)]),
        record(4, "a", &[("It is small.", None)]),
    ];
    let at = |n: usize, rank: usize, value: &str| Fact { rank, ..fact(&records[n], 0, value) };
    // The nearest edit's reason does not hold; those of two that are farther do.
    let all = vec![
        at(0, 1, "The answer is a."),
        at(1, 2, "The answer is b."),
        at(2, 3, "The answer is a."),
        at(3, 4, "The answer is a."),
    ];
    let said = [("It is red.", 0.1), ("It is tall.", 0.1), ("It is round.", 0.85)];
    let (front, verification, _) = judge(&config, &records, 0, all.clone(), 5, &said);
    assert_eq!(values(&front), ["The answer is a."]);
    // It is told of the nearest that bears it out, with the best support, and of nobody who does not.
    assert_eq!(front[0].edit_ids, [records[2].id, records[3].id]);
    assert_eq!((front[0].entry_id, front[0].rank), (all[2].entry_id, 3));
    assert_eq!(verification.support["The answer is a."], 0.9);
    assert_eq!(withheld(&verification), [("The answer is b.", WithheldReason::NotShown)]);
    // As it would be if the nearer edit had never been made.
    let without = judge(&config, &records, 0, all[1..].to_vec(), 5, &said).0;
    assert_eq!(front, without);
    // Many edits of one key are no different: the last of them bears it out.
    let edit_ids = records.iter().filter(|r| r.answer == "a").map(|r| r.id).collect();
    let merged = vec![Fact { edit_ids, ..all[0].clone() }];
    let said = [("It is red.", 0.1), ("It is round.", 0.1)];
    let (front, ..) = judge(&config, &records, 0, merged, 5, &said);
    assert_eq!(front[0].edit_ids, [records[3].id]);
    // None bears it out: it is withheld, and told of them all.
    let said = [("It is red.", 0.1), ("It is tall.", 0.1), ("It is round.", 0.2), ("It is small.", 0.3)];
    let (front, verification, _) = judge(&config, &records, 0, all, 5, &said);
    assert!(front.is_empty());
    assert_eq!(verification.support["The answer is a."], 0.3);
    assert_eq!(verification.withheld[0].fact.edit_ids.len(), 3);
}

#[test]
fn of_a_shared_answer_that_is_contradicted_in_one_question_the_other_stays() {
    let config = by_support();
    let mut records = [
        record(1, "yes", &[("It is red.", None)]),
        record(2, "no", &[("It is tall.", None)]),
        record(3, "yes", &[("It is round.", None)]),
    ];
    records[2].question = "Is it edible?".to_owned();
    let facts = vec![
        fact(&records[0], 0, "Yes."),
        fact(&records[1], 0, "No."),
        Fact { rank: 2, ..fact(&records[2], 0, "Yes.") },
    ];
    let said = [("It is red.", 0.85)];
    let (front, verification, _) = judge(&config, &records, 0, facts.clone(), 5, &said);
    assert_eq!(values(&front), ["No.", "Yes."]);
    assert_eq!(front[1].edit_ids, [records[2].id]);
    assert!(verification.withheld.is_empty());
    let (front, verification, _) = judge(&config, &records, 0, facts[..2].to_vec(), 5, &said);
    assert_eq!(values(&front), ["No."]);
    assert_eq!(withheld(&verification), [("Yes.", WithheldReason::Contradicted)]);
}

#[test]
fn no_more_is_asked_than_allowed() {
    let config = VerifyConfig { statements: 3, ..by_support() };
    let texts: Vec<String> = (0..9).map(|n| format!("Statement {n}.")).collect();
    let statements: Vec<(&str, Option<f64>)> = texts.iter().map(|text| (text.as_str(), None)).collect();
    let records = [record(1, "a", &statements)];
    let facts = vec![fact(&records[0], 0, "The answer is a."), fact(&records[0], 9, &texts[8])];
    let (front, verification, rounds) = judge(&config, &records, 0, facts, 5, &[]);
    assert_eq!(rounds.concat().len(), 3);
    assert_eq!(values(&front), ["The answer is a."], "what isn't asked about is no candidate");
    assert!(verification.withheld.is_empty());
}

#[test]
fn where_room_is_short_every_edit_is_asked_about_before_any_is_asked_about_fully() {
    // Four edits of three statements each share an answer, there is room for eight questions: a short one of
    // each is asked first, and what is left goes to the one that this does not refute.
    let config = VerifyConfig { statements: 8, ..by_support() };
    let texts: Vec<[String; 3]> = (0..4)
        .map(|n| [format!("Number {n} is very long."), format!("Short {n}."), format!("Number {n} is long.")])
        .collect();
    let records: Vec<EditRecord> = (0..4)
        .map(|n| record(n as u128 + 1, "a", &texts[n].each_ref().map(|text| (text.as_str(), None))))
        .collect();
    let at = |(n, record)| Fact { rank: n + 1, ..fact(record, 0, "The answer is a.") };
    let facts: Vec<Fact> = records.iter().enumerate().map(at).collect();
    let said = [("Short 0.", 0.1), ("Short 1.", 0.1), ("Short 2.", 0.1)];
    let (front, _, rounds) = judge(&config, &records, 0, facts, 5, &said);
    assert_eq!(rounds[0], ["Short 0.", "Short 1.", "Short 2.", "Short 3."]);
    assert_eq!(rounds[1], ["Number 3 is very long.", "Number 3 is long."]);
    assert_eq!(front[0].edit_ids, [records[3].id]);
}

#[test]
fn a_doubted_statement_is_held_against_its_own_picture() {
    let config = by_support();
    // The model doubts the edge on the edit's own picture, yet less than on any other.
    let records = [record(1, "a", &[("It is a star.", Some(0.9)), ("Its edge is jagged.", Some(0.4))])];
    let facts = vec![fact(&records[0], 0, "The answer is a."), fact(&records[0], 2, "Its edge is jagged.")];
    for (edge, stand) in [(0.4, true), (0.45, true), (0.3, true), (0.04, false)] {
        let said = [("It is a star.", 1.0), ("Its edge is jagged.", edge)];
        let (front, verification, _) = judge(&config, &records, 0, facts.clone(), 5, &said);
        assert_eq!(values(&front).len(), if stand { 2 } else { 0 }, "{edge}");
        let expected = f64::midpoint(1.0, (edge / 0.4_f64).min(1.0));
        assert!((verification.support["The answer is a."] - expected).abs() < 1e-12, "{edge}");
    }
    // One that its own picture shows no better than nothing does is not asked about.
    let records = [record(1, "a", &[("It is a star.", Some(0.9)), ("Its edge is jagged.", Some(0.2))])];
    let facts = vec![fact(&records[0], 0, "The answer is a.")];
    let (front, _, rounds) = judge(&config, &records, 0, facts, 5, &[("Its edge is jagged.", 0.0)]);
    assert_eq!((values(&front), rounds), (vec!["The answer is a."], vec![vec!["It is a star.".to_owned()]]));
}

/// Two edits that differ in a side alone, each about half sure of what it says; the asked picture is
/// neither's.
fn of_both_sides() -> [EditRecord; 2] {
    let own = [Some(0.6), Some(0.9)];
    let said =
        |side: &str| [format!("It is on the {side}."), format!("Things on the {side} are of that kind.")];
    ["left", "right"].map(|side| {
        let texts = said(side);
        let n = if side == "left" { 1 } else { 2 };
        record(n, side, &[(&texts[0], own[0]), (&texts[1], own[1])])
    })
}

/// What of both is put in front and what is withheld, where the model says this of what the first says, and
/// of what the second says.
fn told_apart(p: [f64; 2], apart: Apart) -> (Vec<String>, Vec<(String, WithheldReason)>) {
    let (config, records) = (VerifyConfig::default(), of_both_sides());
    let facts = records.iter().flat_map(|r| {
        let values = [format!("The answer is {}.", r.answer), r.reasoning[0].statement.clone()];
        values.into_iter().enumerate().map(|(n, value)| fact(r, n as u32, &value)).collect::<Vec<_>>()
    });
    let edits: HashMap<EditId, Grounds<'_>> =
        records.iter().map(|record| (record.id, Grounds::new(record, config.min_support))).collect();
    let verifier = Verifier::new(&config, facts.collect(), (&edits, |_: &str| true), ImageId::of(b"asked"));
    let said = |record: &EditRecord| if record.answer == "left" { p[0] } else { p[1] };
    let judged: Judged<'_> = records
        .iter()
        .flat_map(|r| r.reasoning.iter().map(move |s| (&*s.statement, Some(said(r)))))
        .collect();
    let (facts, verification) = decide(&verifier, &records, &judged, 5, |one, _| {
        let turned = one.record.answer != "left";
        Apart {
            log_odds: apart.log_odds.map(|[a, b, q]| if turned { [-b, -a, -q] } else { [a, b, q] }),
            distances: apart.distances.map(|[a, b]| if turned { [b, a] } else { [a, b] }),
        }
    });
    let values = facts.into_iter().map(|fact| fact.value).collect();
    (values, verification.withheld.into_iter().map(|w| (w.fact.value, w.reason)).collect())
}

#[test]
fn of_edits_that_differ_in_a_side_the_one_whose_picture_is_alike_stands() {
    let (left, right) =
        (["The answer is left.", "It is on the left."], ["The answer is right.", "It is on the right."]);
    let nearer = |first, second| Apart { log_odds: None, distances: Some([first, second]) };
    // However sure the model is of the wrong one.
    for p in [[0.9, 0.9], [0.8, 0.99], [0.99, 0.8]] {
        let (front, withheld) = told_apart(p, nearer(0.1, 0.3));
        assert_eq!(front, left, "{p:?}");
        assert_eq!(withheld, right.map(|text| (text.to_owned(), WithheldReason::Contradicted)));
        assert_eq!(told_apart(p, nearer(0.3, 0.1)).0, right, "{p:?}");
    }
    // A yes that was too weak by itself is heard, a no is not.
    assert_eq!(told_apart([0.6, 0.99], nearer(0.1, 0.3)).0, left);
    assert_eq!(told_apart([0.6, 0.6], nearer(0.1, 0.3)).0, left);
    assert_eq!(told_apart([0.2, 0.99], nearer(0.1, 0.3)).0, right);
    // What nothing tells apart is not put in front.
    for apart in [nearer(0.2, 0.2), Apart::default()] {
        let (front, withheld) = told_apart([0.9, 0.95], apart);
        assert!(front.is_empty());
        assert!(withheld.len() == 4 && withheld.iter().all(|(_, why)| *why == WithheldReason::Undecided));
    }
}

#[test]
fn what_the_model_sees_of_the_difference_comes_before_the_pictures() {
    let apart = |log_odds| Apart { log_odds: Some(log_odds), distances: Some([0.3, 0.1]) };
    // Between 6 on the left one's picture and -2 on the right one's lies 2.
    assert_eq!(told_apart([0.9, 0.9], apart([6.0, -2.0, 5.0])).0[0], "The answer is left.");
    assert_eq!(told_apart([0.9, 0.9], apart([6.0, -2.0, 0.0])).0[0], "The answer is right.");
    // It sees next to no difference, or the asked picture lies in the middle: the pictures decide.
    assert_eq!(told_apart([0.9, 0.9], apart([0.5, -0.5, 5.0])).0[0], "The answer is right.");
    assert_eq!(told_apart([0.9, 0.9], apart([6.0, -2.0, 2.4])).0[0], "The answer is right.");
    // It may see it the wrong way round: what counts is which picture the asked one is like.
    assert_eq!(told_apart([0.9, 0.9], apart([-2.0, 6.0, -1.5])).0[0], "The answer is left.");
}

#[test]
fn of_answers_said_of_this_very_picture_the_newest_stands() {
    let config = VerifyConfig::default();
    let mut records = [record(1, "a", &[("It is red.", None)]), record(2, "b", &[("It is round.", None)])];
    records[1].image = records[0].image;
    for (newest, expected) in [(0, "The answer is a."), (1, "The answer is b.")] {
        records[0].created_at = time::OffsetDateTime::UNIX_EPOCH;
        records[1].created_at = records[0].created_at;
        records[newest].created_at += time::Duration::SECOND;
        let facts = vec![fact(&records[0], 0, "The answer is a."), fact(&records[1], 0, "The answer is b.")];
        let (front, verification, _) = judge(&config, &records, 1, facts, 5, &[]);
        assert_eq!(values(&front), [expected]);
        assert_eq!(verification.withheld[0].reason, WithheldReason::Contradicted);
    }
}
