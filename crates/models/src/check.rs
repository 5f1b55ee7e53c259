//! Comparison of a loaded model with the outputs of another implementation, stored beside a checkpoint by
//! `tools/reference.py`.
//!
//! A folder to check is a checkpoint with `reference.json` (texts, conversations, token ids),
//! `reference.safetensors` (pixel values, logits, pooled taps, sentence embeddings) and `images/`.

mod siglip;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use reasonedit_nn::kv_cache::KvCache;
use reasonedit_nn::sequence::{ImageFeatures, LogitsAt, Piece, PixelInput, Sequence};
use reasonedit_nn::taps::{PooledTaps, TapName};
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::load::{LoadOptions, load, load_sentence_encoder};
use crate::model::{ImagePreprocessor, SentenceEncoder, VisionLanguageModel};
use reasonedit_prompt::{ChatMessage, ContentPart, RenderedPrompt, Role};

/// Greatest relative error of logits, taps and embeddings that counts as equal.
pub const TOLERANCE: f64 = 1e-4;

/// Greatest difference of preprocessed pixels that counts as equal, in 255ths of the pixel range: one for
/// each pass of the resizing, whose filter weights two libraries round to different precisions.
pub const PIXEL_TOLERANCE: f64 = 2.0;

/// What a comparison found. Errors are relative: greatest difference over greatest magnitude of the
/// reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// `model_type` of the checkpoint.
    pub architecture: String,
    /// Conversations or texts compared.
    pub cases: usize,
    /// Whether every prompt has the reference's token ids.
    pub tokens_equal: bool,
    /// Greatest difference of the preprocessed pixels, in steps of one 255th of the pixel range.
    pub pixel_steps: f64,
    /// Error of the logits.
    pub logits_error: f64,
    /// Error of each tap, mean and last together, in forward order; for sentence encoders the embedding.
    pub taps: Vec<(String, f64)>,
    /// Whether greedy continuations have the reference's tokens.
    pub greedy_equal: bool,
    /// Difference between a case in a batch with all others and alone.
    pub batch_error: f64,
    /// Difference between a prompt run in two parts, cut behind the pictures, and from scratch.
    pub cached_error: f64,
}

impl CheckReport {
    /// Whether everything is within its tolerance.
    pub fn passes(&self) -> bool {
        self.tokens_equal
            && self.greedy_equal
            && self.pixel_steps <= PIXEL_TOLERANCE + 0.01
            && self
                .taps
                .iter()
                .map(|t| t.1)
                .chain([self.logits_error, self.batch_error, self.cached_error])
                .all(|error| error <= TOLERANCE)
    }
}

#[derive(Debug, Deserialize)]
struct Reference {
    architecture: String,
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    cases: Vec<Case>,
    #[serde(default)]
    texts: Vec<String>,
    /// Token ids of the texts, where they are compared.
    #[serde(default)]
    text_ids: Vec<Vec<u32>>,
}

type Tensors = BTreeMap<String, Tensor>;

#[derive(Debug, Deserialize)]
struct Case {
    messages: Vec<Message>,
    /// Indices into the images, in order of appearance.
    images: Vec<usize>,
    input_ids: Vec<u32>,
    /// Logits are stored for this many last positions.
    logits: usize,
    greedy: Vec<u32>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

/// Compares the checkpoint in a folder with the reference outputs beside it, on the CPU in f32.
///
/// # Errors
/// Whatever keeps the checkpoint or its reference from being read or run; differences are not errors but
/// stand in the report.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let path = folder.join("reference.json");
    let bytes = std::fs::read(&path).map_err(|source| ModelError::read(&path, source))?;
    let reference: Reference = serde_json::from_slice(&bytes).map_err(|e| {
        ModelError::load("reference.json", format!("not what tools/reference.py writes: {e}"))
    })?;
    let tensors: BTreeMap<String, Tensor> =
        candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu)?
            .into_iter()
            .collect();
    let source = folder.to_string_lossy();
    let options = LoadOptions::default();
    if reference.architecture == "siglip" {
        siglip::check(folder, &reference, &tensors)
    } else if reference.cases.is_empty() {
        let encoder = load_sentence_encoder(&source, &options)?;
        sentences(&reference, &tensors, encoder.as_ref())
    } else {
        let model = load(&source, &options)?;
        Comparison { folder, reference: &reference, tensors: &tensors, model: model.as_ref() }.run()
    }
}

