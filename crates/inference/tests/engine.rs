//! The engine over real architectures (the golden checkpoints): whatever it shares, caches and batches,
//! answers are those of running every whole prompt from scratch, alone.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::path::Path;
use std::sync::Arc;

use reasonedit_imaging::{DecodeLimits, PixelBox, crop, decode};
use reasonedit_inference::{
    Answered, Ask, CallOptions, Conversation, Engine, EngineConfig, EngineHandle, FeatureKey,
    GenerateRequest, KeyedImage, Models, PooledTaps, Pooling, TapName, TapStage, Want,
};
use reasonedit_models::{
    LoadOptions, LogitsAt, ModelError, Piece, Sequence, SequenceOutput, VisionLanguageModel, load,
    load_sentence_encoder,
};

const NAMES: [&str; 8] = [
    "qwen3_vl-1",
    "qwen3_vl-2",
    "qwen3_vl-3",
    "qwen2_5_vl-2",
    "llava-1",
    "llava-2",
    "instructblip-1",
    "instructblip-2",
];
const PROMPTS: [&str; 3] = [
    "Does the image show a red circle in the upper half, beside a small blue square?",
    "Does the image show a red circle in the upper half, or nothing of the kind?",
    "Describe this image.",
];
const REPLIES: [&str; 4] = ["yes", "no", "a red circle", "something else altogether"];
const OPTIONS: CallOptions = CallOptions {
    priority: reasonedit_inference::Priority::Interactive,
    deadline: None,
    flow: reasonedit_inference::Flow(0),
};

fn golden(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../models/tests/goldens")
        .join(name)
        .to_string_lossy()
        .into_owned()
}

fn model(name: &str) -> Box<dyn VisionLanguageModel> {
    load(&golden(name), &LoadOptions::default()).unwrap()
}

fn start(name: &'static str, config: EngineConfig) -> EngineHandle {
    let load = move || {
        let sentences = load_sentence_encoder(&golden("mpnet-1"), &LoadOptions::default())?;
        Ok(Models { vlm: model(name), sentences })
    };
    Engine::start(load, config).unwrap()
}

/// The golden's pictures, and a crop of each.
fn pictures(name: &str) -> Vec<KeyedImage> {
    let mut all = Vec::new();
    for n in 0..3u8 {
        let bytes = std::fs::read(Path::new(&golden(name)).join(format!("images/{n}.png"))).unwrap();
        let picture = Arc::new(decode(&bytes, &DecodeLimits::default()).unwrap().image);
        let (width, height) = (picture.width() / 2, picture.height() / 2);
        for area in [None, Some(PixelBox { x: width / 2, y: 0, width, height })] {
            all.push(KeyedImage { key: FeatureKey { image: [n; 32], area }, picture: Arc::clone(&picture) });
        }
    }
    all
}

/// Runs picture, prompt and the beginning of a reply in one piece.
fn whole(
    model: &dyn VisionLanguageModel,
    image: &KeyedImage,
    prompt: &str,
    reply: &[u32],
    logits: LogitsAt,
    taps: &[TapName],
) -> (SequenceOutput, PooledTaps) {
    let area = image.key.area.unwrap_or(PixelBox::whole(image.picture.width(), image.picture.height()));
    let pixels = model.preprocessor().preprocess(&crop(&image.picture, area).unwrap()).unwrap();
    let features = model.encode_images(&[&pixels], taps).unwrap().remove(0);
    let rendered = model.tokenizer().render(1, prompt).unwrap();
    let mut pieces = rendered.prefix_pieces(|_| Ok::<_, ModelError>(Arc::clone(&features))).unwrap();
    pieces.push(Piece::Tokens(rendered.suffix));
    pieces.push(Piece::Tokens(reply.to_vec()));
    let sequence = Sequence { past: None, pieces, logits, keep_cache: false };
    (model.run(&[sequence], taps).unwrap().remove(0), features.taps.clone())
}

fn next(model: &dyn VisionLanguageModel, image: &KeyedImage, prompt: &str, reply: &[u32]) -> Vec<f64> {
    let logits = whole(model, image, prompt, reply, LogitsAt::Last, &[]).0.logits;
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|x| f64::from(x - max).exp()).sum::<f64>().ln();
    logits.iter().map(|x| f64::from(x - max) - total).collect()
}

