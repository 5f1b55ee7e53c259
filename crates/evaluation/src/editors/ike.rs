//! In-context knowledge editing (Zheng et al. 2023, "Can We Edit Factual Knowledge by In-Context Learning?",
//! EMNLP, section 3; taken over for pictures by Guo et al. 2025): the edits whose texts are nearest to the
//! question stand in front of it as new facts.
//!
//! The template is the paper's, `New Fact: {question} {answer}` and then `Prompt: {question}`, and so are the
//! retriever without training (cosine of sentence embeddings) and the order, in which the nearest stands next
//! to the question. The paper's copy, update and retain demonstrations come from a training set, which a
//! stream of human corrections does not have, so that the facts are the edits themselves, as in the VLM
//! evaluations.

use parking_lot::RwLock;
use reasonedit_inference::CallOptions;

use super::answer::answer;
use super::definition::{EditorDefinition, EditorParts};
use super::edit_cache::LeasedEditor;
use crate::EvaluationError;
use crate::baseline::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFuture, EditorQuestion, EditorReply,
    MemoryFootprint, Profile, RetrievalSetting, SentenceInFront, SentencePart,
};

const IKE: &str = "ike";
const IKE_COT: &str = "ike-cot";

/// With the answers alone, and with the reasoning.
pub(super) const EDITORS: &[EditorDefinition] = &[
    EditorDefinition {
        name: IKE,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(async { Ok(Box::new(Ike::new(IKE, false, parts).await?) as _) }),
    },
    EditorDefinition {
        name: IKE_COT,
        published: PUBLISHED,
        grid: GRID,
        trained: false,
        make: |parts| Box::pin(async { Ok(Box::new(Ike::new(IKE_COT, true, parts).await?) as _) }),
    },
];

/// Edits in front of a question (method section 7: 3).
const NEAREST: usize = 3;
/// The setting of how many that are.
const FACTS: &str = "facts";
/// What is tuned, as it is without.
const PUBLISHED: &[(&str, f64)] = &[(FACTS, NEAREST as f64)];
/// What is tried.
const GRID: &[(&str, &[f64])] = &[(FACTS, &[1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 12.0, 16.0])];

/// An edit as it is kept.
struct Fact {
    edit: usize,
    /// What of the edit it says.
    says: Vec<SentencePart>,
    /// Of length 1.
    embedding: Vec<f32>,
    line: String,
}

/// Retrieves by text alone, without a gate.
struct Ike {
    profile: Profile,
    reasoning: bool,
    editor: LeasedEditor,
    /// Edits in front of a question.
    nearest: usize,
    facts: RwLock<Vec<Fact>>,
}

impl Ike {
    /// With `reasoning`, each fact is followed by its statements (the variant that the paper calls COT).
    async fn new(name: &str, reasoning: bool, parts: &EditorParts<'_>) -> Result<Self, EvaluationError> {
        let editor = parts.edit_cache.plain(parts.base).await?;
        let nearest = parts.settings.count_or(FACTS, NEAREST);
        let more = if reasoning { ", each followed by its reasoning" } else { "" };
        let profile = Profile {
            name: name.to_owned(),
            about: format!(
                "In-context editing (Zheng et al. 2023): the {nearest} edits whose question and answer are nearest to the question by the \
                 sentence encoder stand before it as `New Fact: …` lines{more}; the picture plays no part and there is no gate."
            ),
            retrieves: true,
            gated: false,
            uses_reasoning: reasoning,
            retrieval_settings: vec![RetrievalSetting::K],
        };
        Ok(Self { profile, reasoning, editor, nearest, facts: RwLock::default() })
    }

    async fn embed(&self, text: String) -> Result<Vec<f32>, EvaluationError> {
        let options = CallOptions::default();
        let embedded = self.editor.engine().embed_sentences(vec![text], options).await;
        let (embedded, _) = embedded.map_err(reasonedit_editor::EditorError::from)?;
        Ok(embedded.into_iter().next().map(unit).unwrap_or_default())
    }
}

