//! Names of parts: `choices`, `choices[]`, `choices[0]`, `reasoning[0][statement]`. Libraries of many
//! languages write lists and objects so.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Most brackets of a name: `reasoning[0][evidence][0][x]` has four.
const MAX_DEPTH: usize = 6;
/// Largest index that is taken.
const MAX_INDEX: u32 = 99_999;

/// A step from a value to one within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `[]`: one more item.
    Next,
    /// `[3]`
    Index(u32),
    /// `[statement]`
    Name(String),
}

/// The name of a field, and the steps from there. `None` for what is no such name.
pub(super) fn split(name: &str) -> Option<(&str, Vec<Step>)> {
    let Some((field, mut rest)) = name.split_once('[') else { return Some((name, Vec::new())) };
    let mut steps = Vec::new();
    loop {
        let (step, after) = rest.split_once(']')?;
        steps.push(match step {
            "" => Step::Next,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Step::Index(digits.parse().ok().filter(|index| *index <= MAX_INDEX)?)
            }
            name => Step::Name(name.to_owned()),
        });
        if steps.len() > MAX_DEPTH {
            return None;
        }
        if after.is_empty() {
            return Some((field, steps));
        }
        rest = after.strip_prefix('[')?;
    }
}

/// A value that is being put together.
#[derive(Debug)]
pub(super) enum Tree {
    Leaf(Value),
    Items(BTreeMap<u32, Tree>),
    Fields(Vec<(String, Tree)>),
}

/// Two parts that can't both be.
#[derive(Debug)]
pub(super) struct Contradiction;

impl Tree {
    /// The value at the end of the steps alone.
    pub(super) fn new(steps: &[Step], value: Value) -> Self {
        match steps {
            [] => Self::Leaf(value),
            [Step::Next, rest @ ..] => Self::Items(BTreeMap::from([(0, Self::new(rest, value))])),
            [Step::Index(index), rest @ ..] => {
                Self::Items(BTreeMap::from([(*index, Self::new(rest, value))]))
            }
            [Step::Name(name), rest @ ..] => Self::Fields(vec![(name.clone(), Self::new(rest, value))]),
        }
    }

    /// Puts one more value in.
    pub(super) fn add(&mut self, steps: &[Step], value: Value) -> Result<(), Contradiction> {
        match (self, steps) {
            (Self::Items(items), [step @ (Step::Next | Step::Index(_)), rest @ ..]) => {
                let index = match step {
                    Step::Index(index) => *index,
                    _ => items.last_key_value().map_or(0, |(last, _)| last + 1),
                };
                match items.get_mut(&index) {
                    Some(item) => item.add(rest, value)?,
                    None => drop(items.insert(index, Self::new(rest, value))),
                }
                Ok(())
            }
            (Self::Fields(fields), [Step::Name(name), rest @ ..]) => {
                match fields.iter_mut().find(|(known, _)| known == name) {
                    Some((_, field)) => field.add(rest, value)?,
                    None => fields.push((name.clone(), Self::new(rest, value))),
                }
                Ok(())
            }
            _ => Err(Contradiction),
        }
    }

    /// As JSON; items in the order of their indices.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Leaf(value) => value,
            Self::Items(items) => items.into_values().map(Self::into_value).collect(),
            Self::Fields(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, value.into_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_their_steps() {
        let name = |text: &str| Step::Name(text.to_owned());
        for (text, field, steps) in [
            ("choices", "choices", vec![]),
            ("choices[]", "choices", vec![Step::Next]),
            ("choices[12]", "choices", vec![Step::Index(12)]),
            ("reasoning[0][statement]", "reasoning", vec![Step::Index(0), name("statement")]),
            ("a[b c][]", "a", vec![name("b c"), Step::Next]),
        ] {
            assert_eq!(split(text), Some((field, steps)), "{text}");
        }
        let deep = format!("a{}", "[0]".repeat(MAX_DEPTH + 1));
        for text in ["a[", "a[0", "a[0]b", "a[0]]", "a[100000]", "a[99999999999]", &deep] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_put_together() {
        let build = |parts: &[(&str, &str)]| {
            let mut tree: Option<Tree> = None;
            for (name, value) in parts {
                let (_, steps) = split(name).unwrap();
                match &mut tree {
                    Some(tree) => tree.add(&steps, json!(value))?,
                    None => tree = Some(Tree::new(&steps, json!(value))),
                }
            }
            Ok::<_, Contradiction>(tree.unwrap().into_value())
        };
        assert_eq!(build(&[("a[]", "x"), ("a[]", "y")]).unwrap(), json!(["x", "y"]));
        assert_eq!(build(&[("a[2]", "y"), ("a[0]", "x"), ("a[]", "z")]).unwrap(), json!(["x", "y", "z"]));
        assert_eq!(
            build(&[("a[0][s]", "x"), ("a[0][e][0][x]", "1"), ("a[0][e][0][y]", "2"), ("a[1][s]", "y")])
                .unwrap(),
            json!([{"s": "x", "e": [{"x": "1", "y": "2"}]}, {"s": "y"}])
        );
        assert_eq!(build(&[("a[k]", "1"), ("a[l][]", "2")]).unwrap(), json!({"k": "1", "l": ["2"]}));
        for parts in [
            [("a", "x"), ("a", "y")],
            [("a[0]", "x"), ("a[0]", "y")],
            [("a[k]", "x"), ("a[]", "y")],
            [("a[k]", "x"), ("a", "y")],
            [("a", "x"), ("a[k]", "y")],
        ] {
            assert!(build(&parts).is_err(), "{parts:?}");
        }
        let top = format!("a[{MAX_INDEX}]");
        assert_eq!(build(&[(&top, "x"), ("a[]", "y")]).unwrap(), json!(["x", "y"]));
    }
}
