//! Replies, token by token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reasonedit_models::prompt::TokenStream;
use reasonedit_nn::kv_cache::KvCache;
use reasonedit_nn::sequence::{LogitsAt, Piece, Sequence, SequenceOutput};
use tokio::sync::mpsc;

use crate::cache::Prefix;
use crate::compute::{Compute, Start, no_cache};
use crate::error::{EngineError, Result};
use crate::loaded::Loaded;
use crate::prepare::check_length;
use crate::request::{CallOptions, EngineTimes, FinishReason, GenerateEvent, ScoredToken, TokenChoice};
use crate::sampling::{Sampler, Taken};
use crate::score::Softmax;
use crate::units::{Begin, GenerateUnit};
use crate::work::{Request, times};

/// State after some tokens: what continues, and the logits of the next token.
pub(super) struct DecodeState {
    kv: Arc<KvCache>,
    logits: Vec<f32>,
}

impl DecodeState {
    fn new(output: SequenceOutput) -> Result<Self> {
        let kv = output.cache.ok_or_else(no_cache)?;
        Ok(Self { kv: Arc::new(kv), logits: output.logits })
    }
}

/// A generation that runs.
pub(super) struct Generation {
    events: mpsc::UnboundedSender<Result<GenerateEvent>>,
    shared_times: Arc<Mutex<EngineTimes>>,
    pub(super) options: CallOptions,
    submitted: Instant,
    pub(super) compute: Duration,
    kv: Arc<KvCache>,
    /// Chosen and sent, but not yet run.
    next: u32,
    text: TokenStream,
    sampler: Sampler,
    max_tokens: usize,
    prompt_tokens: usize,
    completion_tokens: usize,
    log_likelihood: f64,
    /// What is told of tokens by themselves.
    alternatives: Option<usize>,
    unsent: Unsent,
}

/// Of tokens whose text is still held back.
#[derive(Default)]
struct Unsent {
    /// Sum of their log-probabilities.
    log_likelihood: f64,
    tokens: usize,
    choices: Vec<TokenChoice>,
}

impl Unsent {
    fn with(self, text: String) -> GenerateEvent {
        let Self { log_likelihood, tokens, choices } = self;
        GenerateEvent::Text { text, log_likelihood, tokens, choices }
    }
}

impl Generation {
    /// Takes over a request whose prompt has been run; `None` when it has already ended.
    pub(super) fn begin(
        loaded: &Loaded,
        begin: Begin,
        request: &RequestTimes,
        state: DecodeState,
    ) -> Option<Self> {
        let GenerateUnit { prompt, sampling, rules, form, begun, .. } = begin.unit;
        let stop_tokens = loaded.tokenizer.stop_tokens();
        let mut this = Self {
            sampler: Sampler::new(sampling, rules, form.as_ref(), prompt.tokens(), stop_tokens),
            text: TokenStream::behind(begun),
            events: begin.events,
            shared_times: begin.times,
            options: request.options,
            submitted: request.submitted,
            compute: request.compute,
            prompt_tokens: state.kv.len,
            kv: Arc::clone(&state.kv),
            next: 0,
            max_tokens: begin.unit.max_tokens,
            completion_tokens: 0,
            log_likelihood: 0.0,
            alternatives: begin.unit.alternatives,
            unsent: Unsent::default(),
        };
        this.shared_times.lock().prompt_tokens = this.prompt_tokens;
        if this.max_tokens == 0 {
            this.end(loaded, FinishReason::Length);
            return None;
        }
        this.advance(loaded, state).then_some(this)
    }

    /// Whether nobody waits for it any more; says so to whom it may concern.
    pub(super) fn abandoned(&self) -> bool {
        if self.options.deadline.is_some_and(|d| d <= Instant::now()) {
            self.fail(EngineError::DeadlineExceeded);
            return true;
        }
        self.events.is_closed()
    }

