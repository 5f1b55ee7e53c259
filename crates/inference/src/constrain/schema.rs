//! JSON schemas that replies can be held to: what is asked for beyond that is refused by name.

use serde_json::{Map, Value};

use super::FormError;

/// Most schemas in a schema, itself included.
const MOST_PARTS: usize = 10_000;

/// How deep schemas may lie in each other; values in `const` and `enum` too.
const DEEPEST: usize = 64;

/// Keywords that restrict answers and that no reply can be held to.
const NOT_HELD: [&str; 18] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "propertyNames",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "$anchor",
];

/// Formats of strings that replies are held to.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];

/// Formats that a validator knows too, but that replies can't be held to. All others mean something to nobody
/// else, and are left out.
const FORMATS_NOT_HELD: [&str; 10] = [
    "idn-email",
    "idn-hostname",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "uri-reference",
    "uri-template",
    "uri-ref",
];

/// Drafts whose meaning is known; a schema of another one is read as of 2020-12.
const DRAFTS: [&str; 5] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
];

/// The schema as it is compiled: without what changes no answer.
///
/// # Errors
/// The first keyword that replies can't be held to, with its place in the schema.
pub(super) fn prepared(schema: &Value) -> Result<Value, FormError> {
    let mut reader = Reader { parts: 0 };
    reader.schema(schema, "", 0)
}

struct Reader {
    parts: usize,
}

impl Reader {
    fn schema(&mut self, schema: &Value, place: &str, depth: usize) -> Result<Value, FormError> {
        self.parts += 1;
        if self.parts > MOST_PARTS || depth > DEEPEST {
            return Err(too_large(place));
        }
        let fields = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(fields) => fields,
            _ => return Err(FormError::new(place, "A schema is an object or a boolean.")),
        };
        let mut out = Map::with_capacity(fields.len());
        for (name, value) in fields {
            let at = format!("{place}/{}", escaped(name));
            if let Some(value) = self.keyword(name, value, &at, depth)? {
                out.insert(name.clone(), value);
            }
        }
        Ok(Value::Object(out))
    }

    /// What a keyword becomes; `None` for one that changes nothing.
    fn keyword(
        &mut self,
        name: &str,
        value: &Value,
        at: &str,
        depth: usize,
    ) -> Result<Option<Value>, FormError> {
        if NOT_HELD.contains(&name) {
            return Err(FormError::new(at, format!("The keyword `{name}` is not supported in a schema.")));
        }
        let text = |what: &str| {
            value.as_str().ok_or_else(|| FormError::new(at, format!("`{name}` is {what}, as a text.")))
        };
        Ok(Some(match name {
            "items" | "additionalItems" | "additionalProperties" => match value {
                Value::Array(all) => self.list(all, at, depth)?,
                one => self.schema(one, at, depth + 1)?,
            },
            "prefixItems" | "anyOf" | "oneOf" | "allOf" => match value {
                Value::Array(all) => self.list(all, at, depth)?,
                _ => return Err(FormError::new(at, format!("`{name}` is a list of schemas."))),
            },
            "properties" | "patternProperties" | "$defs" | "definitions" => match value {
                Value::Object(all) => {
                    let mut out = Map::with_capacity(all.len());
                    for (key, one) in all {
                        let schema = self.schema(one, &format!("{at}/{}", escaped(key)), depth + 1)?;
                        out.insert(key.clone(), schema);
                    }
                    Value::Object(out)
                }
                _ => return Err(FormError::new(at, format!("`{name}` is an object of schemas."))),
            },
            "uniqueItems" if *value == Value::Bool(false) => return Ok(None),
            "uniqueItems" => {
                let detail = "The keyword `uniqueItems` is not supported in a schema.";
                return Err(FormError::new(at, detail));
            }
            "format" => {
                let format = text("a format")?;
                if FORMATS_NOT_HELD.contains(&format) {
                    let detail = format!("The format `{format}` is not supported in a schema.");
                    return Err(FormError::new(at, detail));
                }
                if !FORMATS.contains(&format) {
                    return Ok(None);
                }
                value.clone()
            }
            "$ref" => {
                let place = text("a place in this schema")?;
                if place != "#" && !place.starts_with("#/") {
                    let detail = "A `$ref` names a place in this schema, such as `#/$defs/name`.";
                    return Err(FormError::new(at, detail));
                }
                value.clone()
            }
            "$schema" => {
                let known = text("a draft")?.trim_end_matches('#');
                if !DRAFTS.contains(&known) {
                    return Ok(None);
                }
                value.clone()
            }
            "$id" if depth > 0 => {
                let detail = "The keyword `$id` is not supported in a part of a schema.";
                return Err(FormError::new(at, detail));
            }
            // Settings of the library that compiles schemas are no client's affair; the others say nothing of
            // an answer.
            "x-guidance" | "$id" | "title" | "description" | "default" | "examples" | "$comment"
            | "deprecated" | "readOnly" | "writeOnly" => return Ok(None),
            "const" | "enum" => {
                within(value, at, DEEPEST)?;
                value.clone()
            }
            _ => value.clone(),
        }))
    }

    fn list(&mut self, all: &[Value], at: &str, depth: usize) -> Result<Value, FormError> {
        let one = |(index, one): (usize, &Value)| self.schema(one, &format!("{at}/{index}"), depth + 1);
        all.iter().enumerate().map(one).collect::<Result<_, _>>().map(Value::Array)
    }
}

