//! Queueing, priorities, deadlines, failures.

use std::time::Instant;

use reasonedit_models::ModelError;
use reasonedit_nn::taps::Pooling;

use super::super::request::{Flow, GenerateEvent, Priority};
use super::super::toy::{FAIL, MAX_POSITIONS, NAN, PANIC, tap};
use super::*;
use crate::error::EngineError;

const NOW: CallOptions = CallOptions { priority: Priority::Interactive, deadline: None, flow: Flow(0) };

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_an_error_with_a_time() {
    let (engine, log) = start(EngineConfig { queue_capacity: 2, ..EngineConfig::default() });
    let first = occupied(&engine, &log).await;
    let (a, b) = (sentence(&engine, "a", NOW), sentence(&engine, "bb", NOW));
    eventually(|| engine.stats().queue_depth == 2).await;
    let refused = engine.embed_sentences(vec!["ccc".into()], NOW).await;
    let Err(EngineError::QueueFull { retry_after }) = refused else { panic!("{refused:?}") };
    assert!(!retry_after.is_zero());
    // Also before a picture is preprocessed for nothing.
    let refused = engine.embed_images(vec![picture(0)], tap("merger"), Pooling::Mean, NOW).await;
    assert!(matches!(refused, Err(EngineError::QueueFull { .. })));
    assert_eq!(log.preprocessed.load(Ordering::SeqCst), 0);
    // A caller who leaves makes room.
    a.abort();
    eventually(|| a.is_finished()).await;
    let c = sentence(&engine, "cccc", NOW);
    eventually(|| engine.stats().skipped == 1).await;
    log.release();
    assert_eq!(first.await.unwrap().unwrap(), 8.0);
    assert_eq!(b.await.unwrap().unwrap(), 2.0);
    assert_eq!(c.await.unwrap().unwrap(), 4.0);
    let stats = engine.stats();
    assert_eq!((stats.answered, stats.refused, stats.queue_depth), (3, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_gone_or_is_late_costs_nothing() {
    let (engine, log) = start(EngineConfig::default());
    let first = occupied(&engine, &log).await;
    let gone = {
        let engine = engine.clone();
        let asks = vec![replies(0, "What?", &["this", "that"])];
        tokio::spawn(async move { engine.ask(vec![picture(0)], asks, NOW).await.map(|_| ()) })
    };
    let late = CallOptions { deadline: Some(Instant::now() + Duration::from_secs(1)), ..NOW };
    let late = sentence(&engine, "late", late);
    let mut dropped = engine.generate(generation(Some(picture(1)), "Go on", 50), NOW).await.unwrap();
    let stream_late = CallOptions { deadline: Some(Instant::now() + Duration::from_secs(1)), ..NOW };
    let mut stream_late = engine.generate(generation(None, "Go on", 50), stream_late).await.unwrap();
    assert!(matches!(late.await.unwrap(), Err(EngineError::DeadlineExceeded)));
    assert!(matches!(stream_late.next().await, Some(Err(EngineError::DeadlineExceeded))));
    assert!(stream_late.next().await.is_none());
    eventually(|| engine.waiting() >= 3).await;
    gone.abort();
    let _ = gone.await;
    assert!(
        tokio::time::timeout(Duration::from_millis(5), dropped.next()).await.is_err(),
        "it waits its turn"
    );
    drop(dropped);
    log.release();
    first.await.unwrap().unwrap();
    eventually(|| engine.stats().skipped == 4).await;
    assert_eq!(log.images.load(Ordering::SeqCst), 0);
    assert_eq!(log.tokens.load(Ordering::SeqCst), 0);
    assert_eq!(log.sentences.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_taken_together_and_urgent_first() {
    let (engine, log) = start(EngineConfig::default());
    let first = occupied(&engine, &log).await;
    let background: Vec<_> = (0..3).map(|_| sentence(&engine, "later", CallOptions::background())).collect();
    eventually(|| engine.waiting() == 3).await;
    let urgent: Vec<_> = (0..4)
        .map(|n| {
            let (engine, ask) = (engine.clone(), first_token(0, "Is it?", &[&["yes"]]));
            tokio::spawn(async move { engine.ask(vec![picture(n)], vec![ask], NOW).await })
        })
        .collect();
    eventually(|| engine.waiting() == 7).await;
    let before = engine.stats().batches;
    log.release();
    first.await.unwrap().unwrap();
    for task in urgent {
        task.await.unwrap().unwrap();
    }
    for task in background {
        task.await.unwrap().unwrap();
    }
    assert_eq!(*log.runs.lock(), [4], "one batch");
    assert_eq!(engine.stats().batches - before, 3, "the first, the questions, the sentences");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_background_request_lets_urgent_ones_through() {
    let (engine, log) = start(EngineConfig { batch_tokens: 8, ..EngineConfig::default() });
    let first = occupied(&engine, &log).await;
    let large = {
        let engine = engine.clone();
        let texts: Vec<String> = (0..50).map(|n| format!("sentence {n:>8}")).collect();
        tokio::spawn(async move { engine.embed_sentences(texts, CallOptions::background()).await })
    };
    eventually(|| engine.waiting() == 1).await;
    // The urgent one comes while the large one is held in its first part, and is next.
    log.admit(1);
    first.await.unwrap().unwrap();
    eventually(|| log.waiting()).await;
    let urgent = sentence(&engine, "urgent", NOW);
    eventually(|| engine.waiting() == 1).await;
    log.admit(2);
    assert_eq!(urgent.await.unwrap().unwrap(), 6.0);
    eventually(|| log.waiting()).await;
    assert!(!large.is_finished());
    log.release();
    let (vectors, _) = large.await.unwrap().unwrap();
    assert_eq!(vectors.len(), 50);
    assert!(vectors.iter().all(|v| v[0] == 17.0));
    // 50 sentences of about 6 tokens each, one at a time, and the two others.
    assert_eq!(engine.stats().batches, 52);
}

#[tokio::test(flavor = "multi_thread")]
async fn background_work_does_not_starve() {
    let (engine, log) = start(EngineConfig { batch_tokens: 1, ..EngineConfig::default() });
    let first = occupied(&engine, &log).await;
    let background = sentence(&engine, "background", CallOptions::background());
    eventually(|| engine.waiting() == 1).await;
    let texts: Vec<String> = (0..200).map(|n| format!("{n}")).collect();
    let urgent = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.embed_sentences(texts, NOW).await })
    };
    eventually(|| engine.waiting() == 2).await;
    // The first, sixteen urgent ones, the background one.
    log.admit(18);
    background.await.unwrap().unwrap();
    eventually(|| log.waiting()).await;
    assert!(!urgent.is_finished());
    log.release();
    first.await.unwrap().unwrap();
    urgent.await.unwrap().unwrap();
    assert_eq!(engine.stats().answered, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_request_fails_alone() {
    let (engine, log) = start(EngineConfig::default());
    let first = occupied(&engine, &log).await;
    let ask = |prompt: String| {
        let (engine, ask) = (engine.clone(), replies(0, &prompt, &["yes", "no way"]));
        tokio::spawn(async move { engine.ask(vec![picture(0)], vec![ask], NOW).await.map(|(a, _)| a) })
    };
    let good = ask("good".into());
    let bad: Vec<_> = [PANIC, FAIL, NAN].map(|c| ask(format!("bad {c}"))).into_iter().collect();
    let other = ask("also good".into());
    let sentences = [sentence(&engine, "fine", NOW), sentence(&engine, &FAIL.to_string(), NOW)];
    let generate = |prompt: String| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.generate_text(generation(None, &prompt, 4), NOW).await })
    };
    let (fine, broken) = (generate("fine".into()), generate(format!("broken {PANIC}")));
    eventually(|| engine.waiting() == 9).await;
    log.release();
    first.await.unwrap().unwrap();
    let errors: Vec<_> = futures_in_order(bad).await;
    assert!(matches!(&errors[0], Err(EngineError::Panicked(said)) if said.contains("told to panic")));
    assert!(matches!(&errors[1], Err(EngineError::Unsupported(_))));
    assert!(matches!(&errors[2], Err(EngineError::Device(_))), "NaN is not answered");
    let alone =
        engine.ask(vec![picture(0)], vec![replies(0, "good", &["yes", "no way"])], NOW).await.unwrap();
    assert_eq!(good.await.unwrap().unwrap(), alone.0);
    other.await.unwrap().unwrap();
    let [fine_sentence, bad_sentence] = sentences;
    assert_eq!(fine_sentence.await.unwrap().unwrap(), 4.0);
    assert!(bad_sentence.await.unwrap().is_err());
    let (tokens, ..) = Scratch::new().greedy(None, "fine", 4);
    assert_eq!(fine.await.unwrap().unwrap().0.completion_tokens, tokens.len());
    assert!(matches!(broken.await.unwrap(), Err(EngineError::Panicked(_))));
    eventually(|| engine.stats().generations == 0).await;
    let stats = engine.stats();
    assert_eq!(stats.failed, 5);
    assert!(stats.panics >= 2);
}

async fn futures_in_order<T>(tasks: Vec<tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_is_refused() {
    let (engine, log) = start(EngineConfig::default());
    let long = "x".repeat(MAX_POSITIONS);
    let limit = MAX_POSITIONS;
    let is_refused = |e: &EngineError| matches!(e, EngineError::TooLong { limit: l, tokens } if *l == limit && *tokens > limit);
    let asked = engine.ask(vec![picture(0)], vec![replies(0, &long, &["a"])], NOW).await;
    assert!(is_refused(&asked.unwrap_err()));
    assert_eq!(log.tokens.load(Ordering::SeqCst), 0, "before any work");
    // Long only together with the picture, or with the reply.
    let nearly = "x".repeat(MAX_POSITIONS - 20);
    let asked = engine.ask(vec![picture(0)], vec![replies(0, &nearly, &["a"])], NOW).await;
    assert!(is_refused(&asked.unwrap_err()));
    let asked =
        engine.ask(vec![picture(0)], vec![replies(0, &"x".repeat(500), &[&"y".repeat(90)])], NOW).await;
    assert!(is_refused(&asked.unwrap_err()));
    let pair = engine.embed_pairs(vec![(picture(0), nearly.clone())], vec![tap("language.0")], NOW).await;
    assert!(is_refused(&pair.unwrap_err()));
    let generated = engine.generate_text(generation(Some(picture(0)), &nearly, 5), NOW).await;
    assert!(is_refused(&generated.unwrap_err()));
    // A generation that grows to the limit ends there.
    let prompt = "x".repeat(MAX_POSITIONS - 40);
    let grown = engine.generate_text(generation(None, &prompt, 1000), NOW).await.unwrap().0;
    assert!(grown.prompt_tokens + grown.completion_tokens <= MAX_POSITIONS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_stops_its_generation() {
    let (engine, log) = start(EngineConfig::default());
    log.hold();
    let mut stream = engine.generate(generation(None, "Go on", 100), NOW).await.unwrap();
    log.admit(1);
    let Some(Ok(GenerateEvent::Text { .. })) = stream.next().await else { panic!("no text") };
    eventually(|| log.waiting()).await;
    let prompt = log.tokens.load(Ordering::SeqCst);
    drop(stream);
    log.release();
    eventually(|| engine.stats().generations == 0).await;
    assert_eq!(log.tokens.load(Ordering::SeqCst), prompt + 1, "the step under way, no more");

    log.hold();
    let late = CallOptions { deadline: Some(Instant::now() + Duration::from_millis(50)), ..NOW };
    let result = engine.generate_text(generation(Some(picture(0)), "Go on", 100), late).await;
    assert!(matches!(result, Err(EngineError::DeadlineExceeded)), "{result:?}");
    log.release();
    eventually(|| engine.stats().generations == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_generation_lets_others_through() {
    let (engine, log) = start(EngineConfig::default());
    log.hold();
    let mut stream = engine.generate(generation(None, "Go on", 300), NOW).await.unwrap();
    log.admit(1);
    assert!(matches!(stream.next().await, Some(Ok(GenerateEvent::Text { .. }))));
    eventually(|| log.waiting()).await;
    let ask = {
        let (engine, ask) = (engine.clone(), first_token(0, "Is it?", &[&["yes"]]));
        tokio::spawn(async move { engine.ask(vec![picture(0)], vec![ask], NOW).await })
    };
    eventually(|| engine.waiting() == 1).await;
    // The step under way, then the question: its picture, its prompt.
    log.admit(3);
    ask.await.unwrap().unwrap();
    log.release();
    let mut ends = 0;
    while let Some(event) = stream.next().await {
        ends += usize::from(matches!(event.unwrap(), GenerateEvent::Done { .. }));
    }
    assert_eq!(ends, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_answers_what_it_has() {
    let (engine, log) = start(EngineConfig::default());
    let first = occupied(&engine, &log).await;
    let waiting = sentence(&engine, "waiting", NOW);
    let mut stream = engine.generate(generation(None, "Go on", 3), NOW).await.unwrap();
    eventually(|| engine.waiting() == 2).await;
    let ending = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.shutdown().await })
    };
    eventually(|| engine.refuses()).await;
    assert!(matches!(engine.embed_sentences(vec!["new".into()], NOW).await, Err(EngineError::Closed)));
    log.release();
    ending.await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 7.0);
    let mut done = false;
    while let Some(event) = stream.next().await {
        done |= matches!(event.unwrap(), GenerateEvent::Done { .. });
    }
    assert!(done);
    assert!(!engine.ready());
    assert!(matches!(engine.wait_ready().await, Err(EngineError::Closed)));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_every_handle_ends_the_thread() {
    let (models, log) = models(PICTURE_FIRST);
    let engine = Engine::start(move || Ok(models), EngineConfig::default()).unwrap();
    engine.wait_ready().await.unwrap();
    drop(engine.clone());
    assert!(engine.ready());
    drop(engine);
    // The models, and with them their references to the log, go with the thread.
    eventually(|| Arc::strong_count(&log) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loading_is_observable_and_its_failure_told() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (models, _) = models(PICTURE_FIRST);
    let load = move || {
        wait.recv().unwrap();
        Ok(models)
    };
    let engine = Engine::start(load, EngineConfig::default()).unwrap();
    assert!(!engine.ready());
    let early = sentence(&engine, "early", NOW);
    let late = CallOptions { deadline: Some(Instant::now() + Duration::from_millis(2)), ..NOW };
    assert!(matches!(engine.embed_sentences(vec![], late).await, Err(EngineError::DeadlineExceeded)));
    go.send(()).unwrap();
    assert_eq!(early.await.unwrap().unwrap(), 5.0);
    assert!(engine.ready());
    assert_eq!(engine.info().await.unwrap().architecture, "toy");
    assert_eq!(engine.sentence_info().await.unwrap().width, 2);

    for panics in [false, true] {
        let load = move || {
            assert!(!panics, "loading panicked");
            Err(EngineError::load("model.safetensors", "it is cut off; download it again"))
        };
        let engine = Engine::start(load, EngineConfig::default()).unwrap();
        let first = engine.wait_ready().await.unwrap_err();
        assert_eq!(matches!(first, EngineError::Panicked(_)), panics);
        let second = engine.info().await.unwrap_err().to_string();
        assert!(second.contains(&first.to_string()), "{second}");
        assert!(engine.embed_sentences(vec!["x".into()], NOW).await.is_err());
        engine.shutdown().await;
    }
    let wrong = EngineConfig { batch_tokens: 0, ..EngineConfig::default() };
    let error = Engine::start(|| Err(EngineError::Closed), wrong).unwrap_err();
    assert!(error.to_string().contains("batch_tokens"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_refused() {
    let (engine, _) = start(EngineConfig::default());
    let images = || vec![picture(0)];
    let unknown = engine.embed_images(images(), tap("vision.99"), Pooling::Mean, NOW).await.unwrap_err();
    assert!(unknown.to_string().contains("vision.99"));
    let language = engine.embed_images(images(), tap("language.0"), Pooling::Mean, NOW).await.unwrap_err();
    assert!(language.to_string().contains("pairs"));
    assert!(engine.set_always_taps(vec![tap("language.0")]).await.is_err());
    let absent = engine.ask(images(), vec![replies(1, "?", &["a"])], NOW).await;
    assert!(matches!(absent, Err(EngineError::Image(_))));
    assert!(engine.ask(images(), Vec::new(), NOW).await.unwrap().0.is_empty());
    assert!(engine.embed_pairs(Vec::new(), vec![tap("language.0")], NOW).await.unwrap().0.is_empty());
    assert!(engine.embed_sentences(Vec::new(), NOW).await.unwrap().0.is_empty());
}

const fn shareable<T: Clone + Send + Sync + 'static>() {}
const _: () = shareable::<EngineHandle>();

#[tokio::test(flavor = "multi_thread")]
async fn a_model_call_has_the_model_and_fails_alone() {
    let (engine, log) = start(EngineConfig::default());
    let first = occupied(&engine, &log).await;
    let ask = |what: &'static str| {
        let engine = engine.clone();
        let call = move |model: &dyn VisionLanguageModel| match what {
            "panics" => panic!("it does"),
            "fails" => Err(ModelError::shape("it does")),
            _ => Ok(model.info().vocabulary),
        };
        tokio::spawn(async move { engine.call_model(1, call, NOW).await.map(|(vocabulary, _)| vocabulary) })
    };
    let (fine, fails, panics) = (ask("is fine"), ask("fails"), ask("panics"));
    eventually(|| engine.waiting() == 3).await;
    log.release();
    first.await.unwrap().unwrap();
    assert_eq!(fine.await.unwrap().unwrap(), engine.info().await.unwrap().vocabulary);
    assert!(matches!(fails.await.unwrap(), Err(EngineError::Shape(_))));
    assert!(matches!(panics.await.unwrap(), Err(EngineError::Panicked(_))));
    assert_eq!(sentence(&engine, "after", NOW).await.unwrap().unwrap(), 5.0);
}

/// Options of a caller of this number.
fn of(flow: u64) -> CallOptions {
    CallOptions { flow: Flow(flow), ..NOW }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_much_waits_for_who_asks_little() {
    let (engine, log) = start(EngineConfig { batch_tokens: 1, ..EngineConfig::default() });
    let first = occupied(&engine, &log).await;
    let greedy: Vec<_> = (0..20).map(|_| sentence(&engine, "greedy", of(1))).collect();
    eventually(|| engine.waiting() == 20).await;
    let quiet: Vec<_> = (0..2).map(|_| sentence(&engine, "quiet!", of(2))).collect();
    eventually(|| engine.waiting() == 22).await;
    // The one that is held, and two turns each: the quiet ones are answered, two of the greedy ones at most.
    log.admit(5);
    for answer in quiet {
        answer.await.unwrap().unwrap();
    }
    eventually(|| log.waiting()).await;
    assert!(engine.waiting() >= 17, "{} greedy ones wait", engine.waiting());
    log.release();
    first.await.unwrap().unwrap();
    for answer in greedy {
        answer.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_one_of_work_and_not_of_requests() {
    let (engine, log) = start(EngineConfig { batch_tokens: 8, ..EngineConfig::default() });
    let first = occupied(&engine, &log).await;
    // Sixty sentences of about six tokens each, in one request.
    let large = {
        let engine = engine.clone();
        let texts: Vec<String> = (0..60).map(|n| format!("sentence {n:>8}")).collect();
        tokio::spawn(async move { engine.embed_sentences(texts, of(1)).await })
    };
    eventually(|| engine.waiting() == 1).await;
    let small: Vec<_> = (0..10).map(|_| sentence(&engine, "sentence 01234567", of(2))).collect();
    eventually(|| engine.waiting() == 11).await;
    log.admit(1 + 21);
    for answer in small {
        answer.await.unwrap().unwrap();
    }
    assert!(!large.is_finished());
    log.release();
    first.await.unwrap().unwrap();
    assert_eq!(large.await.unwrap().unwrap().0.len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_replies_of_one_caller_leave_places_to_others() {
    let (engine, log) =
        start(EngineConfig { generations: 4, shared_batch_tokens: 4096, ..EngineConfig::default() });
    let first = occupied(&engine, &log).await;
    let mut greedy = Vec::new();
    for _ in 0..8 {
        greedy.push(engine.generate(generation(None, "Go on", 400), of(1)).await.unwrap());
    }
    eventually(|| engine.waiting() == 8).await;
    // The one that is held, and the greedy ones' prompts.
    log.admit(2);
    first.await.unwrap().unwrap();
    eventually(|| engine.stats().generations == 3).await;
    let mut quiet = engine.generate(generation(None, "Go on", 1), of(2)).await.unwrap();
    eventually(|| engine.waiting() == 6).await;
    // Their next token, and the prompt.
    log.admit(2);
    assert!(quiet.next().await.is_some_and(|event| event.is_ok()));
    assert_eq!(engine.waiting(), 5, "none of the greedy ones has ended");
    log.release();
    drop(greedy);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_short_while_several_callers_ask() {
    let (engine, log) = start(EngineConfig { shared_batch_tokens: 8, ..EngineConfig::default() });
    for (others, batches) in [(0, 2), (1, 12)] {
        let first = occupied(&engine, &log).await;
        // About six tokens each.
        let mut many: Vec<_> = (0..10).map(|_| sentence(&engine, "sentence 01234567", NOW)).collect();
        many.extend((0..others).map(|_| sentence(&engine, "sentence 01234567", of(2))));
        eventually(|| engine.waiting() == 10 + others).await;
        let before = engine.stats().batches;
        log.release();
        first.await.unwrap().unwrap();
        for answer in many {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(engine.stats().batches - before, batches, "{others} others");
    }
}
