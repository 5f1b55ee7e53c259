use reasonedit_codebook::{GenerationId, ImageInfo, MemberId};

use super::*;

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
        rank: 1,
    }
}

fn verifier<'a>(config: &'a VerifyConfig, records: &'a [EditRecord], picture: u128) -> Verifier<'a> {
    Verifier {
        config,
        edits: records.iter().map(|record| (record.id, record)).collect(),
        picture: ImageId::of(&picture.to_be_bytes()),
    }
}

fn values(facts: &[Fact]) -> Vec<&str> {
    facts.iter().map(|fact| fact.value.as_str()).collect()
}

fn withheld(verification: &Verification) -> Vec<(&str, WithheldReason)> {
    verification.withheld.iter().map(|w| (w.fact.value.as_str(), w.reason)).collect()
}

#[test]
fn a_statement_stands_for_itself_and_an_answer_for_its_edit() {
    let config = VerifyConfig::default();
    let records = [record(1, "a", &[("It is red.", None), ("It is round.", Some(0.9))])];
    let verifier = verifier(&config, &records, 0);
    let mut facts = vec![
        fact(&records[0], 0, "The answer is a."),
        fact(&records[0], 1, "It is red."),
        fact(&records[0], 2, "It is round."),
    ];
    assert_eq!(verifier.questions(&mut facts), ["It is red.", "It is round."]);
    assert_eq!(facts.len(), 3);
    let judged = HashMap::from([("It is red.", 0.3), ("It is round.", 0.9)]);
    let (front, verification) = verifier.decide(facts.clone(), &judged, 5);
    assert_eq!(values(&front), ["It is round."]);
    let told = [("The answer is a.", WithheldReason::NotShown), ("It is red.", WithheldReason::NotShown)];
    assert_eq!(withheld(&verification), told);
    assert!((verification.support["The answer is a."] - 0.6).abs() < 1e-12);
    let lenient = VerifyConfig { min_edit_support: 0.5, ..VerifyConfig::default() };
    let lenient = Verifier { config: &lenient, edits: verifier.edits.clone(), picture: verifier.picture };
    assert_eq!(values(&lenient.decide(facts.clone(), &judged, 5).0), ["The answer is a.", "It is round."]);
    // No more keys than asked for.
    let judged = HashMap::from([("It is red.", 0.9), ("It is round.", 0.9)]);
    assert_eq!(values(&verifier.decide(facts, &judged, 2).0), ["The answer is a.", "It is red."]);
}

#[test]
fn the_edit_of_this_picture_needs_no_judgement() {
    let config = VerifyConfig::default();
    let records = [record(1, "a", &[("It is red.", None)])];
    let verifier = verifier(&config, &records, 1);
    let mut facts = vec![fact(&records[0], 0, "The answer is a."), fact(&records[0], 1, "It is red.")];
    assert!(verifier.questions(&mut facts).is_empty());
    let (front, verification) = verifier.decide(facts, &HashMap::new(), 5);
    assert_eq!(values(&front), ["The answer is a.", "It is red."]);
    assert!(verification.withheld.is_empty() && verification.support.is_empty());
}

#[test]
fn what_the_model_did_not_recognise_goes_with_its_edit() {
    let config = VerifyConfig::default();
    let records = [record(1, "a", &[("It is red.", Some(0.9)), ("Red ones are a.", Some(0.2))])];
    let verifier = verifier(&config, &records, 0);
    let rule = fact(&records[0], 2, "Red ones are a.");
    assert_eq!(verifier.questions(&mut vec![rule.clone()]), ["It is red."]);
    for (p, shown) in [(0.8, true), (0.2, false)] {
        let (front, _) = verifier.decide(vec![rule.clone()], &HashMap::from([("It is red.", p)]), 5);
        assert_eq!(!front.is_empty(), shown);
    }
}

#[test]
fn a_yes_to_what_it_affirms_of_any_picture_says_nothing_and_a_no_does() {
    let config = VerifyConfig::default();
    let records = [record(1, "a", &[("It is red.", Some(0.9)), ("Those are rare in general.", Some(0.9))])];
    let verifier = verifier(&config, &records, 0);
    let general = fact(&records[0], 2, "Those are rare in general.");
    assert_eq!(verifier.questions(&mut vec![general.clone()]), ["Those are rare in general.", "It is red."]);
    let support = |general_p, red_p| {
        let judged = HashMap::from([("Those are rare in general.", general_p), ("It is red.", red_p)]);
        verifier.support(&general, &judged)
    };
    assert_eq!(support(0.9, 0.2), Support::Edit(0.2));
    assert_eq!(support(0.9, 0.8), Support::Edit(0.8));
    assert_eq!(support(0.1, 0.8), Support::Shown(0.1));
}

#[test]
fn an_edit_that_nothing_can_be_said_of_speaks_within_its_radius() {
    let config = VerifyConfig::default();
    let records = [record(1, "a", &[])];
    let verifier = verifier(&config, &records, 0);
    let at = |reach| Fact { reach, ..fact(&records[0], 0, "The answer is a.") };
    for (reach, spoken) in [(Some(0.9), true), (Some(1.1), false), (None, false)] {
        let (front, verification) = verifier.decide(vec![at(reach)], &HashMap::new(), 5);
        assert_eq!(!front.is_empty(), spoken, "{reach:?}");
        assert_eq!(verification.withheld.is_empty(), spoken);
    }
}

#[test]
fn of_answers_that_contradict_each_other_the_best_borne_out_stays() {
    let config = VerifyConfig::default();
    let records = [
        record(1, "a", &[("It is red.", None)]),
        record(2, "b", &[("It is round.", None)]),
        record(3, "b", &[("It is round.", None)]),
    ];
    let verifier = verifier(&config, &records, 0);
    let facts: Vec<Fact> = ["a", "b", "b again"]
        .iter()
        .zip(&records)
        .map(|(answer, record)| fact(record, 0, &format!("The answer is {answer}.")))
        .collect();
    let judged = HashMap::from([("It is red.", 0.8), ("It is round.", 0.9)]);
    let (front, verification) = verifier.decide(facts, &judged, 5);
    assert_eq!(values(&front), ["The answer is b.", "The answer is b again."]);
    assert_eq!(withheld(&verification), [("The answer is a.", WithheldReason::Contradicted)]);
}

#[test]
fn no_more_is_asked_than_allowed() {
    let config = VerifyConfig { statements: 3, ..VerifyConfig::default() };
    let texts: Vec<String> = (0..9).map(|n| format!("Statement {n}.")).collect();
    let statements: Vec<(&str, Option<f64>)> = texts.iter().map(|text| (text.as_str(), None)).collect();
    let records = [record(1, "a", &statements)];
    let verifier = verifier(&config, &records, 0);
    let mut facts = vec![fact(&records[0], 0, "The answer is a."), fact(&records[0], 9, &texts[8])];
    assert_eq!(verifier.questions(&mut facts).len(), 3);
    assert_eq!(values(&facts), ["The answer is a."], "what isn't asked about is no candidate");
}
