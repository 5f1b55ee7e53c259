//! A query: embed it, retrieve what people said about things like it, put that in front of the model (paper section 3.2, inference;
//! method section 5).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use reasonedit_codebook::{CodebookName, GenerationId, Retrieval, RetrievalParams, Snapshot};
use tokio::sync::mpsc;

use crate::Editor;
use crate::answer::{Answer, choose, generate};
use crate::error::EditorError;
use crate::pictures::Picture;
use crate::prompts::with_facts;
use crate::types::{CallContext, QueryEvent, QueryOutcome, QueryRequest, RetrievalOverride, Verification};
use crate::{validate, verify};

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

impl Retrieved {
    fn event(&self) -> QueryEvent {
        QueryEvent::Retrieval(Box::new(self.report.clone()), self.verification.clone())
    }
}

impl Editor {
    /// Answers a question about a picture, with what the codebook knows in front.
    ///
    /// # Errors
    /// Unusable input, an unknown picture, a busy or failing engine, a codebook made with another embedding.
    pub async fn query(
        &self,
        codebook: &CodebookName,
        request: QueryRequest,
        call: CallContext,
    ) -> Result<QueryOutcome, EditorError> {
        self.check_query(&request)?;
        self.run_query(codebook, &request, call, None).await
    }

    /// As [`Editor::query`], but sends what was retrieved at once and the answer as it is generated. Input errors are returned here; later ones
    /// arrive in the stream. Dropping the receiver cancels the work.
    ///
    /// # Errors
    /// Unusable input.
    pub fn query_stream(
        &self,
        codebook: &CodebookName,
        request: QueryRequest,
        call: CallContext,
    ) -> Result<mpsc::Receiver<Result<QueryEvent, EditorError>>, EditorError> {
        self.check_query(&request)?;
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        let (editor, codebook) = (self.clone(), codebook.clone());
        tokio::spawn(async move {
            let gone = sender.clone();
            let work = editor.run_query(&codebook, &request, call, Some(&sender));
            let last = tokio::select! {
                outcome = work => outcome.map(|o| QueryEvent::Done(Box::new(o))),
                () = gone.closed() => return,
            };
            // A reader that has gone in the meantime is no error.
            sender.send(last).await.ok();
        });
        Ok(receiver)
    }

    fn check_query(&self, request: &QueryRequest) -> Result<(), EditorError> {
        let config = self.config();
        validate::query(request, &config.limits, &config.answer, &config.retrieval)
    }

    async fn run_query(
        &self,
        codebook: &CodebookName,
        request: &QueryRequest,
        call: CallContext,
        events: Option<&mpsc::Sender<Result<QueryEvent, EditorError>>>,
    ) -> Result<QueryOutcome, EditorError> {
        let began = Instant::now();
        let picture = self.pictures().resolve(&request.image).await?;
        let retrieved = self.retrieve(codebook, &picture, &request.question, request.retrieval, call).await?;
        if let Some(events) = events
            && events.send(Ok(retrieved.event())).await.is_err()
        {
            return Err(EditorError::Cancelled);
        }

        let answering = Instant::now();
        let prompt = with_facts(retrieved.report.facts.iter().map(|f| f.value.as_str()), &request.question);
        let (answer, unedited) = self.answers(&picture, request, &prompt, call, events).await?;
        let answer_ms = milliseconds(answering);
        self.count_firing(codebook, &retrieved.report.facts);

        let queue_ms = retrieved.queue_ms + answer.queue_ms;
        Ok(QueryOutcome {
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
                ("total".to_owned(), milliseconds(began)),
            ]),
        })
    }

    /// The answer with facts and, if asked for, the one without.
    async fn answers(
        &self,
        picture: &Picture,
        request: &QueryRequest,
        prompt: &str,
        call: CallContext,
        events: Option<&mpsc::Sender<Result<QueryEvent, EditorError>>>,
    ) -> Result<(Answer, Option<Answer>), EditorError> {
        let (image, options) = (picture.input(None), call.options());
        let plain = request.question.trim();
        if request.choices.is_empty() {
            let max_tokens = request.max_tokens.unwrap_or(self.config().answer.max_tokens);
            let answer = generate(self.engine(), image.clone(), prompt, max_tokens, events, options).await?;
            let unedited = match request.compare {
                false => None,
                true if plain == prompt => Some(answer.clone()),
                true => Some(generate(self.engine(), image, plain, max_tokens, None, options).await?),
            };
            return Ok((answer, unedited));
        }
        let prompts: &[&str] = if request.compare { &[prompt, plain] } else { &[prompt] };
        let mut answers = choose(self.engine(), image, prompts, &request.choices, options).await?.into_iter();
        let answer = answers.next().ok_or_else(crate::patchify::unexpected)?;
        let token = QueryEvent::Token { text: answer.text.clone(), probability: answer.probability };
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
        let mut nothing = Retrieved {
            generation: None,
            report: Retrieval {
                rejected: true,
                nearest_distance: None,
                threshold: None,
                k,
                facts: Vec::new(),
                nearest: None,
            },
            verification: None,
            queue_ms: 0.0,
            embed_ms: 0.0,
            retrieve_ms: 0.0,
            verify_ms: 0.0,
        };
        if !wishes.enabled.unwrap_or(self.config().retrieval.enabled) {
            return Ok(nothing);
        }
        let Some(book) = self.existing(codebook)? else { return Ok(nothing) };
        // One state from here on: what is embedded and what is searched are of one generation, whatever is swapped in meanwhile.
        let snapshot = book.snapshot();
        let generation = snapshot.embedding().map(|embedding| embedding.id);
        if snapshot.key_count() == 0 {
            nothing.generation = generation;
            return Ok(nothing);
        }
        let embedder = self.embedder_for(&snapshot)?;

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

/// The search itself, off the async threads: it grows with the codebook, and the first one after an edit may refresh the gate.
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
