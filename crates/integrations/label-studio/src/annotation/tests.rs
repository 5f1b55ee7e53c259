use proptest::prelude::*;
use serde_json::json;

use super::*;

const CONFIG: &str = r#"<View><Image name="image" value="$image"/><Text name="q" value="$question"/>
  <Choices name="answer" toName="image"><Choice value="triangle"/><Choice value="a pumpkin" alias="pumpkin"/></Choices>
  <TextArea name="rationale" toName="image"/><RectangleLabels name="evidence" toName="image"><Label value="1"/></RectangleLabels></View>"#;

fn data() -> Map<String, Value> {
    json!({"image": "/data/upload/1/a.png", "question": "What is it?"}).as_object().cloned().unwrap()
}

fn read_with(xml: &str, results: &Value) -> Result<AnnotatedCorrection, String> {
    let config = LabelStudioConfig::default();
    let interface = Interface::parse(xml, &config).unwrap();
    AnnotatedCorrection::read(&interface, &config, &data(), results.as_array().unwrap())
}

fn chosen(value: &str) -> Value {
    json!({"id": "a", "from_name": "answer", "to_name": "image", "type": "choices", "value": {"choices": [value]}})
}

fn said(id: &str, texts: &Value) -> Value {
    json!({"id": id, "from_name": "rationale", "to_name": "image", "type": "textarea", "value": {"text": texts}})
}

