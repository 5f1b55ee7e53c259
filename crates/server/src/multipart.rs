//! Forms: the parts become the JSON object that a JSON client would have sent, so that both are checked by the same code.

use bytes::Bytes;
use futures::stream;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::json::from_value;
use crate::problem::{Problem, ProblemKind, Result};

/// Most parts of a form: more than any limit of statements, choices and tags together.
const MAX_PARTS: usize = 256;

/// How the text of a part becomes JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// As it is.
    Text,
    /// Each part one text of a list.
    Texts,
    /// Each part one statement; a single text stays a text, which is split into sentences. A part of type `application/json` is a statement
    /// with its boxes.
    Statements,
    /// A number, `true`, `false` or an object.
    Json,
}

/// A body that may come as a form.
pub(crate) trait FormBody: DeserializeOwned {
    /// The text parts by name.
    const FIELDS: &'static [(&'static str, Field)];

    /// Puts the picture of the file part in.
    fn set_image(&mut self, bytes: Bytes);
}

struct Part {
    name: String,
    file: bool,
    json: bool,
    bytes: Bytes,
}

/// Parses a form.
///
/// # Errors
/// 400 when the form is damaged; 422 with the name of the part when it is unknown, repeated though single, or unusable.
pub(crate) async fn parse<T: FormBody>(content_type: &str, body: Bytes) -> Result<T> {
    let boundary = multer::parse_boundary(content_type)
        .map_err(|_| Problem::new(ProblemKind::Malformed, "The form's content type has no boundary."))?;
    let mut form = multer::Multipart::new(stream::once(async { Ok::<_, std::io::Error>(body) }), boundary);
    let mut object = Map::new();
    let mut picture = None;
    let mut parts = 0;
    while let Some(part) = next_part(&mut form).await? {
        parts += 1;
        if parts > MAX_PARTS {
            return Err(Problem::new(
                ProblemKind::TooLarge,
                format!("The form has more than {MAX_PARTS} parts."),
            ));
        }
        if part.name == "image" {
            if picture.is_some() || object.contains_key("image") {
                return Err(repeated("image"));
            }
            if part.json || (!part.file && part.bytes.trim_ascii_start().starts_with(b"{")) {
                object.insert("image".to_owned(), json_of(&part)?);
            } else {
                picture = Some(part.bytes);
            }
        } else {
            add::<T>(&mut object, &part)?;
        }
    }
    if let Some(Value::Array(statements)) = object.get_mut("reasoning")
        && let [Value::String(only)] = statements.as_mut_slice()
    {
        let only = std::mem::take(only);
        object.insert("reasoning".to_owned(), Value::String(only));
    }
    if picture.is_some() {
        // A stand-in that parses; the bytes never go through JSON.
        object.insert("image".to_owned(), json!({"data": ""}));
    }
    let mut value: T = from_value(Value::Object(object))?;
    if let Some(bytes) = picture {
        value.set_image(bytes);
    }
    Ok(value)
}

async fn next_part(form: &mut multer::Multipart<'_>) -> Result<Option<Part>> {
    let Some(field) = form.next_field().await.map_err(|error| damaged(&error))? else {
        return Ok(None);
    };
    let name = field.name().unwrap_or_default().to_owned();
    let file = field.file_name().is_some();
    let json = field
        .content_type()
        .is_some_and(|t| t.subtype() == "json" || t.suffix().is_some_and(|s| s == "json"));
    let bytes = field.bytes().await.map_err(|error| damaged(&error))?;
    Ok(Some(Part { name, file, json, bytes }))
}

fn add<T: FormBody>(object: &mut Map<String, Value>, part: &Part) -> Result<()> {
    let name = part.name.as_str();
    let Some(&(_, field)) = T::FIELDS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = T::FIELDS.iter().map(|(known, _)| *known).collect();
        return Err(Problem::invalid(
            format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            format!("unknown part `{name}`, expected `image` or one of {}", known.join(", ")),
        ));
    };
    match field {
        Field::Text | Field::Json => {
            if object.contains_key(name) {
                return Err(repeated(name));
            }
            let value = if field == Field::Json { json_of(part)? } else { text_of(part)? };
            object.insert(name.to_owned(), value);
        }
        Field::Texts | Field::Statements => {
            let value = if field == Field::Statements && part.json { json_of(part)? } else { text_of(part)? };
            let list = object.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(value);
            }
        }
    }
    Ok(())
}

fn text_of(part: &Part) -> Result<Value> {
    std::str::from_utf8(&part.bytes)
        .map(|text| Value::String(text.to_owned()))
        .map_err(|_| Problem::at(ProblemKind::Malformed, format!("/{}", part.name), "The part is not UTF-8."))
}

fn json_of(part: &Part) -> Result<Value> {
    // How Python's clients write a boolean into a form.
    match part.bytes.as_ref() {
        b"True" => return Ok(Value::Bool(true)),
        b"False" => return Ok(Value::Bool(false)),
        _ => {}
    }
    serde_json::from_slice(&part.bytes).map_err(|error| {
        Problem::invalid(format!("/{}", part.name), format!("The part is not JSON: {error}"))
    })
}

fn repeated(name: &str) -> Problem {
    Problem::invalid(format!("/{name}"), format!("The part `{name}` may be given once."))
}

fn damaged(error: &multer::Error) -> Problem {
    Problem::new(ProblemKind::Malformed, format!("The form can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::edit_input::{EditInput, Reasoning};
    use crate::dto::image::ImageInput;
    use crate::dto::query::QueryInput;

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
        let statements = edit.reasoning.unwrap().into_statements();
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
        let statements = boxed.reasoning.unwrap().into_statements();
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
}
