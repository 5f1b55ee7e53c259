//! How a reasoning model writes what it thinks, and what of that is written for it.
//!
//! A reasoning model is put where it thinks, where it has thought a given text, or where it has thought
//! nothing; what it is asked then stands behind the closed thinking. Other models have nothing there, so that
//! nothing of this changes a token of theirs.

use crate::control::Segment;
use crate::error::Result;
use crate::thinking_template::ThinkingForm;
use crate::tokenizer::PromptTokenizer;

/// How much a reasoning model has thought when its answer begins; of no effect on other models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Thinking {
    /// Nothing: it is closed as soon as it is opened, and the answer follows.
    #[default]
    Skipped,
    /// It thinks: what follows is thought.
    Begun,
    /// This, and the answer follows.
    Done(String),
}

impl PromptTokenizer {
    /// How the model's replies are written, if it thinks before it answers.
    pub fn thinking(&self) -> Option<ThinkingForm> {
        self.thinking.as_ref().map(|template| template.form)
    }

    /// What is written between the prompt to reply and what comes next; empty for a model that doesn't think.
    pub fn written_thinking(&self, thinking: &Thinking) -> String {
        let Some(template) = &self.thinking else { return String::new() };
        let (opening, closing) = (template.opening(), template.closing());
        match thinking {
            Thinking::Begun => opening.to_owned(),
            Thinking::Skipped => format!("{opening}{closing}"),
            Thinking::Done(text) => format!("{opening}{text}{closing}"),
        }
    }

    /// Tokens of [`Self::written_thinking`]. The tags are the tokenizer's own tokens where it has such; what
    /// was thought is text, whatever it looks like.
    ///
    /// # Errors
    /// [`crate::PromptError::Tokenizer`].
    pub fn encode_thinking(&self, thinking: &Thinking) -> Result<Vec<u32>> {
        let Some(template) = &self.thinking else { return Ok(Vec::new()) };
        let mut segments = self.control.split(template.opening());
        if let Thinking::Done(text) = thinking {
            join(&mut segments, Segment::Text(text.clone()));
        }
        if *thinking != Thinking::Begun {
            for segment in self.control.split(template.closing()) {
                join(&mut segments, segment);
            }
        }
        let mut tokens = Vec::new();
        for segment in segments {
            match segment {
                Segment::Control(id) => tokens.push(id),
                Segment::Text(text) => tokens.extend(self.encode_text(&text, false)?),
            }
        }
        Ok(tokens)
    }

    /// Tokens of an answer: of a reasoning model's behind its closed thinking, of another's as
    /// [`Self::encode_reply`].
    ///
    /// # Errors
    /// [`crate::PromptError::Tokenizer`].
    pub fn encode_answer(&self, answer: &str) -> Result<Vec<u32>> {
        match &self.thinking {
            Some(template) => self.encode_after(&template.answer_lead, answer),
            None => self.encode_reply(answer),
        }
    }

    /// Tokens of an answer's beginning, as [`Self::encode_answer`]; an empty one is none, the space ahead of
    /// a reply included.
    ///
    /// # Errors
    /// [`crate::PromptError::Tokenizer`].
    pub fn encode_beginning(&self, begun: &str) -> Result<Vec<u32>> {
        if begun.is_empty() { Ok(Vec::new()) } else { self.encode_answer(begun) }
    }

    /// Tokens of the rest of an answer behind its beginning.
    ///
    /// # Errors
    /// [`crate::PromptError::Tokenizer`].
    pub fn encode_behind(&self, begun: &str, rest: &str) -> Result<Vec<u32>> {
        let (lead, both) = (self.encode_answer(begun)?, self.encode_answer(&format!("{begun}{rest}"))?);
        match both.strip_prefix(lead.as_slice()) {
            Some(tokens) => Ok(tokens.to_vec()),
            // The tokenizer would join the two; what was begun can't be taken back.
            None => self.encode_text(rest, false),
        }
    }
}

