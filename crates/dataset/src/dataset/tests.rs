use serde_json::json;

use super::*;
use crate::files::fixture::{Cells, texts, write};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn put(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A file of two records whose pictures stand in it.
fn records(path: &Path, first: i64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // The beginning of a PNG, and bytes of its own.
    let picture = |at: i64| (Some([&b"\x89PNG"[..], &at.to_le_bytes()].concat()), None);
    let columns = vec![
        ("uid", Cells::Number(vec![first, first + 1])),
        ("image", Cells::Pictures(vec![picture(first), picture(first + 1)])),
        ("question", texts(["What is it?", "Where is it?"])),
        ("answer", texts(["cat", "here"])),
        ("rationale", texts(["It has fur. It purrs.", "It is near."])),
        ("choices", texts(["cat; dog", "here; there"])),
    ];
    write(path, &[columns]);
}

fn error(path: &Path) -> String {
    Dataset::open(path).unwrap_err().to_string()
}

#[test]
fn parquet_with_pictures_is_read_and_nothing_is_written() {
    let folder = folder();
    let file = folder.path().join("train.parquet");
    records(&file, 1);
    for path in [folder.path(), &file] {
        let data = Dataset::open(path).unwrap();
        assert_eq!(data.records.len(), 2);
        let record = &data.records[0];
        assert_eq!((record.uid.as_str(), record.reasoning.len()), ("1", 2));
        assert_eq!(record.sample.choices, ["cat", "dog"]);
        let ImageSource::Bytes(bytes) = data.picture(&record.sample.image).unwrap() else { panic!("bytes") };
        assert!(bytes.starts_with(b"\x89PNG\x01"));
        assert_eq!(record.unrelated.len(), 1);
        assert!(data.notes.iter().any(|note| note.contains("The column text is empty")), "{:?}", data.notes);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_another_writer_wrote_is_read_too() {
    // tools/dataset_fixtures.py
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/files/fixtures/pyarrow.parquet");
    let data = Dataset::open(&file).unwrap();
    let answers: Vec<&str> = data.records.iter().map(|record| record.sample.answer.as_str()).collect();
    assert_eq!(answers, ["red", "green", "blue"]);
    assert_eq!(data.records[1].sample.choices, ["red", "green", "blue"]);
    assert_eq!(data.records[0].reasoning, ["It is like a rose.", "A rose is red."]);
    assert_eq!(data.records[2].uid, "q2");
    for record in &data.records {
        let ImageSource::Bytes(bytes) = data.picture(&record.sample.image).unwrap() else { panic!("bytes") };
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
    }
}

#[test]
fn folders_of_save_to_disk_are_read_split_by_split() {
    // tools/dataset_fixtures.py
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/files/fixtures/save_to_disk");
    let told = Dataset::open(&folder).unwrap_err().to_string();
    assert!(told.contains("--split (train, test)"), "{told}");
    for split in ["train", "test"] {
        for data in [
            Dataset::open_with(&folder, None, Some(split)).unwrap(),
            Dataset::open(&folder.join(split)).unwrap(),
        ] {
            let answers: Vec<&str> =
                data.records.iter().map(|record| record.sample.answer.as_str()).collect();
            assert_eq!(answers, ["red", "green", "blue"], "{split}");
            assert_eq!(data.records[1].reasoning, ["Squares like this are green."]);
            assert!(
                data.notes
                    .iter()
                    .any(|note| note.contains("1 of 4 records were left out: they have no picture"))
            );
            for record in &data.records {
                let ImageSource::Bytes(bytes) = data.picture(&record.sample.image).unwrap() else {
                    panic!("bytes")
                };
                assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
            }
        }
    }
    // A part that is not there is told, instead of records that are silently fewer.
    let part = tempfile::tempdir().unwrap();
    let name = "data-00000-of-00002.arrow";
    std::fs::copy(folder.join("train").join(name), part.path().join(name)).unwrap();
    assert!(error(part.path()).contains("of the 2 parts of its records 1 are there"));
    assert_eq!(Dataset::open(&part.path().join(name)).unwrap().records.len(), 2);
}

#[test]
fn tables_of_letters_are_read() {
    let folder = folder();
    let at = |path: &str| folder.path().join(path);
    put(&at("images/1.jpg"), "x");
    put(
        &at("test.csv"),
        "\u{feff}Figure_path,Question,Answer,Choice A,Choice B,Answer_label\n1.jpg,\"Which organ, if any?\", Liver,A:Lung ,B:Liver,B\n1.jpg,Where?,left,A:right,B:left,B\n",
    );
    let data = Dataset::open(folder.path()).unwrap();
    assert_eq!(data.records[0].sample.question, "Which organ, if any?");
    assert_eq!(data.records[0].sample.choices, ["Lung", "Liver"]);
    assert_eq!(data.records[1].sample.answer, "left");
    put(&at("test.csv"), "image,question,answer\n1.jpg,Where?\n");
    assert!(error(folder.path()).contains("test.csv: line 2"), "{}", error(folder.path()));
}

#[test]
fn the_authors_folders_are_found_around_the_records() {
    let root = folder();
    let at = |path: &str| root.path().join(path);
    records(&at("AOKVQA/test.parquet"), 1);
    records(&at("AOKVQA/train.parquet"), 5);
    for name in ["t_gen", "r_gen/qa"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    let variants = Cells::Texts(vec![vec!["Which animal?", "What animal?"]]);
    write(&at("t_gen/aokvqa.parquet"), &[vec![("uid", texts(["1"])), ("variants", variants)]]);
    let other = Cells::Texts(vec![vec!["Not this one"]]);
    write(&at("t_gen/fvqa.parquet"), &[vec![("uid", texts(["1"])), ("variants", other)]]);
    let asked = vec![
        ("uid", texts(["2"])),
        ("sid", texts(["2_0"])),
        ("question", texts(["How near?"])),
        ("answers", texts(["very|not"])),
    ];
    write(&at("r_gen/qa/aokvqa.parquet"), &[asked]);
    put(&at("data/r_gen/image/aokvqa/2_0.png"), "picture");
    let data = Dataset::open(&at("AOKVQA/test.parquet")).unwrap();
    assert_eq!(data.records[0].paraphrases, ["Which animal?", "What animal?"]);
    assert_eq!(data.records[1].rationale_questions[0].choices, ["not", "very"]);
    assert!(matches!(data.picture(&data.records[1].rationale_questions[0].image), Ok(ImageSource::Bytes(_))));
    // Both splits lie in the folder: one has to be named.
    let both = error(&at("AOKVQA"));
    assert!(both.contains("test.parquet, train.parquet"), "{both}");
    // What was joined is part of what is measured.
    let alone = folder();
    records(&alone.path().join("test.parquet"), 1);
    assert_ne!(Dataset::open(alone.path()).unwrap().digest(), data.digest());
}

#[test]
fn parts_of_one_file_belong_together() {
    let folder = folder();
    for (part, first) in [(0, 1), (1, 3)] {
        records(&folder.path().join(format!("val-{part:05}-of-00002.parquet")), first);
    }
    let data = Dataset::open(folder.path()).unwrap();
    assert_eq!(data.records.iter().map(|r| r.uid.as_str()).collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    records(&folder.path().join("test-00000-of-00001.parquet"), 9);
    assert!(error(folder.path()).contains("3 files hold records"));
}

#[test]
fn json_with_sets_and_pictures_elsewhere_is_read() {
    let (folder, pictures) = (folder(), self::folder());
    let record = |uid: u32| json!({"uid": uid, "image_path": format!("data/images/{uid}.png"), "question": "Q?", "answer": "a", "choices": "a;b", "cot": "S."});
    put(&folder.path().join("fvqa.json"), &json!([record(1), record(2)]).to_string());
    put(&folder.path().join("texts.jsonl"), "{\"uid\": 2, \"variants\": [\"P?\"]}\n");
    let lost = error(folder.path());
    assert!(lost.contains("data/images/1.png") && lost.contains("--images"), "{lost}");
    for uid in [1, 2] {
        put(&pictures.path().join(format!("{uid}.png")), "x");
    }
    let data = Dataset::open_with(folder.path(), Some(pictures.path()), None).unwrap();
    assert_eq!(data.records[1].paraphrases, ["P?"]);
    assert!(data.picture("data/images/2.png").is_ok() && data.picture("../x").is_err());
}

#[test]
fn vlkeb_is_known_by_what_it_holds() {
    let folder = folder();
    let record = json!({"src": "Who is this?", "rephrase": "Whose picture is this?", "pred": "Ann", "alt": "Ben", "image": "m.1/a.jpg",
        "image_rephrase": "m.1/b.jpg", "m_loc": "m.2/c.jpg", "m_loc_q": "What is it?", "m_loc_a": "cat"});
    put(&folder.path().join("questions.json"), &json!([record]).to_string());
    for path in ["m.1/a.jpg", "m.1/b.jpg", "m.2/c.jpg"] {
        put(&folder.path().join("mmkb_images").join(path), path);
    }
    let data = Dataset::open(folder.path()).unwrap();
    assert_eq!((data.records.len(), data.records[0].similar_images.len()), (1, 1));
    assert!(data.notes[0].starts_with("These are VLKEB records"));
    assert!(data.picture("m.2/c.jpg").is_ok());
}

#[test]
fn folders_without_records_say_what_was_wanted_and_why_not() {
    let folder = folder();
    assert!(error(folder.path()).contains("neither edits.jsonl nor records"));
    assert!(error(&folder.path().join("gone")).contains("gone"));
    put(&folder.path().join("x.parquet"), "PAR1 and no more");
    let damaged = error(folder.path());
    assert!(damaged.contains("neither") && damaged.contains("x.parquet"), "{damaged}");
    assert!(!error(&folder.path().join("x.parquet")).contains("neither"));
    // Beside records a file that can't be read is told of.
    records(&folder.path().join("y.parquet"), 1);
    let data = Dataset::open(folder.path()).unwrap();
    assert!(data.notes.iter().any(|note| note.starts_with("Not used") && note.contains("x.parquet")));
    // Native records come before everything else.
    put(&folder.path().join("edits.jsonl"), "");
    assert!(Dataset::open(folder.path()).unwrap().records.is_empty());
}

#[test]
fn truth_is_read_where_a_file_tells_it_and_a_half_told_one_is_named() {
    let folder = folder();
    let file = folder.path().join("edits.jsonl");
    let record = |more: serde_json::Value| {
        let mut record = json!({"uid": "7", "image": "a.png", "question": "Q?", "answer": "a", "reasoning": ["It is red."]});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        put(&file, &record.to_string());
    };
    record(json!({}));
    let older = Dataset::open(folder.path()).unwrap().records.remove(0);
    assert!(!older.knows_truth() && older.sample.truth.is_none());
    assert!(!serde_json::to_string(&older).unwrap().contains("truth"));
    let truth = json!({"about": ["name"], "subjects": [{"color": "red"}]});
    let meanings = json!([{"property": "color", "value": "red"}]);
    record(json!({"truth": truth, "meanings": meanings}));
    assert!(Dataset::open(folder.path()).unwrap().records[0].knows_truth());
    for (more, named) in [
        (
            json!({"truth": truth, "meanings": [meanings[0], meanings[0]]}),
            "record 7: `meanings` has 2 entries",
        ),
        (json!({"truth": {"about": [], "subjects": []}}), "record 7: a `truth` is `about` no property"),
        (json!({"truth": {"about": "name"}}), "line 1"),
    ] {
        record(more);
        let error = error(folder.path());
        assert!(error.contains(named), "{error}");
    }
}