fn asks(images: usize) -> Vec<Ask> {
    let mut asks = Vec::new();
    for image in 0..images {
        for prompt in PROMPTS {
            let replies = REPLIES.map(String::from);
            asks.push(Ask { image, prompt: prompt.into(), want: Want::Replies(replies.to_vec()) });
            let groups = vec![vec!["yes".into(), "Yes".into()], vec!["no".into(), "No".into()]];
            asks.push(Ask { image, prompt: prompt.into(), want: Want::FirstToken(groups) });
        }
    }
    asks
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 2e-5 * (1.0 + b.abs())
}

fn assert_close(a: &[Answered], b: &[Answered]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        let numbers = |answered: &Answered| -> Vec<f64> {
            match answered {
                Answered::Replies(scores) => scores.iter().map(|s| s.log_likelihood).collect(),
                Answered::FirstToken(probabilities) => probabilities.clone(),
            }
        };
        assert!(numbers(a).iter().zip(numbers(b)).all(|(a, b)| close(*a, b)), "{a:?} is not {b:?}");
    }
}

fn check_answers(
    model: &dyn VisionLanguageModel,
    images: &[KeyedImage],
    asks: &[Ask],
    answered: &[Answered],
) {
    let mut expected = Vec::new();
    for ask in asks {
        let image = &images[ask.image];
        expected.push(match &ask.want {
            Want::Replies(texts) => {
                let score = |text: &String| {
                    let tokens = model.tokenizer().encode_reply(text).unwrap();
                    let sum = (0..tokens.len())
                        .map(|at| next(model, image, &ask.prompt, &tokens[..at])[tokens[at] as usize])
                        .sum();
                    reasonedit_inference::ReplyScore { log_likelihood: sum, tokens: tokens.len() }
                };
                Answered::Replies(texts.iter().map(score).collect())
            }
            Want::FirstToken(groups) => {
                let next = next(model, image, &ask.prompt, &[]);
                let of = |group: &Vec<String>| {
                    let tokens = model.tokenizer().first_tokens(group).unwrap();
                    tokens.iter().map(|&t| next[t as usize].exp()).sum()
                };
                Answered::FirstToken(groups.iter().map(of).collect())
            }
        });
    }
    assert_close(answered, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_equal_whole_prompts() {
    for name in NAMES {
        let engine = start(name, EngineConfig::default());
        let (images, model) = (pictures(name), model(name));
        let asks = asks(images.len());
        let (answered, _) = engine.ask(images.clone(), asks.clone(), OPTIONS).await.unwrap();
        check_answers(&*model, &images, &asks, &answered);
        // From the cache, one by one, and in small batches.
        let (again, _) = engine.ask(images.clone(), asks.clone(), OPTIONS).await.unwrap();
        assert_close(&again, &answered);
        let tight = EngineConfig {
            cache_bytes: 0,
            batch_tokens: 40,
            working_bytes: 100_000,
            ..EngineConfig::default()
        };
        let tight = start(name, tight);
        let (small, _) = tight.ask(images.clone(), asks.clone(), OPTIONS).await.unwrap();
        assert_close(&small, &answered);
        let alone = engine.ask(images.clone(), vec![asks[3].clone()], OPTIONS).await.unwrap().0;
        assert_close(&alone, &answered[3..4]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_to_an_idle_engine_gives_the_same_bits() {
    for name in NAMES {
        let images = pictures(name);
        let asks = asks(images.len());
        // All at once, and a single question: what is new is run differently from what is cached.
        for asked in [asks.clone(), vec![asks[2].clone()]] {
            let mut all = Vec::new();
            for _ in 0..2 {
                let engine = start(name, EngineConfig::default());
                for _ in 0..2 {
                    all.push(engine.ask(images.clone(), asked.clone(), OPTIONS).await.unwrap().0);
                }
            }
            assert!(all.iter().all(|answered| *answered == all[0]), "new or cached");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_equal_whole_prompts() {
    for name in NAMES {
        let engine = start(name, EngineConfig::default());
        let (images, model) = (pictures(name), model(name));
        let info = engine.info().await.unwrap();
        let taps: Vec<TapName> = info.taps.iter().map(|t| t.name.clone()).collect();
        let pairs: Vec<_> =
            images.iter().flat_map(|image| PROMPTS.map(|text| (image.clone(), text.to_owned()))).collect();
        let (pooled, _) = engine.embed_pairs(pairs.clone(), taps.clone(), OPTIONS).await.unwrap();
        for ((image, text), pooled) in pairs.iter().zip(&pooled) {
            let (output, mut expected) = whole(&*model, image, text, &[], LogitsAt::None, &taps);
            expected.extend(output.taps);
            assert_eq!(pooled.len(), taps.len());
            for (tap, pooled) in pooled {
                let expected = &expected[tap];
                let all = pooled.mean.iter().chain(&pooled.last);
                for (a, b) in all.zip(expected.mean.iter().chain(&expected.last)) {
                    assert!(close(f64::from(*a), f64::from(*b)), "{name} {tap}: {a} is not {b}");
                }
            }
        }
        // The picture's taps alone, from the cache that the pairs have filled.
        let seen = engine.stats().images;
        let vision = info.taps.iter().rfind(|t| t.stage == TapStage::Vision).unwrap();
        let (vectors, _) =
            engine.embed_images(images.clone(), vision.name.clone(), Pooling::Mean, OPTIONS).await.unwrap();
        assert_eq!(engine.stats().images, seen);
        for (vector, pooled) in vectors.iter().zip(pooled.chunks(PROMPTS.len())) {
            assert_eq!(*vector, pooled[0][&vision.name].mean);
            assert_eq!(vector.len(), vision.width);
        }
    }
}

/// A Q-Former reads the instruction: nothing of it can stand for a picture alone.
#[tokio::test(flavor = "multi_thread")]
async fn taps_that_depend_on_the_text_are_no_taps_of_a_picture() {
    let engine = start("instructblip-1", EngineConfig::default());
    let images = pictures("instructblip-1");
    let info = engine.info().await.unwrap();
    for tap in &info.taps {
        let of_picture = tap.name.0.starts_with("vision.");
        let got = engine.embed_images(images[..1].to_vec(), tap.name.clone(), Pooling::Mean, OPTIONS).await;
        assert_eq!(got.is_ok(), of_picture, "{}", tap.name);
        assert_eq!(tap.stage == TapStage::Language, !of_picture, "{}", tap.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_together_equal_each_alone() {
    for name in NAMES {
        let engine = start(name, EngineConfig::default());
        let (images, model) = (pictures(name), model(name));
        let requests: Vec<_> = images
            .iter()
            .zip(PROMPTS.iter().cycle())
            .map(|(image, prompt)| {
                let prompt = Conversation::question(Some(image.clone()), *prompt);
                GenerateRequest::greedy(prompt, 8)
            })
            .collect();
        let running: Vec<_> = requests
            .iter()
            .map(|request| {
                let (engine, request) = (engine.clone(), request.clone());
                tokio::spawn(async move { engine.generate_text(request, OPTIONS).await })
            })
            .collect();
        let asked = images.iter().zip(PROMPTS.iter().cycle());
        for ((request, (image, prompt)), task) in requests.iter().zip(asked).zip(running) {
            let generated = task.await.unwrap().unwrap().0;
            let (mut tokens, mut sum) = (Vec::new(), 0.0);
            while tokens.len() < request.max_tokens {
                let next = next(&*model, image, prompt, &tokens);
                let best =
                    (0..next.len()).max_by(|&a, &b| next[a].total_cmp(&next[b]).then(b.cmp(&a))).unwrap();
                sum += next[best];
                if model.tokenizer().stop_tokens().contains(&(best as u32)) {
                    break;
                }
                tokens.push(best as u32);
            }
            assert_eq!(generated.text, model.tokenizer().decode(&tokens).unwrap(), "{name}: {tokens:?}");
            assert_eq!(generated.completion_tokens, tokens.len());
            assert!(close(generated.log_likelihood, sum));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentences_come_from_the_encoder() {
    let engine = start(NAMES[0], EngineConfig { batch_tokens: 4, ..EngineConfig::default() });
    let texts = PROMPTS.map(String::from).to_vec();
    let (vectors, _) = engine.embed_sentences(texts.clone(), OPTIONS).await.unwrap();
    let encoder = load_sentence_encoder(&golden("mpnet-1"), &LoadOptions::default()).unwrap();
    let info = engine.sentence_info().await.unwrap();
    assert_eq!((info.fingerprint.as_str(), info.width), (encoder.fingerprint(), encoder.width()));
    for (a, b) in vectors.iter().zip(encoder.encode(&texts).unwrap()) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(&b).all(|(a, b)| close(f64::from(*a), f64::from(*b))));
    }
}
