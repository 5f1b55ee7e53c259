//! A tiny causal model in plain loops, for tests: every row is computed alone and in a fixed order, so that
//! running a sequence in parts, or among others, gives the same bits as running it whole and alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use parking_lot::{Condvar, Mutex};
use reasonedit_imaging::RgbImage;
use reasonedit_models::model::{ImagePreprocessor, ModelInfo, SentenceEncoder, VisionLanguageModel};
use reasonedit_models::prompt::{PromptSettings, PromptTokenizer};
use reasonedit_models::{ModelError, Result};
use reasonedit_nn::kv_cache::{KvCache, Stretch};
use reasonedit_nn::sequence::{ImageFeatures, LogitsAt, Piece, PixelInput, Sequence, SequenceOutput};
use reasonedit_nn::taps::{Pooled, PooledTaps, TapInfo, TapName, TapStage};

use crate::loaded::Models;

const WIDTH: usize = 8;
const LAYERS: usize = 2;
/// 256 bytes and five control tokens.
const VOCABULARY: usize = 261;
const IMAGE_TOKEN: u32 = 260;
const STOP_TOKEN: u32 = 257;
pub(super) const MAX_POSITIONS: usize = 600;

/// A prompt with this byte makes the model panic, fail, or give NaN.
pub(super) const PANIC: char = '~';
pub(super) const FAIL: char = '`';
pub(super) const NAN: char = '^';

/// In the manner of Qwen's: the picture, then the text.
pub(super) const PICTURE_FIRST: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}\
    {% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}\
    {% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The text, then the picture: what precedes the picture depends on the text.
pub(super) const TEXT_FIRST: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}\
    {% if c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}{% for c in m.content %}\
    {% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}{% endfor %}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// What the toy was asked to compute, and a brake.
#[derive(Default)]
pub(super) struct Log {
    pub(super) images: AtomicUsize,
    pub(super) tokens: AtomicUsize,
    pub(super) sentences: AtomicUsize,
    pub(super) preprocessed: AtomicUsize,
    /// Sequences of each run.
    pub(super) runs: Mutex<Vec<usize>>,
    gate: Mutex<Gate>,
    opened: Condvar,
}

#[derive(Default)]
struct Gate {
    held: bool,
    /// Calls let through though held.
    admitted: usize,
    waiting: bool,
}

impl Log {
    /// Makes every following call of the model wait.
    pub(super) fn hold(&self) {
        *self.gate.lock() = Gate { held: true, ..Gate::default() };
    }

    /// Lets that many calls through.
    pub(super) fn admit(&self, calls: usize) {
        self.gate.lock().admitted += calls;
        self.opened.notify_all();
    }

    /// Whether a call waits and none may go on.
    pub(super) fn waiting(&self) -> bool {
        let gate = self.gate.lock();
        gate.waiting && gate.admitted == 0
    }

    /// Lets all go on.
    pub(super) fn release(&self) {
        self.gate.lock().held = false;
        self.opened.notify_all();
    }

    fn brake(&self) {
        let mut gate = self.gate.lock();
        while gate.held && gate.admitted == 0 {
            gate.waiting = true;
            self.opened.wait(&mut gate);
        }
        gate.waiting = false;
        gate.admitted = gate.admitted.saturating_sub(1);
    }
}

/// The toy.
pub(super) struct Toy {
    info: ModelInfo,
    tokenizer: Arc<PromptTokenizer>,
    log: Arc<Log>,
    weights: Vec<f32>,
}

pub(super) fn tap(name: &str) -> TapName {
    TapName(name.to_owned())
}

/// The toy and its log.
pub(super) fn models(template: &str) -> (Models, Arc<Log>) {
    let log = Arc::new(Log::default());
    let models = Models {
        vlm: Box::new(Toy::new(template, Arc::clone(&log))),
        sentences: Box::new(ToySentences(Arc::clone(&log))),
    };
    (models, log)
}

