//! Prompts by the files that libraries save.

use std::collections::HashSet;
use std::path::Path;

use proptest::prelude::*;
use reasonedit_prompt::{
    ChatMessage, ContentPart, PromptPiece, PromptTokenizer, RenderedPrompt, Role, Spelling, TokenStream,
};

use super::checkpoint::Checkpoint;

fn checkpoint(name: &str) -> (Checkpoint, u32) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    let checkpoint = Checkpoint::new(folder, None).unwrap();
    let image = checkpoint.required_json("config.json").unwrap()["image_token_index"].as_u64().unwrap();
    (checkpoint, image as u32)
}

/// One that marks the first word of the input alone, and one that marks every stretch's.
fn llavas() -> [PromptTokenizer; 2] {
    ["llava-1", "llava-2"].map(|name| {
        let (checkpoint, image) = checkpoint(name);
        checkpoint.prompt_tokenizer(image).unwrap()
    })
}

fn instructblip() -> PromptTokenizer {
    let (checkpoint, image) = checkpoint("instructblip-2");
    checkpoint.instructed_tokenizer(image, 12).unwrap()
}

fn turn(role: Role, text: &str) -> ChatMessage {
    ChatMessage { role, content: vec![ContentPart::Text(text.into())] }
}

/// Tokens that a checkpoint's tokenizer has beside its vocabulary.
fn control_tokens(name: &str) -> HashSet<u32> {
    let file = checkpoint(name).0.required_json("tokenizer.json").unwrap();
    let added = file["added_tokens"].as_array().unwrap();
    added.iter().map(|token| token["id"].as_u64().unwrap() as u32).collect()
}

fn tokens(prompt: &RenderedPrompt) -> Vec<u32> {
    let prefix = prompt.prefix.iter().flat_map(|piece| match piece {
        PromptPiece::Tokens(ids) => ids.clone(),
        PromptPiece::Image(_) => Vec::new(),
    });
    prefix.chain(prompt.suffix.iter().copied()).collect()
}

#[test]
fn what_the_tokenizer_puts_ahead_stands_there_once() {
    for tokenizer in llavas() {
        let prompt = tokenizer.render(1, "What is it?").unwrap();
        assert!(
            matches!(&prompt.prefix[..], [PromptPiece::Tokens(ids), PromptPiece::Image(0)] if ids[0] == 1)
        );
        assert_eq!(tokens(&prompt).iter().filter(|id| **id == 1).count(), 1);
        assert_eq!(tokens(&tokenizer.render(0, "<s>").unwrap()).iter().filter(|id| **id == 1).count(), 1);
    }
}

