//! What an answer must look like: `response_format` of `OpenAI`, guided decoding of vLLM by its older and
//! newer names.

use reasonedit_editor::ReplyForm;
use reasonedit_http::json::from_text;
use reasonedit_http::problem::{Problem, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::rules::{given, unsupported};

/// Fields of [`FormsInput`].
pub(super) const NAMES: [&str; 7] = [
    "response_format",
    "structured_outputs",
    "guided_json",
    "guided_choice",
    "guided_regex",
    "guided_grammar",
    "json_schema",
];

/// Forms of answers; at most one of them is given.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ChatForms)]
pub(super) struct FormsInput {
    /// `{"type": "text"}`, `{"type": "json_object"}`, or
    /// `{"type": "json_schema", "json_schema": {"schema": …}}`: the answer is JSON that the schema holds for,
    /// `strict` or not; keywords that answers can't be held to are refused by name.
    #[schema(value_type = Option<Object>, example = json!({"type": "json_object"}))]
    response_format: Option<Value>,
    /// The answer is one of these: the most probable one, as in `POST /query`. Also `guided_choice`.
    #[schema(value_type = Option<Object>, example = json!({"choice": ["benign", "malignant"]}))]
    structured_outputs: Option<Value>,
    /// The answer is JSON that this schema holds for, as an object or as text.
    #[schema(value_type = Option<Object>)]
    guided_json: Option<Value>,
    /// The answer is one of these texts: the most probable one, as in `POST /query`.
    #[schema(value_type = Option<Vec<String>>)]
    guided_choice: Option<Value>,
    /// The answer matches this regular expression as a whole.
    #[schema(value_type = Option<String>)]
    guided_regex: Option<Value>,
    /// The answer is of this grammar, in Lark's notation.
    #[schema(value_type = Option<String>)]
    guided_grammar: Option<Value>,
    /// The same as `guided_json`, by llama.cpp's name.
    #[schema(value_type = Option<Object>)]
    json_schema: Option<Value>,
}

/// What is asked of an answer.
#[derive(Debug, PartialEq)]
pub(super) enum ReplyConstraint {
    Choice(Vec<String>),
    Form(ReplyForm),
}

/// With the place of what asks for it.
type Placed = (String, ReplyConstraint);

impl FormsInput {
    /// What is asked for.
    ///
    /// # Errors
    /// 400 for forms that are not known, 422 for what can't be used, or two forms.
    pub(super) fn asked(&self) -> Result<Option<Placed>> {
        let mut all: Vec<Placed> = Vec::new();
        if let Some(format) = used(self.response_format.as_ref()) {
            all.extend(response_format(format)?);
        }
        if let Some(outputs) = used(self.structured_outputs.as_ref()) {
            all.extend(structured_outputs(outputs)?);
        }
        let fields = [
            ("guided_json", self.guided_json.as_ref(), "json"),
            ("guided_choice", self.guided_choice.as_ref(), "choice"),
            ("guided_regex", self.guided_regex.as_ref(), "regex"),
            ("guided_grammar", self.guided_grammar.as_ref(), "grammar"),
            ("json_schema", self.json_schema.as_ref(), "json"),
        ];
        for (name, value, kind) in fields {
            if let Some(value) = used(value) {
                all.push(of(kind, value, format!("/{name}"))?);
            }
        }
        if let [_, (second, _), ..] = all.as_slice() {
            return Err(Problem::invalid(second, "An answer has one form; another one is asked for too."));
        }
        Ok(all.pop())
    }
}

/// A value that asks for something.
fn used(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| given(Some(value)) && value.as_str() != Some(""))
}

/// A form of a kind, as vLLM names kinds.
fn of(kind: &str, value: &Value, place: String) -> Result<Placed> {
    let text = |value: &Value| {
        let wrong = || Problem::invalid(&place, "This is a text.");
        value.as_str().map(str::to_owned).ok_or_else(wrong)
    };
    let asked = match kind {
        "json" => ReplyConstraint::Form(ReplyForm::Json(schema(value, &place)?)),
        "regex" => ReplyConstraint::Form(ReplyForm::Regex(text(value)?)),
        "grammar" => ReplyConstraint::Form(ReplyForm::Lark(text(value)?)),
        _ => ReplyConstraint::Choice(choices(value, &place)?),
    };
    Ok((place, asked))
}

