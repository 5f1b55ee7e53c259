//! The engine over the toy model: what comes back equals running every whole prompt from scratch, alone.

mod answers;
mod conversations;
mod serving;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reasonedit_imaging::RgbImage;
use reasonedit_models::ModelError;
use reasonedit_models::model::VisionLanguageModel;
use reasonedit_nn::sequence::{LogitsAt, Piece, PixelInput, Sequence, SequenceOutput};
use reasonedit_nn::taps::TapName;
use tokio::task::JoinHandle;

use super::request::{
    Ask, CallOptions, Conversation, FeatureKey, GenerateRequest, KeyedImage, Sampling, Want,
};
use super::toy::{Log, PICTURE_FIRST, Toy, models};
use super::{Engine, EngineConfig, EngineHandle};

fn start(config: EngineConfig) -> (EngineHandle, Arc<Log>) {
    let (models, log) = models(PICTURE_FIRST);
    (Engine::start(move || Ok(models), config).unwrap(), log)
}

/// A picture of its own for every number; odd ones are wide.
fn picture(n: u8) -> KeyedImage {
    let size = if n % 2 == 1 { (24, 12) } else { (16, 16) };
    let image = RgbImage::from_fn(size.0, size.1, |x, y| {
        [n.wrapping_mul(37).wrapping_add((x * 9) as u8), (y * 13) as u8 ^ n, (x * y) as u8].into()
    });
    KeyedImage { key: FeatureKey { image: [n; 32], area: None }, picture: Arc::new(image) }
}

fn replies(image: usize, prompt: &str, texts: &[&str]) -> Ask {
    let texts = texts.iter().map(ToString::to_string).collect();
    Ask { image, prompt: prompt.into(), want: Want::Replies(texts) }
}

fn first_token(image: usize, prompt: &str, groups: &[&[&str]]) -> Ask {
    let groups = groups.iter().map(|g| g.iter().map(ToString::to_string).collect()).collect();
    Ask { image, prompt: prompt.into(), want: Want::FirstToken(groups) }
}

fn generation(image: Option<KeyedImage>, prompt: &str, max_tokens: usize) -> GenerateRequest {
    GenerateRequest::greedy(Conversation::question(image, prompt), max_tokens)
}

/// The model alone, without an engine.
struct Scratch(Toy);

impl Scratch {
    fn new() -> Self {
        Self(Toy::new(PICTURE_FIRST, Arc::default()))
    }

    /// Runs a whole conversation with its reply in one piece.
    fn whole(
        &self,
        image: Option<&KeyedImage>,
        prompt: &str,
        reply: &[u32],
        logits: LogitsAt,
        taps: &[TapName],
    ) -> SequenceOutput {
        let rendered = self.0.tokenizer().render(usize::from(image.is_some()), prompt).unwrap();
        let features = |_| {
            let pixels: PixelInput = self.0.preprocessor().preprocess(&image.unwrap().picture)?;
            Ok::<_, ModelError>(self.0.encode_images(&[&pixels], taps)?.remove(0))
        };
        let mut pieces = rendered.prefix_pieces(features).unwrap();
        pieces.push(Piece::Tokens(rendered.suffix));
        pieces.push(Piece::Tokens(reply.to_vec()));
        let sequence = Sequence { past: None, pieces, logits, keep_cache: true };
        self.0.run(&[sequence], taps).unwrap().remove(0)
    }

    /// Log-probabilities of the token that follows the conversation so far.
    fn next(&self, image: Option<&KeyedImage>, prompt: &str, reply: &[u32]) -> Vec<f64> {
        let logits = self.whole(image, prompt, reply, LogitsAt::Last, &[]).logits;
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = logits.iter().map(|x| f64::from((x - max).exp())).sum::<f64>().ln();
        logits.iter().map(|x| f64::from(*x) - f64::from(max) - total).collect()
    }

    fn log_likelihood(&self, image: &KeyedImage, prompt: &str, reply: &str) -> (f64, usize) {
        let tokens = self.0.tokenizer().encode_reply(reply).unwrap();
        let sum = (0..tokens.len())
            .map(|at| self.next(Some(image), prompt, &tokens[..at])[tokens[at] as usize])
            .sum();
        (sum, tokens.len())
    }

    /// Greedy reply: its tokens, the sum of their log-probabilities, and whether it ended by itself.
    fn greedy(&self, image: Option<&KeyedImage>, prompt: &str, max_tokens: usize) -> (Vec<u32>, f64, bool) {
        let (mut tokens, mut sum) = (Vec::new(), 0.0);
        while tokens.len() < max_tokens {
            let next = self.next(image, prompt, &tokens);
            let best = (0..next.len()).max_by(|&a, &b| next[a].total_cmp(&next[b]).then(b.cmp(&a))).unwrap();
            sum += next[best];
            if self.0.tokenizer().stop_tokens().contains(&(best as u32)) {
                return (tokens, sum, true);
            }
            tokens.push(best as u32);
        }
        (tokens, sum, false)
    }
}

fn sentence(
    engine: &EngineHandle,
    text: &str,
    options: CallOptions,
) -> JoinHandle<crate::error::Result<f32>> {
    let (engine, texts) = (engine.clone(), vec![text.to_owned()]);
    tokio::spawn(async move { engine.embed_sentences(texts, options).await.map(|(v, _)| v[0][0]) })
}

/// Holds the model in the middle of a request, so that what comes next waits.
async fn occupied(engine: &EngineHandle, log: &Log) -> JoinHandle<crate::error::Result<f32>> {
    log.hold();
    let task = sentence(engine, "occupied", CallOptions::default());
    eventually(|| log.waiting()).await;
    task
}

/// Waits for something that must come; a hang fails the test.
async fn eventually(mut so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came");
}
