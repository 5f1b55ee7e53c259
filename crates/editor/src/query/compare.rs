//! The same question about two states of a codebook: whether what is put in front of it is the same, and what
//! the model answers where it isn't. What is found is compared first, so that a question costs two searches
//! where an edit has nothing to do with it.

use std::sync::Arc;

use reasonedit_codebook::{Fact, Retrieval};
use reasonedit_questions::QuestionKey;

use super::QueryPipeline;
use super::retrieve::{self, Found, RetrievalPlan};
use crate::error::EditorError;
use crate::pictures::DecodedPicture;
use crate::prepared_chat::PreparedChat;
use crate::states::AskedState;
use crate::token_budget::ReplyLength;
use crate::types::{AnswerThere, ComparedQuestion, Effect, RetrievalOverride};

/// The same question in two states.
pub(crate) struct Compared {
    pub(crate) effect: Effect,
    /// The key that the question has, if it had to be made.
    pub(crate) key: Option<QuestionKey>,
}

/// A picture that is looked at when it has to be.
struct Lazy<'a> {
    pipeline: &'a QueryPipeline<'a>,
    question: &'a ComparedQuestion,
    seen: Option<DecodedPicture>,
}

impl Lazy<'_> {
    async fn picture(&mut self, state: &AskedState) -> Result<DecodedPicture, EditorError> {
        if let Some(seen) = &self.seen {
            return Ok(seen.clone());
        }
        let core = self.pipeline.core;
        let rules = core.embedder_for(&state.snapshot)?.pixels();
        let flow = self.pipeline.call.flow;
        let picture = core.pictures().resolve_for(flow, &self.question.image, rules).await?;
        self.seen = Some(picture.clone());
        Ok(picture)
    }
}

impl QueryPipeline<'_> {
    /// Compares what a question gets in two states, of which the second has keys.
    ///
    /// # Errors
    /// A picture that isn't there, a question that doesn't fit into the model's context, a busy or failing
    /// engine.
    pub(crate) async fn compare(
        &self,
        (before, after): (&AskedState, &AskedState),
        question: &ComparedQuestion,
    ) -> Result<Compared, EditorError> {
        let plan = RetrievalPlan::new(self.core.config(), &RetrievalOverride::default());
        if !plan.enabled {
            return Ok(Compared { effect: Effect::None, key: None });
        }
        let mut lazy = Lazy { pipeline: self, question, seen: None };
        let (key, made) = self.key_of(after, &mut lazy).await?;
        let mut found = Vec::with_capacity(2);
        for state in [before, after] {
            found.push(match state.snapshot.key_count() {
                0 => Found::nothing(plan.k),
                _ => self.find(state, &key, &plan).await?,
            });
        }
        if found[0].is_alike(&found[1]) {
            return Ok(Compared { effect: Effect::None, key: made });
        }
        let picture = lazy.picture(after).await?;
        let chat = PreparedChat::question(picture.clone(), question.question.trim());
        let answer = &self.core.config().answer;
        let reply = ReplyLength::new(&question.choices, answer.max_tokens);
        let budget = self.budget(&chat, reply, answer.max_thinking_tokens, "/question").await?;
        let mut fronts: Vec<Vec<Fact>> = Vec::with_capacity(2);
        for (state, Found { report, relevant }) in [before, after].into_iter().zip(found) {
            let mut report = Retrieval { k: plan.k, ..report };
            if plan.verify && !report.facts.is_empty() {
                self.withhold(state, &picture, relevant.as_deref(), &mut report, plan.k).await?;
            }
            let mut front = budget.split(self.core.engine(), &chat, report.facts).await?.0;
            for fact in &mut front {
                retrieve::name_as_known(&state.snapshot, &mut fact.edit_ids);
            }
            fronts.push(front);
        }
        let said = |facts: &[Fact]| -> Vec<String> { facts.iter().map(|fact| fact.value.clone()).collect() };
        if said(&fronts[0]) == said(&fronts[1]) {
            return Ok(Compared { effect: Effect::None, key: made });
        }
        let prompt = |facts: &Vec<Fact>| chat.with(facts.iter().map(|fact| fact.value.as_str()));
        let prompts = fronts.iter().map(prompt).collect();
        let opinions = self.opinions(prompts, &question.choices).await?;
        let mut there =
            opinions.into_iter().zip(fronts).map(|(opinion, facts)| AnswerThere { opinion, facts });
        let (Some(before), Some(after)) = (there.next(), there.next()) else {
            return Err(EditorError::unexpected_answer());
        };
        Ok(Compared { effect: Effect::Asked(Box::new((before, after))), key: made })
    }

    /// The key of a question: the one it comes with if that is of these keys, else a new one.
    async fn key_of(
        &self,
        state: &AskedState,
        lazy: &mut Lazy<'_>,
    ) -> Result<(Arc<[f32]>, Option<QuestionKey>), EditorError> {
        let generation = state.snapshot.embedding().map(|embedding| embedding.id);
        if let Some(known) = &lazy.question.key
            && Some(known.generation) == generation
        {
            return Ok((Arc::clone(&known.vector), None));
        }
        let picture = lazy.picture(state).await?;
        let text = &lazy.question.question;
        let embedded =
            retrieve::embed(self.core, &state.snapshot, &picture, text, self.call.options()).await?;
        let vector = embedded.key;
        let made = generation.map(|generation| QuestionKey { generation, vector: Arc::clone(&vector) });
        Ok((vector, made))
    }
}