/// A schema as an object, or, as some clients send it, as text.
fn schema(value: &Value, place: &str) -> Result<Value> {
    match value {
        Value::Object(_) | Value::Bool(_) => Ok(value.clone()),
        Value::String(text) => from_text(text)
            .filter(Value::is_object)
            .ok_or_else(|| Problem::invalid(place, "A schema given as text is a JSON object.")),
        _ => Err(Problem::invalid(place, "A schema is a JSON object.")),
    }
}

/// Distinct choices, in the order given.
fn choices(value: &Value, place: &str) -> Result<Vec<String>> {
    let wrong = || Problem::invalid(place, "Choices are a list of texts.");
    let mut choices: Vec<String> = Vec::new();
    for choice in value.as_array().ok_or_else(wrong)? {
        let choice = choice.as_str().ok_or_else(wrong)?;
        if !choices.iter().any(|earlier| earlier.trim() == choice.trim()) {
            choices.push(choice.to_owned());
        }
    }
    Ok(choices)
}

/// `OpenAI`'s `response_format`.
fn response_format(format: &Value) -> Result<Option<Placed>> {
    let place = "/response_format";
    let Some(fields) = format.as_object() else {
        return Err(Problem::invalid(place, "A response format is an object with a `type`."));
    };
    let object = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        _ => {
            return Err(Problem::invalid(format!("{place}/type"), "A response format has a `type`, a text."));
        }
    };
    match kind {
        "text" => Ok(None),
        // Some servers take a schema here too.
        "json_object" => match object("schema") {
            Some(schema) => of("json", schema, format!("{place}/schema")).map(Some),
            None => Ok(Some((place.to_owned(), any_object()))),
        },
        "json_schema" => {
            let (holder, at) = match object("json_schema") {
                Some(Value::Object(holder)) => (holder, format!("{place}/json_schema")),
                Some(_) => {
                    let detail = "`json_schema` is an object with a `schema`.";
                    return Err(Problem::invalid(format!("{place}/json_schema"), detail));
                }
                None => (fields, place.to_owned()),
            };
            match holder.get("schema").filter(|schema| !schema.is_null()) {
                Some(schema) => of("json", schema, format!("{at}/schema")).map(Some),
                None => Err(Problem::invalid(
                    format!("{place}/json_schema/schema"),
                    "A response format of the type `json_schema` needs a `schema`.",
                )),
            }
        }
        _ => {
            let what = format!("A response format of the type `{kind}` is not supported");
            Err(unsupported(format!("{place}/type"), &what))
        }
    }
}

fn any_object() -> ReplyConstraint {
    ReplyConstraint::Form(ReplyForm::Json(json!({"type": "object"})))
}

