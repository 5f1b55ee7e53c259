//! What a client of an earlier contract can rely on: a later one only adds to it.
//!
//! Of two contracts the later may have more paths, methods, parameters that can be left out, fields, values
//! and statuses. Nothing may be gone, a request may not be asked for more than before, an answer may not hold
//! less or other than was said. What is to go carries `deprecated: true` and `x-sunset`, the day from which
//! it may.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Which way a value goes: a client sends it, or is answered it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Sent,
    Answered,
}

/// What the later contract took from clients of the earlier one; `today` as `YYYY-MM-DD`.
pub(super) fn lost(earlier: &Value, later: &Value, today: &str) -> Vec<String> {
    let mut comparison = Comparison { earlier, later, today, found: Vec::new(), compared: BTreeSet::new() };
    comparison.paths();
    comparison.found
}

/// What is said to go without the day from which it may.
pub(super) fn without_sunset(contract: &Value) -> Vec<String> {
    fn walk(place: &str, value: &Value, found: &mut Vec<String>) {
        if value.get("deprecated") == Some(&Value::Bool(true)) && !value.get("x-sunset").is_some_and(is_day) {
            found.push(format!("{place}: deprecated without a day in x-sunset"));
        }
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, inner)| walk(&format!("{place}/{name}"), inner, found));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, inner)| walk(&format!("{place}/{at}"), inner, found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("", contract, &mut found);
    found
}

/// Whether this is `YYYY-MM-DD`.
fn is_day(value: &Value) -> bool {
    value.as_str().is_some_and(|day| {
        day.len() == 10
            && day
                .chars()
                .enumerate()
                .all(|(at, c)| if at == 4 || at == 7 { c == '-' } else { c.is_ascii_digit() })
    })
}

struct Comparison<'a> {
    earlier: &'a Value,
    later: &'a Value,
    today: &'a str,
    found: Vec<String>,
    /// Pairs of schemas by name, each way, so that those that hold themselves end.
    compared: BTreeSet<(String, String, Way)>,
}

impl<'a> Comparison<'a> {
    fn say(&mut self, place: &str, what: impl AsRef<str>) {
        self.found.push(format!("{place}: {}", what.as_ref()));
    }

    /// Whether a part of the earlier contract may be gone by now.
    fn may_go(&self, part: &Value) -> bool {
        part["deprecated"] == Value::Bool(true)
            && part["x-sunset"].as_str().is_some_and(|day| is_day(&part["x-sunset"]) && day <= self.today)
    }

    fn paths(&mut self) {
        for (path, methods) in fields(&self.earlier["paths"]) {
            for (method, operation) in fields(methods) {
                let place = format!("{} {path}", method.to_uppercase());
                match self.later["paths"].get(path).and_then(|methods| methods.get(method)) {
                    Some(later) => self.operation(&place, operation, later),
                    None if self.may_go(operation) => {}
                    None => self.say(&place, "gone"),
                }
            }
        }
    }

    fn operation(&mut self, place: &str, earlier: &'a Value, later: &'a Value) {
        let open = |contract: &Value, operation: &Value| {
            let needs = operation.get("security").or_else(|| contract.get("security"));
            needs.and_then(Value::as_array).is_none_or(|needs| {
                needs.is_empty() || needs.iter().any(|need| fields(need).next().is_none())
            })
        };
        if open(self.earlier, earlier) && !open(self.later, later) {
            self.say(place, "asks for credentials now");
        }
        self.parameters(place, earlier, later);
        match (earlier.get("requestBody"), later.get("requestBody")) {
            (None, Some(body)) if body["required"] == true => self.say(place, "asks for a body now"),
            (Some(_), None) => self.say(place, "takes no body any more"),
            (Some(before), Some(now)) => {
                if now["required"] == true && before["required"] != true {
                    self.say(place, "asks for a body now");
                }
                self.content(&format!("{place} body"), before, now, Way::Sent);
            }
            _ => {}
        }
        for (status, answer) in fields(&earlier["responses"]) {
            let place = format!("{place} {status}");
            let Some(now) = later["responses"].get(status) else {
                self.say(&place, "gone");
                continue;
            };
            self.content(&place, answer, now, Way::Answered);
            for (header, _) in fields(&answer["headers"]) {
                if now["headers"].get(header).is_none() {
                    self.say(&place, format!("header {header} gone"));
                }
            }
        }
    }

