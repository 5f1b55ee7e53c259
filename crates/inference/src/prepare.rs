//! The caller's side of a request: tokenising, cache look-ups, cropping and preprocessing.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;
use reasonedit_models::prompt::{ContentPart, PromptPiece, RenderedPrompt, Thinking};
use reasonedit_nn::taps::{TapName, TapStage};

use crate::cache::PrefixKey;
use crate::error::{EngineError, Result};
use crate::loaded::Loaded;
use crate::picture::{Picture, Prompt, TapSelection};
use crate::request::{Ask, Conversation, KeyedImage, Priority, Want};
use crate::shared::Shared;
use crate::stats::count;
use crate::units::{AskUnit, TokenWant};

/// Stands for the picture in [`PrefixKey::tokens`].
const IMAGE_MARK: u32 = u32::MAX;

/// Patches that are looked at for the cost of a token on the language side, about; only budgets depend on it.
const PATCHES_TO_LOOK_AT: usize = 4;

impl TapSelection {
    /// Sorts taps by stage.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a tap that the model doesn't have.
    pub(super) fn new(loaded: &Loaded, taps: &[TapName]) -> Result<Self> {
        let mut this = Self::default();
        for name in taps {
            let info = loaded.info.taps.iter().find(|info| info.name == *name).ok_or_else(|| {
                EngineError::Unsupported(format!("the model {} has no tap {name}", loaded.info.name))
            })?;
            match info.stage {
                TapStage::Vision | TapStage::Bridge => this.vision.push(name.clone()),
                TapStage::Language => this.language.push(name.clone()),
            }
        }
        Ok(this)
    }

    /// As [`Self::new`], for taps of the picture alone.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] also for a language tap.
    pub(super) fn vision_only(loaded: &Loaded, taps: &[TapName]) -> Result<Self> {
        let this = Self::new(loaded, taps)?;
        match this.language.first() {
            Some(name) => Err(EngineError::Unsupported(format!(
                "the tap {name} depends on the text too: it is read from pairs of picture and text"
            ))),
            None => Ok(this),
        }
    }
}

/// What a request needs of its pictures.
#[derive(Clone, Copy)]
pub(super) struct Needs<'a> {
    pub(super) taps: &'a TapSelection,
    /// The template's tokens around a picture, if prompts are run that show one alone.
    pub(super) prefix: Option<&'a Arc<[u32]>>,
}

impl Picture {
    /// Looks a picture up; pixels are still missing where it is not [`Self::is_complete`].
    pub(super) fn look_up(shared: &Shared, input: &KeyedImage, needs: Needs<'_>, priority: Priority) -> Self {
        let urgent = priority == Priority::Interactive;
        let mut cache = shared.cache.lock();
        let prefix = needs.prefix.and_then(|tokens| {
            let key = PrefixKey { images: Box::new([input.key]), tokens: Arc::clone(tokens) };
            cache.prefix(&key, &needs.taps.language, urgent)
        });
        let features = cache.features(input.key, &needs.taps.vision, urgent);
        drop(cache);
        let run = needs.prefix.is_some() && prefix.is_none();
        let cost = if run { features.as_ref().map_or(0, |f| f.len()) } else { 0 };
        let this = Self { key: input.key, urgent, features, prefix, pixels: None, cost };
        let complete = this.is_complete(needs) && !run;
        count(if complete { &shared.counters.cache_hits } else { &shared.counters.cache_misses }, 1);
        this
    }

    /// Whether nothing has to be computed from its pixels.
    pub(super) fn is_complete(&self, needs: Needs<'_>) -> bool {
        self.features.is_some() || (needs.taps.vision.is_empty() && self.prefix.is_some())
    }

    /// Crops and preprocesses.
    pub(super) fn preprocess(&mut self, loaded: &Loaded, input: &KeyedImage) -> Result<()> {
        let pixels = match input.key.area {
            Some(area) => {
                let crop = reasonedit_imaging::crop(&input.picture, area)
                    .map_err(|e| EngineError::Image(e.to_string()))?;
                loaded.preprocessor.preprocess(&crop)?
            }
            None => loaded.preprocessor.preprocess(&input.picture)?,
        };
        let (frames, rows, columns) = pixels.grid;
        let patches = frames * rows * columns;
        self.cost = patches / PATCHES_TO_LOOK_AT + patches / loaded.preprocessor.patches_per_token().max(1);
        self.pixels = Some(pixels);
        Ok(())
    }
}

