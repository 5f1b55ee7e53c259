//! Forms: the parts become the JSON object that a JSON client would have sent, so that both are checked by
//! the same code.
//!
//! A list is one part for each item, under the field's name, `name[]` or `name[0]`; or a single part that is
//! the JSON of a list. Objects may be spelled by their fields, `reasoning[0][statement]`, or be JSON. A
//! picture is a file, or what the JSON body has: a `data:` URL, base64, an `https` URL, an id, or the object
//! itself.

mod names;
mod part;

use bytes::Bytes;
use futures::stream;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use self::names::{Step, Tree, split};
use self::part::{Part, boundary, damaged, place};
use crate::base64::{is_base64, is_digest};
use crate::json::from_form;
use crate::problem::{Problem, ProblemKind, Result};

/// Most parts of a form: more than any limit of statements, choices and tags together.
pub const MAX_PARTS: usize = 256;
/// The name of a part that says what the texts of the form are written in (RFC 7578, section 4.6).
const CHARSET: &str = "_charset_";

/// How the text of a part becomes JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// As it is.
    Text,
    /// Each part one text of a list.
    Texts,
    /// Each part one statement; a single text stays a text, which is split into sentences. A part that is
    /// JSON is a statement with its boxes, or a list of statements.
    Statements,
    /// A number, `true`, `false` or an object, or `null`.
    Json,
}

/// A body that may come as a form.
pub trait FormBody: DeserializeOwned {
    /// The text parts by name.
    const FIELDS: &'static [(&'static str, Field)];

    /// Puts the picture of the file part in.
    fn set_image(&mut self, bytes: Bytes);
}

/// Parses a form.
///
/// # Errors
/// 400 when the form is damaged; 422 with the name of the part when it is unknown, repeated though single, or
/// unusable.
pub async fn parse<T: FormBody>(content_type: &str, body: Bytes) -> Result<T> {
    let boundary = boundary(content_type)?;
    let mut form = multer::Multipart::new(stream::once(async { Ok::<_, std::io::Error>(body) }), boundary);
    let mut parts = Parts::default();
    let mut count = 0;
    while let Some(field) = form.next_field().await.map_err(|error| damaged(&error))? {
        count += 1;
        if count > MAX_PARTS {
            let detail = format!("The form has more than {MAX_PARTS} parts.");
            return Err(Problem::new(ProblemKind::TooLarge, detail));
        }
        parts.add::<T>(Part::read(field).await?)?;
    }
    let Parts { fields, picture, .. } = parts;
    let mut object: Map<String, Value> =
        fields.into_iter().map(|field| (field.name.to_owned(), field.value())).collect();
    if picture.is_some() {
        // A stand-in that parses; the bytes never go through JSON.
        object.insert(IMAGE.to_owned(), json!({"data": ""}));
    }
    let mut value: T = from_form(Value::Object(object))?;
    if let Some(bytes) = picture {
        value.set_image(bytes);
    }
    Ok(value)
}

const IMAGE: &str = "image";

/// What came so far.
#[derive(Default)]
struct Parts {
    fields: Vec<Given>,
    picture: Option<Bytes>,
    charset: Option<String>,
}

/// What was given for a field.
struct Given {
    name: &'static str,
    kind: Field,
    tree: Tree,
    /// It came in a single part of the field's own name.
    single: bool,
}

impl Given {
    fn value(self) -> Value {
        let Self { kind, tree, single, .. } = self;
        let value = tree.into_value();
        match (kind, value) {
            (Field::Texts | Field::Statements, Value::Array(mut list)) if single && list.len() == 1 => {
                match list.pop() {
                    Some(Value::String(only)) => match listed(kind, &only) {
                        Some(list) => Value::Array(list),
                        None if kind == Field::Statements => Value::String(only),
                        None => json!([only]),
                    },
                    Some(Value::Array(list)) => Value::Array(list),
                    other => Value::Array(other.into_iter().collect()),
                }
            }
            (_, value) => value,
        }
    }
}

/// The list that a text is the JSON of, if its items are what the field has. A text that only begins like one
/// is a text.
fn listed(kind: Field, text: &str) -> Option<Vec<Value>> {
    let text = text.trim_start_matches('\u{feff}');
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let list: Vec<Value> = serde_json::from_str(text).ok()?;
    let fits = |item: &Value| item.is_string() || (kind == Field::Statements && item.is_object());
    list.iter().all(fits).then_some(list)
}

