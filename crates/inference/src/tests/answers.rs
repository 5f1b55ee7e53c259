//! Results.

use proptest::prelude::*;
use reasonedit_nn::taps::Pooling;

use super::super::request::{Answered, FinishReason, Generated};
use super::super::toy::{TEXT_FIRST, tap};
use super::*;
use crate::error::EngineError;

const PROMPTS: [&str; 5] = [
    "Does the image show a red circle?",
    "Does the image show a red square at the top?",
    "Describe this image.",
    "Which is it? red, green or blue",
    "Does the image",
];
const TEXTS: [&str; 6] = ["yes", "no", "a red circle", "a red square", "n", "blue"];

/// The service's exponentials are within 2·10⁻⁷ of those of the libraries.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 3e-7 * (1.0 + b.abs())
}

fn check(scratch: &Scratch, images: &[KeyedImage], ask: &Ask, answered: &Answered) {
    let image = &images[ask.image];
    match (&ask.want, answered) {
        (Want::Replies(texts), Answered::Replies(scores)) => {
            assert_eq!(texts.len(), scores.len());
            for (text, score) in texts.iter().zip(scores) {
                let (expected, tokens) = scratch.log_likelihood(image, &ask.prompt, text);
                assert_eq!(score.tokens, tokens);
                assert!(close(score.log_likelihood, expected), "{score:?} is not {expected}");
            }
        }
        (Want::FirstToken(groups), Answered::FirstToken(probabilities)) => {
            let next = scratch.next(Some(image), &ask.prompt, &[]);
            for (group, p) in groups.iter().zip(probabilities) {
                let tokens = scratch.0.tokenizer().first_tokens(group).unwrap();
                let expected: f64 = tokens.iter().map(|&t| next[t as usize].exp()).sum();
                assert!(close(*p, expected), "{p} is not {expected}");
            }
        }
        _ => panic!("an answer of another kind"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_equal_whole_prompts_from_scratch() {
    let (engine, log) = start(EngineConfig::default());
    let scratch = Scratch::new();
    let images: Vec<_> = (0..4).map(picture).collect();
    let mut asks = Vec::new();
    for at in [2, 0, 3, 1, 0] {
        for prompt in PROMPTS {
            asks.push(replies(at, prompt, &["red", "a", "a red", "", "a red"]));
            asks.push(first_token(at, prompt, &[&["yes", "Yes"], &["no", "No", "nobody"], &[]]));
            asks.push(replies(at, prompt, &["only this one"]));
        }
    }
    let (answered, times) = engine.ask(images.clone(), asks.clone(), CallOptions::default()).await.unwrap();
    for (ask, answered) in asks.iter().zip(&answered) {
        check(&scratch, &images, ask, answered);
    }
    assert_eq!(log.images.load(Ordering::SeqCst), 4, "each picture is looked at once");
    assert!(times.compute_ms > 0.0);
    let expected: usize = asks
        .iter()
        .map(|ask| scratch.whole(Some(&images[ask.image]), &ask.prompt, &[], LogitsAt::None, &[]))
        .map(|output| output.cache.unwrap().len)
        .sum();
    assert_eq!(times.prompt_tokens, expected);

    // Again, from the cache: the same bits, and no vision.
    let (again, _) = engine.ask(images, asks, CallOptions::default()).await.unwrap();
    assert_eq!(again, answered);
    assert_eq!(log.images.load(Ordering::SeqCst), 4);
    assert_eq!(log.preprocessed.load(Ordering::SeqCst), 4);
    assert_eq!(engine.stats().cache_hits, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn sharing_runs_every_token_once() {
    let (engine, log) = start(EngineConfig::default());
    let shared = "x".repeat(80);
    let (a, b) = (format!("{shared}ab"), format!("{shared}cde"));
    let asks = vec![
        replies(0, &a, &["1", "2"]),
        replies(0, &b, &["123", "456"]),
        replies(0, &a, &["78"]),
        first_token(0, &b, &[&["1"]]),
    ];
    engine.ask(vec![picture(0)], asks, CallOptions::default()).await.unwrap();
    // <|im_start|>user\n<|vision_start|>, 4 image tokens, <|vision_end|>; a token a byte.
    let prefix = 7 + 4 + 1;
    // <|im_end|>\n<|im_start|>assistant\n
    let around = 13;
    // The first prompt runs on with its one long reply, the second's two replies continue its cache.
    let expected = prefix + 80 + (2 + around + 1) + (3 + around) + 2 + 2;
    assert_eq!(log.tokens.load(Ordering::SeqCst), expected);
    assert_eq!(*log.runs.lock(), [1, 2, 2], "what is common, the prompts, the replies");
    assert_eq!(engine.stats().tokens as usize, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_token_reply_costs_no_run_of_its_own() {
    let (engine, log) = start(EngineConfig::default());
    let asks = vec![replies(0, "a or b?", &["a", "b"]), first_token(0, "a or b?", &[&["a"], &["b"]])];
    let (answered, _) = engine.ask(vec![picture(0)], asks, CallOptions::default()).await.unwrap();
    assert_eq!(*log.runs.lock(), [1], "the picture's prefix with the prompt");
    let [Answered::Replies(scores), Answered::FirstToken(p)] = answered.as_slice() else {
        panic!("an answer of another kind")
    };
    for (score, p) in scores.iter().zip(p) {
        assert!(close(score.log_likelihood.exp(), *p));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn budgets_and_batches_change_no_bit(
        batch_tokens in 1usize..200,
        working_bytes in 1usize..60_000,
        cache_bytes in prop_oneof![Just(0usize), 1usize..20_000],
        chosen in prop::collection::vec((0usize..3, 0usize..5, prop::collection::vec(0usize..6, 1..4), any::<bool>()), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let asks: Vec<Ask> = chosen
            .iter()
            .map(|(image, prompt, texts, first)| {
                let texts: Vec<&str> = texts.iter().map(|&t| TEXTS[t]).collect();
                if *first { first_token(*image, PROMPTS[*prompt], &[&texts]) } else { replies(*image, PROMPTS[*prompt], &texts) }
            })
            .collect();
        let images: Vec<_> = (0..3).map(picture).collect();
        let tight = EngineConfig { cache_bytes, batch_tokens, working_bytes, ..EngineConfig::default() };
        let (tight, wide) = (start(tight).0, start(EngineConfig::default()).0);
        runtime.block_on(async {
            let one = wide.ask(images.clone(), asks.clone(), CallOptions::default()).await.unwrap().0;
            // Each question as a request of its own, all at once.
            let many: Vec<_> = asks
                .iter()
                .map(|ask| {
                    let (engine, images, ask) = (tight.clone(), images.clone(), ask.clone());
                    tokio::spawn(async move { engine.ask(images, vec![ask], CallOptions::default()).await })
                })
                .collect();
            let together = tight.ask(images.clone(), asks.clone(), CallOptions::default()).await.unwrap().0;
            assert_eq!(one, together);
            for (at, answered) in many.into_iter().enumerate() {
                assert_eq!(answered.await.unwrap().unwrap().0, one[at..=at]);
            }
            check(&Scratch::new(), &images, &asks[0], &one[0]);
            assert!(tight.stats().cache_bytes <= cache_bytes);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embedding_and_answering_share_one_look() {
    let (engine, log) = start(EngineConfig::default());
    let images: Vec<_> = (0..3).map(picture).collect();
    engine.set_always_taps(vec![tap("vision.0")]).await.unwrap();
    let asks = (0..3).map(|at| first_token(at, "Is it?", &[&["yes"]])).collect();
    engine.ask(images.clone(), asks, CallOptions::default()).await.unwrap();
    let embed = |tap_name: &str, pooling| {
        engine.embed_images(images.clone(), tap(tap_name), pooling, CallOptions::default())
    };
    let (mean, _) = embed("vision.0", Pooling::Mean).await.unwrap();
    assert_eq!(log.images.load(Ordering::SeqCst), 3, "the vision pass of the answers served");
    let (last, _) = embed("vision.0", Pooling::Last).await.unwrap();
    let (merger, _) = embed("merger", Pooling::Mean).await.unwrap();
    assert_eq!(log.images.load(Ordering::SeqCst), 6, "another tap needs another pass");
    let scratch = Scratch::new();
    for (at, image) in images.iter().enumerate() {
        let pixels = scratch.0.preprocessor().preprocess(&image.picture).unwrap();
        let taps = [tap("vision.0"), tap("merger")];
        let expected = scratch.0.encode_images(&[&pixels], &taps).unwrap().remove(0);
        assert_eq!(mean[at], expected.taps[&taps[0]].mean);
        assert_eq!(last[at], expected.taps[&taps[0]].last);
        assert_eq!(merger[at], expected.taps[&taps[1]].mean);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_pool_over_the_whole_prompt() {
    let (engine, log) = start(EngineConfig { batch_tokens: 90, ..EngineConfig::default() });
    let names = ["vision.0", "merger", "language.embedding", "language.0", "language.1"];
    let taps: Vec<TapName> = names.iter().map(|n| tap(n)).collect();
    let pairs: Vec<_> = (0..9).map(|n| (picture(n % 3), PROMPTS[usize::from(n) % 4].to_string())).collect();
    let (pooled, _) =
        engine.embed_pairs(pairs.clone(), taps.clone(), CallOptions::background()).await.unwrap();
    assert_eq!(log.images.load(Ordering::SeqCst), 3);
    let scratch = Scratch::new();
    for ((image, text), pooled) in pairs.iter().zip(&pooled) {
        let mut expected = scratch.whole(Some(image), text, &[], LogitsAt::None, &taps).taps;
        let pixels = scratch.0.preprocessor().preprocess(&image.picture).unwrap();
        expected.extend(scratch.0.encode_images(&[&pixels], &taps).unwrap()[0].taps.clone());
        assert_eq!(pooled.len(), taps.len());
        for name in &taps {
            for (a, b) in pooled[name].mean.iter().zip(&expected[name].mean) {
                assert!((a - b).abs() < 1e-6, "{name}: {a} is not {b}");
            }
            assert_eq!(pooled[name].last, expected[name].last, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_equal_greedy_from_scratch_whatever_runs_beside() {
    let (engine, log) = start(EngineConfig { generations: 3, ..EngineConfig::default() });
    let scratch = Scratch::new();
    let first = occupied(&engine, &log).await;
    let mut running = Vec::new();
    for n in 0..6u8 {
        let image = (n != 4).then(|| picture(n % 3));
        let prompt = PROMPTS[usize::from(n) % 5];
        let request = generation(image.clone(), prompt, 5 + usize::from(n));
        let (engine, copy) = (engine.clone(), request.clone());
        let task = tokio::spawn(async move { engine.generate_text(copy, CallOptions::default()).await });
        running.push((image, prompt, request, task));
    }
    let asked = engine.ask(
        vec![picture(1)],
        vec![replies(0, PROMPTS[0], &["yes", "a red circle"])],
        CallOptions::default(),
    );
    let waiting = async {
        eventually(|| engine.waiting() >= 7).await;
        log.release();
    };
    let (first, asked, ()) = tokio::join!(first, asked, waiting);
    first.unwrap().unwrap();
    check(&scratch, &[picture(1)], &replies(0, PROMPTS[0], &["yes", "a red circle"]), &asked.unwrap().0[0]);
    for (image, prompt, request, task) in running {
        let (Generated { text, reason, prompt_tokens, completion_tokens, log_likelihood }, times) =
            task.await.unwrap().unwrap();
        let (tokens, sum, stopped) = scratch.greedy(image.as_ref(), prompt, request.max_tokens);
        assert_eq!(text, scratch.0.tokenizer().decode(&tokens).unwrap());
        assert_eq!(completion_tokens, tokens.len());
        assert_eq!(reason, if stopped { FinishReason::Stop } else { FinishReason::Length });
        assert!(close(log_likelihood, sum));
        let whole = scratch.whole(image.as_ref(), prompt, &[], LogitsAt::None, &[]);
        assert_eq!(prompt_tokens, whole.cache.unwrap().len);
        assert_eq!(times.prompt_tokens, prompt_tokens);
    }
    assert!(log.runs.lock().contains(&3), "generations decode together");
    eventually(|| engine.stats().generations == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sampling_follows_its_seed() {
    let (engine, _) = start(EngineConfig::default());
    let sample = |seed, temperature| {
        let mut request = generation(Some(picture(0)), "Say something.", 24);
        request.sampling = Sampling::TopP { temperature, top_p: 0.95, seed };
        let engine = engine.clone();
        async move { engine.generate_text(request, CallOptions::default()).await }
    };
    let one = sample(1, 1.5).await.unwrap().0;
    assert_eq!(one, sample(1, 1.5).await.unwrap().0);
    assert_ne!(one.text, sample(2, 1.5).await.unwrap().0.text);
    for bad in [0.0, f64::NAN, -1.0] {
        assert!(matches!(sample(1, bad).await, Err(EngineError::Unsupported(_))));
    }
    let none = engine.generate_text(generation(None, "x", 0), CallOptions::default()).await.unwrap().0;
    assert_eq!((none.text.as_str(), none.reason), ("", FinishReason::Length));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_pictures_than_a_part_come_back_in_order() {
    let (engine, _) = start(EngineConfig::default());
    let images: Vec<_> = (0..70).map(picture).collect();
    let asks: Vec<_> = (0..140).rev().map(|n| first_token(n % 70, "Is it?", &[&["y"]])).collect();
    let (answered, _) = engine.ask(images.clone(), asks.clone(), CallOptions::default()).await.unwrap();
    let scratch = Scratch::new();
    for at in [0, 1, 69, 70, 139] {
        check(&scratch, &images, &asks[at], &answered[at]);
    }
    let taps = vec![tap("merger")];
    let (pooled, _) =
        engine.embed_images_taps(images.clone(), taps.clone(), CallOptions::default()).await.unwrap();
    let (again, _) = engine.embed_images_taps(images, taps, CallOptions::default()).await.unwrap();
    assert_eq!(pooled.len(), 70);
    assert_eq!(pooled, again);
}

#[tokio::test(flavor = "multi_thread")]
async fn crops_are_pictures_of_their_own() {
    let (engine, _) = start(EngineConfig::default());
    let mut crop = picture(0);
    let area = reasonedit_imaging::PixelBox { x: 4, y: 0, width: 8, height: 16 };
    crop.key.area = Some(area);
    let asks: Vec<_> = (0..2).map(|at| first_token(at, "Is it?", &[&["y"]])).collect();
    let (answered, _) =
        engine.ask(vec![picture(0), crop.clone()], asks.clone(), CallOptions::default()).await.unwrap();
    let cut = reasonedit_imaging::crop(&crop.picture, area).unwrap();
    let alone = KeyedImage { key: crop.key, picture: Arc::new(cut) };
    check(&Scratch::new(), &[picture(0), alone], &asks[1], &answered[1]);
    crop.key.area = Some(reasonedit_imaging::PixelBox { x: 10, ..area });
    let outside = engine.ask(vec![crop], vec![asks[0].clone()], CallOptions::default()).await;
    assert!(matches!(outside, Err(EngineError::Image(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_before_the_picture_is_right_as_well() {
    let (models, log) = models(TEXT_FIRST);
    let engine = Engine::start(move || Ok(models), EngineConfig::default()).unwrap();
    let scratch = Scratch(Toy::new(TEXT_FIRST, Arc::default()));
    let images: Vec<_> = (0..2).map(picture).collect();
    let asks: Vec<_> = (0..8).map(|n| replies(n % 2, PROMPTS[n % 4], &["yes", "a red circle"])).collect();
    for _ in 0..2 {
        let (answered, _) = engine.ask(images.clone(), asks.clone(), CallOptions::default()).await.unwrap();
        for (ask, answered) in asks.iter().zip(&answered) {
            check(&scratch, &images, ask, answered);
        }
    }
    assert_eq!(log.images.load(Ordering::SeqCst), 2);
    let tap = tap("language.1");
    let pairs = vec![(picture(0), PROMPTS[0].into()), (picture(0), PROMPTS[1].into())];
    let (pooled, _) = engine.embed_pairs(pairs, vec![tap.clone()], CallOptions::default()).await.unwrap();
    for (prompt, pooled) in PROMPTS.iter().zip(&pooled) {
        let taps = [tap.clone()];
        let whole = scratch.whole(Some(&picture(0)), prompt, &[], LogitsAt::None, &taps).taps;
        assert_eq!(pooled[&tap].last, whole[&tap].last);
    }
}