    /// Chooses the next token from what the last one gave; `false` when the generation has ended.
    pub(super) fn advance(&mut self, loaded: &Loaded, state: DecodeState) -> bool {
        match self.try_advance(loaded, state) {
            Ok(None) => true,
            Ok(Some(reason)) => {
                self.end(loaded, reason);
                false
            }
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    fn try_advance(&mut self, loaded: &Loaded, state: DecodeState) -> Result<Option<FinishReason>> {
        self.kv = state.kv;
        let token = self.sampler.choose(&state.logits)?;
        let softmax = Softmax::new(&state.logits)?;
        let log_probability = softmax.log_probability(token)?;
        self.log_likelihood += log_probability;
        let taken = self.sampler.take(token, loaded.tokenizer.stop_tokens())?;
        if taken == Taken::End {
            return Ok(Some(FinishReason::Stop));
        }
        self.next = token;
        self.completion_tokens += 1;
        self.unsent.log_likelihood += log_probability;
        self.unsent.tokens += 1;
        if let Some(count) = self.alternatives {
            let choice = self.choice(loaded, &softmax, (token, log_probability), count)?;
            self.unsent.choices.push(choice);
        }
        if let Some(text) = self.text.push(&loaded.tokenizer, token)? {
            let event = std::mem::take(&mut self.unsent).with(text);
            self.send(Ok(event));
        }
        if taken == Taken::Complete {
            return Ok(Some(FinishReason::Stop));
        }
        let full = self.kv.len >= loaded.info.max_positions;
        Ok((full || self.completion_tokens >= self.max_tokens).then_some(FinishReason::Length))
    }

    /// A token before it is taken into the text, beside the most probable ones.
    fn choice(
        &self,
        loaded: &Loaded,
        softmax: &Softmax<'_>,
        (token, log_probability): (u32, f64),
        count: usize,
    ) -> Result<TokenChoice> {
        let scored = |token: u32, log_probability: f64| {
            let text = self.text.peek(&loaded.tokenizer, token)?;
            Ok(ScoredToken { text, log_probability })
        };
        let alternatives = softmax.most_probable(count).into_iter().map(|(id, p)| scored(id, p));
        Ok(TokenChoice {
            chosen: scored(token, log_probability)?,
            alternatives: alternatives.collect::<Result<_>>()?,
        })
    }

    fn end(&mut self, loaded: &Loaded, reason: FinishReason) {
        match self.text.finish(&loaded.tokenizer) {
            Ok(Some(text)) => {
                let event = std::mem::take(&mut self.unsent).with(text);
                self.send(Ok(event));
            }
            Ok(None) => {}
            Err(error) => return self.fail(error.into()),
        }
        let spent = times(self.submitted, self.compute);
        *self.shared_times.lock() = EngineTimes { prompt_tokens: self.prompt_tokens, ..spent };
        self.send(Ok(GenerateEvent::Done {
            reason,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            log_likelihood: self.log_likelihood,
        }));
    }

    /// Ends it with an error.
    pub(super) fn fail(&self, error: EngineError) {
        self.send(Err(error));
    }

    /// A caller who has gone doesn't hear it; the next step notices.
    fn send(&self, event: Result<GenerateEvent>) {
        drop(self.events.send(event));
    }
}

/// What of a request outlives its taking apart.
pub(super) struct RequestTimes {
    pub(super) options: CallOptions,
    pub(super) submitted: Instant,
    pub(super) compute: Duration,
}

impl RequestTimes {
    pub(super) fn of(request: &Request) -> Self {
        Self { options: request.options, submitted: request.submitted, compute: request.compute }
    }
}

impl Compute<'_> {
    /// Runs prompts up to their first reply token.
    pub(super) fn begin(&mut self, units: &[&GenerateUnit]) -> Result<Vec<DecodeState>> {
        let asked: Vec<_> = units.iter().map(|u| (&*u.pictures, &*u.prompt)).collect();
        // One prompt alone runs together with its pictures' prefix; several may share prefixes, which are run
        // first.
        let starts = if units.len() == 1 {
            self.starts(&asked)?
        } else {
            let past = |prefix: Arc<Prefix>| Start { past: Some(Arc::clone(&prefix.kv)), lead: Vec::new() };
            let prefixes = self.prefixes(&asked, &[])?;
            prefixes.into_iter().map(|prefix| prefix.map(past).unwrap_or_default()).collect()
        };
        let mut sequences = Vec::with_capacity(units.len());
        for (unit, start) in units.iter().zip(&starts) {
            let suffix = unit.prompt.suffix.clone();
            check_length(start.tokens() + suffix.len(), self.loaded.info.max_positions)?;
            // Not the last token but that of this place: no step of a generation, however short the prompt.
            let logits = LogitsAt::From(start.lead_tokens() + suffix.len() - 1);
            sequences.push(next_sequence(start.past.clone(), start.pieces(suffix), logits));
        }
        let states = self.decode(&sequences)?;
        for ((unit, start), state) in units.iter().zip(&starts).zip(&states) {
            if !start.lead.is_empty() {
                self.keep_prefix(&unit.pictures, &unit.prompt, start, &state.kv)?;
            }
        }
        Ok(states)
    }

    /// Runs the chosen token of every generation.
    pub(super) fn step(&mut self, generations: &[&Generation]) -> Result<Vec<DecodeState>> {
        let sequences: Vec<Sequence> = generations
            .iter()
            .map(|g| {
                let pieces = vec![Piece::Tokens(vec![g.next])];
                next_sequence(Some(Arc::clone(&g.kv)), pieces, LogitsAt::Last)
            })
            .collect();
        self.decode(&sequences)
    }

    fn decode(&mut self, sequences: &[Sequence]) -> Result<Vec<DecodeState>> {
        let mut all = Vec::with_capacity(sequences.len());
        self.run_all(sequences, &[], |_, output| {
            all.push(DecodeState::new(output)?);
            Ok(())
        })?;
        Ok(all)
    }
}

fn next_sequence(past: Option<Arc<KvCache>>, pieces: Vec<Piece>, logits: LogitsAt) -> Sequence {
    Sequence { past, pieces, logits, keep_cache: true }
}
