//! Conversations: turns before the question, several pictures, none.

use reasonedit_models::prompt::{ChatMessage, ContentPart, Role};

use super::super::request::{Answered, Conversation, FinishReason, GenerateEvent};
use super::*;
use crate::error::EngineError;

/// A turn; digits in the text stand for pictures.
fn turn(role: Role, text: &str) -> ChatMessage {
    let part = |c: char| if c.is_ascii_digit() { ContentPart::Image } else { ContentPart::Text(c.into()) };
    ChatMessage { role, content: text.chars().map(part).collect() }
}

fn conversation(turns: &[(Role, &str)]) -> Conversation {
    let digits = turns.iter().flat_map(|(_, text)| text.bytes()).filter(u8::is_ascii_digit);
    Conversation {
        images: digits.map(|digit| picture(digit - b'0')).collect(),
        messages: turns.iter().map(|(role, text)| turn(*role, text)).collect(),
        ..Conversation::default()
    }
}

/// Conversations whose beginnings have pictures, or texts, in common, but never all of both.
fn conversations() -> Vec<Conversation> {
    use Role::{Assistant, System, User};
    vec![
        conversation(&[(User, "0what?")]),
        conversation(&[(System, "brief"), (User, "0what?")]),
        conversation(&[(System, "other"), (User, "0what?")]),
        conversation(&[(User, "0what?"), (Assistant, "this"), (User, "why?")]),
        conversation(&[(User, "0what?"), (Assistant, "that"), (User, "why?")]),
        conversation(&[(User, "0"), (User, "1what?")]),
        conversation(&[(User, "1"), (User, "0what?")]),
        conversation(&[(User, "0first1second0third")]),
        conversation(&[(User, "0first1second2third")]),
        conversation(&[(User, "0a1second0third")]),
        conversation(&[(User, "hello"), (Assistant, "yes?"), (User, "what?")]),
        conversation(&[(User, "what?")]),
    ]
}

impl Scratch {
    /// Log-probabilities of the token that follows a conversation and the reply so far.
    fn after(&self, prompt: &Conversation, reply: &[u32]) -> Vec<f64> {
        let rendered = self.0.tokenizer().render_messages(&prompt.messages).unwrap();
        let features = |at: usize| {
            let pixels: PixelInput = self.0.preprocessor().preprocess(&prompt.images[at].picture)?;
            Ok::<_, ModelError>(self.0.encode_images(&[&pixels], &[])?.remove(0))
        };
        let mut pieces = rendered.prefix_pieces(features).unwrap();
        pieces.push(Piece::Tokens(rendered.suffix));
        pieces.push(Piece::Tokens(reply.to_vec()));
        let sequence = Sequence { past: None, pieces, logits: LogitsAt::Last, keep_cache: false };
        let logits = self.0.run(&[sequence], &[]).unwrap().remove(0).logits;
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = logits.iter().map(|x| f64::from((x - max).exp())).sum::<f64>().ln();
        logits.iter().map(|x| f64::from(*x) - f64::from(max) - total).collect()
    }

    fn likelihood(&self, prompt: &Conversation, reply: &str) -> f64 {
        let tokens = self.0.tokenizer().encode_reply(reply).unwrap();
        (0..tokens.len()).map(|at| self.after(prompt, &tokens[..at])[tokens[at] as usize]).sum()
    }

    fn best(&self, prompt: &Conversation, max_tokens: usize) -> (Vec<u32>, f64) {
        let (mut tokens, mut sum) = (Vec::new(), 0.0);
        while tokens.len() < max_tokens {
            let next = self.after(prompt, &tokens);
            let best = (0..next.len()).max_by(|&a, &b| next[a].total_cmp(&next[b]).then(b.cmp(&a))).unwrap();
            sum += next[best];
            if self.0.tokenizer().stop_tokens().contains(&(best as u32)) {
                break;
            }
            tokens.push(best as u32);
        }
        (tokens, sum)
    }
}

