//! A codebook of edits in a plane of texts, and heads that leave the plane as it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use reasonedit_codebook::{
    Codebook, CodebookConfig, CodebookName, EditId, EditRecord, EntryKind, Generation, ImageId, Member,
    MemberId, MemoryStore, Snapshot,
};

use crate::{Calibration, EditTexts, FLOOR, LinearMap, OpenVerdict, RelevanceHead};

/// Numbers of a text.
const TEXT: usize = 2;

/// A direction of the plane, in sixteenths of a turn.
fn direction(sixteenths: u8) -> Vec<f32> {
    let angle = f32::from(sixteenths) * std::f32::consts::TAU / 16.0;
    vec![angle.cos(), angle.sin()]
}

fn head(unrelated: &[u8], statement_threshold: f64) -> RelevanceHead {
    let same = LinearMap { weight: vec![1.0, 0.0, 0.0, 1.0], bias: vec![0.0, 0.0] };
    let unrelated = unrelated.iter().map(|one| direction(*one)).collect();
    RelevanceHead::new("encoder".to_owned(), (same.clone(), same), unrelated, statement_threshold).unwrap()
}

fn generation() -> Generation {
    serde_json::from_value(serde_json::json!({
        "embedding": {
            "id": "00000000000000000000000001", "model_fingerprint": "m", "tap": "vision.3", "pooling": "mean",
            "lambda": 3.0, "encoder_fingerprint": "encoder", "vision_dim": 1, "sentence_dim": TEXT,
        },
        "chosen": false,
    }))
    .unwrap()
}

/// The `n`-th edit, its question and its statements in these directions, about a picture of its own or
/// shared.
fn edit(n: u8, picture: u8, question: u8, statements: &[u8]) -> (EditRecord, Vec<Member>) {
    let (id, image) = (EditId::from_bytes([n; 16]), ImageId::of(&[picture]));
    let said = |of: &u8| serde_json::json!({"statement": format!("Statement {of}."), "evidence": []});
    let reasoning: Vec<_> = statements.iter().map(said).collect();
    let record = serde_json::from_value(serde_json::json!({
        "id": id, "created_at": "2026-01-01T00:00:00Z",
        "image": {"id": image.to_string(), "width": 60, "height": 45},
        "question": format!("Question {question}?"), "answer": n.to_string(), "choices": [],
        "reasoning": reasoning,
        "author": null, "tags": [], "metadata": null, "embedding": "00000000000000000000000001", "before": null,
        "timings_ms": {}, "idempotency": null,
    }))
    .unwrap();
    let member = |(ordinal, (direction_of, sentence)): (usize, (u8, String))| Member {
        id: MemberId::derive(id, ordinal as u32),
        edit: id,
        ordinal: ordinal as u32,
        kind: if ordinal == 0 { EntryKind::Answer } else { EntryKind::Statement },
        statement: ordinal.checked_sub(1).map(|at| at as u32),
        image,
        area: None,
        sentence,
        // λ is in the stored text half.
        key: [f32::from(n)].into_iter().chain(direction(direction_of).into_iter().map(|x| 3.0 * x)).collect(),
        radius: 0.1,
    };
    let statements = statements.iter().map(|of| (*of, format!("Statement {of}.")));
    let entries = [(question, format!("The answer is {n}."))].into_iter().chain(statements);
    (record, entries.enumerate().map(member).collect())
}

fn book() -> Codebook {
    let store = Arc::new(MemoryStore::new());
    Codebook::open(store, CodebookName::default(), Arc::new(CodebookConfig::default())).unwrap()
}

fn texts(head: &RelevanceHead, snapshot: &Snapshot) -> EditTexts {
    EditTexts::default().follow(head, snapshot)
}

/// The threshold, every missing verdict looked up; counts the looks.
fn settled(
    texts: &EditTexts,
    head: &RelevanceHead,
    rank: usize,
    stands: impl Fn(OpenVerdict) -> bool,
) -> (f64, usize) {
    let mut known = HashMap::new();
    let mut calibration = Calibration::new(Arc::new(texts.clone()), head, rank);
    loop {
        match calibration.threshold(|open| known.get(&open).copied()) {
            Ok(threshold) => return (threshold, known.len()),
            Err(missing) => {
                assert!(!missing.is_empty());
                for open in missing {
                    assert_eq!(known.insert(open, stands(open)), None, "asked for twice");
                }
            }
        }
    }
}

