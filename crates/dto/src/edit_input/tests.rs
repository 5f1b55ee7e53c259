use super::*;
use reasonedit_http::json::from_slice;

fn reasoning(json: &str) -> Vec<(String, usize)> {
    let body = format!(r#"{{"image": {{"data": ""}}, "question": "q", "answer": "a", "reasoning": {json}}}"#);
    let input: EditInput = from_slice(body.as_bytes()).unwrap();
    let statements = input.reasoning.map(|said| said.into_statements(&mut Vec::new())).unwrap_or_default();
    statements.into_iter().map(|s| (s.statement, s.evidence.len())).collect()
}

fn refused(json: &str) -> Vec<String> {
    let body = format!(r#"{{"image": {{"data": ""}}, "question": "q", "answer": "a", {json}}}"#);
    let problem = from_slice::<EditInput>(body.as_bytes()).unwrap_err();
    assert_eq!(problem.status().as_u16(), 422, "{json}");
    problem.body().errors.into_iter().map(|e| e.pointer).collect()
}

#[test]
fn reasoning_comes_in_three_shapes() {
    let one = |text: &str| (text.to_owned(), 0);
    assert_eq!(reasoning(r#""It is red. It is round.""#), [one("It is red."), one("It is round.")]);
    assert_eq!(reasoning(r#"["It is red. It is round.", "b"]"#), [one("It is red. It is round."), one("b")]);
    assert_eq!(
        reasoning(
            r#"[{"statement": "a", "evidence": [{"x": 1, "y": 2, "width": 3, "height": 4}]}, {"statement": "b"}, "c"]"#
        ),
        [("a".to_owned(), 1), one("b"), one("c")]
    );
    assert_eq!(reasoning("null"), []);
    assert_eq!(reasoning("[]"), []);
}

#[test]
fn errors_say_where() {
    assert_eq!(refused(r#""reasoning": 5"#), ["/reasoning"]);
    assert_eq!(refused(r#""reasoning": ["a", 5]"#), ["/reasoning/1"]);
    assert_eq!(refused(r#""reasoning": ["a", {}]"#), ["/reasoning/1/statement"]);
    assert_eq!(refused(r#""reasoning": [{"statement": "a", "box": 1}]"#), ["/reasoning/0/box"]);
    assert_eq!(
        refused(
            r#""reasoning": [{"statement": "a", "evidence": [{"x": "1", "y": 0, "width": 1, "height": 1}]}]"#
        ),
        ["/reasoning/0/evidence/0/x"]
    );
    assert_eq!(
        refused(r#""reasoning": [{"statement": "a", "evidence": [[1, 2, 3, 4]]}]"#),
        ["/reasoning/0/evidence/0"]
    );
    assert_eq!(refused(r#""reasoning": [["a", null]]"#), ["/reasoning/0"]);
    assert_eq!(refused(r#""metadata": [1]"#), ["/metadata"]);
    assert_eq!(refused(r#""choices": ["a", null]"#), ["/choices/1"]);
}

#[test]
fn an_image_is_exactly_one_thing() {
    for image in ["{}", r#"{"data": "", "id": ""}"#, r#""abc""#, "null", r#"{"data": 1}"#, r#"{"file": "a"}"#]
    {
        let body = format!(r#"{{"image": {image}, "question": "q", "answer": "a"}}"#);
        let problem = from_slice::<EditInput>(body.as_bytes()).unwrap_err();
        assert_eq!(problem.status().as_u16(), 422);
        assert!(problem.body().errors[0].pointer.starts_with("/image"), "{image}: {problem:?}");
    }
}