/// Refuses values that are too deep.
fn within(value: &Value, at: &str, left: usize) -> Result<(), FormError> {
    if left == 0 {
        return Err(too_large(at));
    }
    match value {
        Value::Array(all) => all.iter().try_for_each(|value| within(value, at, left - 1)),
        Value::Object(all) => all.values().try_for_each(|value| within(value, at, left - 1)),
        _ => Ok(()),
    }
}

pub(super) fn too_large(place: &str) -> FormError {
    FormError::new(place, "This schema is too large, or too deep.")
}

/// A name in a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(schema: &Value) -> String {
        prepared(schema).unwrap_err().pointer
    }

    #[test]
    fn what_replies_cant_be_held_to_is_named_with_its_place() {
        for (schema, place) in [
            (json!({"not": {"type": "string"}}), "/not"),
            (json!({"properties": {"a/b": {"if": true}}}), "/properties/a~1b/if"),
            (json!({"items": {"type": "array", "uniqueItems": true}}), "/items/uniqueItems"),
            (json!({"items": [true, {"contains": true}]}), "/items/1/contains"),
            (json!({"$defs": {"x": {"anyOf": [{"propertyNames": {}}]}}}), "/$defs/x/anyOf/0/propertyNames"),
            (json!({"dependentRequired": {"a": ["b"]}}), "/dependentRequired"),
            (json!({"unevaluatedProperties": false}), "/unevaluatedProperties"),
            (json!({"format": "regex"}), "/format"),
            (json!({"format": 5}), "/format"),
            (json!({"$ref": "https://example.org/schema"}), "/$ref"),
            (json!({"$ref": "#name"}), "/$ref"),
            (json!({"properties": {"a": {"$id": "x"}}}), "/properties/a/$id"),
            (json!({"properties": []}), "/properties"),
            (json!({"anyOf": {}}), "/anyOf"),
            (json!({"items": 5}), "/items"),
            (json!([]), ""),
        ] {
            assert_eq!(refused(&schema), place, "{schema}");
        }
    }

    #[test]
    fn what_changes_no_answer_is_left_out() {
        let schema = json!({
            "$schema": "https://example.org/own", "$id": "x", "title": "T", "description": "D", "x-guidance": {"lenient": true},
            "type": "object", "uniqueItems": false,
            // Names of properties are no keywords.
            "properties": {"title": {"type": "string", "format": "binary"}, "not": {"format": "date", "default": 1}},
            "enum": [{"not": 1}], "required": ["title"], "vendor": 7,
        });
        assert_eq!(
            prepared(&schema).unwrap(),
            json!({
                "type": "object", "properties": {"title": {"type": "string"}, "not": {"format": "date"}},
                "enum": [{"not": 1}], "required": ["title"], "vendor": 7,
            })
        );
        let draft = json!({"$schema": "http://json-schema.org/draft-07/schema#"});
        assert_eq!(prepared(&draft).unwrap(), draft);
    }

    #[test]
    fn large_and_deep_ones_are_refused() {
        let mut deep = json!({"type": "string"});
        for _ in 0..100 {
            deep = json!({"items": deep});
        }
        assert!(refused(&deep).len() > 100);
        let mut value = json!(1);
        for _ in 0..100 {
            value = json!([value]);
        }
        assert_eq!(refused(&json!({"const": value})), "/const");
        let many: Vec<Value> = vec![json!({}); MOST_PARTS];
        assert!(refused(&json!({"anyOf": many})).starts_with("/anyOf/"));
    }
}