/// vLLM's `structured_outputs`.
fn structured_outputs(outputs: &Value) -> Result<Option<Placed>> {
    let place = "/structured_outputs";
    let Some(fields) = outputs.as_object() else {
        return Err(Problem::invalid(place, "Structured outputs are an object."));
    };
    for name in ["structural_tag", "whitespace_pattern", "disable_additional_properties"] {
        if used(fields.get(name)).is_some() {
            return Err(unsupported(format!("{place}/{name}"), &format!("`{name}` is not supported")));
        }
    }
    let mut all = Vec::new();
    for kind in ["json", "regex", "choice", "grammar"] {
        if let Some(value) = used(fields.get(kind)) {
            all.push(of(kind, value, format!("{place}/{kind}"))?);
        }
    }
    if used(fields.get("json_object")).is_some() {
        all.push((format!("{place}/json_object"), any_object()));
    }
    if let [_, (second, _), ..] = all.as_slice() {
        return Err(Problem::invalid(second, "An answer has one form; another one is asked for too."));
    }
    Ok(all.pop())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reasonedit_http::json::from_value;

    fn asked(more: &Value) -> Result<Option<Placed>> {
        from_value::<FormsInput>(more.clone())?.asked()
    }

    #[test]
    fn forms_by_every_name() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let of_schema = || ReplyConstraint::Form(ReplyForm::Json(schema.clone()));
        let choice = || ReplyConstraint::Choice(vec!["red".into(), "green".into()]);
        for (more, place, expected) in [
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}}}),
                "/response_format/json_schema/schema",
                of_schema(),
            ),
            (
                json!({"response_format": {"type": "json_schema", "schema": schema}}),
                "/response_format/schema",
                of_schema(),
            ),
            (
                json!({"response_format": {"type": "json_object", "schema": schema}}),
                "/response_format/schema",
                of_schema(),
            ),
            (json!({"response_format": {"type": "json_object"}}), "/response_format", any_object()),
            (json!({"guided_json": schema}), "/guided_json", of_schema()),
            (json!({"guided_json": schema.to_string()}), "/guided_json", of_schema()),
            (json!({"json_schema": schema}), "/json_schema", of_schema()),
            (json!({"structured_outputs": {"json": schema}}), "/structured_outputs/json", of_schema()),
            (
                json!({"structured_outputs": {"json_object": true}}),
                "/structured_outputs/json_object",
                any_object(),
            ),
            (json!({"guided_choice": ["red", "green", " red"]}), "/guided_choice", choice()),
            (
                json!({"structured_outputs": {"choice": ["red", "green"]}}),
                "/structured_outputs/choice",
                choice(),
            ),
            (
                json!({"guided_regex": "[a-z]+"}),
                "/guided_regex",
                ReplyConstraint::Form(ReplyForm::Regex("[a-z]+".into())),
            ),
            (
                json!({"structured_outputs": {"grammar": "start: \"a\""}, "response_format": {"type": "text"}}),
                "/structured_outputs/grammar",
                ReplyConstraint::Form(ReplyForm::Lark("start: \"a\"".into())),
            ),
        ] {
            assert_eq!(asked(&more).unwrap(), Some((place.to_owned(), expected)), "{more}");
        }
    }

    #[test]
    fn every_field_has_its_name() {
        for name in NAMES {
            assert!(asked(&json!({name: 5})).is_err(), "{name}");
        }
    }

    #[test]
    fn nothing_is_asked_for() {
        for more in [
            json!({}),
            json!({"response_format": null, "structured_outputs": null, "guided_json": null, "guided_choice": []}),
            json!({"response_format": {}, "structured_outputs": {"choice": null, "json": null, "json_object": false}}),
            json!({"response_format": {"type": "text"}, "guided_regex": "", "guided_grammar": null}),
        ] {
            assert_eq!(asked(&more).unwrap(), None, "{more}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused_with_its_place() {
        for (more, status, pointer) in [
            (json!({"response_format": "json"}), 422, "/response_format"),
            (json!({"response_format": {"kind": "json"}}), 422, "/response_format/type"),
            (json!({"response_format": {"type": "structural_tag"}}), 400, "/response_format/type"),
            (json!({"response_format": {"type": "json_schema"}}), 422, "/response_format/json_schema/schema"),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": []}}),
                422,
                "/response_format/json_schema",
            ),
            (json!({"guided_json": "no JSON"}), 422, "/guided_json"),
            (json!({"guided_json": [1]}), 422, "/guided_json"),
            (json!({"guided_choice": [1, 2]}), 422, "/guided_choice"),
            (json!({"guided_regex": ["a"]}), 422, "/guided_regex"),
            (
                json!({"structured_outputs": {"structural_tag": "x"}}),
                400,
                "/structured_outputs/structural_tag",
            ),
            (
                json!({"structured_outputs": {"choice": ["a"], "regex": "b"}}),
                422,
                "/structured_outputs/choice",
            ),
            (
                json!({"guided_choice": ["a", "b"], "response_format": {"type": "json_object"}}),
                422,
                "/guided_choice",
            ),
        ] {
            let problem = asked(&more).unwrap_err();
            let found = (problem.status().as_u16(), problem.body().errors[0].pointer.clone());
            assert_eq!(found, (status, pointer.to_owned()), "{more}");
        }
    }
}
