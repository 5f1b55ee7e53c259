//! The query pipeline: what people said about things like this is put in front of the model (paper section
//! 3.2, inference; method section 5). Its stages, in order:
//!
//! 1. validate: texts repaired, every fault named (`validate`), pictures decoded ([`PreparedQuery`]);
//! 2. measure: the question fits into the model's context (`token_budget`);
//! 3. embed the question, and search the codebook ([`retrieve`]) among what bears on it ([`relevance`]);
//! 4. verify on the picture, and withhold what it doesn't bear out ([`verify`], [`telling_apart`]);
//! 5. assemble: as many facts as there is room for, nearest first (`token_budget`, `prepared_chat`);
//! 6. answer ([`answer`]), a reasoning model behind what it thinks (`thinking`).
//!
//! `POST /query`, its stream, conversations and the question after an edit all go through here.

mod compare;
mod prepare;
mod relevance;
mod remembered;
mod retrieve;
mod telling_apart;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reasonedit_codebook::{CodebookName, Fact, Opinion, Relevant, Retrieval, Snapshot};
use reasonedit_imaging::PixelRules;
use reasonedit_inference::Conversation;

use crate::answer::{self, ModelAnswer};
use crate::core::Core;
use crate::error::EditorError;
use crate::pictures::{DecodedPicture, blocking};
use crate::prepared_chat::{PreparedChat, asked_text};
use crate::question_log::LoggedQuestion;
use crate::states::AskedState;
use crate::stream::EventSender;
use crate::timing::milliseconds;
use crate::token_budget::{ReplyLength, TokenBudget};
use crate::types::{CallContext, QueryEvent, QueryOutcome, RetrievalOverride, Verification};
use crate::visual_entailment::EntailmentJudge;

pub(crate) use prepare::{PreparedQuery, check_chat, check_query};
use relevance::{AskedTexts, Looks};
pub(crate) use relevance::{CalibrationSlot, RelevanceGate};
pub(crate) use remembered::Remembered;
use retrieve::{Found, RetrievalPlan, Retrieved};
pub(crate) use telling_apart::TellingApart;

/// How long firings are collected before they are written: a write reaches the disk, and a busy edit fires
/// with every query.
const COLLECTED: Duration = Duration::from_secs(2);

/// The stages of one query.
pub(crate) struct QueryPipeline<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) codebook: &'a CodebookName,
    pub(crate) call: CallContext,
    /// Who is told what comes meanwhile.
    pub(crate) events: Option<&'a EventSender>,
}

/// What lies near a question in a state.
pub(crate) struct Nearby {
    state: AskedState,
    facts: Vec<Fact>,
}

impl Nearby {
    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.state.snapshot
    }

    pub(crate) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    pub(crate) fn telling_apart<'s>(&'s self, pipeline: &'s QueryPipeline<'_>) -> TellingApart<'s> {
        let (core, snapshot) = (pipeline.core, &self.state.snapshot);
        TellingApart { core, looks: pipeline.looks(&self.state), snapshot }
    }
}