/// The service's exponentials are within 2·10⁻⁷ of those of the libraries.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 3e-7 * (1.0 + b.abs())
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_equal_running_them_whole_cached_or_not() {
    let scratch = Scratch::new();
    let expected: Vec<_> = conversations().iter().map(|prompt| scratch.best(prompt, 4)).collect();
    for config in [
        EngineConfig::default(),
        EngineConfig { cache_bytes: 0, ..EngineConfig::default() },
        EngineConfig { batch_tokens: 40, generations: 2, ..EngineConfig::default() },
    ] {
        let (engine, log) = start(config.clone());
        // All at once, then each from what was kept.
        let running: Vec<_> = conversations()
            .into_iter()
            .map(|prompt| {
                let engine = engine.clone();
                let request = GenerateRequest::greedy(prompt, 4);
                tokio::spawn(async move { engine.generate_text(request, CallOptions::default()).await })
            })
            .collect();
        let mut replies = Vec::new();
        for task in running {
            replies.push(task.await.unwrap().unwrap().0);
        }
        if config == EngineConfig::default() {
            assert_eq!(log.images.load(Ordering::SeqCst), 3, "each picture is looked at once");
        }
        for prompt in conversations() {
            let request = GenerateRequest::greedy(prompt, 4);
            replies.push(engine.generate_text(request, CallOptions::default()).await.unwrap().0);
        }
        for (reply, (tokens, sum)) in replies.iter().zip(expected.iter().chain(&expected)) {
            assert_eq!(reply.text, scratch.0.tokenizer().decode(tokens).unwrap());
            assert!(close(reply.log_likelihood, *sum), "{reply:?} is not {sum}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_to_conversations_are_scored() {
    let (engine, _) = start(EngineConfig::default());
    let scratch = Scratch::new();
    let texts = ["yes", "n", "a red circle"];
    let want = Want::Replies(texts.map(str::to_owned).to_vec());
    let asks: Vec<_> = conversations().into_iter().map(|prompt| (prompt, want.clone())).collect();
    for _ in 0..2 {
        let (answers, times) = engine.ask_conversations(asks.clone(), CallOptions::default()).await.unwrap();
        assert!(times.prompt_tokens > 0);
        for ((prompt, _), answer) in asks.iter().zip(&answers) {
            let Answered::Replies(scores) = answer else { panic!("an answer of another kind") };
            for (text, score) in texts.iter().zip(scores) {
                assert!(
                    close(score.log_likelihood, scratch.likelihood(prompt, text)),
                    "{text} to {prompt:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_places_for_them_agree() {
    let (engine, _) = start(EngineConfig::default());
    for images in [vec![], vec![picture(0); 2]] {
        let prompt = Conversation { images, ..conversation(&[(Role::User, "0x")]) };
        let refused = engine.generate_text(GenerateRequest::greedy(prompt, 4), CallOptions::default()).await;
        assert!(matches!(refused, Err(EngineError::Image(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_told_one_by_one_beside_what_was_probable() {
    let (engine, _) = start(EngineConfig::default());
    let prompt = conversation(&[(Role::User, "0what?")]);
    for alternatives in [None, Some(0), Some(3)] {
        let request = GenerateRequest { alternatives, ..GenerateRequest::greedy(prompt.clone(), 24) };
        let mut stream = engine.generate(request, CallOptions::default()).await.unwrap();
        let (mut told, mut count) = (Vec::new(), 0);
        let (tokens, sum, reason) = loop {
            match stream.next().await.unwrap().unwrap() {
                GenerateEvent::Text { tokens, choices, log_likelihood, .. } => {
                    assert_eq!(choices.len(), if alternatives.is_some() { tokens } else { 0 });
                    let sum: f64 = choices.iter().map(|choice| choice.chosen.log_probability).sum();
                    assert!(choices.is_empty() || close(sum, log_likelihood));
                    count += tokens;
                    told.extend(choices);
                    assert!(stream.times().prompt_tokens > 0, "known from the first text on");
                }
                GenerateEvent::Done { completion_tokens, log_likelihood, reason, .. } => {
                    break (completion_tokens, log_likelihood, reason);
                }
            }
        };
        assert_eq!(count, tokens);
        assert!(sum < 0.0);
        let Some(wanted) = alternatives else { continue };
        assert_eq!(told.len(), tokens);
        if reason == FinishReason::Length {
            assert!(close(told.iter().map(|choice| choice.chosen.log_probability).sum(), sum));
        }
        for choice in &told {
            assert_eq!(choice.alternatives.len(), wanted);
            assert!(choice.alternatives.first().is_none_or(|best| *best == choice.chosen), "{choice:?}");
            assert!(choice.alternatives.is_sorted_by(|a, b| a.log_probability >= b.log_probability));
            assert!(!choice.chosen.text.is_empty());
        }
    }
}