/// What precedes the picture, if it is the same in all prompts: a template that puts text before the picture
/// has nothing that a picture could be looked up with beforehand.
pub(super) fn shared_prefix(prompts: &[Arc<Prompt>]) -> Option<&Arc<[u32]>> {
    let first = &prompts.first()?.prefix_tokens;
    prompts.iter().all(|prompt| prompt.prefix_tokens == *first).then_some(first)
}

/// Renders prompts and encodes replies, each text once.
pub(super) struct Texts<'a> {
    loaded: &'a Loaded,
    prompts: HashMap<String, Arc<Prompt>>,
    replies: HashMap<String, Arc<[u32]>>,
    groups: HashMap<Vec<String>, Arc<[u32]>>,
}

impl<'a> Texts<'a> {
    pub(super) fn new(loaded: &'a Loaded) -> Self {
        Self { loaded, prompts: HashMap::new(), replies: HashMap::new(), groups: HashMap::new() }
    }

    /// A user's turn with `images` pictures and this text, up to the answer.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    fn question(&mut self, images: usize, text: &str) -> Result<Arc<Prompt>> {
        if self.loaded.tokenizer.thinking().is_none() {
            return self.prompt(images, text);
        }
        if let Some(prompt) = self.prompts.get(text) {
            return Ok(Arc::clone(prompt));
        }
        let mut rendered = self.loaded.tokenizer.render(images, text)?;
        rendered.suffix.extend(self.loaded.tokenizer.encode_thinking(&Thinking::Skipped)?);
        let prompt = Arc::new(prompt(rendered, self.loaded)?);
        self.prompts.insert(text.to_owned(), Arc::clone(&prompt));
        Ok(prompt)
    }

    /// A user's turn with `images` pictures and this text.
    ///
    /// # Errors
    /// [`EngineError::TooLong`] for a text that can't fit whatever the picture; template and tokenizer
    /// errors.
    pub(super) fn prompt(&mut self, images: usize, text: &str) -> Result<Arc<Prompt>> {
        if let Some(prompt) = self.prompts.get(text) {
            return Ok(Arc::clone(prompt));
        }
        let prompt = Arc::new(prompt(self.loaded.tokenizer.render(images, text)?, self.loaded)?);
        self.prompts.insert(text.to_owned(), Arc::clone(&prompt));
        Ok(prompt)
    }

    /// A whole conversation.
    ///
    /// # Errors
    /// As [`Self::prompt`]; [`EngineError::Image`] where turns show more or fewer pictures than there are.
    pub(super) fn conversation(&self, conversation: &Conversation) -> Result<Arc<Prompt>> {
        let parts = conversation.messages.iter().flat_map(|message| &message.content);
        let shown = parts.filter(|part| matches!(part, ContentPart::Image)).count();
        let given = conversation.images.len();
        if shown != given {
            return Err(EngineError::Image(format!("a conversation shows {shown} pictures of {given}")));
        }
        Ok(Arc::new(prompt(self.rendered(conversation)?, self.loaded)?))
    }

    fn rendered(&self, conversation: &Conversation) -> Result<RenderedPrompt> {
        let mut rendered = self.loaded.tokenizer.render_messages(&conversation.messages)?;
        rendered.suffix.extend(begun(self.loaded, conversation)?);
        Ok(rendered)
    }

    /// Tokens that a conversation takes, its pictures included, whether it fits or not.
    ///
    /// # Errors
    /// Template and tokenizer errors; [`EngineError::Image`] for a picture of a shape that isn't looked at.
    pub(super) fn length(&self, conversation: &Conversation) -> Result<usize> {
        let rendered = self.rendered(conversation)?;
        let tokens = rendered.prefix.iter().map(|piece| match piece {
            PromptPiece::Tokens(tokens) => tokens.len(),
            PromptPiece::Image(_) => 0,
        });
        let pictures = conversation.images.iter().map(|image| image_tokens(self.loaded, image));
        Ok(tokens.sum::<usize>() + rendered.suffix.len() + pictures.sum::<Result<usize>>()?)
    }

    /// Tokens of a reply.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    pub(super) fn reply(&mut self, text: &str) -> Result<Arc<[u32]>> {
        if let Some(tokens) = self.replies.get(text) {
            return Ok(Arc::clone(tokens));
        }
        let tokens: Arc<[u32]> = self.loaded.tokenizer.encode_answer(text)?.into();
        check_length(tokens.len(), self.loaded.info.max_positions)?;
        self.replies.insert(text.to_owned(), Arc::clone(&tokens));
        Ok(tokens)
    }

    /// Tokens of a reply's rest behind its beginning.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    fn reply_behind(&self, begun: &str, rest: &str) -> Result<Arc<[u32]>> {
        let tokens: Arc<[u32]> = self.loaded.tokenizer.encode_behind(begun, rest)?.into();
        check_length(tokens.len(), self.loaded.info.max_positions)?;
        Ok(tokens)
    }

    /// Distinct first tokens of a group of words.
    ///
    /// # Errors
    /// Tokenizer errors.
    pub(super) fn group(&mut self, words: &[String]) -> Result<Arc<[u32]>> {
        if let Some(tokens) = self.groups.get(words) {
            return Ok(Arc::clone(tokens));
        }
        let tokens: Arc<[u32]> = self.loaded.tokenizer.first_tokens(words)?.into();
        self.groups.insert(words.to_vec(), Arc::clone(&tokens));
        Ok(tokens)
    }
}

