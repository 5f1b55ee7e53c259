//! Forms as the bodies that they stand for.

use bytes::Bytes;
use reasonedit_api::image::ImageInput;
use reasonedit_api::query::QueryInput;
use reasonedit_http::multipart::{MAX_PARTS, parse};
use reasonedit_http::problem::Result;
use serde_json::{Value, json};

use crate::edit_input::{EditInput, Reasoning};

const TYPE: &str = "multipart/form-data; boundary=XX";

fn form(parts: &[(&str, &str)]) -> Bytes {
    let mut body = String::new();
    for (head, content) in parts {
        body += "--XX\r\nContent-Disposition: form-data; ";
        body += head;
        body += "\r\n\r\n";
        body += content;
        body += "\r\n";
    }
    body.push_str("--XX--\r\n");
    body.into()
}

const IMAGE: (&str, &str) = ("name=\"image\"; filename=\"a.png\"\r\nContent-Type: image/png", "PNGBYTES");
const QUESTION: (&str, &str) = ("name=\"question\"", "Is it red?");
const ANSWER: (&str, &str) = ("name=\"answer\"", "no");

async fn edit(parts: &[(&str, &str)]) -> Result<EditInput> {
    parse(TYPE, form(parts)).await
}

#[tokio::test]
async fn a_whole_edit() {
    let edit = edit(&[
        IMAGE,
        QUESTION,
        ANSWER,
        ("name=\"reasoning\"", "It is blue. Blue is not red."),
        ("name=\"reasoning\"", "Nothing else."),
        ("name=\"choices\"", "yes"),
        ("name=\"choices\"", "no"),
        ("name=\"tags\"", "demo"),
        ("name=\"metadata\"", "{\"case\": \"A-117\"}"),
        ("name=\"verify\"", "False"),
    ])
    .await
    .unwrap();
    assert!(matches!(&edit.image, ImageInput::Bytes(bytes) if &bytes[..] == b"PNGBYTES"));
    assert_eq!((edit.question.as_str(), edit.answer.as_str()), ("Is it red?", "no"));
    let statements = edit.reasoning.unwrap().into_statements(&mut Vec::new());
    assert_eq!(
        statements.iter().map(|s| s.statement.as_str()).collect::<Vec<_>>(),
        ["It is blue. Blue is not red.", "Nothing else."]
    );
    assert_eq!(edit.choices.unwrap(), ["yes", "no"]);
    assert_eq!(edit.metadata.unwrap()["case"], "A-117");
    assert_eq!(edit.verify, Some(false));
}

#[tokio::test]
async fn a_single_text_is_split_and_a_json_statement_is_not() {
    let text = edit(&[IMAGE, QUESTION, ANSWER, ("name=\"reasoning\"", "A b. C d.")]).await.unwrap();
    assert_eq!(text.reasoning, Some(Reasoning::Text("A b. C d.".to_owned())));
    let head = "name=\"reasoning\"\r\nContent-Type: application/json";
    let boxed = r#"{"statement": "A b. C d.", "evidence": [{"x": 0, "y": 0, "width": 1, "height": 1}]}"#;
    let boxed = edit(&[IMAGE, QUESTION, ANSWER, (head, boxed)]).await.unwrap();
    let statements = boxed.reasoning.unwrap().into_statements(&mut Vec::new());
    assert_eq!((statements.len(), statements[0].evidence.len()), (1, 1));
}