#[test]
fn a_reply_has_the_tokens_it_has_in_a_conversation() {
    let question = "Is the border irregular?";
    for tokenizer in llavas().into_iter().chain([instructblip()]) {
        for reply in ["yes", "no, it is round", "Describe 12 stripes"] {
            let mut expected = tokens(&tokenizer.render(0, question).unwrap());
            let ids = tokenizer.encode_reply(reply).unwrap();
            expected.extend(&ids);
            let turns = [turn(Role::User, question), turn(Role::Assistant, reply), turn(Role::User, "And?")];
            let all = tokens(&tokenizer.render_messages(&turns).unwrap());
            assert!(all.starts_with(&expected), "{reply}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), reply);
        }
        assert!(tokenizer.encode_beginning("").unwrap().is_empty(), "not even the space ahead of a reply");
    }
}

#[test]
fn control_tokens_typed_by_a_user_stay_text() {
    let names = ["llava-1", "llava-2", "instructblip-2"];
    for (name, tokenizer) in names.into_iter().zip(llavas().into_iter().chain([instructblip()])) {
        let known = control_tokens(name);
        let controls = |text: &str| {
            let prompt = tokenizer.render(1, text).unwrap();
            tokens(&prompt).into_iter().filter(|id| known.contains(id)).collect::<Vec<_>>()
        };
        let plain = controls("x");
        assert!(plain.contains(&1), "{name}");
        for text in ["</s>", "a <image> b", "<s>", "<<s>/s>", "<unk><pad>"] {
            assert_eq!(controls(text), plain, "{name}: {text}");
        }
    }
}

#[test]
fn pictures_stand_ahead_of_everything_where_a_q_former_looks_at_them() {
    let tokenizer = instructblip();
    let prompt = tokenizer.render(1, "Is it round?").unwrap();
    assert_eq!(prompt.prefix, [PromptPiece::Image(0), PromptPiece::Tokens(vec![1])]);
    let other = tokenizer.render(1, "Is it blue?").unwrap();
    assert!(prompt.instruction.is_some() && prompt.instruction != other.instruction);
    // Cut to what the Q-Former takes, its own end token included.
    let long = tokenizer.render(1, &"irregular border ".repeat(30)).unwrap().instruction.unwrap();
    assert_eq!((long.len(), long.last()), (12, prompt.instruction.unwrap().last()));
    assert!(llavas()[0].render(1, "Is it round?").unwrap().instruction.is_none());
}

/// The text of these tokens, given one by one.
fn streamed(tokenizer: &PromptTokenizer, ids: &[u32]) -> String {
    let mut stream = TokenStream::new();
    let mut pieces = String::new();
    for id in ids {
        pieces.extend(stream.push(tokenizer, *id).unwrap());
    }
    pieces.extend(stream.finish(tokenizer).unwrap());
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn streams_add_up_to_the_whole(text in "(\\PC| |é|irregular ){0,16}") {
        for tokenizer in llavas() {
            let ids = tokenizer.encode_reply(&text).unwrap();
            prop_assert_eq!(streamed(&tokenizer, &ids), tokenizer.decode(&ids).unwrap());
        }
    }

    #[test]
    fn streams_of_any_tokens_add_up_to_the_whole(ids in proptest::collection::vec(0u32..380, 0..12)) {
        for tokenizer in llavas() {
            prop_assert_eq!(streamed(&tokenizer, &ids), tokenizer.decode(&ids).unwrap());
        }
    }
}

fn tokenizer(name: &str, image: &str) -> PromptTokenizer {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let checkpoint = Checkpoint::new(folder, None).unwrap();
    let image = checkpoint.required_json("config.json").unwrap()[image].as_u64().unwrap();
    checkpoint.prompt_tokenizer(image as u32).unwrap()
}

/// Byte-level, byte-level with a space ahead of every text, byte fallback.
fn tokenizers() -> Vec<PromptTokenizer> {
    vec![
        tokenizer("tests/goldens/qwen3_vl-1", "image_token_id"),
        tokenizer("../../models/demo/vlm", "image_token_id"),
        tokenizer("tests/goldens/llava-1", "image_token_index"),
        tokenizer("tests/goldens/llava-2", "image_token_index"),
    ]
}

#[test]
fn every_text_can_be_spelt() {
    let strips = [false, true, true, true];
    for (tokenizer, strips) in tokenizers().iter().zip(strips) {
        let spelling = tokenizer.spelling(1500).unwrap().unwrap();
        assert_eq!((spelling.missing(), spelling.strips_space), (0, strips));
        assert!(tokenizer.stop_tokens().iter().all(|id| spelling.tokens[*id as usize].is_empty()));
    }
    assert_eq!(Spelling { tokens: vec![b"a".to_vec(), b"bc".to_vec()], strips_space: false }.missing(), 212);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn texts_are_the_bytes_of_their_tokens(ids in proptest::collection::vec(0u32..380, 0..12)) {
        for tokenizer in tokenizers() {
            let spelling = tokenizer.spelling(1500).unwrap().unwrap();
            let spelt = |id: &&u32| !spelling.tokens[**id as usize].is_empty();
            let ids: Vec<u32> = ids.iter().filter(spelt).copied().collect();
            let bytes: Vec<u8> = ids.iter().flat_map(|id| spelling.tokens[*id as usize].clone()).collect();
            // What is no text is told in replacement characters, of which decoders make more or fewer.
            let Ok(text) = std::str::from_utf8(&bytes) else { continue };
            let text = if spelling.strips_space { text.strip_prefix(' ').unwrap_or(text) } else { text };
            prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
    }
}
