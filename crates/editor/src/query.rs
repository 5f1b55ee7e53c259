//! A query: embed it, retrieve what people said about things like it, put that in front of the model (paper
//! section 3.2, inference; method section 5).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use reasonedit_codebook::{CodebookName, GenerationId, Retrieval, RetrievalParams, Snapshot};
use reasonedit_text::Warning;
use reasonedit_vlm::constrain::CompiledForm;
use reasonedit_vlm::engine::{Conversation, EngineHandle};
use tokio::sync::mpsc;

use crate::Editor;
use crate::answer::{Answer, choose, generate};
use crate::chat::{Decoding, Talk};
use crate::context::{Reply, Room};
use crate::error::EditorError;
use crate::pictures::Picture;
use crate::prompts::with_facts;
use crate::types::{CallContext, QueryEvent, QueryOutcome, QueryRequest, RetrievalOverride, Verification};
use crate::{text, validate, verify};

/// Events that may wait for a slow reader before generation waits too.
const STREAM_BUFFER: usize = 64;

/// What retrieval gave, and what it took in milliseconds.
pub(crate) struct Retrieved {
    pub(crate) report: Retrieval,
    pub(crate) verification: Option<Verification>,
    pub(crate) generation: Option<GenerationId>,
    pub(crate) queue_ms: f64,
    pub(crate) embed_ms: f64,
    pub(crate) retrieve_ms: f64,
    pub(crate) verify_ms: f64,
}

/// A valid request, its pictures at hand.
pub(crate) struct Asking {
    pub(crate) began: Instant,
    pub(crate) talk: Talk,
    /// What retrieval is about, beside the last picture.
    pub(crate) question: String,
    /// Empty: the answer is generated.
    pub(crate) choices: Vec<String>,
    pub(crate) max_tokens: usize,
    pub(crate) decoding: Decoding,
    /// What a generated answer must look like.
    pub(crate) form: Option<CompiledForm>,
    pub(crate) retrieval: RetrievalOverride,
    pub(crate) compare: bool,
    /// Whether the prompt is told as the chat template has it; else facts and question.
    pub(crate) whole_prompt: bool,
    /// What of the request was not taken as it came.
    pub(crate) warnings: Vec<Warning>,
}

type Events = mpsc::Sender<Result<QueryEvent, EditorError>>;

impl Retrieved {
    /// Where nothing was looked for.
    fn nothing(k: usize) -> Self {
        Self {
            generation: None,
            report: Retrieval { rejected: true, k, ..Retrieval::default() },
            verification: None,
            queue_ms: 0.0,
            embed_ms: 0.0,
            retrieve_ms: 0.0,
            verify_ms: 0.0,
        }
    }

    /// Leaves the facts that fit in front of the question.
    pub(crate) async fn fit(
        &mut self,
        room: Room,
        engine: &EngineHandle,
        talk: &Talk,
    ) -> Result<(), EditorError> {
        let facts = std::mem::take(&mut self.report.facts);
        (self.report.facts, self.report.omitted) = room.fit(engine, talk, facts).await?;
        Ok(())
    }

    fn event(&self) -> QueryEvent {
        QueryEvent::Retrieval(Box::new(self.report.clone()), self.verification.clone())
    }
}

impl Editor {
    /// Answers a question about a picture, with what the codebook knows in front.
    ///
    /// # Errors
    /// Unusable input, a question that the model's context has no room for, an unknown picture, a busy or
    /// failing engine, a codebook made with another embedding.
    pub async fn query(
        &self,
        codebook: &CodebookName,
        mut request: QueryRequest,
        call: CallContext,
    ) -> Result<QueryOutcome, EditorError> {
        text::read_query(&mut request);
        self.check_query(&request)?;
        let asking = self.asking(codebook, request).await?;
        self.run(codebook, asking, call, None).await
    }

    /// As [`Editor::query`], but sends what was retrieved at once and the answer as it is generated. Input
    /// errors are returned here; later ones arrive in the stream. Dropping the receiver cancels the work.
    ///
    /// # Errors
    /// Unusable input.
    pub fn query_stream(
        &self,
        codebook: &CodebookName,
        mut request: QueryRequest,
        call: CallContext,
    ) -> Result<mpsc::Receiver<Result<QueryEvent, EditorError>>, EditorError> {
        text::read_query(&mut request);
        self.check_query(&request)?;
        let codebook = codebook.clone();
        Ok(self.streamed(move |editor, events| async move {
            let asking = editor.asking(&codebook, request).await?;
            editor.run(&codebook, asking, call, Some(&events)).await
        }))
    }

