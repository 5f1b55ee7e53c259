//! Features and prefixes: what is computed once per picture.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use super::cache::{Prefix, PrefixKey};
use super::handle::Shared;
use super::lock;
use super::prepare::{Picture, Prompt, check_length};
use super::request::FeatureKey;
use super::stats::count;
use super::{Loaded, Models};
use crate::prompt::PromptPiece;
use crate::{
    ImageFeatures, KvCache, LogitsAt, Piece, PixelInput, Result, Sequence, SequenceOutput, TapName, VlmError,
};

/// The models and what they have computed; lives on the engine's thread.
pub(super) struct Compute<'a> {
    pub(super) models: Models,
    pub(super) shared: &'a Shared,
    pub(super) loaded: &'a Loaded,
    /// Bytes of keys and values per token, learned from the first cache the model hands out.
    kv_token_bytes: usize,
}

/// What a sequence adds to a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// New tokens.
    pub(super) tokens: usize,
    /// Bytes of logits and of the kept cache.
    pub(super) bytes: usize,
}

impl<'a> Compute<'a> {
    pub(super) fn new(models: Models, shared: &'a Shared, loaded: &'a Loaded) -> Self {
        Self { models, shared, loaded, kv_token_bytes: 0 }
    }

    /// Runs one batch that fits the budgets.
    pub(super) fn run(&mut self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>> {
        let outputs = self.models.vlm.run(batch, taps)?;
        count(&self.shared.counters.tokens, batch.iter().map(new_tokens).sum());
        if outputs.len() != batch.len() {
            return Err(VlmError::Shape(format!("{} sequences gave {} outputs", batch.len(), outputs.len())));
        }
        if self.kv_token_bytes == 0
            && let Some(kv) = outputs.iter().find_map(|o| o.cache.as_ref())
        {
            self.kv_token_bytes = kv.bytes() / kv.len.max(1);
        }
        Ok(outputs)
    }

    /// Runs any number of sequences, cut into batches within the budgets, and hands every output on in order.
    pub(super) fn run_all(
        &mut self,
        sequences: &[Sequence],
        taps: &[TapName],
        mut take: impl FnMut(usize, SequenceOutput) -> Result<()>,
    ) -> Result<()> {
        let loads: Vec<Load> = sequences.iter().map(|s| self.load(s)).collect();
        let mut at = 0;
        for size in self.cut(&loads) {
            for (i, output) in self.run(&sequences[at..at + size], taps)?.into_iter().enumerate() {
                take(at + i, output)?;
            }
            at += size;
        }
        Ok(())
    }

    /// What a sequence adds to a batch.
    pub(super) fn load(&self, sequence: &Sequence) -> Load {
        let tokens = new_tokens(sequence);
        let rows = match sequence.logits {
            LogitsAt::None => 0,
            LogitsAt::Last => 1,
            LogitsAt::From(from) => tokens.saturating_sub(from),
        };
        let kept = if sequence.keep_cache { tokens + past_len(sequence.past.as_deref()) } else { 0 };
        Load {
            tokens,
            bytes: rows * self.loaded.info.vocabulary * size_of::<f32>() + kept * self.kv_token_bytes,
        }
    }

    /// Cuts consecutive loads into batches within the budgets, at least one in each; gives their sizes.
    pub(super) fn cut(&self, loads: &[Load]) -> Vec<usize> {
        let config = &self.shared.config;
        let mut sizes = Vec::new();
        let (mut sum, mut size) = (Load::default(), 0);
        for load in loads {
            let over = sum.tokens + load.tokens > config.batch_tokens
                || sum.bytes + load.bytes > config.working_bytes;
            if size > 0 && over {
                sizes.push(size);
                (sum, size) = (Load::default(), 0);
            }
            sum.tokens += load.tokens;
            sum.bytes += load.bytes;
            size += 1;
        }
        if size > 0 {
            sizes.push(size);
        }
        sizes
    }

    /// Features of every picture, with at least `taps`: from the request, from the cache, or computed now (with the
    /// taps that are always wanted, so that the next request finds them).
    pub(super) fn features(
        &mut self,
        pictures: &[&Picture],
        taps: &[TapName],
    ) -> Result<HashMap<FeatureKey, Arc<ImageFeatures>>> {
        let mut found = HashMap::new();
        let mut missing: Vec<(&Picture, &PixelInput)> = Vec::new();
        let mut queued = BTreeSet::new();
        for picture in pictures {
            if found.contains_key(&picture.key) {
                continue;
            }
            let given = picture.features.as_ref().filter(|f| taps.iter().all(|t| f.taps.contains_key(t)));
            let features = match given {
                Some(features) => Some(Arc::clone(features)),
                None => lock(&self.shared.cache).features(picture.key, taps, picture.urgent),
            };
            if let Some(features) = features {
                found.insert(picture.key, features);
            } else if let Some(pixels) = &picture.pixels
                && queued.insert(picture.key)
            {
                missing.push((picture, pixels));
            }
        }
        missing.retain(|(picture, _)| !found.contains_key(&picture.key));
        let mut wanted: BTreeSet<TapName> = taps.iter().cloned().collect();
        wanted.extend(self.shared.always_taps.read().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        // In forward order: what the model is asked for doesn't depend on how it was asked for.
        let wanted: Vec<TapName> =
            self.loaded.info.taps.iter().map(|t| &t.name).filter(|t| wanted.contains(*t)).cloned().collect();
        let loads: Vec<Load> = missing
            .iter()
            .map(|(p, pixels)| Load { tokens: p.cost, bytes: pixels.values.len() * 4 })
            .collect();
        let mut at = 0;
        for size in self.cut(&loads) {
            let part = &missing[at..at + size];
            let pixels: Vec<&PixelInput> = part.iter().map(|(_, pixels)| *pixels).collect();
            let features = self.models.vlm.encode_images(&pixels, &wanted)?;
            if features.len() != part.len() {
                return Err(VlmError::Shape(format!(
                    "{} pictures gave {} features",
                    part.len(),
                    features.len()
                )));
            }
            count(&self.shared.counters.images, part.len());
            let mut cache = lock(&self.shared.cache);
            for ((picture, _), features) in part.iter().zip(features) {
                cache.insert_features(picture.key, &features, picture.urgent);
                found.insert(picture.key, features);
            }
            at += size;
        }
        Ok(found)
    }

    /// The prefix of every (picture, prompt), with at least the language `taps`; `None` for prompts without one.
    ///
    /// # Errors
    /// Those of the model, and [`VlmError::TooLong`].
    pub(super) fn prefixes(
        &mut self,
        asked: &[(Option<&Picture>, &Prompt)],
        taps: &[TapName],
    ) -> Result<Vec<Option<Arc<Prefix>>>> {
        let mut found: HashMap<PrefixKey, Arc<Prefix>> = HashMap::new();
        let mut missing: Vec<(PrefixKey, &Picture, &Prompt)> = Vec::new();
        let mut queued = BTreeSet::new();
        let key_of = |picture: &Picture, prompt: &Prompt| PrefixKey {
            image: picture.key,
            tokens: Arc::clone(&prompt.prefix_tokens),
        };
        for (picture, prompt) in asked {
            let Some(picture) = picture else { continue };
            let key = key_of(picture, prompt);
            if found.contains_key(&key) {
                continue;
            }
            let given = picture.prefix.as_ref().filter(|p| taps.iter().all(|t| p.taps.contains_key(t)));
            let prefix = match given {
                Some(prefix) => Some(Arc::clone(prefix)),
                None => lock(&self.shared.cache).prefix(&key, taps, picture.urgent),
            };
            if let Some(prefix) = prefix {
                found.insert(key, prefix);
            } else if queued.insert((key.image, Arc::clone(&key.tokens))) {
                missing.push((key, picture, prompt));
            }
        }
        missing.retain(|(key, ..)| !found.contains_key(key));
        if !missing.is_empty() {
            // All pictures of the request are offered: another of the same key may hold the pixels.
            let keys: BTreeSet<FeatureKey> = missing.iter().map(|(key, ..)| key.image).collect();
            let pictures: Vec<&Picture> =
                asked.iter().filter_map(|(p, _)| *p).filter(|p| keys.contains(&p.key)).collect();
            let features = self.features(&pictures, &[])?;
            let mut sequences = Vec::with_capacity(missing.len());
            for (key, _, prompt) in &missing {
                let features = features
                    .get(&key.image)
                    .ok_or_else(|| VlmError::Image("the picture's features are not available".into()))?;
                let sequence = prefix_sequence(prompt, features);
                check_length(new_tokens(&sequence), self.loaded.info.max_positions)?;
                sequences.push(sequence);
            }
            let cache = &self.shared.cache;
            self.run_all(&sequences, taps, |at, output| {
                let kv = output
                    .cache
                    .ok_or_else(|| VlmError::Shape("the model gave no cache for a prefix".into()))?;
                let prefix = Arc::new(Prefix { kv: Arc::new(kv), taps: output.taps });
                let (key, picture, _) = &missing[at];
                lock(cache).insert_prefix(key.clone(), &prefix, picture.urgent);
                found.insert(key.clone(), prefix);
                Ok(())
            })?;
        }
        asked
            .iter()
            .map(|(picture, prompt)| match picture {
                None => Ok(None),
                Some(picture) => found
                    .get(&key_of(picture, prompt))
                    .map(|prefix| Some(Arc::clone(prefix)))
                    .ok_or_else(|| VlmError::Image("the picture's prefix is not available".into())),
            })
            .collect()
    }
}

fn prefix_sequence(prompt: &Prompt, features: &Arc<ImageFeatures>) -> Sequence {
    let pieces = prompt
        .prefix
        .iter()
        .map(|piece| match piece {
            PromptPiece::Tokens(tokens) => Piece::Tokens(tokens.clone()),
            PromptPiece::Image(_) => Piece::Image(Arc::clone(features)),
        })
        .collect();
    Sequence { past: None, pieces, logits: LogitsAt::None, keep_cache: true }
}

/// Tokens of a sequence that are run now.
pub(super) fn new_tokens(sequence: &Sequence) -> usize {
    sequence
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Tokens(tokens) => tokens.len(),
            Piece::Image(features) => features.len(),
        })
        .sum()
}

/// Tokens of a sequence that were run before.
pub(super) fn past_len(past: Option<&KvCache>) -> usize {
    past.map_or(0, |kv| kv.len)
}
