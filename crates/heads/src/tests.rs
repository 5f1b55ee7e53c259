//! Records about made-up properties, whose texts' embeddings show more of the words than of the topic.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reasonedit_dataset::Record;
use serde_json::json;

use crate::{Examples, HeadError, HeadSettings, train};

const TOPICS: usize = 6;
const WIDTH: usize = 24;

/// Records of edits about half of the topics, with statements about all and questions about the others that
/// no edit concerns.
fn records(count: usize) -> Vec<Record> {
    let truth = |topic: usize| json!({"about": [format!("topic {topic}")], "subjects": []});
    let record = |n: usize| {
        let (edited, other) = (n % (TOPICS / 2), TOPICS / 2 + n % (TOPICS / 2));
        json!({
            "uid": n.to_string(), "image": "a.png", "question": format!("{edited}: edit {n}?"), "answer": "yes",
            "truth": truth(edited),
            "reasoning": [format!("{edited}: said {n}."), format!("{other}: said {n}.")],
            "meanings": [
                {"property": format!("topic {edited}"), "value": "a"}, {"property": format!("topic {other}"), "value": "b"},
            ],
            "evidence": [[], [{"x": 0, "y": 0, "width": 2, "height": 2}]],
            "paraphrases": [format!("{edited}: other words {n}?")],
            "unrelated": [
                {"image": "b.png", "question": format!("{other}: unrelated {n}?"), "answer": "c", "truth": truth(other)},
            ],
        })
    };
    (0..count).map(|n| serde_json::from_value(record(n)).unwrap()).collect()
}

/// A topic's direction, and twice as much of one of twelve ways to put things.
fn embeddings(examples: &Examples) -> Vec<Vec<f32>> {
    let embedding = |(at, text): (usize, &String)| {
        let topic: u64 = text.split(':').next().unwrap().parse().unwrap();
        let mut of_topic = ChaCha8Rng::seed_from_u64(topic);
        let mut of_words = ChaCha8Rng::seed_from_u64(1000 + (at as u64 * 7) % 12);
        let mut of_text = ChaCha8Rng::seed_from_u64(2000 + at as u64);
        let mut number = || {
            let (topic, words): (f32, f32) =
                (of_topic.random_range(-1.0..1.0), of_words.random_range(-1.0..1.0));
            topic + 2.0 * words + 0.2 * of_text.random_range(-1.0f32..1.0)
        };
        (0..WIDTH).map(|_| number()).collect()
    };
    examples.texts().iter().enumerate().map(embedding).collect()
}

fn settings() -> HeadSettings {
    HeadSettings {
        outputs: 16,
        steps: 300,
        questions: 128,
        facts: 128,
        rate: 5e-3,
        share: 0.1,
        ..HeadSettings::default()
    }
}

#[test]
fn a_head_learns_topics_that_the_encoder_shows_little_of() {
    let records = records(400);
    let examples = Examples::of(&records);
    let embeddings = embeddings(&examples);
    let mut steps = Vec::new();
    let (head, report) =
        train(&examples, &embeddings, "encoder", &settings(), |step| steps.push(step)).unwrap();
    assert_eq!(steps, (1..=300).collect::<Vec<_>>());
    assert!(report.edits_found > report.edits_found_by_encoder + 0.2, "{report:?}");
    assert!(report.statements_found > report.statements_found_by_encoder + 0.2, "{report:?}");
    assert_eq!((report.questions, report.unrelated), (120, 400));
    assert_eq!(head.statement_threshold(), report.statement_threshold);
    assert_eq!((head.inputs(), head.unrelated().len()), (WIDTH, 400));
    assert!(head.check("encoder").is_ok());

    let again = train(&examples, &embeddings, "encoder", &settings(), |_| ()).unwrap();
    assert_eq!(again, (head, report), "everything follows from the seed");
}

#[test]
fn what_nothing_can_be_learnt_from_is_refused() {
    let records = records(20);
    let examples = Examples::of(&records);
    let embeddings = embeddings(&examples);
    let refused = |examples: &Examples, embeddings: &[Vec<f32>], settings: HeadSettings| {
        train(examples, embeddings, "encoder", &settings, |_| ()).unwrap_err()
    };
    let few = Examples::of(&records[..1]);
    assert!(matches!(refused(&few, &self::embeddings(&few), settings()), HeadError::Records(_)));
    let mut related = records.clone();
    for record in &mut related {
        record.unrelated.clear();
    }
    let related = Examples::of(&related);
    let error = refused(&related, &self::embeddings(&related), settings()).to_string();
    assert!(error.contains("none of their questions is unrelated"), "{error}");
    assert!(matches!(refused(&examples, &embeddings[1..], settings()), HeadError::Records(_)));
    for wrong in [
        HeadSettings { steps: 0, ..settings() },
        HeadSettings { rate: f64::NAN, ..settings() },
        HeadSettings { share: 0.0, ..settings() },
    ] {
        assert!(matches!(refused(&examples, &embeddings, wrong), HeadError::Settings(_)));
    }
    let wild = HeadSettings { rate: 1e30, ..settings() };
    assert!(matches!(refused(&examples, &embeddings, wild), HeadError::Diverged { .. }));
}
