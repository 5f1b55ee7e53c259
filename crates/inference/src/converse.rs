//! The caller's side of conversations: replies token by token, and likelihoods of replies.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::constrain::{CompiledForm, FormCompiler, ReplyForm};
use crate::error::{EngineError, Result};
use crate::handle::{EngineHandle, answer};
use crate::picture::{cost, keys};
use crate::prepare::{Prepared, Texts, begun, conversations, image_tokens, token_want};
use crate::request::{
    Answered, CallOptions, Conversation, EngineTimes, GenerateEvent, GenerateRequest, Generated, KeyedImage,
    Want,
};
use crate::stream::{GenerationStream, within};
use crate::units::{AskUnit, Begin, GenerateUnit};
use crate::work::{Request, Work};

/// Tokens of a reply's beginning that its next piece of text is decoded with.
const BEGUN_CONTEXT: usize = 32;

impl EngineHandle {
    /// As [`Self::ask`], of conversations: any number of pictures, turns before the question. Meant for a few
    /// at a time.
    ///
    /// # Errors
    /// As [`Self::ask`]; [`EngineError::Template`] for a conversation that the model's template doesn't take.
    pub async fn ask_conversations(
        &self,
        asks: Vec<(Conversation, Want)>,
        options: CallOptions,
    ) -> Result<(Vec<Answered>, EngineTimes)> {
        within(options.deadline, async {
            self.loaded().await?;
            let place = self.shared.queue.reserve()?;
            let units = self
                .prepare(move |shared, loaded| {
                    let mut texts = Texts::new(loaded);
                    let all: Vec<&Conversation> = asks.iter().map(|(prompt, _)| prompt).collect();
                    let told = conversations(shared, loaded, &texts, &all, options.priority)?;
                    let mut seen = None;
                    let unit =
                        |((pictures, prompt), (conversation, want)): (Prepared, &(Conversation, Want))| {
                            let want = token_want(&mut texts, &conversation.begun, want)?;
                            let again = seen.replace(keys(&pictures)) == Some(keys(&pictures));
                            let looking = if again { 0 } else { cost(&pictures) };
                            Ok(AskUnit::new(pictures, prompt, want, looking))
                        };
                    told.into_iter().zip(&asks).map(unit).collect::<Result<Vec<_>>>()
                })
                .await?;
            let (outputs, mut times) = answer(place, units, Work::Asks, options).await?;
            times.prompt_tokens += outputs.iter().map(|output| output.prompt_tokens).sum::<usize>();
            Ok((outputs.into_iter().map(|output| output.answered).collect(), times))
        })
        .await
    }

    /// Tokens that each conversation takes as the model is told it, its pictures and the beginning of the
    /// reply included, whether it fits into [`reasonedit_models::model::ModelInfo::max_positions`] or not.
    /// Nothing is computed on the device.
    ///
    /// # Errors
    /// [`EngineError::Template`] for a conversation that the model's template doesn't take,
    /// [`EngineError::Image`] for a picture of a shape that isn't looked at; as [`Self::wait_ready`].
    pub async fn prompt_tokens(&self, conversations: Vec<Conversation>) -> Result<Vec<usize>> {
        self.loaded().await?;
        self.prepare(move |_, loaded| {
            let texts = Texts::new(loaded);
            conversations.iter().map(|conversation| texts.length(conversation)).collect()
        })
        .await
    }

    /// Tokens that each picture, or part of one, takes in a prompt.
    ///
    /// # Errors
    /// [`EngineError::Image`] for a shape that isn't looked at; as [`Self::wait_ready`].
    pub async fn image_tokens(&self, images: &[KeyedImage]) -> Result<Vec<usize>> {
        let loaded = self.loaded().await?;
        images.iter().map(|image| image_tokens(loaded, image)).collect()
    }

    /// Compiles a form for replies; `begun` says whether they go on behind a beginning.
    ///
    /// # Errors
    /// [`EngineError::Form`] for a form that this model's replies can't be held to.
    pub async fn form(&self, form: ReplyForm, begun: bool) -> Result<CompiledForm> {
        self.loaded().await?;
        self.prepare(move |_, loaded| {
            let compiler = loaded.forms.get_or_init(|| {
                FormCompiler::new(&loaded.tokenizer, loaded.info.vocabulary)
                    .map_err(|error| error.to_string())
            });
            match compiler {
                Ok(compiler) => compiler.compile(&form, begun),
                Err(detail) => Err(EngineError::Form { pointer: String::new(), detail: detail.clone() }),
            }
        })
        .await
    }

    /// Begins to generate a reply. Dropping the stream cancels it before its next token.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for sampling settings out of range or tokens that the model doesn't have,
    /// [`EngineError::Image`], [`EngineError::TooLong`], [`EngineError::Template`] for a conversation that
    /// the model's template doesn't take, [`EngineError::QueueFull`], [`EngineError::DeadlineExceeded`],
    /// [`EngineError::Closed`]; what goes wrong later comes through the stream.
    pub async fn generate(&self, request: GenerateRequest, options: CallOptions) -> Result<GenerationStream> {
        within(options.deadline, async {
            let loaded = self.loaded().await?;
            request.sampling.validate()?;
            request.rules.validate(loaded.info.vocabulary)?;
            let place = self.shared.queue.reserve()?;
            let unit = self
                .prepare(move |shared, loaded| {
                    let texts = Texts::new(loaded);
                    let told = conversations(shared, loaded, &texts, &[&request.prompt], options.priority)?;
                    let (pictures, prompt) = told.into_iter().next().ok_or(EngineError::Closed)?;
                    let begun = begun(loaded, &request.prompt)?;
                    Ok(GenerateUnit {
                        cost: prompt.suffix.len() + cost(&pictures),
                        pictures,
                        prompt,
                        max_tokens: request.max_tokens,
                        sampling: request.sampling,
                        rules: request.rules,
                        form: request.form,
                        // What the next token's text depends on; a long beginning needn't be decoded again
                        // and again.
                        begun: begun[begun.len().saturating_sub(BEGUN_CONTEXT)..].to_vec(),
                        alternatives: request.alternatives,
                    })
                })
                .await?;
            // Never more events than tokens asked for and an end: no bound of its own is needed, and the
            // engine never waits for a slow reader.
            let (events, receiver) = mpsc::unbounded_channel();
            let times = Arc::new(Mutex::new(EngineTimes::default()));
            let begin = Begin { unit, events, times: Arc::clone(&times) };
            place.submit(Request::new(Work::Generate(Box::new(begin)), options));
            Ok(GenerationStream::new(receiver, times, options.deadline))
        })
        .await
    }

    /// Generates a reply and waits for all of it.
    ///
    /// # Errors
    /// As [`Self::generate`], and what goes wrong on the way.
    pub async fn generate_text(
        &self,
        request: GenerateRequest,
        options: CallOptions,
    ) -> Result<(Generated, EngineTimes)> {
        let mut stream = self.generate(request, options).await?;
        let mut text = String::new();
        while let Some(event) = stream.next().await {
            match event? {
                GenerateEvent::Text { text: piece, .. } => text.push_str(&piece),
                GenerateEvent::Done { reason, prompt_tokens, completion_tokens, log_likelihood } => {
                    let reply = Generated { text, reason, prompt_tokens, completion_tokens, log_likelihood };
                    return Ok((reply, stream.times()));
                }
            }
        }
        Err(EngineError::Closed)
    }
}