impl Toy {
    pub(super) fn new(template: &str, log: Arc<Log>) -> Self {
        let names = [
            ("vision.0", TapStage::Vision),
            ("merger", TapStage::Bridge),
            ("language.embedding", TapStage::Language),
            ("language.0", TapStage::Language),
            ("language.1", TapStage::Language),
        ];
        let taps = names.map(|(name, stage)| TapInfo { name: tap(name), stage, width: WIDTH });
        let info = ModelInfo {
            architecture: "toy".into(),
            name: "toy".into(),
            fingerprint: "00".into(),
            parameters: 0,
            dtype: "f32".into(),
            device: "cpu".into(),
            taps: taps.to_vec(),
            max_positions: MAX_POSITIONS,
            vocabulary: VOCABULARY,
        };
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 1.6
        };
        let weights = (0..(VOCABULARY + LAYERS * 4 * WIDTH + 2 * WIDTH) * WIDTH).map(|_| next()).collect();
        Self { info, tokenizer: Arc::new(tokenizer(template)), log, weights }
    }

    fn embedding(&self, token: usize) -> [f32; WIDTH] {
        let mut row = [0.0; WIDTH];
        row.copy_from_slice(&self.weights[token * WIDTH..(token + 1) * WIDTH]);
        row
    }

    /// Matrix number `n` behind the embedding, times a vector.
    fn times(&self, n: usize, x: &[f32; WIDTH]) -> [f32; WIDTH] {
        let start = (VOCABULARY + n * WIDTH) * WIDTH;
        let matrix = &self.weights[start..start + WIDTH * WIDTH];
        std::array::from_fn(|row| (0..WIDTH).map(|c| matrix[row * WIDTH + c] * x[c]).sum())
    }

    fn one(&self, sequence: &Sequence, taps: &[TapName]) -> Result<SequenceOutput> {
        let mut states = Vec::new();
        for piece in &sequence.pieces {
            match piece {
                Piece::Tokens(tokens) => {
                    // A single token is a step of a generation, which may say anything.
                    let told = |c: char| tokens.len() > 1 && tokens.contains(&(c as u32));
                    assert!(!told(PANIC), "the toy was told to panic");
                    if told(FAIL) {
                        return Err(ModelError::unsupported("told to fail"));
                    }
                    states.extend(tokens.iter().map(|&token| self.embedding(token as usize)));
                }
                Piece::Image(features) | Piece::Instructed(features, _) => {
                    for row in features.tokens.to_vec2::<f32>()? {
                        states.push(row.try_into().unwrap());
                    }
                }
            }
        }
        self.log.tokens.fetch_add(states.len(), Ordering::SeqCst);
        let past = sequence.past.as_deref();
        let start = past.map_or(0, |kv| kv.len);
        assert!(start + states.len() <= MAX_POSITIONS);
        for (at, state) in states.iter_mut().enumerate() {
            state[0] += ((start + at) as f32 * 0.37).sin();
        }
        let mut pooled = PooledTaps::new();
        let mut pool = |name: &str, states: &[[f32; WIDTH]]| {
            if taps.contains(&tap(name)) {
                pooled.insert(tap(name), pool(states));
            }
        };
        pool("language.embedding", &states);
        let mut layers = Vec::new();
        for layer in 0..LAYERS {
            let rows = |t: &Tensor| -> Vec<[f32; WIDTH]> {
                let rows = t.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
                rows.into_iter().map(|row| row.try_into().unwrap()).collect()
            };
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for (k, v) in past.into_iter().flat_map(|kv| kv.layer(layer).stretches()) {
                keys.extend(rows(k));
                values.extend(rows(v));
            }
            let new = keys.len();
            for state in &mut states {
                keys.push(self.times(4 * layer, state));
                values.push(self.times(4 * layer + 1, state));
                let weights: Vec<f32> =
                    keys.iter().map(|k| (0..WIDTH).map(|c| k[c] * state[c]).sum::<f32>().exp()).collect();
                let total: f32 = weights.iter().sum();
                let mut seen = [0.0; WIDTH];
                for (weight, value) in weights.iter().zip(&values) {
                    for c in 0..WIDTH {
                        seen[c] += weight / total * value[c];
                    }
                }
                let seen = self.times(4 * layer + 2, &seen);
                let inner: [f32; WIDTH] = std::array::from_fn(|c| (state[c] + seen[c]).tanh());
                let inner = self.times(4 * layer + 3, &inner);
                for c in 0..WIDTH {
                    state[c] = (state[c] + inner[c]).tanh();
                }
            }
            pool(&format!("language.{layer}"), &states);
            let tensor = |rows: &[[f32; WIDTH]]| {
                Tensor::from_slice(rows.as_flattened(), (1, rows.len(), WIDTH), &Device::Cpu)
            };
            layers.push((tensor(&keys[new..])?, tensor(&values[new..])?));
        }
        let from = match sequence.logits {
            LogitsAt::None => states.len(),
            LogitsAt::Last => states.len() - 1,
            LogitsAt::From(from) => from,
        };
        let broken = sequence
            .pieces
            .iter()
            .any(|p| matches!(p, Piece::Tokens(tokens) if tokens.contains(&(NAN as u32))));
        let mut logits = Vec::new();
        for state in &states[from..] {
            let head = self.times(4 * LAYERS, state);
            logits.extend((0..VOCABULARY).map(|token| {
                let row = self.embedding(token);
                let logit = 3.0 * (0..WIDTH).map(|c| row[c] * head[c]).sum::<f32>();
                if broken { f32::NAN } else { logit }
            }));
        }
        let len = start + states.len();
        let cache =
            if sequence.keep_cache { Some(KvCache::after(past, Stretch { layers }, len)?) } else { None };
        Ok(SequenceOutput { logits, cache, taps: pooled })
    }
}

