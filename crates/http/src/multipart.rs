//! Forms: the parts become the JSON object that a JSON client would have sent, so that both are checked by
//! the same code.
//!
//! A list is one part for each item, under the field's name, `name[]` or `name[0]`; or a single part that is
//! the JSON of a list. Objects may be spelled by their fields, `name[0][field]`, or be JSON. One part may be
//! a file: its bytes never go through JSON.

mod names;
mod part;

use bytes::Bytes;
use futures::stream;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use self::names::{Step, Tree, split};
use self::part::{Part, boundary, damaged, place};
use crate::json::from_form;
use crate::problem::{Problem, ProblemKind, Result};
use crate::room::Room;

/// Most parts of a form: more than all lists of a body together may have items.
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
    /// Each part one item: a text, or an object that has this field; a single text stays a text. A part that
    /// is JSON is such an object, or a list of items.
    Items(&'static str),
    /// A number, `true`, `false` or an object, or `null`.
    Json,
}

/// The part that may be a file. It may come as a text too, or as the JSON that the body has there.
#[derive(Clone, Copy, Debug)]
pub struct FilePart {
    /// Its name.
    pub name: &'static str,
    /// What the JSON body has where the part is a text and no file; `None` for the bytes of a file.
    pub written: fn(&[u8]) -> Result<Option<Value>>,
    /// What stands in the JSON for a file until [`FormBody::set_file`] puts it in: anything that parses.
    pub stand_in: fn() -> Value,
}

/// A body that may come as a form.
pub trait FormBody: DeserializeOwned {
    /// The part that may be a file.
    const FILE: FilePart;
    /// The text parts by name.
    const FIELDS: &'static [(&'static str, Field)];

    /// Puts in what came as a file.
    fn set_file(&mut self, bytes: Bytes);
}

/// Parses a form.
///
/// # Errors
/// 400 when the form is damaged; 422 with the name of the part when it is unknown, repeated though single, or
/// unusable; 413 when what would be made of it is much larger than it is.
pub async fn parse<T: FormBody>(content_type: &str, body: Bytes) -> Result<T> {
    let mut room = Room::alone(body.len());
    parse_within(content_type, body, &mut room).await
}

/// As [`parse`], of a body whose memory is counted.
///
/// # Errors
/// As there; 503 when there is no memory for what is made of it.
pub(crate) async fn parse_within<T: FormBody>(
    content_type: &str,
    body: Bytes,
    room: &mut Room<'_>,
) -> Result<T> {
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
        let part = Part::read(field).await?;
        // What is no picture may be the text of a list or an object, whatever it says it is.
        if part.name != T::FILE.name || part.is_object() {
            room.weigh(&part.bytes)?;
        }
        parts.add::<T>(part)?;
    }
    let Parts { fields, file, .. } = parts;
    let mut object: Map<String, Value> =
        fields.into_iter().map(|field| (field.name.to_owned(), field.value())).collect();
    if file.is_some() {
        object.insert(T::FILE.name.to_owned(), (T::FILE.stand_in)());
    }
    let mut value: T = from_form(Value::Object(object))?;
    if let Some(bytes) = file {
        value.set_file(bytes);
    }
    Ok(value)
}

/// What came so far.
#[derive(Default)]
struct Parts {
    fields: Vec<Given>,
    file: Option<Bytes>,
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
            (Field::Texts | Field::Items(_), Value::Array(mut list)) if single && list.len() == 1 => {
                match list.pop() {
                    Some(Value::String(only)) => match listed(kind, &only) {
                        Some(list) => Value::Array(list),
                        None if matches!(kind, Field::Items(_)) => Value::String(only),
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
    let fits = |item: &Value| item.is_string() || (matches!(kind, Field::Items(_)) && item.is_object());
    list.iter().all(fits).then_some(list)
}

impl Parts {
    fn add<T: FormBody>(&mut self, part: Part) -> Result<()> {
        if part.name == CHARSET {
            self.charset = Some(part.text(None)?.trim().to_owned());
            return Ok(());
        }
        let named = split(&part.name);
        if named.as_ref().is_some_and(|(field, _)| *field == T::FILE.name) {
            let steps = named.map(|(_, steps)| steps).unwrap_or_default();
            return self.add_file(T::FILE, part, &steps);
        }
        let known = named.and_then(|(field, steps)| {
            let &(name, kind) = T::FIELDS.iter().find(|(known, _)| *known == field)?;
            (steps.is_empty() || kind != Field::Text).then_some((name, kind, steps))
        });
        let Some((name, kind, mut steps)) = known else {
            let known: Vec<&str> =
                std::iter::once(T::FILE.name).chain(T::FIELDS.iter().map(|(known, _)| *known)).collect();
            let detail = format!("There is no part `{}`; there are: {}.", part.name, known.join(", "));
            return Err(Problem::invalid(place(&part.name), detail));
        };
        let value = self.value_of(&part, kind, &steps)?;
        let single = steps.is_empty();
        if single && matches!(kind, Field::Texts | Field::Items(_)) {
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
            Field::Json | Field::Items(_) if part.json => part.value(),
            Field::Texts if part.json => match part.value() {
                Ok(value @ (Value::String(_) | Value::Array(_))) => Ok(value),
                _ => text(),
            },
            // An item may be the text of an object.
            Field::Items(by) if steps.len() < 2 && part.bytes.trim_ascii_start().starts_with(b"{") => {
                match part.value() {
                    Ok(value) if value.get(by).is_some() => Ok(value),
                    _ => text(),
                }
            }
            Field::Text | Field::Json | Field::Texts | Field::Items(_) => text(),
        }
    }

    fn add_file(&mut self, file: FilePart, part: Part, steps: &[Step]) -> Result<()> {
        let given = |tree| Given { name: file.name, kind: Field::Json, tree, single: true };
        if self.file.is_some() {
            return Err(repeated(file.name));
        }
        if !steps.is_empty() {
            let value = Value::String(part.text(self.charset.as_deref())?);
            return self.put(given(Tree::Leaf(Value::Null)), steps, value);
        }
        if self.fields.iter().any(|field| field.name == file.name) {
            return Err(repeated(file.name));
        }
        if part.is_object() {
            self.fields.push(given(Tree::Leaf(part.value()?)));
            return Ok(());
        }
        match (file.written)(&part.bytes)? {
            Some(object) => self.fields.push(given(Tree::Leaf(object))),
            None => self.file = Some(part.bytes),
        }
        Ok(())
    }
}

fn repeated(name: &str) -> Problem {
    Problem::invalid(place(name), format!("The part `{name}` may be given once."))
}