#[tokio::test]
async fn a_query_with_numbers_and_an_image_by_id() {
    let parts = [
        ("name=\"image\"", r#" {"id": "9f"}"#),
        QUESTION,
        ("name=\"max_tokens\"", "12"),
        ("name=\"retrieval\"", r#"{"k": 3}"#),
    ];
    let query: QueryInput = parse(TYPE, form(&parts)).await.unwrap();
    assert!(matches!(&query.image, ImageInput::Id(id) if id == "9f"));
    assert_eq!((query.max_tokens, query.retrieval.unwrap().k), (Some(12), Some(3)));
}

fn named(name: &str) -> String {
    format!("name=\"{name}\"")
}

/// An edit with these parts more.
async fn with(parts: &[(&str, &str)]) -> Result<EditInput> {
    let heads: Vec<String> = parts.iter().map(|(name, _)| named(name)).collect();
    let mut all = vec![IMAGE, QUESTION, ANSWER];
    all.extend(heads.iter().zip(parts).map(|(head, (_, content))| (head.as_str(), *content)));
    edit(&all).await
}

fn statements(edit: &EditInput) -> Vec<(String, usize)> {
    let given = edit.reasoning.clone().map(|said| said.into_statements(&mut Vec::new())).unwrap_or_default();
    given.into_iter().map(|s| (s.statement, s.evidence.len())).collect()
}

#[tokio::test]
async fn lists_as_clients_write_them() {
    let list = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    for parts in [
        &[("tags", r#"["a", "b"]"#)][..],
        &[("tags", "\u{feff} [\"a\",\r\n\"b\"]\n")],
        &[("tags[]", "a"), ("tags[]", "b")],
        &[("tags[0]", "a"), ("tags[1]", "b")],
        &[("tags[1]", "b"), ("tags[0]", "a")],
        &[("tags", "a"), ("tags", "b")],
    ] {
        assert_eq!(with(parts).await.unwrap().tags, list(&["a", "b"]), "{parts:?}");
    }
    assert_eq!(with(&[("tags[]", "a")]).await.unwrap().tags, list(&["a"]));
    assert_eq!(with(&[("tags", "[]")]).await.unwrap().tags, list(&[]));
    // A text that only begins like a list is a text, and so is each of several.
    for text in ["[1]", "[see fig. 2]", "[\"a\"", "[\"a\"] and more", "[{\"a\": 1}]", "[null]"] {
        assert_eq!(with(&[("tags", text)]).await.unwrap().tags, list(&[text]));
    }
    assert_eq!(with(&[("tags", "[\"a\"]"), ("tags", "b")]).await.unwrap().tags, list(&["[\"a\"]", "b"]));
    let typed = "name=\"tags\"\r\nContent-Type: application/json";
    assert_eq!(
        edit(&[IMAGE, QUESTION, ANSWER, (typed, "[\"a\", \"b\"]")]).await.unwrap().tags,
        list(&["a", "b"])
    );
}

#[tokio::test]
async fn statements_as_clients_write_them() {
    let one = |text: &str, boxes| (text.to_owned(), boxes);
    let area = r#"{"x": 1, "y": 2, "width": 3, "height": 4}"#;
    let boxed = format!(r#"{{"statement": "It is red.", "evidence": [{area}]}}"#);
    let both = format!(r#"[{boxed}, "It is round. It shines."]"#);
    for parts in [
        &[("reasoning", &*both)][..],
        &[("reasoning", &*boxed), ("reasoning", "It is round. It shines.")],
        &[("reasoning[]", &*boxed), ("reasoning[]", "It is round. It shines.")],
        &[
            ("reasoning[0][statement]", "It is red."),
            ("reasoning[0][evidence][0][x]", "1"),
            ("reasoning[0][evidence][0][y]", "2.0"),
            ("reasoning[0][evidence][0][width]", "3"),
            ("reasoning[0][evidence][0][height]", "4"),
            ("reasoning[1][statement]", "It is round. It shines."),
        ],
        &[
            ("reasoning[0][statement]", "It is red."),
            ("reasoning[0][evidence]", &*format!("[{area}]")),
            ("reasoning[1]", "It is round. It shines."),
        ],
    ] {
        let edit = with(parts).await.unwrap();
        assert_eq!(statements(&edit), [one("It is red.", 1), one("It is round. It shines.", 0)], "{parts:?}");
    }
    // One text is split, a list of one is not.
    assert_eq!(statements(&with(&[("reasoning", "It is red. It is round.")]).await.unwrap()).len(), 2);
    for parts in [[("reasoning[]", "A b. C d.")], [("reasoning", r#"["A b. C d."]"#)]] {
        assert_eq!(statements(&with(&parts).await.unwrap()), [one("A b. C d.", 0)]);
    }
    let braces = with(&[("reasoning", "{see fig. 2} is red.")]).await.unwrap();
    assert_eq!(statements(&braces)[0].0.chars().next(), Some('{'));
}

#[tokio::test]
async fn objects_by_their_fields() {
    let edit =
        with(&[("metadata[case]", "A-117"), ("metadata[rooms][]", "3"), ("verify", "1")]).await.unwrap();
    assert_eq!(Value::Object(edit.metadata.unwrap()), json!({"case": "A-117", "rooms": ["3"]}));
    assert_eq!(edit.verify, Some(true));
    let k = named("retrieval[k]");
    let parts = [("name=\"image[id]\"", "9f"), QUESTION, (&*k, "3.0"), ("name=\"max_tokens\"", "null")];
    let query: QueryInput = parse(TYPE, form(&parts)).await.unwrap();
    assert!(matches!(&query.image, ImageInput::Id(id) if id == "9f"));
    assert_eq!((query.max_tokens, query.retrieval.unwrap().k), (None, Some(3)));
}

#[tokio::test]
async fn a_picture_may_be_a_text() {
    let base64 = "iVBORw0KGgoAAAANSUhEUg==";
    let data = format!("data:image/png;base64,{base64}");
    let id = "0f".repeat(32);
    let file = "name=\"image\"; filename=\"blob\"\r\nContent-Type: image/png";
    let image = async |head: &str, content: &str| {
        let parts = [(head, content), QUESTION];
        parse::<QueryInput>(TYPE, form(&parts)).await.unwrap().image
    };
    for head in ["name=\"image\"", file, "name=image; filename*=UTF-8''%C3%A4.png"] {
        for content in [base64.to_owned(), format!("{base64}\r\n"), data.clone(), format!(" {base64}")] {
            let read = image(head, &content).await;
            assert!(
                matches!(&read, ImageInput::Data(text) if text == content.trim()),
                "{head} {content}: {read:?}"
            );
        }
        assert!(matches!(image(head, &id).await, ImageInput::Id(text) if text == id));
        assert!(matches!(image(head, "https://a.example/b.png").await, ImageInput::Url(_)));
        assert!(matches!(image(head, "PNGBYTES, not base64").await, ImageInput::Bytes(_)));
        assert!(matches!(image(head, "GIF89a").await, ImageInput::Bytes(_)));
    }
    let transfer = format!("{file}\r\nContent-Transfer-Encoding: base64");
    let ImageInput::Bytes(bytes) = image(&transfer, base64).await else { panic!("no bytes") };
    assert!(bytes.starts_with(b"\x89PNG"));
    let mark = image("name=\"image\"", "\u{feff} {\"id\": \"9f\"}").await;
    assert!(matches!(&mark, ImageInput::Id(id) if id == "9f"), "{mark:?}");
}

#[tokio::test]
async fn texts_of_other_characters() {
    let mut body =
        b"--XX\r\nContent-Disposition: form-data; name=\"_charset_\"\r\n\r\niso-8859-1\r\n".to_vec();
    body.extend(b"--XX\r\nContent-Disposition: form-data; name=\"question\"\r\n\r\nWie gro\xdf?\r\n");
    body.extend(b"--XX\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n{\"id\": \"9f\"}\r\n");
    body.extend("--XX\r\nContent-Disposition: form-data; name=\"choices\"\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nGröße\r\n--XX--\r\n".as_bytes());
    let query: QueryInput = parse(TYPE, body.into()).await.unwrap();
    assert_eq!((&*query.question, query.choices.unwrap()), ("Wie groß?", vec!["Größe".to_owned()]));
}

#[tokio::test]
async fn boundaries_need_no_quotes() {
    let body = "--a/b=c\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n{\"id\": \"9f\"}\r\n--a/b=c\r\nContent-Disposition: form-data; name=\"question\"\r\n\r\nq\r\n--a/b=c--\r\n";
    for kind in
        ["multipart/form-data; boundary=a/b=c", "multipart/form-data; boundary=\"a/b=c\"; charset=utf-8"]
    {
        assert_eq!(parse::<QueryInput>(kind, Bytes::from(body)).await.unwrap().question, "q");
    }
}

#[tokio::test]
async fn refusals_name_the_part() {
    type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);
    let cases: &[Case] = &[
        (&[QUESTION, ANSWER], 422, "/image"),
        (&[IMAGE, ANSWER], 422, "/question"),
        (&[IMAGE, IMAGE, QUESTION, ANSWER], 422, "/image"),
        (&[IMAGE, QUESTION, QUESTION, ANSWER], 422, "/question"),
        (&[IMAGE, QUESTION, ANSWER, ("name=\"verify\"", "maybe")], 422, "/verify"),
        (&[IMAGE, QUESTION, ANSWER, ("name=\"verify\"", "5")], 422, "/verify"),
        (&[IMAGE, QUESTION, ANSWER, ("name=\"metadata\"", "[1]")], 422, "/metadata"),
        (&[IMAGE, QUESTION, ANSWER, ("name=\"other\"", "x")], 422, "/other"),
        (&[IMAGE, QUESTION, ANSWER, ("filename=\"x\"", "x")], 422, "/"),
        (&[IMAGE, QUESTION, ANSWER, ("name=\"question[]\"", "x")], 422, "/question[]"),
        (&[IMAGE, QUESTION, ANSWER, ("name=\"tags[\"", "x")], 422, "/tags["),
        (&[IMAGE, QUESTION, ANSWER, ("name=\"tags[0]\"", "x"), ("name=\"tags[0]\"", "y")], 422, "/tags"),
        (&[IMAGE, QUESTION, ANSWER, ("name=\"reasoning[0][statment]\"", "x")], 422, "/reasoning/0/statment"),
        (&[IMAGE, QUESTION, ANSWER, ("name=\"metadata\"", "{\"a\": }")], 422, "/metadata"),
        (
            &[IMAGE, QUESTION, ANSWER, ("name=\"reasoning\"\r\nContent-Type: application/json", "{")],
            422,
            "/reasoning",
        ),
    ];
    for (parts, status, pointer) in cases {
        let problem = edit(parts).await.unwrap_err();
        assert_eq!(problem.status().as_u16(), *status, "{problem:?}");
        assert_eq!(problem.body().errors[0].pointer, *pointer);
    }
}

#[tokio::test]
async fn damaged_forms_are_400() {
    let whole = form(&[IMAGE, QUESTION, ANSWER]);
    for body in [Bytes::new(), Bytes::from_static(b"hello"), whole.slice(..whole.len() / 2)] {
        let problem = parse::<EditInput>(TYPE, body).await.unwrap_err();
        assert_eq!(problem.status().as_u16(), 400, "{problem:?}");
    }
    let problem = parse::<EditInput>("multipart/form-data", whole).await.unwrap_err();
    assert_eq!(problem.status().as_u16(), 400);
    let many = vec![("name=\"tags\"", "x"); MAX_PARTS + 1];
    assert_eq!(edit(&many).await.unwrap_err().status().as_u16(), 413);
}
