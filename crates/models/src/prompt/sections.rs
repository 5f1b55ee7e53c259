//! What tokenizers in SentencePiece's manner do at the beginning of a text: `<s>` ahead of it, a mark for the
//! space before its first word.

use serde_json::Value;
use tokenizers::{PreTokenizerWrapper, Tokenizer};

use super::control::Segment;
use crate::error::{ModelError, Result};

/// A conversation as the template renders it, cut at control tokens.
#[derive(Debug)]
pub(super) struct Rendered {
    /// Pictures of the conversation.
    pub(super) images: usize,
    /// Its stretches, control tokens that the tokenizer puts ahead included.
    pub(super) segments: Vec<Segment>,
    /// The segment that stands at the very beginning of the rendered text, if that is ordinary text.
    pub(super) first: Option<usize>,
}

/// What the tokenizer puts ahead of a text.
#[derive(Debug)]
pub(super) struct Leading {
    /// Control tokens.
    pub(super) ids: Vec<u32>,
    /// The placeholder of pictures that stand ahead of even that, if they do.
    pub(super) behind: Option<u32>,
}

impl Rendered {
    /// Puts `leading` ahead, unless the template begins with them already: as the processors of transformers
    /// do it.
    pub(super) fn new(images: usize, mut segments: Vec<Segment>, leading: &Leading) -> Self {
        let pictures =
            |segment: &&Segment| matches!(segment, Segment::Control(id) if Some(*id) == leading.behind);
        let at = segments.iter().take_while(pictures).count();
        let begins_with_text = matches!(segments.get(at), Some(Segment::Text(_)));
        let mut at_start = segments.iter().map_while(|segment| match segment {
            Segment::Control(id) => Some(*id),
            Segment::Text(_) => None,
        });
        let given = at_start.any(|id| leading.ids.contains(&id));
        let added: &[u32] = if given { &[] } else { &leading.ids };
        segments.splice(at..at, added.iter().map(|id| Segment::Control(*id)));
        Self { images, segments, first: begins_with_text.then_some(at + added.len()) }
    }

    /// The text at the end; empty if a control token stands there.
    pub(super) fn last_text(&self) -> &str {
        match self.segments.last() {
            Some(Segment::Text(text)) => text,
            _ => "",
        }
    }

    /// The spaces that stand between the end of this prompt and `reply` in `answered`, the same conversation
    /// with the reply in it. Nothing where something else stands there: that belongs to the reply.
    pub(super) fn space_before(&self, reply: &str, answered: &Self) -> String {
        let (common, end) = match self.segments.split_last() {
            Some((Segment::Text(end), common)) => (common, end.as_str()),
            _ => (self.segments.as_slice(), ""),
        };
        let next = match answered.segments.get(common.len()) {
            Some(Segment::Text(text)) if answered.segments.starts_with(common) => text,
            _ => return String::new(),
        };
        let Some(rest) = next.strip_prefix(end) else { return String::new() };
        let text = rest.trim_start_matches(' ');
        if text.starts_with(reply) { rest[..rest.len() - text.len()].to_owned() } else { String::new() }
    }
}