impl BaselineEditor for Ike {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, EditOutcome> {
        Box::pin(async move {
            let began = std::time::Instant::now();
            let text = format!("{} {}", correction.question.trim(), correction.answer.trim());
            let embedding = self.embed(text.clone()).await?;
            let (mut line, mut says) = (format!("New Fact: {text}"), vec![SentencePart::Answer]);
            for statement in correction.reasoning.iter().filter(|_| self.reasoning) {
                line.push(' ');
                line.push_str(statement.statement.trim());
                says.push(SentencePart::Statement(statement.statement.clone()));
            }
            let fact = Fact { edit: number, says, embedding, line };
            self.facts.write().push(fact);
            Ok(EditOutcome::Made(Some(began.elapsed().as_secs_f64() * 1e3)))
        })
    }

    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply> {
        Box::pin(async {
            let asked = self.embed(question.question.trim().to_owned()).await?;
            let (in_front, prompt) = {
                let facts = self.facts.read();
                let found = nearest(&asked, &facts, question.retrieval.k.unwrap_or(self.nearest));
                let sentence =
                    |fact: &&Fact| SentenceInFront { edits: vec![fact.edit], says: fact.says.clone() };
                (found.iter().map(sentence).collect(), prompt(&found, &question.question))
            };
            let answer = answer(&self.editor, question, prompt).await?;
            Ok(EditorReply { answer, in_front, rejected: false })
        })
    }

    fn kept(&self) -> EditorFuture<'_, Option<MemoryFootprint>> {
        Box::pin(async {
            let facts = self.facts.read();
            let bytes = |fact: &Fact| (size_of_val(fact.embedding.as_slice()) + fact.line.len()) as u64;
            let all = facts.iter().map(bytes).sum();
            Ok(Some(MemoryFootprint { merged: all, unmerged: all }))
        })
    }
}

/// The vector with length 1; as it is if it has none.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        for x in &mut vector {
            *x = (f64::from(*x) / length) as f32;
        }
    }
    vector
}

/// The facts of the greatest cosines, the greatest first; the earlier edit wins among equals.
fn nearest<'a>(asked: &[f32], facts: &'a [Fact], count: usize) -> Vec<&'a Fact> {
    let cosine = |fact: &Fact| {
        asked.iter().zip(&fact.embedding).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    let mut scored: Vec<(f64, &Fact)> = facts.iter().map(|fact| (cosine(fact), fact)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.edit.cmp(&b.1.edit)));
    scored.into_iter().take(count).map(|(_, fact)| fact).collect()
}

/// The facts, the nearest last, and the question.
fn prompt(found: &[&Fact], question: &str) -> String {
    let mut prompt = String::new();
    for fact in found.iter().rev() {
        prompt.push_str(&fact.line);
        prompt.push('\n');
    }
    prompt.push_str("Prompt: ");
    prompt.push_str(question.trim());
    prompt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(edit: usize, embedding: [f32; 2], line: &str) -> Fact {
        Fact {
            edit,
            says: vec![SentencePart::Answer],
            embedding: unit(embedding.to_vec()),
            line: line.into(),
        }
    }

    #[test]
    fn the_nearest_stands_next_to_the_question() {
        let facts = [
            fact(0, [0.0, 9.0], "New Fact: far"),
            fact(1, [3.0, 0.1], "New Fact: near"),
            fact(2, [1.0, 1.0], "New Fact: between"),
        ];
        let found = nearest(&unit(vec![1.0, 0.0]), &facts, 2);
        assert_eq!(found.iter().map(|fact| fact.edit).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(prompt(&found, " Who? "), "New Fact: between\nNew Fact: near\nPrompt: Who?");
        assert_eq!(prompt(&[], "Who?"), "Prompt: Who?");
    }

    #[test]
    fn an_empty_embedding_is_no_fault() {
        assert_eq!(unit(vec![0.0, 0.0]), [0.0, 0.0]);
        assert!(nearest(&[], &[], 3).is_empty());
    }
}