fn drawn(id: &str, label: &str) -> Value {
    json!({"id": id, "from_name": "evidence", "to_name": "image", "type": "rectanglelabels", "origin": "manual",
        "original_width": 600, "original_height": 400, "image_rotation": 0,
        "value": {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": [label]}})
}

fn with(mut value: Value, field: &str, other: Value) -> Value {
    value[field] = other;
    value
}

/// Statements with the number of their rectangles.
fn statements(results: &Value) -> Vec<(String, usize)> {
    let read = read_with(CONFIG, results).unwrap();
    read.reasoning.into_iter().map(|reason| (reason.statement, reason.boxes.len())).collect()
}

fn pair(text: &str, boxes: usize) -> (String, usize) {
    (text.to_owned(), boxes)
}

#[test]
fn an_annotation_becomes_a_correction() {
    let read =
        read_with(CONFIG, &json!([chosen("pumpkin"), said("r", &json!(["It is purple.", "It has a rim."]))]))
            .unwrap();
    assert_eq!(
        (&*read.picture, &*read.question, &*read.answer, &*read.choices),
        (
            "/data/upload/1/a.png",
            "What is it?",
            "a pumpkin",
            &["triangle".to_owned(), "a pumpkin".to_owned()][..]
        )
    );
    assert_eq!(read.reasoning.len(), 2);
    let other = read_with(
        CONFIG,
        &json!([chosen("triangle"), said("r", &json!(["It is purple.", "It has a rim."]))]),
    )
    .unwrap();
    assert_ne!(read.digest(), other.digest());
    assert_eq!(read.digest(), read.clone().digest());
}

#[test]
fn statements_are_lines_and_a_single_line_is_sentences() {
    let of = |texts: Value| statements(&json!([chosen("triangle"), said("r", &texts)]));
    assert_eq!(of(json!("It is red. It is round.")), [pair("It is red.", 0), pair("It is round.", 0)]);
    assert_eq!(
        of(json!(["It is red. Very.\n\n  It is round.  "])),
        [pair("It is red. Very.", 0), pair("It is round.", 0)]
    );
    assert_eq!(of(json!(["a", " ", "b\nc"])), [pair("a", 0), pair("b", 0), pair("c", 0)]);
    let two = json!([chosen("triangle"), said("r", &json!("a.")), said("s", &json!("b."))]);
    assert_eq!(statements(&two), [pair("a.", 0), pair("b.", 0)]);
}

#[test]
fn rectangles_go_to_the_statements_they_are_tied_to() {
    let two = said("r", &json!(["one", "two"]));
    let of = |extra: Vec<Value>| {
        let mut results = vec![chosen("triangle")];
        results.extend(extra);
        statements(&Value::Array(results))
    };
    // A text on the region itself has its id.
    assert_eq!(
        of(vec![said("x", &json!("one")), said("r", &json!("two")), drawn("x", "e")]),
        [pair("one", 1), pair("two", 0)]
    );
    // Relations, in either direction.
    for (from, to) in [("x", "s"), ("s", "x")] {
        let relation = json!({"type": "relation", "from_id": from, "to_id": to, "direction": "right"});
        assert_eq!(
            of(vec![said("r", &json!("one")), said("s", &json!("two")), drawn("x", "e"), relation]),
            [pair("one", 0), pair("two", 1)]
        );
    }
    // Parents, in either direction.
    let child = with(drawn("x", "e"), "parentID", json!("s"));
    assert_eq!(
        of(vec![said("r", &json!("one")), said("s", &json!("two")), child]),
        [pair("one", 0), pair("two", 1)]
    );
    let child = with(said("s", &json!("two")), "parentID", json!("x"));
    assert_eq!(of(vec![said("r", &json!("one")), child, drawn("x", "e")]), [pair("one", 0), pair("two", 1)]);
    // Numbers of labels.
    assert_eq!(
        of(vec![two.clone(), drawn("x", "2"), drawn("y", "Statement 2")]),
        [pair("one", 0), pair("two", 2)]
    );
    assert_eq!(
        of(vec![two.clone(), drawn("x", "3"), drawn("y", "0"), drawn("z", "99999999999999999999999")]),
        [pair("one", 0), pair("two", 0)]
    );
    // Notes.
    let noted = with(drawn("x", "e"), "meta", json!({"text": ["two"]}));
    assert_eq!(of(vec![two.clone(), noted]), [pair("one", 0), pair("two", 1)]);
    // The only statement.
    assert_eq!(of(vec![said("r", &json!("one")), drawn("x", "e")]), [pair("one", 1)]);
    assert_eq!(of(vec![two, drawn("x", "e")]), [pair("one", 0), pair("two", 0)]);
}

#[test]
fn what_the_model_drew_counts_only_when_it_was_tied() {
    let predicted = with(drawn("x", "1"), "origin", json!("prediction"));
    assert_eq!(
        statements(&json!([chosen("triangle"), said("r", &json!("one")), predicted])),
        [pair("one", 0)]
    );
    assert_eq!(
        statements(&json!([chosen("triangle"), said("x", &json!("one")), predicted])),
        [pair("one", 1)]
    );
    let changed = with(drawn("x", "1"), "origin", json!("prediction-changed"));
    assert_eq!(statements(&json!([chosen("triangle"), said("r", &json!("one")), changed])), [pair("one", 1)]);
}

/// Code and place of what is told of an annotation.
fn told(results: &Value) -> Vec<(String, String)> {
    let read = read_with(CONFIG, results).unwrap();
    read.warnings.into_iter().map(|warning| (warning.code, warning.pointer)).collect()
}

#[test]
fn a_turn_of_the_screen_changes_nothing() {
    for turn in [0, 90, 180, 270] {
        let turned = with(drawn("x", "1"), "image_rotation", json!(turn));
        let results = json!([chosen("triangle"), said("r", &json!("one")), turned]);
        let read = read_with(CONFIG, &results).unwrap();
        assert_eq!(
            read.reasoning[0].boxes[0].to_pixels(600, 400),
            Some(reasonedit_imaging::PixelBox { x: 60, y: 80, width: 180, height: 160 })
        );
        assert_eq!(read.warnings, []);
    }
}

#[test]
fn what_is_not_a_box_is_enclosed_or_told() {
    let with_region = |region: Value| json!([chosen("triangle"), said("r", &json!("one")), region]);
    let value = |value: Value| with(drawn("x", "1"), "value", value);
    let of_kind = |kind: &str, value: Value| {
        let region = with(drawn("x", "1"), "value", value);
        with(region, "type", json!(kind))
    };
    let place = "/result/2".to_owned();
    for (region, boxes, code) in [
        (
            value(json!({"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 30})),
            1,
            Some("region_enclosed"),
        ),
        (value(json!({"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 90})), 1, None),
        (value(json!({"x": 110, "y": 20, "width": 30, "height": 40})), 0, Some("region_unused")),
        (value(json!({"x": "left"})), 0, Some("region_unused")),
        (
            of_kind("ellipselabels", json!({"x": 50, "y": 50, "radiusX": 10, "radiusY": 5})),
            1,
            Some("region_enclosed"),
        ),
        (of_kind("polygon", json!({"points": [[1, 1], [9, 1], [5, 9]]})), 1, Some("region_enclosed")),
        (of_kind("brushlabels", json!({"format": "rle", "rle": [0]})), 0, Some("region_unused")),
        (of_kind("keypointlabels", json!({"x": 5, "y": 5, "width": 1})), 0, Some("region_unused")),
    ] {
        let results = with_region(region);
        assert_eq!(statements(&results), [pair("one", boxes)], "{results}");
        let expected: Vec<_> = code.map(|code| (code.to_owned(), place.clone())).into_iter().collect();
        assert_eq!(told(&results), expected, "{results}");
    }
    // One of several statements has to be named.
    let several = json!([chosen("triangle"), said("r", &json!(["one", "two"])), drawn("x", "e")]);
    assert_eq!(told(&several), [("region_unused".to_owned(), place.clone())]);
    // Other tags' regions are other matters, unless they are tied to a statement.
    let other = with(drawn("x", "1"), "from_name", json!("organs"));
    assert_eq!(statements(&with_region(other.clone())), [pair("one", 0)]);
    assert_eq!(told(&with_region(other.clone())), []);
    let tied = json!([chosen("triangle"), said("x", &json!("one")), other]);
    assert_eq!(statements(&tied), [pair("one", 1)]);
    // What is told doesn't change what is said.
    let (plain, listed) = (with_region(drawn("x", "1")), with_region(drawn("x", "1")));
    let mut listed = read_with(CONFIG, &listed).unwrap();
    listed.warnings.push(Warning { code: String::new(), pointer: String::new(), detail: String::new() });
    assert_eq!(read_with(CONFIG, &plain).unwrap().digest(), listed.digest());
}

#[test]
fn a_list_on_one_line_loses_its_marks_and_says_so() {
    let results = json!([chosen("triangle"), said("r", &json!("1. It is red. 2. It is round."))]);
    assert_eq!(statements(&results), [pair("It is red.", 0), pair("It is round.", 0)]);
    assert_eq!(told(&results), [("list_marks_left_out".to_owned(), "/result/1/value/text".to_owned())]);
}

#[test]
fn choices_are_found_in_whatever_form_they_come() {
    let results = json!([chosen("\u{200b}pump\u{200b}kin\u{a0}"), said("r", &json!("one"))]);
    assert_eq!(read_with(CONFIG, &results).unwrap().answer, "a pumpkin");
}

#[test]
fn what_nothing_can_be_learned_from_says_why() {
    let why = |results: Value| read_with(CONFIG, &results).unwrap_err();
    let reason = said("r", &json!("one"));
    assert_eq!(why(json!([chosen("triangle")])), "No reasoning was given.");
    assert_eq!(why(json!([chosen("triangle"), said("r", &json!([" ", ""]))])), "No reasoning was given.");
    assert_eq!(why(json!([reason])), "No answer was given.");
    assert!(why(json!([chosen("square"), reason])).contains("none of the choices"));
    let both =
        json!({"from_name": "answer", "type": "choices", "value": {"choices": ["triangle", "pumpkin"]}});
    assert!(why(json!([both, reason])).contains("Several answers"));
    for (xml, part) in [
        ("<View/>", "no <TextArea name=\"rationale\">"),
        (r#"<View><TextArea name="rationale" toName="i"/></View>"#, "nothing for the answer"),
    ] {
        assert!(read_with(xml, &json!([chosen("triangle"), reason])).unwrap_err().contains(part));
    }
    let free = r#"<View><Image name="image" value="$elsewhere"/><TextArea name="answer" toName="image"/><TextArea name="rationale" toName="image"/></View>"#;
    let written = json!({"from_name": "answer", "type": "textarea", "value": {"text": ["a zorb"]}});
    assert!(read_with(free, &json!([written, reason])).unwrap_err().contains("`elsewhere`"));
    let free = free.replace("elsewhere", "image");
    let read = read_with(&free, &json!([written, reason])).unwrap();
    assert_eq!((&*read.answer, read.choices.len()), ("a zorb", 0));
}

proptest! {
    #[test]
    fn no_results_panic(results in prop::collection::vec(prop::sample::select(vec![
        json!(null), json!(5), json!({}), json!({"id": 5, "from_name": "rationale"}), chosen("pumpkin"), json!({"from_name": "answer", "value": {"choices": 5}}),
        said("x", &json!([["a"], 1, "b"])), said("x", &json!("one. two.")), drawn("x", "2"), drawn("x", "é2"),
        json!({"id": "x", "from_name": "evidence", "value": {"x": "a"}}), json!({"type": "relation", "from_id": "x", "to_id": "x"}),
    ]), 0..8)) {
        let _ = read_with(CONFIG, &Value::Array(results));
    }
}