fn values(tensors: &Tensors, name: &str) -> Result<Vec<f32>> {
    let tensor = tensors.get(name).ok_or_else(|| {
        ModelError::load(name, "reference.safetensors has no such tensor; write the reference again")
    })?;
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// Greatest difference over greatest magnitude of `want`; infinite when the lengths differ or a value is not
/// finite.
fn relative_error(got: &[f32], want: &[f32]) -> f64 {
    if got.len() != want.len() || got.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let largest = |values: &mut dyn Iterator<Item = f32>| f64::from(values.fold(0f32, |a, b| a.max(b.abs())));
    let difference = largest(&mut got.iter().zip(want).map(|(a, b)| a - b));
    difference / largest(&mut want.iter().copied()).max(1e-12)
}

fn sentences(reference: &Reference, tensors: &Tensors, encoder: &dyn SentenceEncoder) -> Result<CheckReport> {
    let together = encoder.encode(&reference.texts)?;
    let mut alone = Vec::new();
    for text in &reference.texts {
        alone.extend(encoder.encode(std::slice::from_ref(text))?);
    }
    let want = values(tensors, "embeddings")?;
    Ok(CheckReport {
        architecture: reference.architecture.clone(),
        cases: reference.texts.len(),
        tokens_equal: true,
        pixel_steps: 0.0,
        logits_error: 0.0,
        taps: vec![("embedding".into(), relative_error(&together.concat(), &want))],
        greedy_equal: true,
        batch_error: relative_error(&together.concat(), &alone.concat()),
        cached_error: 0.0,
    })
}

/// The reference's pixels, which everything else is computed from, and how far our own are from them.
fn reference_pixels(
    folder: &Path,
    reference: &Reference,
    tensors: &Tensors,
    preprocessor: &dyn ImagePreprocessor,
) -> Result<(Vec<PixelInput>, f64)> {
    // The pixel range after normalisation: from the reference's own step between neighbouring bytes.
    let step = match tensors.get("pixel_step") {
        Some(_) => f64::from(values(tensors, "pixel_step")?.first().copied().unwrap_or(1.0)),
        None => 2.0 / 255.0,
    };
    let mut all = Vec::new();
    let mut steps = 0f64;
    for (i, file) in reference.images.iter().enumerate() {
        let path = folder.join(file);
        let bytes = std::fs::read(&path).map_err(|source| ModelError::read(path, source))?;
        let decoded = reasonedit_imaging::decode(&bytes, &reasonedit_imaging::DecodeLimits::default())
            .map_err(|e| ModelError::Image(e.to_string()))?;
        let ours = preprocessor.preprocess(&decoded.image)?;
        let pixels = values(tensors, &format!("image.{i}.pixels"))?;
        let grid = match values(tensors, &format!("image.{i}.grid"))?[..] {
            [t, rows, columns] => (t as usize, rows as usize, columns as usize),
            _ => return Err(ModelError::load(format!("image.{i}.grid"), "it must have three numbers")),
        };
        if ours.grid == grid && ours.values.len() == pixels.len() {
            let worst = ours.values.iter().zip(&pixels).fold(0f32, |a, (x, y)| a.max((x - y).abs()));
            steps = steps.max(f64::from(worst) / step);
        } else {
            steps = f64::INFINITY;
        }
        all.push(PixelInput { values: pixels, grid });
    }
    Ok((all, steps))
}

struct Comparison<'a> {
    folder: &'a Path,
    reference: &'a Reference,
    tensors: &'a Tensors,
    model: &'a dyn VisionLanguageModel,
}

/// Greatest error by tap.
#[derive(Default)]
struct TapErrors(BTreeMap<String, f64>);

impl TapErrors {
    fn add(&mut self, name: &str, error: f64) {
        let worst = self.0.entry(name.to_owned()).or_default();
        *worst = worst.max(error);
    }

    /// Compares pooled taps with those whose names begin with `prefix`.
    fn compare(&mut self, tensors: &Tensors, prefix: &str, taps: &PooledTaps) -> Result<()> {
        for (name, pooled) in taps {
            for (kind, got) in [("mean", &pooled.mean), ("last", &pooled.last)] {
                let want = values(tensors, &format!("{prefix}.{name}.{kind}"))?;
                self.add(&name.0, relative_error(got, &want));
            }
        }
        Ok(())
    }

    /// Every tap with its error; infinite where nothing was compared.
    fn in_order(&self, taps: &[TapName]) -> Vec<(String, f64)> {
        taps.iter().map(|t| (t.0.clone(), self.0.get(&t.0).copied().unwrap_or(f64::INFINITY))).collect()
    }
}