/// Tokens that stand between the prompt to reply and what comes next: what was thought, and the reply's
/// beginning.
///
/// # Errors
/// Tokenizer errors.
pub(super) fn begun(loaded: &Loaded, conversation: &Conversation) -> Result<Vec<u32>> {
    let mut tokens = loaded.tokenizer.encode_thinking(&conversation.thinking)?;
    tokens.extend(loaded.tokenizer.encode_beginning(&conversation.begun)?);
    Ok(tokens)
}

/// A rendered prompt with the key that its beginning is kept under.
fn prompt(rendered: RenderedPrompt, loaded: &Loaded) -> Result<Prompt> {
    check_length(rendered.suffix.len(), loaded.info.max_positions)?;
    let mut key = Vec::new();
    for piece in &rendered.prefix {
        match piece {
            PromptPiece::Tokens(tokens) => key.extend_from_slice(tokens),
            PromptPiece::Image(_) => {
                key.push(IMAGE_MARK);
                // The tokens of a picture that is looked at with an instruction are others with another one.
                if let Some(instruction) = &rendered.instruction {
                    key.extend_from_slice(instruction);
                    key.push(IMAGE_MARK);
                }
            }
        }
    }
    Ok(Prompt {
        prefix: rendered.prefix,
        prefix_tokens: key.into(),
        suffix: rendered.suffix,
        instruction: rendered.instruction,
    })
}

/// Tokens of a picture, or of the part of it that is meant.
///
/// # Errors
/// [`EngineError::Image`] for a shape that isn't looked at.
pub(super) fn image_tokens(loaded: &Loaded, image: &KeyedImage) -> Result<usize> {
    let (width, height) =
        image.key.area.map_or_else(|| image.picture.dimensions(), |area| (area.width, area.height));
    Ok(loaded.preprocessor.image_tokens(width, height)?)
}

/// Refuses sequences that are longer than the model's positions.
pub(super) fn check_length(tokens: usize, limit: usize) -> Result<()> {
    if tokens > limit { Err(EngineError::TooLong { tokens, limit }) } else { Ok(()) }
}

