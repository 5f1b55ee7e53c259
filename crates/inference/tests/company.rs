//! Nobody's numbers depend on who else asks: on the CPU in f32 an answer has the same bits alone and in any
//! company, whatever is cached of it.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reasonedit_imaging::{PixelBox, RgbImage};
use reasonedit_inference::{
    Answered, Ask, CallOptions, Conversation, Engine, EngineConfig, EngineHandle, FeatureKey,
    GenerateRequest, KeyedImage, Models, Want,
};
use reasonedit_models::{LoadOptions, load, load_sentence_encoder};

const PROMPTS: [&str; 5] = [
    "Does the image show a red circle in the upper half, beside a small blue square?",
    "Does the image show a red circle in the upper half, or nothing of the kind?",
    "Does the image show a red circle?",
    "Describe this image.",
    "What?",
];
const REPLIES: [&str; 5] = ["yes", "no", "a red circle", "something else altogether", "a red square"];
/// Models with the encoder that stands beside them.
const MODELS: [(&str, &str); 5] = [
    ("models/tests/goldens/qwen3_vl-1", "models/tests/goldens/mpnet-1"),
    ("models/tests/goldens/qwen2_5_vl-2", "models/tests/goldens/mpnet-1"),
    ("models/tests/goldens/llava-1", "models/tests/goldens/mpnet-1"),
    ("models/tests/goldens/instructblip-1", "models/tests/goldens/bert-1"),
    DEMO,
];
const DEMO: (&str, &str) = ("../models/demo/vlm", "../models/demo/sentence-encoder");

/// Something that is asked for.
#[derive(Clone, Debug)]
enum Request {
    /// Picture, prompt, replies as a set of bits; none: the probability of yes.
    Ask(usize, usize, u8),
    /// Picture, prompt.
    Generate(usize, usize),
    /// Prompt, as a sentence.
    Embed(usize),
}

/// What it gave, to the bit.
type Bits = (Vec<u64>, String);

fn request() -> impl Strategy<Value = Request> {
    let (picture, prompt) = (0..4usize, 0..PROMPTS.len());
    prop_oneof![
        4 => (picture.clone(), prompt.clone(), 0u8..32).prop_map(|(i, p, r)| Request::Ask(i, p, r)),
        2 => (picture, prompt.clone()).prop_map(|(i, p)| Request::Generate(i, p)),
        1 => prompt.prop_map(Request::Embed),
    ]
}

fn start((model, encoder): (&'static str, &'static str), cache_bytes: usize) -> EngineHandle {
    let folder = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).to_string_lossy().into_owned()
    };
    let models = move || {
        let options = LoadOptions::default();
        let sentences = load_sentence_encoder(&folder(encoder), &options)?;
        Ok(Models { vlm: load(&folder(model), &options)?, sentences })
    };
    Engine::start(models, EngineConfig { cache_bytes, ..EngineConfig::default() }).unwrap()
}

fn picture(n: usize) -> KeyedImage {
    let image = RgbImage::from_fn(96, 80, |x, y| {
        let inside = (20..60).contains(&x) && (16..50).contains(&y);
        let far = (x + y) as u8;
        if inside { [40 * n as u8, 90, 200] } else { [230, far, 220 - 30 * n as u8] }.into()
    });
    let area = (n == 3).then_some(PixelBox { x: 10, y: 8, width: 50, height: 40 });
    // The last is a part of the first.
    let n = n % 3;
    KeyedImage { key: FeatureKey { image: [n as u8; 32], area }, picture: Arc::new(image) }
}

async fn ask(engine: &EngineHandle, request: &Request) -> Bits {
    let options = CallOptions::default();
    match request {
        Request::Ask(at, prompt, replies) => {
            let chosen = (0..REPLIES.len()).filter(|i| replies >> i & 1 == 1);
            let chosen: Vec<String> = chosen.map(|i| REPLIES[i].to_owned()).collect();
            let want = if chosen.is_empty() {
                Want::FirstToken(vec![vec!["yes".into(), "Yes".into()], vec!["no".into()]])
            } else {
                Want::Replies(chosen)
            };
            let asks = vec![Ask { image: 0, prompt: PROMPTS[*prompt].into(), want }];
            let (answered, _) = engine.ask(vec![picture(*at)], asks, options).await.unwrap();
            let numbers = match &answered[0] {
                Answered::Replies(scores) => scores.iter().map(|s| s.log_likelihood.to_bits()).collect(),
                Answered::FirstToken(p) => p.iter().map(|p| p.to_bits()).collect(),
            };
            (numbers, String::new())
        }
        Request::Generate(at, prompt) => {
            let conversation = Conversation::question(Some(picture(*at)), PROMPTS[*prompt]);
            let request = GenerateRequest::greedy(conversation, 6);
            let (generated, _) = engine.generate_text(request, options).await.unwrap();
            (vec![generated.log_likelihood.to_bits()], generated.text)
        }
        Request::Embed(prompt) => {
            let texts = vec![PROMPTS[*prompt].to_owned()];
            let (vectors, _) = engine.embed_sentences(texts, options).await.unwrap();
            (vectors[0].iter().map(|v| u64::from(v.to_bits())).collect(), String::new())
        }
    }
}

fn hold(models: (&'static str, &'static str), cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Nothing is known of anything; all is known that was asked before.
    let (cold, warm) = (start(models, 0), start(models, 512 << 20));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let company = prop::collection::vec(request(), 2..24);
    let held = runner.run(&company, |requests| {
        runtime.block_on(async {
            let mut alone = Vec::new();
            for request in &requests {
                alone.push(ask(&cold, request).await);
            }
            for engine in [&cold, &warm] {
                let together: Vec<_> = requests
                    .iter()
                    .map(|request| {
                        let (engine, request) = (engine.clone(), request.clone());
                        tokio::spawn(async move { ask(&engine, &request).await })
                    })
                    .collect();
                for ((request, alone), together) in requests.iter().zip(&alone).zip(together) {
                    prop_assert_eq!(alone, &together.await.unwrap(), "{:?} of {:?}", request, models.0);
                }
            }
            Ok(())
        })
    });
    held.unwrap();
}

#[test]
fn an_answer_has_the_same_bits_alone_and_in_company() {
    for models in MODELS {
        hold(models, if models == DEMO { 4 } else { 12 });
    }
}