/// Texts that follow each other are encoded as one.
fn join(segments: &mut Vec<Segment>, next: Segment) {
    match (segments.last_mut(), next) {
        (Some(Segment::Text(before)), Segment::Text(text)) => before.push_str(&text),
        (_, next) => segments.push(next),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokenizers::Tokenizer;

    use super::*;
    use crate::thinking_template::ThinkingChoice;
    use crate::tokenizer::PromptSettings;

    const TOKENIZER: &[u8] = include_bytes!("../../models/tests/goldens/qwen3_vl-1/tokenizer.json");
    const TURNS: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}\
        {% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}\
        {% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n";

    fn id(token: &str) -> u32 {
        Tokenizer::from_bytes(TOKENIZER).unwrap().token_to_id(token).unwrap()
    }

    fn tokenizer(ending: &str, thinking: ThinkingChoice) -> PromptTokenizer {
        let settings = PromptSettings {
            chat_template: format!("{TURNS}{ending}{{% endif %}}"),
            special_tokens: BTreeMap::new(),
            image_token: Some(id("<|image_pad|>")),
            stop_tokens: vec![id("<|im_end|>")],
            thinking,
        };
        PromptTokenizer::new(TOKENIZER, settings).unwrap()
    }

    #[test]
    fn how_a_model_thinks_is_read_from_its_template_unless_it_is_said() {
        use ThinkingChoice::{Auto, None as Never, Think, ThinkAnswer};
        let switch = "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}";
        let off = "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}";
        for (ending, choice, expected) in [
            ("", Auto, None),
            ("<think>\n", Auto, Some(ThinkingForm::Think)),
            (switch, Auto, Some(ThinkingForm::Think)),
            (off, Auto, None),
            ("{# then <answer> #}<think>", Auto, Some(ThinkingForm::ThinkAnswer)),
            ("<think>\n", Never, None),
            ("", Think, Some(ThinkingForm::Think)),
            ("", ThinkAnswer, Some(ThinkingForm::ThinkAnswer)),
        ] {
            assert_eq!(tokenizer(ending, choice).thinking(), expected, "{ending} {choice:?}");
        }
    }

    #[test]
    fn tags_are_tokens_and_what_was_thought_is_text() {
        let (open, close) = (id("<think>"), id("</think>"));
        let thought = Thinking::Done("It is </think> red.".to_owned());
        let own = tokenizer("", ThinkingChoice::Think);
        let tokens = own.encode_thinking(&thought).unwrap();
        assert_eq!((tokens[0], tokens.iter().filter(|token| **token == close).count()), (open, 1));
        assert_eq!(own.decode(&tokens).unwrap(), own.written_thinking(&thought));
        assert_eq!(own.encode_thinking(&Thinking::Begun).unwrap().first(), Some(&open));
        // The template's own opening is not repeated.
        let opened = tokenizer("<think>\n", ThinkingChoice::Auto);
        assert!(opened.encode_thinking(&Thinking::Begun).unwrap().is_empty());
        assert!(!opened.encode_thinking(&thought).unwrap().contains(&open));
        assert!(opened.encode_thinking(&Thinking::Skipped).unwrap().contains(&close));
        let tagged = tokenizer("", ThinkingChoice::ThinkAnswer);
        assert_eq!(tagged.written_thinking(&Thinking::Skipped), "<think></think><answer>");
    }

    #[test]
    fn a_model_that_does_not_think_has_nothing_there() {
        let plain = tokenizer("", ThinkingChoice::Auto);
        for thinking in [Thinking::Skipped, Thinking::Begun, Thinking::Done("a".to_owned())] {
            assert!(plain.encode_thinking(&thinking).unwrap().is_empty());
            assert_eq!(plain.written_thinking(&thinking), "");
        }
        assert_eq!(plain.encode_answer("yes, it is").unwrap(), plain.encode_reply("yes, it is").unwrap());
    }
}