    fn parameters(&mut self, place: &str, earlier: &'a Value, later: &'a Value) {
        let same = |one: &Value, other: &Value| one["name"] == other["name"] && one["in"] == other["in"];
        for parameter in items(&earlier["parameters"]) {
            let place = format!("{place} parameter {}", parameter["name"].as_str().unwrap_or_default());
            match items(&later["parameters"]).find(|now| same(parameter, now)) {
                Some(now) => {
                    if now["required"] == true && parameter["required"] != true {
                        self.say(&place, "has to be given now");
                    }
                    self.schema(&place, &parameter["schema"], &now["schema"], Way::Sent);
                }
                None if self.may_go(parameter) => {}
                None => self.say(&place, "gone"),
            }
        }
        for parameter in items(&later["parameters"]).filter(|now| now["required"] == true) {
            if !items(&earlier["parameters"]).any(|before| same(before, parameter)) {
                self.say(place, format!("parameter {} is new and has to be given", parameter["name"]));
            }
        }
    }

    fn content(&mut self, place: &str, earlier: &'a Value, later: &'a Value, way: Way) {
        for (media_type, content) in fields(&earlier["content"]) {
            match later["content"].get(media_type) {
                Some(now) => self.schema(place, &content["schema"], &now["schema"], way),
                None => self.say(place, format!("{media_type} gone")),
            }
        }
    }

    fn schema(&mut self, place: &str, earlier: &Value, later: &Value, way: Way) {
        if let (Some(before), Some(now)) = (earlier["$ref"].as_str(), later["$ref"].as_str())
            && !self.compared.insert((before.to_owned(), now.to_owned(), way))
        {
            return;
        }
        let before = resolved(self.earlier, earlier);
        let now = resolved(self.later, later);
        self.types(place, &before, &now, way);
        self.bounds(place, &before, &now, way);
        self.properties(place, &before, &now, way);
        for value in items(&before["enum"]) {
            if before["enum"] != now["enum"] && !items(&now["enum"]).any(|other| other == value) {
                // Any value is more than those.
                if !(now.get("enum").is_none() && way == Way::Sent) {
                    self.say(place, format!("value {value} gone"));
                }
            }
        }
        if before.get("enum").is_none() && now.get("enum").is_some() && way == Way::Sent {
            self.say(place, "takes some values only");
        }
        for word in ["items", "additionalProperties", "propertyNames"] {
            match (before.get(word), now.get(word)) {
                (Some(before @ Value::Object(_)), Some(now @ Value::Object(_))) => {
                    self.schema(&format!("{place}/{word}"), before, now, way);
                }
                (before, Some(Value::Bool(false)))
                    if way == Way::Sent && before != Some(&Value::Bool(false)) =>
                {
                    self.say(place, format!("{word}: nothing more is taken"));
                }
                (Some(Value::Object(_)), None) if way == Way::Answered => {
                    self.say(place, format!("{word}: no longer said"));
                }
                (None, Some(Value::Object(_))) if way == Way::Sent => {
                    self.say(place, format!("{word}: not everything is taken any more"));
                }
                _ => {}
            }
        }
        self.choices(place, &before, &now, way);
    }

    /// Each of several forms is still one of them.
    fn choices(&mut self, place: &str, before: &Value, now: &Value, way: Way) {
        let forms = |schema: &Value| {
            ["oneOf", "anyOf"].iter().flat_map(|word| items(&schema[*word]).cloned()).collect::<Vec<_>>()
        };
        let (before, now) = (forms(before), forms(now));
        for (at, form) in before.iter().enumerate() {
            let kept = now.iter().any(|other| {
                let mut trial = Comparison {
                    earlier: self.earlier,
                    later: self.later,
                    today: self.today,
                    found: Vec::new(),
                    compared: self.compared.clone(),
                };
                trial.schema("", form, other, way);
                trial.found.is_empty()
            });
            if !kept {
                self.say(place, format!("form {} gone or narrower", at + 1));
            }
        }
        if before.is_empty() && !now.is_empty() {
            self.say(place, "one of several forms now");
        }
    }

