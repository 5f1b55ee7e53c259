//! Every text that is put to the model, in one place.

use serde::{Deserialize, Serialize};

/// Templates of the method; `{statement}`, `{question}` and `{answer}` are filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prompts {
    /// Asks whether a patch shows a statement (paper section 3.2, visual evidence patchification).
    pub verify: String,
    /// The prompt whose reply a statement is scored as (paper appendix C).
    pub describe: String,
    /// Value of the answer entry (paper section 3.2, codebook construction).
    pub answer_entry: String,
    /// Asks the model to rephrase (paper appendix A.5).
    pub rephrase: String,
    /// Words counted as yes.
    pub yes: Vec<String>,
    /// Words counted as no.
    pub no: Vec<String>,
}

impl Default for Prompts {
    fn default() -> Self {
        Self {
            verify: "Does the image show {statement}?".into(),
            describe: "Describe this image.".into(),
            answer_entry: "The answer to '{question}' about the image is {answer}.".into(),
            rephrase:
                "Rephrase this sentence while keeping the same meaning. Only output the rephrased sentence, \
                       nothing else.\n{statement}"
                    .into(),
            yes: vec!["yes".into(), "Yes".into()],
            no: vec!["no".into(), "No".into()],
        }
    }
}

impl Prompts {
    /// The verification prompt: the statement lower-cased and without its full stop (method section 1.3).
    pub fn verify(&self, statement: &str) -> String {
        let statement = statement.trim().trim_end_matches(['.', '。']).to_lowercase();
        self.verify.replace("{statement}", &statement)
    }

    /// The answer entry's sentence.
    pub fn answer_entry(&self, question: &str, answer: &str) -> String {
        // One pass, so that a question that contains `{answer}` stays as written.
        let mut out = String::with_capacity(self.answer_entry.len() + question.len() + answer.len());
        let mut rest = self.answer_entry.as_str();
        loop {
            let next = ["{question}", "{answer}"]
                .iter()
                .filter_map(|mark| rest.find(mark).map(|at| (at, *mark)))
                .min_by_key(|(at, _)| *at);
            let Some((at, mark)) = next else { break };
            out.push_str(&rest[..at]);
            out.push_str(if mark == "{question}" {
                question.trim()
            } else {
                answer.trim().trim_end_matches('.')
            });
            rest = &rest[at + mark.len()..];
        }
        out.push_str(rest);
        out
    }

    /// The rephrasing prompt.
    pub fn rephrase(&self, sentence: &str) -> String {
        self.rephrase.replace("{statement}", sentence)
    }
}

/// Facts in front of the question: sentences joined by a space, a space, the question (method section 5).
pub fn with_facts<'a>(facts: impl IntoIterator<Item = &'a str>, question: &str) -> String {
    let mut text = String::new();
    for fact in facts {
        text.push_str(fact.trim());
        text.push(' ');
    }
    text.push_str(question.trim());
    text
}

#[cfg(test)]
mod tests;