impl Parts {
    fn add<T: FormBody>(&mut self, part: Part) -> Result<()> {
        if part.name == CHARSET {
            self.charset = Some(part.text(None)?.trim().to_owned());
            return Ok(());
        }
        let named = split(&part.name);
        if named.as_ref().is_some_and(|(field, _)| *field == IMAGE) {
            let steps = named.map(|(_, steps)| steps).unwrap_or_default();
            return self.add_image(part, &steps);
        }
        let known = named.and_then(|(field, steps)| {
            let &(name, kind) = T::FIELDS.iter().find(|(known, _)| *known == field)?;
            (steps.is_empty() || kind != Field::Text).then_some((name, kind, steps))
        });
        let Some((name, kind, mut steps)) = known else {
            let known: Vec<&str> =
                std::iter::once(IMAGE).chain(T::FIELDS.iter().map(|(known, _)| *known)).collect();
            let detail = format!("There is no part `{}`; there are: {}.", part.name, known.join(", "));
            return Err(Problem::invalid(place(&part.name), detail));
        };
        let value = self.value_of(&part, kind, &steps)?;
        let single = steps.is_empty();
        if single && matches!(kind, Field::Texts | Field::Statements) {
            steps.push(Step::Next);
        }
        self.put(Given { name, kind, tree: Tree::Leaf(Value::Null), single }, &steps, value)
    }

    fn put(&mut self, mut given: Given, steps: &[Step], value: Value) -> Result<()> {
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == given.name) {
            field.single = false;
            return field.tree.add(steps, value).map_err(|_| repeated(given.name));
        }
        given.tree = Tree::new(steps, value);
        self.fields.push(given);
        Ok(())
    }

    /// What a part stands for.
    fn value_of(&self, part: &Part, kind: Field, steps: &[Step]) -> Result<Value> {
        let text = || part.text(self.charset.as_deref()).map(Value::String);
        match kind {
            Field::Json if part.bytes.trim_ascii() == b"null" => Ok(Value::Null),
            Field::Json | Field::Statements if part.json => part.value(),
            Field::Texts if part.json => match part.value() {
                Ok(value @ (Value::String(_) | Value::Array(_))) => Ok(value),
                _ => text(),
            },
            // A statement with its boxes may be the text of an object.
            Field::Statements if steps.len() < 2 && part.bytes.trim_ascii_start().starts_with(b"{") => {
                match part.value() {
                    Ok(value) if value.get("statement").is_some() => Ok(value),
                    _ => text(),
                }
            }
            Field::Text | Field::Json | Field::Texts | Field::Statements => text(),
        }
    }

    fn add_image(&mut self, part: Part, steps: &[Step]) -> Result<()> {
        let given = |tree| Given { name: IMAGE, kind: Field::Json, tree, single: true };
        if self.picture.is_some() {
            return Err(repeated(IMAGE));
        }
        if !steps.is_empty() {
            let value = Value::String(part.text(self.charset.as_deref())?);
            return self.put(given(Tree::Leaf(Value::Null)), steps, value);
        }
        if self.fields.iter().any(|field| field.name == IMAGE) {
            return Err(repeated(IMAGE));
        }
        let start = part.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&part.bytes).trim_ascii_start();
        if part.json || (!part.file && start.starts_with(b"{")) {
            self.fields.push(given(Tree::Leaf(part.value()?)));
            return Ok(());
        }
        match written(&part.bytes)? {
            Some(object) => self.fields.push(given(Tree::Leaf(object))),
            None => self.picture = Some(part.bytes),
        }
        Ok(())
    }
}

/// What the JSON body would have in place of a picture that came as a text. `None` for the bytes of a file.
fn written(bytes: &[u8]) -> Result<Option<Value>> {
    let starts = |start: &str| {
        bytes.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
    };
    let text = || {
        let text = std::str::from_utf8(bytes).map(str::trim);
        text.map_err(|_| Problem::invalid(place(IMAGE), "The picture is neither a file nor a text in UTF-8."))
    };
    if starts("data:") {
        return Ok(Some(json!({"data": text()?})));
    }
    if starts("https://") || starts("http://") {
        return Ok(Some(json!({"url": text()?})));
    }
    if let Some(id) = std::str::from_utf8(bytes).ok().map(str::trim).filter(|id| is_digest(id)) {
        return Ok(Some(json!({"id": id})));
    }
    Ok(if is_base64(bytes) { Some(json!({"data": text()?})) } else { None })
}

fn repeated(name: &str) -> Problem {
    Problem::invalid(place(name), format!("The part `{name}` may be given once."))
}