    fn types(&mut self, place: &str, before: &Value, now: &Value, way: Way) {
        let (before, now) = (types(before), types(now));
        // What a client sends has to be taken still; what it is answered has to be what it knows.
        let (has, among) = if way == Way::Sent { (&before, &now) } else { (&now, &before) };
        let fits = |kind: &String| among.contains(kind) || kind == "integer" && among.contains("number");
        let known = among.is_empty() || !has.is_empty() && has.iter().all(fits);
        if !known {
            self.say(place, format!("of type {now:?}, was {before:?}"));
        }
    }

    fn bounds(&mut self, place: &str, before: &Value, now: &Value, way: Way) {
        let (wider, narrower) = if way == Way::Sent { (now, before) } else { (before, now) };
        for (word, least) in [
            ("minimum", true),
            ("exclusiveMinimum", true),
            ("minLength", true),
            ("minItems", true),
            ("maximum", false),
            ("exclusiveMaximum", false),
            ("maxLength", false),
            ("maxItems", false),
        ] {
            // Where the outer bound is, the inner one has to be as far in.
            let Some(outer) = wider[word].as_f64() else { continue };
            let within = narrower[word]
                .as_f64()
                .is_some_and(|inner| if least { inner >= outer } else { inner <= outer });
            if !within {
                self.say(place, format!("{word} is {}, was {}", now[word], before[word]));
            }
        }
        for word in ["pattern", "format", "const"] {
            if wider.get(word).is_some() && wider.get(word) != narrower.get(word) {
                self.say(place, format!("{word} is {}, was {}", now[word], before[word]));
            }
        }
    }

    fn properties(&mut self, place: &str, before: &Value, now: &Value, way: Way) {
        for (name, property) in fields(&before["properties"]) {
            let place = format!("{place}/{name}");
            match now["properties"].get(name) {
                Some(now) => self.schema(&place, property, now, way),
                None if self.may_go(&resolved(self.earlier, property)) => {}
                None => self.say(&place, "gone"),
            }
        }
        let required = |schema: &Value| {
            items(&schema["required"]).filter_map(Value::as_str).map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let (before_required, now_required) = (required(before), required(now));
        if way == Way::Sent {
            for name in now_required.difference(&before_required) {
                self.say(&format!("{place}/{name}"), "has to be given now");
            }
        } else {
            for name in before_required.difference(&now_required) {
                // If it is gone, that was said.
                if now["properties"].get(name).is_some() {
                    self.say(&format!("{place}/{name}"), "is not always there any more");
                }
            }
        }
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn types(schema: &Value) -> BTreeSet<String> {
    match &schema["type"] {
        Value::String(one) => BTreeSet::from([one.clone()]),
        several => items(several).filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// A schema with what it refers to and what it is made of (`allOf`) in one.
fn resolved(contract: &Value, schema: &Value) -> Value {
    let Value::Object(own) = schema else { return schema.clone() };
    let mut whole = own.clone();
    let mut parts: Vec<Value> = match whole.remove("allOf") {
        Some(Value::Array(parts)) => parts,
        _ => Vec::new(),
    };
    if let Some(Value::String(reference)) = whole.remove("$ref") {
        parts.extend(contract.pointer(reference.trim_start_matches('#')).cloned());
    }
    for part in parts {
        if let Value::Object(part) = resolved(contract, &part) {
            merge(&mut whole, part);
        }
    }
    Value::Object(whole)
}

fn merge(whole: &mut Map<String, Value>, part: Map<String, Value>) {
    for (word, value) in part {
        match (whole.get_mut(&word), value) {
            (Some(Value::Object(fields)), Value::Object(more)) if word == "properties" => fields.extend(more),
            (Some(Value::Array(names)), Value::Array(more)) if word == "required" => names.extend(more),
            (Some(_), _) => {}
            (None, value) => {
                whole.insert(word, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