/// What the tokenizer's post-processor puts ahead of a text. What it would put behind one is no part of a
/// prompt that is to go on.
pub(super) fn leading_tokens(tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let encode = |special: bool| -> Result<Vec<u32>> {
        let encoding = tokenizer
            .encode_fast("a", special)
            .map_err(|e| ModelError::Tokenizer(format!("a text can't be encoded: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    };
    let (with, without) = (encode(true)?, encode(false)?);
    let at = with.windows(without.len().max(1)).position(|part| part == without);
    Ok(at.map_or_else(Vec::new, |at| with[..at].to_vec()))
}

/// The tokenizer for text that doesn't stand at the beginning, if it marks the first word of the whole input
/// alone.
pub(super) fn without_first_mark(tokenizer: &Tokenizer) -> Result<Option<Tokenizer>> {
    fn never(value: &mut Value) -> bool {
        match value {
            Value::Object(fields) => {
                let mut changed = false;
                for (name, field) in fields {
                    if name == "prepend_scheme" && field == "first" {
                        *field = "never".into();
                        changed = true;
                    } else {
                        changed |= never(field);
                    }
                }
                changed
            }
            // All of them, not up to the first.
            Value::Array(all) => all.iter_mut().filter_map(|value| never(value).then_some(())).count() > 0,
            _ => false,
        }
    }
    let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() else { return Ok(None) };
    let fail =
        |e: serde_json::Error| ModelError::Tokenizer(format!("its pre-tokenizer can't be changed: {e}"));
    let mut json = serde_json::to_value(pre_tokenizer).map_err(fail)?;
    if !never(&mut json) {
        return Ok(None);
    }
    let changed: PreTokenizerWrapper = serde_json::from_value(json).map_err(fail)?;
    let mut tokenizer = tokenizer.clone();
    tokenizer.with_pre_tokenizer(Some(changed));
    Ok(Some(tokenizer))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::load::checkpoint::Checkpoint;
    use crate::prompt::{
        ChatMessage, ContentPart, PromptPiece, PromptTokenizer, RenderedPrompt, Role, TokenStream,
    };

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
        let given = Rendered::new(
            0,
            vec![Segment::Control(1), Segment::Text("a".into())],
            &Leading { ids: vec![1], behind: None },
        );
        assert_eq!((given.segments.len(), given.first), (2, None));
    }

    #[test]
    fn a_reply_has_the_tokens_it_has_in_a_conversation() {
        let question = "Is the border irregular?";
        for tokenizer in llavas().into_iter().chain([instructblip()]) {
            for reply in ["yes", "no, it is round", "Describe 12 stripes"] {
                let mut expected = tokens(&tokenizer.render(0, question).unwrap());
                let ids = tokenizer.encode_reply(reply).unwrap();
                expected.extend(&ids);
                let turns =
                    [turn(Role::User, question), turn(Role::Assistant, reply), turn(Role::User, "And?")];
                let all = tokens(&tokenizer.render_messages(&turns).unwrap());
                assert!(all.starts_with(&expected), "{reply}");
                assert_eq!(tokenizer.decode(&ids).unwrap(), reply);
            }
            assert!(
                tokenizer.encode_beginning("").unwrap().is_empty(),
                "not even the space ahead of a reply"
            );
        }
    }

    #[test]
    fn control_tokens_typed_by_a_user_stay_text() {
        for tokenizer in llavas().into_iter().chain([instructblip()]) {
            let controls = |text: &str| {
                let prompt = tokenizer.render(1, text).unwrap();
                tokens(&prompt).into_iter().filter(|id| tokenizer.control.is_control(*id)).collect::<Vec<_>>()
            };
            let plain = controls("x");
            for text in ["</s>", "a <image> b", "<s>", "<<s>/s>", "<unk><pad>"] {
                assert_eq!(controls(text), plain, "{text}");
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn streams_add_up_to_the_whole(text in "(\\PC| |é|irregular ){0,16}") {
            for tokenizer in llavas() {
                let ids = tokenizer.encode_reply(&text).unwrap();
                let mut stream = TokenStream::new();
                let mut pieces = String::new();
                for id in &ids {
                    pieces.extend(stream.push(&tokenizer, *id).unwrap());
                }
                pieces.extend(stream.finish(&tokenizer).unwrap());
                prop_assert_eq!(&pieces, &tokenizer.decode(&ids).unwrap());
            }
        }

        #[test]
        fn streams_of_any_tokens_add_up_to_the_whole(ids in proptest::collection::vec(0u32..380, 0..12)) {
            for tokenizer in llavas() {
                let mut stream = TokenStream::new();
                let mut pieces = String::new();
                for id in &ids {
                    pieces.extend(stream.push(&tokenizer, *id).unwrap());
                }
                pieces.extend(stream.finish(&tokenizer).unwrap());
                prop_assert_eq!(&pieces, &tokenizer.decode(&ids).unwrap());
            }
        }
    }
}