impl Comparison<'_> {
    fn run(&self) -> Result<CheckReport> {
        let all_taps: Vec<TapName> = self.model.info().taps.iter().map(|t| t.name.clone()).collect();
        let (pixels, pixel_steps) =
            reference_pixels(self.folder, self.reference, self.tensors, self.model.preprocessor().as_ref())?;
        let features = self.model.encode_images(&pixels.iter().collect::<Vec<_>>(), &all_taps)?;
        let mut errors = TapErrors::default();
        let mut batch_error = 0f64;
        for (i, (pixels, together)) in pixels.iter().zip(&features).enumerate() {
            errors.compare(self.tensors, &format!("image.{i}"), &together.taps)?;
            let alone = self.model.encode_images(&[pixels], &[])?;
            let error = |a: &Tensor, b: &Tensor| -> Result<f64> {
                Ok(relative_error(&a.flatten_all()?.to_vec1()?, &b.flatten_all()?.to_vec1()?))
            };
            batch_error = batch_error.max(error(&together.tokens, &alone[0].tokens)?);
            for (a, b) in together.deepstack.iter().zip(&alone[0].deepstack) {
                batch_error = batch_error.max(error(a, b)?);
            }
        }
        let mut tokens_equal = true;
        let mut rendered = Vec::new();
        let mut sequences = Vec::new();
        for case in &self.reference.cases {
            let prompt = self.render(case)?;
            let pieces = pieces(&prompt, &case.images, &features)?;
            tokens_equal &=
                ids(&pieces, self.model.tokenizer().image_token().unwrap_or_default()) == case.input_ids;
            let from = case.input_ids.len().saturating_sub(case.logits);
            sequences.push(Sequence { past: None, pieces, logits: LogitsAt::From(from), keep_cache: false });
            rendered.push(prompt);
        }
        let together = self.model.run(&sequences, &all_taps)?;
        let mut logits_error = 0f64;
        let mut cached_error = 0f64;
        let mut greedy_equal = true;
        for (i, case) in self.reference.cases.iter().enumerate() {
            let alone = &self.model.run(&sequences[i..=i], &all_taps)?[0];
            errors.compare(self.tensors, &format!("case.{i}"), &alone.taps)?;
            let want = values(self.tensors, &format!("case.{i}.logits"))?;
            logits_error = logits_error.max(relative_error(&alone.logits, &want));
            batch_error = batch_error.max(relative_error(&together[i].logits, &alone.logits));
            for (tap, pooled) in &together[i].taps {
                batch_error = batch_error.max(relative_error(&pooled.mean, &alone.taps[tap].mean));
            }
            let (last, greedy) = self.greedy(&rendered[i], case, &features)?;
            let vocabulary = self.model.info().vocabulary;
            let from_scratch = &alone.logits[alone.logits.len().saturating_sub(vocabulary)..];
            cached_error = cached_error.max(relative_error(&last, from_scratch));
            greedy_equal &= greedy == case.greedy;
        }
        let taps = errors.in_order(&all_taps);
        Ok(CheckReport {
            architecture: self.reference.architecture.clone(),
            cases: self.reference.cases.len(),
            tokens_equal,
            pixel_steps,
            logits_error,
            taps,
            greedy_equal,
            batch_error,
            cached_error,
        })
    }

    fn render(&self, case: &Case) -> Result<RenderedPrompt> {
        let messages: Vec<ChatMessage> = case
            .messages
            .iter()
            .map(|m| ChatMessage {
                role: match m.role.as_str() {
                    "system" => Role::System,
                    "assistant" => Role::Assistant,
                    _ => Role::User,
                },
                content: m
                    .content
                    .iter()
                    .map(|p| p.text.clone().map_or(ContentPart::Image, ContentPart::Text))
                    .collect(),
            })
            .collect();
        Ok(self.model.tokenizer().render_messages(&messages)?)
    }

    /// Runs the prompt in two parts, then goes on token by token; returns the prompt's last logits too.
    fn greedy(
        &self,
        prompt: &RenderedPrompt,
        case: &Case,
        features: &[Arc<ImageFeatures>],
    ) -> Result<(Vec<f32>, Vec<u32>)> {
        let step = |past: Option<Arc<KvCache>>, pieces: Vec<Piece>| -> Result<_> {
            let sequence = Sequence { past, pieces, logits: LogitsAt::Last, keep_cache: true };
            let mut out = self.model.run(&[sequence], &[])?;
            let out = out.pop().ok_or_else(|| ModelError::shape("no output"))?;
            Ok((out.cache.map(Arc::new), out.logits))
        };
        let mut whole = pieces(prompt, &case.images, features)?;
        let suffix = whole.pop().into_iter().collect();
        let past = if whole.is_empty() { None } else { step(None, whole)?.0 };
        let (mut past, mut logits) = step(past, suffix)?;
        let last = logits.clone();
        let mut tokens = Vec::new();
        while tokens.len() < case.greedy.len() {
            let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap_or(0) as u32;
            tokens.push(best);
            (past, logits) = step(past, vec![Piece::Tokens(vec![best])])?;
        }
        Ok((last, tokens))
    }
}

/// The pieces of a prompt; the last one is what follows the pictures.
fn pieces(prompt: &RenderedPrompt, images: &[usize], features: &[Arc<ImageFeatures>]) -> Result<Vec<Piece>> {
    let mut pieces = prompt.prefix_pieces(|i| Ok::<_, ModelError>(features[images[i]].clone()))?;
    pieces.push(Piece::Tokens(prompt.suffix.clone()));
    Ok(pieces)
}

/// Token ids with each picture as repeated placeholders, as transformers' processors write them.
fn ids(pieces: &[Piece], image_token: u32) -> Vec<u32> {
    pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Tokens(ids) => ids.clone(),
            Piece::Image(features) | Piece::Instructed(features, _) => vec![image_token; features.len()],
        })
        .collect()
}