#[test]
fn questions_bear_on_by_edit_and_statements_by_themselves() {
    let (book, head) = (book(), head(&[8], 0.95));
    for (record, members) in [edit(1, 1, 0, &[4, 5]), edit(2, 2, 2, &[4]), edit(3, 3, 8, &[])] {
        book.apply(record, members, &generation()).unwrap();
    }
    let texts = texts(&head, &book.snapshot());
    let asked = |of: u8, threshold: f64| texts.relevant(&head, &direction(of), threshold);
    let ids = |edits: &[u8]| edits.iter().map(|n| EditId::from_bytes([*n; 16])).collect::<Vec<_>>();

    let near = asked(1, 0.9);
    assert_eq!(near.edits.keys().copied().collect::<Vec<_>>(), ids(&[1, 2]));
    assert!(near.statements.is_empty());
    let cosine = near.held_against.question.unwrap();
    assert!((cosine - (std::f64::consts::TAU / 16.0).cos()).abs() < 1e-6, "{cosine}");

    let of_statement = asked(4, 0.9);
    assert!(of_statement.edits.is_empty());
    let said = &of_statement.statements["Statement 4."];
    assert_eq!(said.edits.iter().copied().collect::<Vec<_>>(), ids(&[1, 2]));
    assert!(!of_statement.statements.contains_key("Statement 5."), "its cosine is .92");

    let far = asked(12, 0.9);
    assert!(far.is_empty() && far.held_against.question.is_some());
    // The very question, as keys have it, bears on its edit whatever the threshold.
    let own: Vec<f32> = direction(8).into_iter().map(|x| 3.0 * x).collect();
    let very = texts.relevant(&head, &own, 1.0 - 1e-9);
    assert_eq!(very.edits.keys().copied().collect::<Vec<_>>(), ids(&[3]));
}

#[test]
fn a_question_counts_where_an_edit_stands() {
    let book = book();
    for (record, members) in [edit(1, 1, 0, &[]), edit(2, 2, 1, &[])] {
        book.apply(record, members, &generation()).unwrap();
    }
    // Twenty questions in direction 2: nearest to edit 2 (.92), then to edit 1 (.71).
    let head = head(&[2; 20], 0.9);
    let texts = texts(&head, &book.snapshot());
    let cosine = |sixteenths: f64| (sixteenths * std::f64::consts::TAU / 16.0).cos();
    let (all, looks) = settled(&texts, &head, 20, |_| true);
    assert!((all - cosine(1.0)).abs() < 1e-6 && looks > 0, "{all}");
    // On its own picture an edit stands without a look: so with one of two pictures each.
    let (own, _) = settled(&texts, &head, 1, |_| false);
    assert!((own - cosine(1.0)).abs() < 1e-6, "{own}");
    let (rest, _) = settled(&texts, &head, 20, |_| false);
    assert!((rest - cosine(2.0)).abs() < 1e-6, "{rest}");
    // Without edits, and where fewer than asked for come near, the floor is left.
    assert_eq!(settled(&EditTexts::default(), &head, 3, |_| true), (FLOOR, 0));
    assert_eq!(settled(&texts, &head, 21, |_| true).0, FLOOR);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// After any edits and reverts texts and threshold are those of a codebook in which nothing else ever
    /// was, and the threshold is the k-th greatest score by definition.
    #[test]
    fn what_is_calibrated_follows_from_the_live_edits(
        steps in prop::collection::vec((any::<bool>(), 1u8..12, 0u8..6, 0u8..16), 1..24),
        unrelated in prop::collection::vec(0u8..16, 1..30), rank in 1usize..6, salt in any::<u8>(),
    ) {
        let head = head(&unrelated, 0.9);
        let (grown, mut live, mut texts) = (book(), BTreeMap::new(), EditTexts::default());
        let mut made = 0u8;
        for (revert, n, picture, question) in steps {
            if revert && let Some((id, _)) = live.pop_first() {
                grown.revert(id).unwrap();
            } else {
                made += 1;
                let (record, members) = edit(made, picture, question, &[n]);
                live.insert(record.id, (record.clone(), members.clone()));
                grown.apply(record, members, &generation()).unwrap();
            }
            texts = texts.follow(&head, &grown.snapshot());
        }
        let stands = |open: OpenVerdict| {
            u64::from(open.picture.0[0] ^ open.edit.to_bytes()[0]).wrapping_mul(31 + u64::from(salt)) % 3 != 0
        };
        let (found, _) = settled(&texts, &head, rank, stands);
        let fresh = book();
        for (record, members) in live.into_values() {
            fresh.apply(record, members, &generation()).unwrap();
        }
        let scratch = self::texts(&head, &fresh.snapshot());
        let (again, _) = settled(&scratch, &head, rank, stands);
        prop_assert_eq!(found.to_bits(), again.to_bits());
        for asked in 0..16 {
            let asked = direction(asked);
            prop_assert_eq!(texts.relevant(&head, &asked, found), scratch.relevant(&head, &asked, found));
        }
        prop_assert!((found - by_definition(&fresh, &head, rank, stands)).abs() < 1e-6);
    }
}