/// Looks pictures up and preprocesses those that must be computed, each distinct one once.
pub(super) fn look_at(
    shared: &Shared,
    loaded: &Loaded,
    inputs: &[KeyedImage],
    needs: Needs<'_>,
    priority: Priority,
) -> Result<Vec<Arc<Picture>>> {
    let mut index = HashMap::new();
    let mut distinct: Vec<(&KeyedImage, Picture)> = Vec::new();
    for input in inputs {
        index.entry(input.key).or_insert_with(|| {
            distinct.push((input, Picture::look_up(shared, input, needs, priority)));
            distinct.len() - 1
        });
    }
    distinct.par_iter_mut().try_for_each(|(input, picture)| {
        if picture.is_complete(needs) { Ok(()) } else { picture.preprocess(loaded, input) }
    })?;
    let pictures: Vec<Arc<Picture>> = distinct.into_iter().map(|(_, picture)| Arc::new(picture)).collect();
    Ok(inputs.iter().map(|input| Arc::clone(&pictures[index[&input.key]])).collect())
}

/// A conversation's pictures in order of appearance, and what is put to them.
pub(super) type Prepared = (Vec<Arc<Picture>>, Arc<Prompt>);

/// Renders conversations and looks at their pictures, each distinct one once.
pub(super) fn conversations(
    shared: &Shared,
    loaded: &Loaded,
    texts: &Texts<'_>,
    all: &[&Conversation],
    priority: Priority,
) -> Result<Vec<Prepared>> {
    let prompts: Vec<Arc<Prompt>> =
        all.iter().map(|conversation| texts.conversation(conversation)).collect::<Result<_>>()?;
    let taps = TapSelection::default();
    // What precedes several pictures is looked up when it is run: it belongs to none of them.
    let alone = all.iter().all(|conversation| conversation.images.len() == 1);
    let needs = Needs { taps: &taps, prefix: if alone { shared_prefix(&prompts) } else { None } };
    let inputs: Vec<KeyedImage> = all.iter().flat_map(|conversation| conversation.images.clone()).collect();
    let mut pictures = look_at(shared, loaded, &inputs, needs, priority)?.into_iter();
    let own = |conversation: &&Conversation| pictures.by_ref().take(conversation.images.len()).collect();
    Ok(all.iter().map(own).zip(prompts).collect())
}

/// A wish in tokens; `begun` is how the reply begins before.
pub(super) fn token_want(texts: &mut Texts<'_>, begun: &str, want: &Want) -> Result<TokenWant> {
    Ok(match want {
        Want::Replies(replies) => {
            let tokens = |reply: &String| {
                if begun.is_empty() { texts.reply(reply) } else { texts.reply_behind(begun, reply) }
            };
            TokenWant::Replies(replies.iter().map(tokens).collect::<Result<_>>()?)
        }
        Want::FirstToken(groups) => {
            TokenWant::FirstToken(groups.iter().map(|g| texts.group(g)).collect::<Result<_>>()?)
        }
    })
}

/// Prepares questions that are sorted by picture.
pub(super) fn ask_units(
    shared: &Shared,
    loaded: &Loaded,
    images: &[KeyedImage],
    asks: &[Ask],
    priority: Priority,
) -> Result<Vec<AskUnit>> {
    let mut texts = Texts::new(loaded);
    let mut prompts = Vec::with_capacity(asks.len());
    let mut wants = Vec::with_capacity(asks.len());
    for ask in asks {
        prompts.push(texts.question(1, &ask.prompt)?);
        wants.push(token_want(&mut texts, "", &ask.want)?);
    }
    let inputs: Vec<KeyedImage> = asks.iter().map(|ask| images[ask.image].clone()).collect();
    let taps = TapSelection::default();
    let needs = Needs { taps: &taps, prefix: shared_prefix(&prompts) };
    let pictures = look_at(shared, loaded, &inputs, needs, priority)?;
    let mut seen = None;
    let units = pictures.into_iter().zip(prompts).zip(wants).map(|((picture, prompt), want)| {
        let first = seen.replace(picture.key) != Some(picture.key);
        let looking = if first { picture.cost } else { 0 };
        AskUnit::new(vec![picture], prompt, want, looking)
    });
    Ok(units.collect())
}