impl QueryPipeline<'_> {
    /// Retrieves and answers.
    ///
    /// # Errors
    /// A question that the model's context has no room for, a busy or failing engine, a codebook made with
    /// another embedding; `Cancelled` if whoever is told has gone.
    pub(crate) async fn run(&self, query: PreparedQuery) -> Result<QueryOutcome, EditorError> {
        let budget = self.measure(&query).await?;
        let retrieved = self.context(&query.chat, budget, &query.retrieval).await?;
        // From here on nothing that is known beforehand goes wrong: a stream has begun.
        self.tell(|| retrieved.event()).await?;

        let answering = Instant::now();
        let conversation = query.chat.with(retrieved.facts());
        let prompt = self.shown_prompt(&query, &conversation).await?;
        let (answer, unedited) = self.answer(&query, conversation, &retrieved).await?;
        let answer_ms = milliseconds(answering);
        if retrieved.is_live {
            self.count_firing(&retrieved.report.facts);
            self.log(&query, &retrieved);
        }
        Ok(outcome(query, prompt, retrieved, answer, unedited, answer_ms))
    }

    /// Logs a question of its own, where questions are logged. What stands in a conversation can't be asked
    /// again by itself.
    fn log(&self, query: &PreparedQuery, retrieved: &Retrieved) {
        let Some((picture, question)) = query.chat.subject().filter(|_| !query.is_conversation) else {
            return;
        };
        self.core.log_question(|| LoggedQuestion {
            codebook: self.codebook.clone(),
            picture: picture.clone(),
            question: question.trim().to_owned(),
            choices: query.choices.clone(),
            key: retrieved.generation.zip(retrieved.key.clone()),
        });
    }

    async fn measure(&self, query: &PreparedQuery) -> Result<TokenBudget, EditorError> {
        let reply = ReplyLength::new(&query.choices, query.max_tokens);
        self.budget(&query.chat, reply, query.thinking, query.place()).await
    }

    /// What a question leaves of the model's context, with room for its answer and what is thought before.
    async fn budget(
        &self,
        chat: &PreparedChat,
        reply: ReplyLength<'_>,
        thinking: usize,
        place: &'static str,
    ) -> Result<TokenBudget, EditorError> {
        let budget = TokenBudget::of(self.core.engine(), chat, reply, place).await?;
        let thinks = self.core.engine().tokenizer().await?.thinking().is_some();
        Ok(if thinks && chat.begun.is_empty() { budget.beside(thinking) } else { budget })
    }

    /// Stages 3 to 5: what is found of the question, as far as it fits in front of it.
    pub(crate) async fn context(
        &self,
        chat: &PreparedChat,
        budget: TokenBudget,
        wishes: &RetrievalOverride,
    ) -> Result<Retrieved, EditorError> {
        let subject = chat.subject();
        let about = subject.as_ref().map(|(picture, question)| (*picture, question.as_str()));
        let mut retrieved = self.look_up(about, wishes).await?;
        let facts = std::mem::take(&mut retrieved.report.facts);
        (retrieved.report.facts, retrieved.report.omitted) =
            budget.split(self.core.engine(), chat, facts).await?;
        Ok(retrieved)
    }

    /// Stages 3 and 4: embeds, searches, verifies. Without picture or question nothing is found.
    pub(crate) async fn look_up(
        &self,
        about: Option<(&DecodedPicture, &str)>,
        wishes: &RetrievalOverride,
    ) -> Result<Retrieved, EditorError> {
        let plan = RetrievalPlan::new(self.core.config(), wishes);
        let mut nothing = Retrieved::nothing(plan.k);
        let Some((picture, question)) = about.filter(|_| plan.enabled) else { return Ok(nothing) };
        // One state from here on: what is embedded and what is searched are of one generation, whatever is
        // swapped in meanwhile.
        let Some(state) = self.core.asked_state((self.codebook, self.call), wishes).await? else {
            nothing.revision = Some(0);
            return Ok(nothing);
        };
        let snapshot = &state.snapshot;
        nothing.generation = snapshot.embedding().map(|embedding| embedding.id);
        nothing.revision = Some(snapshot.revision());
        nothing.warnings = state.warnings();
        nothing.is_live = state.is_live();
        if snapshot.key_count() == 0 {
            return Ok(nothing);
        }
        let embedded = retrieve::embed(self.core, snapshot, picture, question, self.call.options()).await?;
        let retrieving = Instant::now();
        let found = self.find(&state, &embedded.key, &plan).await?;
        let mut retrieved = Retrieved {
            queue_ms: embedded.queue_ms,
            embed_ms: embedded.embed_ms,
            retrieve_ms: milliseconds(retrieving),
            report: Retrieval { k: plan.k, ..found.report },
            key: Some(embedded.key),
            ..nothing
        };
        if plan.verify {
            let verifying = Instant::now();
            let relevant = found.relevant.as_deref();
            let (verification, waited) =
                self.withhold(&state, &embedded.picture, relevant, &mut retrieved.report, plan.k).await?;
            retrieved.verification = Some(verification);
            retrieved.queue_ms += waited;
            retrieved.verify_ms = milliseconds(verifying);
        }
        retrieved.name_edits(snapshot);
        Ok(retrieved)
    }

    /// Stage 3, behind embedding: what lies near a key in a state, among what bears on the question.
    async fn find(
        &self,
        state: &AskedState,
        key: &Arc<[f32]>,
        plan: &RetrievalPlan,
    ) -> Result<Found, EditorError> {
        let snapshot = &state.snapshot;
        let mut relevant = None;
        if let Some(gate) = self.core.relevance().filter(|_| plan.relevance) {
            let own = state.calibration(plan.verify);
            let texts = AskedTexts { codebook: self.codebook, snapshot, own };
            relevant = gate.relevant(self.looks(state), texts, (key, plan.verify)).await?.map(Arc::new);
        }
        retrieve::search(snapshot, key, plan, relevant).await
    }

    /// What lies near a question about a picture in the live state, before anything of it is judged; `None`
    /// where nothing is kept.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub(crate) async fn nearby(
        &self,
        picture: &DecodedPicture,
        question: &str,
    ) -> Result<Option<Nearby>, EditorError> {
        let Some(book) = self.core.existing(self.codebook)? else { return Ok(None) };
        let state = AskedState::live(book.snapshot());
        if state.snapshot.key_count() == 0 {
            return Ok(None);
        }
        let wishes = RetrievalOverride { verify: Some(true), ..RetrievalOverride::default() };
        let plan = RetrievalPlan::new(self.core.config(), &wishes);
        let options = self.call.options();
        let embedded = retrieve::embed(self.core, &state.snapshot, picture, question, options).await?;
        let found = self.find(&state, &embedded.key, &plan).await?;
        Ok(Some(Nearby { state, facts: found.report.facts }))
    }

    /// Stage 4.
    async fn withhold(
        &self,
        state: &AskedState,
        picture: &DecodedPicture,
        relevant: Option<&Relevant>,
        report: &mut Retrieval,
        k: usize,
    ) -> Result<(Verification, f64), EditorError> {
        let apart = TellingApart { core: self.core, looks: self.looks(state), snapshot: &state.snapshot };
        verify::withhold(&apart, picture, relevant, report, k).await
    }

    /// How the model is shown pictures of a state's edits.
    fn looks<'s>(&'s self, state: &'s AskedState) -> Looks<'s> {
        let rules = state.snapshot.embedding().map_or(PixelRules::CURRENT, |embedding| embedding.pixels);
        Looks { judge: self.judge(), pictures: self.core.pictures(), rules, tried: state.tried() }
    }

    fn judge(&self) -> EntailmentJudge<'_> {
        let prompts = &self.core.config().prompts;
        EntailmentJudge { engine: self.core.engine(), prompts, options: self.call.options() }
    }

    /// The prompt as it is told: of a conversation everything as the chat template has it, of a query facts
    /// and question.
    async fn shown_prompt(
        &self,
        query: &PreparedQuery,
        conversation: &Conversation,
    ) -> Result<String, EditorError> {
        if query.is_conversation {
            return Ok(self.core.engine().tokenizer().await?.transcript(&conversation.messages)?);
        }
        Ok(asked_text(conversation))
    }

    /// The answer to a prompt and, if asked for, the one without facts.
    async fn answer(
        &self,
        query: &PreparedQuery,
        prompt: Conversation,
        retrieved: &Retrieved,
    ) -> Result<(ModelAnswer, Option<ModelAnswer>), EditorError> {
        let (engine, options) = (self.core.engine(), self.call.options());
        let plain = || query.chat.with([]);
        let reply = query.reply();
        if query.choices.is_empty() {
            let answer = answer::generate(engine, prompt, reply, self.events, options).await?;
            let unedited = match query.compare {
                false => None,
                true if retrieved.report.facts.is_empty() => Some(answer.clone()),
                true => Some(answer::generate(engine, plain(), reply, None, options).await?),
            };
            return Ok((answer, unedited));
        }
        let prompts = if query.compare { vec![prompt, plain()] } else { vec![prompt] };
        let answers = answer::choose(engine, prompts, &query.choices, reply, self.events, options).await?;
        let mut answers = answers.into_iter();
        let answer = answers.next().ok_or_else(EditorError::unexpected_answer)?;
        self.tell(|| QueryEvent::Token {
            text: answer.text.clone(),
            probability: answer.probability,
            tokens: Vec::new(),
        })
        .await?;
        Ok((answer, answers.next()))
    }

    /// The model's answer to a prompt, of which nobody is told meanwhile.
    pub(crate) async fn opinion(
        &self,
        prompt: Conversation,
        choices: &[String],
    ) -> Result<Opinion, EditorError> {
        let opinions = self.opinions(vec![prompt], choices).await?;
        opinions.into_iter().next().ok_or_else(EditorError::unexpected_answer)
    }

    /// The model's answers to prompts about the same pictures.
    async fn opinions(
        &self,
        prompts: Vec<Conversation>,
        choices: &[String],
    ) -> Result<Vec<Opinion>, EditorError> {
        let (engine, options) = (self.core.engine(), self.call.options());
        let config = &self.core.config().answer;
        let reply = answer::ReplySettings::plain(config.max_tokens, config.max_thinking_tokens);
        if !choices.is_empty() {
            let answers = answer::choose(engine, prompts, choices, reply, None, options).await?;
            return Ok(answers.iter().map(ModelAnswer::opinion).collect());
        }
        let mut opinions = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            opinions.push(answer::generate(engine, prompt, reply, None, options).await?.opinion());
        }
        Ok(opinions)
    }

    async fn tell(&self, event: impl FnOnce() -> QueryEvent) -> Result<(), EditorError> {
        if let Some(events) = self.events
            && events.send(Ok(event())).await.is_err()
        {
            return Err(EditorError::Cancelled);
        }
        Ok(())
    }

    /// Counts an answer for every edit that a sentence put in front of it comes from.
    fn count_firing(&self, facts: &[Fact]) {
        let edits = facts.iter().flat_map(|fact| fact.edit_ids.iter().copied()).collect();
        if !self.core.tally().count(self.codebook, edits) {
            return;
        }
        // Waiting keeps nothing alive: an editor that goes meanwhile writes when it is dropped.
        let core = Arc::downgrade(self.core);
        tokio::spawn(async move {
            tokio::time::sleep(COLLECTED).await;
            let Some(core) = core.upgrade() else { return };
            let written = blocking(move || {
                core.tally().write(core.library());
                Ok(())
            });
            // What went wrong is in the log.
            written.await.ok();
        });
    }
}

fn outcome(
    query: PreparedQuery,
    prompt: String,
    retrieved: Retrieved,
    answer: ModelAnswer,
    unedited: Option<ModelAnswer>,
    answer_ms: f64,
) -> QueryOutcome {
    QueryOutcome {
        warnings: query.warnings.into_iter().chain(retrieved.warnings).collect(),
        answer: answer.text,
        probability: answer.probability,
        choices: answer.choices,
        retrieval: retrieved.report,
        verification: retrieved.verification,
        generation: retrieved.generation,
        revision: retrieved.revision,
        unedited: unedited.map(|answer| answer.opinion()),
        prompt,
        finish: answer.finish,
        reasoning: answer.reasoning,
        usage: answer.usage,
        timings_ms: BTreeMap::from([
            ("queue".to_owned(), retrieved.queue_ms + answer.queue_ms),
            ("embed".to_owned(), retrieved.embed_ms),
            ("retrieve".to_owned(), retrieved.retrieve_ms),
            ("verify".to_owned(), retrieved.verify_ms),
            ("answer".to_owned(), answer_ms),
            ("total".to_owned(), milliseconds(query.began)),
        ]),
    }
}