/// The threshold in the words of its definition, the pictures of questions aside.
fn by_definition(
    book: &Codebook,
    head: &RelevanceHead,
    rank: usize,
    stands: impl Fn(OpenVerdict) -> bool,
) -> f64 {
    let snapshot = book.snapshot();
    let texts = texts(head, &snapshot);
    let pictures = crate::calibration::pictures(&texts, head.unrelated().len());
    let score = |(question, picture): (&Vec<f32>, &ImageId)| {
        let of_edit = |record: &Arc<EditRecord>| {
            let verdict = OpenVerdict { picture: *picture, edit: record.id };
            let key = &snapshot.members_of(record.id).next()?.key;
            let said = head.fact(&key[1..]);
            let cosine: f32 = question.iter().zip(&said).map(|(a, b)| a * b).sum();
            (record.image.id == *picture || stands(verdict)).then_some(f64::from(cosine))
        };
        snapshot.edits().filter_map(of_edit).fold(f64::NEG_INFINITY, f64::max)
    };
    let mut scores: Vec<f64> = head.unrelated().iter().zip(&pictures).map(score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.get(rank - 1).copied().unwrap_or(FLOOR).max(FLOOR)
}

#[test]
fn a_head_is_read_as_it_was_written_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.safetensors");
    let head = head(&[1, 2, 3], 0.25);
    std::fs::write(&path, head.to_bytes().unwrap()).unwrap();
    assert_eq!(RelevanceHead::load(&path).unwrap(), head);
    assert!(head.check("encoder").is_ok());
    let other = head.check("another").unwrap_err().to_string();
    assert!(other.contains("it has encoder, loaded is another") && other.contains("heads train"), "{other}");

    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        RelevanceHead::load(&path).unwrap_err().to_string()
    };
    assert!(refused(b"").contains("is no relevance head"));
    assert!(refused(&[255; 64]).contains("is no relevance head"));
    let whole = head.to_bytes().unwrap();
    assert!(refused(&whole[..whole.len() - 4]).contains("is no relevance head"));
    let unlike = String::from_utf8_lossy(&whole).replace("head-1", "head-9");
    assert!(refused(unlike.as_bytes()).contains("is no relevance head"));
    assert!(RelevanceHead::load(&folder.path().join("none")).unwrap_err().to_string().contains("none"));

    let map = |outputs: usize, inputs: usize| LinearMap {
        weight: vec![1.0; outputs * inputs],
        bias: vec![0.0; outputs],
    };
    let new = |question, fact, unrelated| RelevanceHead::new(String::new(), (question, fact), unrelated, 0.5);
    assert!(new(map(2, 3), map(2, 3), vec![vec![0.0; 3]]).is_ok());
    assert!(new(map(2, 3), map(3, 2), Vec::new()).is_err());
    assert!(new(map(2, 3), map(2, 3), vec![vec![0.0; 2]]).is_err());
    assert!(new(map(0, 3), map(0, 3), Vec::new()).is_err());
    let nan = LinearMap { weight: vec![f32::NAN; 6], bias: vec![0.0; 2] };
    assert!(new(nan, map(2, 3), Vec::new()).is_err());
}