fn pool(states: &[[f32; WIDTH]]) -> Pooled {
    let mut mean = vec![0.0; WIDTH];
    for state in states {
        for c in 0..WIDTH {
            mean[c] += state[c] / states.len() as f32;
        }
    }
    Pooled { mean, last: states.last().unwrap().to_vec() }
}

impl VisionLanguageModel for Toy {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn preprocessor(&self) -> Arc<dyn ImagePreprocessor> {
        Arc::new(ToyPreprocessor(Arc::clone(&self.log)))
    }

    fn tokenizer(&self) -> Arc<PromptTokenizer> {
        Arc::clone(&self.tokenizer)
    }

    fn encode_images(&self, images: &[&PixelInput], taps: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>> {
        self.log.brake();
        self.log.images.fetch_add(images.len(), Ordering::SeqCst);
        let one = |pixels: &&PixelInput| {
            let patches: Vec<[f32; WIDTH]> = pixels
                .values
                .chunks(3)
                .map(|rgb| {
                    let x = std::array::from_fn(|c| rgb[c % 3] * (c + 1) as f32 / 4.0);
                    self.times(4 * LAYERS + 1, &x)
                })
                .collect();
            let tokens: Vec<[f32; WIDTH]> = patches
                .chunks(4)
                .map(|four| std::array::from_fn(|c| four.iter().map(|p| p[c]).sum::<f32>().tanh()))
                .collect();
            let mut pooled = PooledTaps::new();
            for (name, states) in [("vision.0", &patches), ("merger", &tokens)] {
                if taps.contains(&tap(name)) {
                    pooled.insert(tap(name), pool(states));
                }
            }
            let tensor = Tensor::from_slice(tokens.as_flattened(), (tokens.len(), WIDTH), &Device::Cpu)?;
            let (t, rows, columns) = pixels.grid;
            let grid = (t, rows / 2, columns / 2);
            Ok(Arc::new(ImageFeatures { tokens: tensor, deepstack: Vec::new(), grid, taps: pooled }))
        };
        images.iter().map(one).collect()
    }

    fn run(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>> {
        self.log.brake();
        self.log.runs.lock().push(batch.len());
        batch.iter().map(|sequence| self.one(sequence, taps)).collect()
    }
}

struct ToyPreprocessor(Arc<Log>);

impl ImagePreprocessor for ToyPreprocessor {
    fn patches_per_token(&self) -> usize {
        4
    }

    fn image_tokens(&self, width: u32, height: u32) -> Result<usize> {
        Ok(if width > height { 8 } else { 4 })
    }

    /// 4×4 patches, 4×8 for wide pictures: the colour of a pixel each.
    fn preprocess(&self, image: &RgbImage) -> Result<PixelInput> {
        self.0.preprocessed.fetch_add(1, Ordering::SeqCst);
        let (rows, columns) = (4, if image.width() > image.height() { 8 } else { 4 });
        let mut values = Vec::new();
        for row in 0..rows {
            for column in 0..columns {
                let pixel = image.get_pixel(column * image.width() / columns, row * image.height() / rows);
                values.extend(pixel.0.map(|c| f32::from(c) / 255.0));
            }
        }
        Ok(PixelInput { values, grid: (1, rows as usize, columns as usize) })
    }
}

struct ToySentences(Arc<Log>);

impl SentenceEncoder for ToySentences {
    fn fingerprint(&self) -> &'static str {
        "01"
    }

    fn width(&self) -> usize {
        2
    }

    fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        self.0.brake();
        self.0.sentences.fetch_add(texts.len(), Ordering::SeqCst);
        if texts.iter().any(|t| t.contains(FAIL)) {
            return Err(ModelError::unsupported("told to fail"));
        }
        Ok(texts.iter().map(|t| vec![t.len() as f32, t.bytes().map(f32::from).sum()]).collect())
    }
}

/// Bytes as tokens.
fn tokenizer(template: &str) -> PromptTokenizer {
    // GPT-2's printable stand-ins: printable bytes stand for themselves, the others follow from U+0100 on.
    let mut extra = 256u32;
    let vocabulary: serde_json::Map<String, serde_json::Value> = (0..256u32)
        .map(|byte| {
            let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
            let code = if printable {
                byte
            } else {
                extra += 1;
                extra - 1
            };
            (char::from_u32(code).unwrap().to_string(), byte.into())
        })
        .collect();
    let names = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"];
    let added: Vec<serde_json::Value> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            serde_json::json!({"id": 256 + at, "content": name, "special": true, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false})
        })
        .collect();
    let byte_level = serde_json::json!({"type": "ByteLevel", "add_prefix_space": false,
        "trim_offsets": true, "use_regex": true});
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []},
    });
    let settings = PromptSettings {
        chat_template: template.into(),
        special_tokens: std::collections::BTreeMap::new(),
        image_token: Some(IMAGE_TOKEN),
        stop_tokens: vec![STOP_TOKEN],
        ..PromptSettings::default()
    };
    PromptTokenizer::new(json.to_string().as_bytes(), settings).unwrap()
}
