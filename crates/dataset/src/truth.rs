//! What statements say and what pictures show, in symbols, as data that know it tell it (method section 7):
//! by these alone it is decided whether a statement is true of a picture and bears on a question.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Properties of one object, by name.
pub type Properties = BTreeMap<String, String>;

/// What a statement says: things of these properties have this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementMeaning {
    /// Which things; empty for the one that is spoken about.
    #[serde(rename = "if", default)]
    pub condition: Properties,
    /// The property.
    pub property: String,
    /// Its value.
    pub value: String,
}

/// What a question is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionTruth {
    /// First the property that is asked for, then those that the answer follows from.
    pub about: Vec<String>,
    /// The objects of the picture that it may be about.
    pub subjects: Vec<Properties>,
}

impl QuestionTruth {
    /// Whether a statement is true of the asked picture and bears on the question: it says something of a
    /// property that the question is about, and an object that the question may be about is one of those
    /// things and has that property.
    pub fn is_borne_on_by(&self, meaning: &StatementMeaning) -> bool {
        let has = |subject: &Properties, name: &String, value: &String| subject.get(name) == Some(value);
        self.about.contains(&meaning.property)
            && self.subjects.iter().any(|subject| {
                meaning.condition.iter().all(|(name, value)| has(subject, name, value))
                    && has(subject, &meaning.property, &meaning.value)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(json: &str) -> StatementMeaning {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_statement_bears_on_a_question_if_it_is_true_of_what_is_asked_about() {
        let truth: QuestionTruth = serde_json::from_str(
            r#"{"about": ["name", "color"], "subjects": [{"shape": "star", "color": "red", "edge": "jagged", "name": "zorb"}]}"#,
        )
        .unwrap();
        for (statement, bears) in [
            (r#"{"property": "color", "value": "red"}"#, true),
            (r#"{"property": "color", "value": "blue"}"#, false),
            (r#"{"if": {"shape": "star"}, "property": "color", "value": "red"}"#, true),
            (r#"{"if": {"shape": "ring"}, "property": "color", "value": "red"}"#, false),
            (r#"{"if": {"color": "red"}, "property": "name", "value": "zorb"}"#, true),
            (r#"{"if": {"color": "blue"}, "property": "name", "value": "zorb"}"#, false),
            (r#"{"if": {"color": "red"}, "property": "name", "value": "blip"}"#, false),
            // True, and has nothing to do with it.
            (r#"{"property": "edge", "value": "jagged"}"#, false),
            (r#"{"if": {"name": "zorb"}, "property": "price", "value": "low"}"#, false),
        ] {
            assert_eq!(truth.is_borne_on_by(&meaning(statement)), bears, "{statement}");
        }
    }
}
