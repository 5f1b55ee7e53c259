use std::path::Path;

use serde_json::{Value, json};

use super::super::{Layout, is_record};
use super::*;

fn row(json: Value) -> RawRecord {
    serde_json::from_value(json).unwrap()
}

fn records() -> Vec<Record> {
    ["1", "2"]
        .map(|uid| Record {
            uid: uid.to_owned(),
            sample: Sample {
                image: format!("data/images/aokvqa/val2017/{uid}.png"),
                question: format!("Question {uid}?"),
                answer: "right".into(),
                choices: vec!["right".into(), "wrong".into()],
                truth: None,
            },
            ..Record::default()
        })
        .into()
}

/// Pictures at these paths below the folder, each holding its path.
fn pictures(folder: &Path, paths: &[&str]) -> Pictures {
    for path in paths {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, path).unwrap();
    }
    Pictures::around([folder.to_owned(), folder.join("data")])
}

/// Joins sets to the two records.
fn join(pictures: &Pictures, sets: &[(CompanionSet, Vec<Value>)]) -> (Vec<Record>, String) {
    let mut records = records();
    let layout = Layout { roots: Vec::new(), names: vec!["aokvqa".into()] };
    let mut companions = Companions::of(&mut records, pictures, &layout).unwrap();
    for (set, rows) in sets {
        let rows: Vec<RawRecord> = rows.iter().cloned().map(row).collect();
        companions.join(*set, "x.parquet", &rows).unwrap();
    }
    let notes = companions.finish().unwrap().join("\n");
    (records, notes)
}

#[test]
fn every_set_fills_its_own_list() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = "data/coe_gen_merge/image/aokvqa/Some-Model/2";
    let pictures = pictures(
        folder.path(),
        &[
            "data/related_image/aokvqa/val_1/sd3_0.png",
            "data/related_image/aokvqa/val_1/sd3_1.png",
            "data/r_gen/image/aokvqa/1_0.png",
            "scene.png",
            &format!("{scenes}/scenario_0.png"),
            &format!("{scenes}/scenario_2.png"),
            &format!("{scenes}/notes.txt"),
        ],
    );
    let texts: Vec<String> = (0..9).map(|number| format!("Other words {number}?")).collect();
    let (records, notes) = join(
        &pictures,
        &[
            (
                CompanionSet::Texts,
                vec![json!({"uid": 1, "variants": texts}), json!({"uid": "99", "variants": texts})],
            ),
            (
                CompanionSet::Images,
                vec![
                    json!({"image_path": "data/images/aokvqa/val2017/1.png", "image_info_id": "val_1", "caption": "c"}),
                    json!({"image_path": "data/images/aokvqa/val2017/1.png", "image_info_id": "val_7", "caption": "d"}),
                ],
            ),
            (
                CompanionSet::Rationale,
                vec![
                    json!({"uid": "1", "sid": "1_0", "question": "What colour?", "answers": "red | blue| green"}),
                    json!({"uid": "1", "sid": "1_1", "question": "What shape?", "answers": "round|flat"}),
                ],
            ),
            (CompanionSet::Errors, vec![json!({"uid": "1", "cid": "1_0", "image_path": "scene.png"})]),
            (
                CompanionSet::Thoughts,
                vec![json!({"uid": "2", "reason": "It is red. It is round. So it is right."})],
            ),
        ],
    );
    assert_eq!(records[0].paraphrases, texts[..TEXTS]);
    assert_eq!(
        records[0].similar_images,
        ["data/related_image/aokvqa/val_1/sd3_0.png", "data/related_image/aokvqa/val_1/sd3_1.png"]
    );
    let [asked] = records[0].rationale_questions.as_slice() else { panic!("the other has no picture") };
    assert_eq!(
        (asked.answer.as_str(), asked.choices.as_slice()),
        ("red", &["blue", "green", "red"].map(String::from)[..])
    );
    assert_eq!(pictures.read(&asked.image).unwrap(), "data/r_gen/image/aokvqa/1_0.png");
    let scene = &records[0].related[0];
    assert_eq!(
        (scene.image.as_str(), scene.question.as_str(), scene.choices.len()),
        ("scene.png", "Question 1?", 2)
    );
    assert_eq!(
        records[1].related.iter().map(|s| &s.image[s.image.len() - 14..]).collect::<Vec<_>>(),
        ["scenario_0.png", "scenario_2.png"]
    );
    assert_eq!(records[1].reasoning, ["It is red.", "It is round."]);
    for said in [
        "related texts (x.parquet): 1 of 2 rows were joined to records; 1 belong to none",
        "1 of 2 rows were joined to records; 1 lack",
        "2 scenes of CoE, made for the errors of Some-Model",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    assert!(!notes.contains("Not there"), "{notes}");
}

#[test]
fn what_is_not_there_is_named_with_its_column() {
    let folder = tempfile::tempdir().unwrap();
    let (records, notes) = join(&pictures(folder.path(), &[]), &[]);
    for column in ["text", "image", "rationale", "chain of error"] {
        assert!(notes.contains(&format!("The column {column} is empty")), "{notes}");
    }
    assert!(records.iter().all(|record| record.related.is_empty()));
}

#[test]
fn sets_are_known_by_their_columns() {
    for (json, set) in [
        (json!({"uid": 1, "variants": []}), Some(CompanionSet::Texts)),
        (json!({"uid": 1, "images": []}), Some(CompanionSet::Images)),
        (json!({"image_path": "a", "image_info_id": "b", "caption": "c"}), Some(CompanionSet::Images)),
        (
            json!({"uid": 1, "sid": 2, "question": "?", "answers": "a|b", "rationale": "r"}),
            Some(CompanionSet::Rationale),
        ),
        (
            json!({"uid": 1, "cid": "1_0", "question": "?", "answer": "a", "image_path": "p"}),
            Some(CompanionSet::Errors),
        ),
        (json!({"uid": 1, "reason": "r"}), Some(CompanionSet::Thoughts)),
        (json!({"uid": 1}), None),
        (json!({"question": "?"}), None),
    ] {
        let row = row(json);
        assert_eq!(CompanionSet::of(&row), set, "{row:?}");
        assert!(set.is_none() || !is_record(&row), "{row:?}");
    }
}

#[test]
fn records_that_no_set_could_tell_apart_are_refused() {
    let mut records = records();
    records[1].uid = "1".into();
    let layout = Layout { roots: Vec::new(), names: Vec::new() };
    let error = Companions::of(&mut records, &Pictures::default(), &layout).err().unwrap().to_string();
    assert!(error.contains("two records of the uid 1"), "{error}");
}