    /// Does the work in a task of its own that ends when the receiver is dropped.
    pub(crate) fn streamed<F>(
        &self,
        work: impl FnOnce(Self, Events) -> F,
    ) -> mpsc::Receiver<Result<QueryEvent, EditorError>>
    where
        F: Future<Output = Result<QueryOutcome, EditorError>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        let work = work(self.clone(), sender.clone());
        tokio::spawn(async move {
            let last = tokio::select! {
                outcome = work => outcome.map(|o| QueryEvent::Done(Box::new(o))),
                () = sender.closed() => return,
            };
            // A reader that has gone in the meantime is no error.
            sender.send(last).await.ok();
        });
        receiver
    }

    fn check_query(&self, request: &QueryRequest) -> Result<(), EditorError> {
        let config = self.config();
        validate::query(request, &config.limits, &config.answer, &config.retrieval)
    }

    async fn asking(&self, codebook: &CodebookName, request: QueryRequest) -> Result<Asking, EditorError> {
        let began = Instant::now();
        let picture = self.pictures().resolve(&request.image, self.pixel_rules(codebook)?).await?;
        let warnings = request.warnings.into_iter().chain(picture.warnings("/image")).collect();
        Ok(Asking {
            began,
            talk: Talk::question(picture, &request.question),
            question: request.question,
            choices: request.choices,
            max_tokens: request.max_tokens.unwrap_or(self.config().answer.max_tokens),
            decoding: Decoding::default(),
            form: None,
            retrieval: request.retrieval,
            compare: request.compare,
            whole_prompt: false,
            warnings,
        })
    }

    /// Retrieves and answers.
    pub(crate) async fn run(
        &self,
        codebook: &CodebookName,
        asking: Asking,
        call: CallContext,
        events: Option<&Events>,
    ) -> Result<QueryOutcome, EditorError> {
        let place = if asking.whole_prompt { "/messages" } else { "/question" };
        let reply = Reply::new(&asking.choices, asking.max_tokens);
        let room = Room::of(self.engine(), &asking.talk, reply, place).await?;
        let mut retrieved = match asking.talk.pictures.last() {
            Some(picture) if !asking.question.trim().is_empty() => {
                self.retrieve(codebook, picture, &asking.question, asking.retrieval, call).await?
            }
            // A key is of picture and text: without either there is nothing to look for.
            _ => Retrieved::nothing(asking.retrieval.k.unwrap_or(self.config().codebook.retrieval.k)),
        };
        retrieved.fit(room, self.engine(), &asking.talk).await?;
        // From here on nothing that is known beforehand goes wrong: a stream has begun.
        if let Some(events) = events
            && events.send(Ok(retrieved.event())).await.is_err()
        {
            return Err(EditorError::Cancelled);
        }

        let answering = Instant::now();
        let facts = retrieved.report.facts.iter().map(|f| f.value.as_str());
        let conversation = asking.talk.with(facts.clone());
        let prompt = if asking.whole_prompt {
            self.engine().tokenizer().await?.transcript(&conversation.messages)?
        } else {
            with_facts(facts, &asking.question)
        };
        let informed = !retrieved.report.facts.is_empty();
        let (answer, unedited) = self.answers(&asking, conversation, informed, call, events).await?;
        let answer_ms = milliseconds(answering);
        self.count_firing(codebook, &retrieved.report.facts);

        let queue_ms = retrieved.queue_ms + answer.queue_ms;
        Ok(QueryOutcome {
            warnings: asking.warnings,
            answer: answer.text.clone(),
            probability: answer.probability,
            choices: answer.choices.clone(),
            retrieval: retrieved.report,
            verification: retrieved.verification,
            generation: retrieved.generation,
            unedited: unedited.map(|a| a.opinion()),
            prompt,
            finish: answer.finish,
            usage: answer.usage,
            timings_ms: BTreeMap::from([
                ("queue".to_owned(), queue_ms),
                ("embed".to_owned(), retrieved.embed_ms),
                ("retrieve".to_owned(), retrieved.retrieve_ms),
                ("verify".to_owned(), retrieved.verify_ms),
                ("answer".to_owned(), answer_ms),
                ("total".to_owned(), milliseconds(asking.began)),
            ]),
        })
    }

    /// The answer to a prompt and, if asked for, the one without facts. `informed` says whether there are any
    /// in the prompt.
    async fn answers(
        &self,
        asking: &Asking,
        prompt: Conversation,
        informed: bool,
        call: CallContext,
        events: Option<&Events>,
    ) -> Result<(Answer, Option<Answer>), EditorError> {
        let (engine, options) = (self.engine(), call.options());
        let plain = || asking.talk.with([]);
        if asking.choices.is_empty() {
            let (most, decoding, form) = (asking.max_tokens, &asking.decoding, asking.form.as_ref());
            let answer = generate(engine, prompt, most, decoding, form, events, options).await?;
            let unedited = match asking.compare {
                false => None,
                true if !informed => Some(answer.clone()),
                true => Some(generate(engine, plain(), most, decoding, form, None, options).await?),
            };
            return Ok((answer, unedited));
        }
        let prompts = if asking.compare { vec![prompt, plain()] } else { vec![prompt] };
        let mut answers = choose(engine, prompts, &asking.choices, options).await?.into_iter();
        let answer = answers.next().ok_or_else(crate::patchify::unexpected)?;
        let probability = answer.probability;
        let token = QueryEvent::Token { text: answer.text.clone(), probability, tokens: Vec::new() };
        if let Some(events) = events
            && events.send(Ok(token)).await.is_err()
        {
            return Err(EditorError::Cancelled);
        }
        Ok((answer, answers.next()))
    }

    /// Retrieval for one picture and question.
    pub(crate) async fn retrieve(
        &self,
        codebook: &CodebookName,
        picture: &Picture,
        question: &str,
        wishes: RetrievalOverride,
        call: CallContext,
    ) -> Result<Retrieved, EditorError> {
        let (defaults, checks) = (&self.config().codebook.retrieval, &self.config().retrieval.verify);
        let k = wishes.k.unwrap_or(defaults.k);
        let verify = wishes.verify.unwrap_or(checks.enabled);
        let params = RetrievalParams {
            k: if verify { checks.candidates.max(k) } else { k },
            reject_percentile: wishes.reject_percentile.or(defaults.reject_percentile),
            ..*defaults
        };
        let mut nothing = Retrieved::nothing(k);
        if !wishes.enabled.unwrap_or(self.config().retrieval.enabled) {
            return Ok(nothing);
        }
        let Some(book) = self.existing(codebook)? else { return Ok(nothing) };
        // One state from here on: what is embedded and what is searched are of one generation, whatever is
        // swapped in meanwhile.
        let snapshot = book.snapshot();
        let generation = snapshot.embedding().map(|embedding| embedding.id);
        if snapshot.key_count() == 0 {
            nothing.generation = generation;
            return Ok(nothing);
        }
        let embedder = self.embedder_for(&snapshot)?;
        let picture = &self.pictures().under(picture, embedder.pixels()).await?;

        let embedding = Instant::now();
        let image = picture.input(None);
        let (key, queue_ms) = embedder.key(self.engine(), image, question.trim(), call.options()).await?;
        let embed_ms = milliseconds(embedding);

        let retrieving = Instant::now();
        let mut report = search(Arc::clone(&snapshot), key, params).await?;
        report.k = k;
        let retrieve_ms = milliseconds(retrieving);
        let mut retrieved = Retrieved { report, generation, queue_ms, embed_ms, retrieve_ms, ..nothing };
        if verify {
            let verifying = Instant::now();
            let (report, rules) = (&mut retrieved.report, (checks, &self.config().prompts));
            let held_against = (snapshot.as_ref(), picture);
            let (verification, waited) =
                verify::judge(self.engine(), rules, held_against, report, k, call.options()).await?;
            retrieved.verification = Some(verification);
            retrieved.queue_ms += waited;
            retrieved.verify_ms = milliseconds(verifying);
        }
        Ok(retrieved)
    }
}

/// The search itself, off the async threads: it grows with the codebook, and the first one after an edit may
/// refresh the gate.
async fn search(
    snapshot: Arc<Snapshot>,
    key: Vec<f32>,
    params: RetrievalParams,
) -> Result<Retrieval, EditorError> {
    crate::pictures::blocking(move || Ok(snapshot.retrieve(&key, &params)?)).await
}

/// Milliseconds since `since`.
pub(crate) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
