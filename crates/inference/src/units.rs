//! What requests are made of: units of each kind of work, computed one beside the other in batches.

use std::sync::Arc;

use parking_lot::Mutex;
use reasonedit_models::Result as ModelResult;
use reasonedit_models::model::VisionLanguageModel;
use tokio::sync::{mpsc, oneshot};

use crate::constrain::CompiledForm;
use crate::error::Result;
use crate::picture::{Picture, Prompt, TapSelection};
use crate::request::{Answered, EngineTimes, GenerateEvent, LogitRules, Sampling};

/// A request that is answered all at once, unit by unit.
pub(super) struct Units<U, O> {
    pub(super) inputs: Vec<U>,
    pub(super) outputs: Vec<O>,
    pub(super) reply: oneshot::Sender<Result<(Vec<O>, EngineTimes)>>,
}

impl<U, O> Units<U, O> {
    pub(super) fn new(inputs: Vec<U>, reply: oneshot::Sender<Result<(Vec<O>, EngineTimes)>>) -> Self {
        Self { outputs: Vec::with_capacity(inputs.len()), inputs, reply }
    }
}

/// A sentence to embed.
pub(super) struct SentenceUnit(pub(super) String);

/// A picture to embed.
pub(super) struct ImageUnit {
    pub(super) picture: Arc<Picture>,
    pub(super) taps: Arc<TapSelection>,
    pub(super) cost: usize,
}

/// A picture with a text to embed.
pub(super) struct PairUnit {
    pub(super) picture: Arc<Picture>,
    pub(super) prompt: Arc<Prompt>,
    pub(super) taps: Arc<TapSelection>,
    pub(super) cost: usize,
}

/// One question, prepared.
pub(super) struct AskUnit {
    /// In order of appearance.
    pub(super) pictures: Vec<Arc<Picture>>,
    pub(super) prompt: Arc<Prompt>,
    pub(super) want: TokenWant,
    pub(super) cost: usize,
}

impl AskUnit {
    /// A question; `looking` is what its pictures cost.
    pub(super) fn new(
        pictures: Vec<Arc<Picture>>,
        prompt: Arc<Prompt>,
        want: TokenWant,
        looking: usize,
    ) -> Self {
        let replies: usize = match &want {
            TokenWant::Replies(replies) => replies.iter().map(|r| r.len().saturating_sub(1)).sum(),
            TokenWant::FirstToken(_) => 0,
        };
        let cost = prompt.suffix.len() + replies + looking;
        Self { pictures, prompt, want, cost }
    }
}

/// [`super::request::Want`] in tokens.
pub(super) enum TokenWant {
    Replies(Vec<Arc<[u32]>>),
    FirstToken(Vec<Arc<[u32]>>),
}

/// What a question gives.
pub(super) struct AskOutput {
    pub(super) answered: Answered,
    pub(super) prompt_tokens: usize,
}

/// What is done with the model.
type Call = dyn Fn(&dyn VisionLanguageModel) -> ModelResult<()> + Send + Sync;

/// A call with the model; it leaves its result behind.
pub(super) struct ModelCallUnit {
    pub(super) cost: usize,
    pub(super) call: Box<Call>,
}

impl ModelCallUnit {
    /// The unit, and where its result will be.
    pub(super) fn new<T: Send + 'static>(
        cost: usize,
        call: impl Fn(&dyn VisionLanguageModel) -> ModelResult<T> + Send + Sync + 'static,
    ) -> (Self, Arc<Mutex<Option<T>>>) {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let call = Box::new(move |model: &dyn VisionLanguageModel| {
            let value = call(model)?;
            *slot.lock() = Some(value);
            Ok(())
        });
        (Self { cost, call }, result)
    }
}

/// A generation, prepared.
pub(super) struct GenerateUnit {
    /// In order of appearance.
    pub(super) pictures: Vec<Arc<Picture>>,
    pub(super) prompt: Arc<Prompt>,
    pub(super) max_tokens: usize,
    pub(super) sampling: Sampling,
    pub(super) rules: LogitRules,
    pub(super) form: Option<CompiledForm>,
    /// Tokens at the end of the prompt that are the reply's beginning.
    pub(super) begun: Vec<u32>,
    pub(super) alternatives: Option<usize>,
    pub(super) cost: usize,
}

/// A generation that waits to be begun.
pub(super) struct Begin {
    pub(super) unit: GenerateUnit,
    pub(super) events: mpsc::UnboundedSender<Result<GenerateEvent>>,
    pub(super) times: Arc<Mutex<EngineTimes>>,
}
