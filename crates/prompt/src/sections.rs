//! What tokenizers in SentencePiece's manner do at the beginning of a text: `<s>` ahead of it, a mark for the
//! space before its first word.

use serde_json::Value;
use tokenizers::{PreTokenizerWrapper, Tokenizer};

use crate::control::Segment;
use crate::error::{PromptError, Result};

/// A conversation as the template renders it, cut at control tokens.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Pictures of the conversation.
    pub(crate) images: usize,
    /// Its stretches, control tokens that the tokenizer puts ahead included.
    pub(crate) segments: Vec<Segment>,
    /// The segment that stands at the very beginning of the rendered text, if that is ordinary text.
    pub(crate) first: Option<usize>,
}

/// What the tokenizer puts ahead of a text.
#[derive(Debug)]
pub(crate) struct Leading {
    /// Control tokens.
    pub(crate) ids: Vec<u32>,
    /// The placeholder of pictures that stand ahead of even that, if they do.
    pub(crate) behind: Option<u32>,
}

impl Rendered {
    /// Puts `leading` ahead, unless the template begins with them already: as the processors of transformers
    /// do it.
    pub(crate) fn new(images: usize, mut segments: Vec<Segment>, leading: &Leading) -> Self {
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
    pub(crate) fn last_text(&self) -> &str {
        match self.segments.last() {
            Some(Segment::Text(text)) => text,
            _ => "",
        }
    }

    /// The spaces that stand between the end of this prompt and `reply` in `answered`, the same conversation
    /// with the reply in it. Nothing where something else stands there: that belongs to the reply.
    pub(crate) fn space_before(&self, reply: &str, answered: &Self) -> String {
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
pub(crate) fn leading_tokens(tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let encode = |special: bool| -> Result<Vec<u32>> {
        let encoding = tokenizer
            .encode_fast("a", special)
            .map_err(|e| PromptError::Tokenizer(format!("a text can't be encoded: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    };
    let (with, without) = (encode(true)?, encode(false)?);
    let at = with.windows(without.len().max(1)).position(|part| part == without);
    Ok(at.map_or_else(Vec::new, |at| with[..at].to_vec()))
}

/// The tokenizer for text that doesn't stand at the beginning, if it marks the first word of the whole input
/// alone.
pub(crate) fn without_first_mark(tokenizer: &Tokenizer) -> Result<Option<Tokenizer>> {
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
        |e: serde_json::Error| PromptError::Tokenizer(format!("its pre-tokenizer can't be changed: {e}"));
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
    use super::*;

    #[test]
    fn what_the_template_puts_ahead_is_not_put_there_again() {
        let given = Rendered::new(
            0,
            vec![Segment::Control(1), Segment::Text("a".into())],
            &Leading { ids: vec![1], behind: None },
        );
        assert_eq!((given.segments.len(), given.first), (2, None));
    }
}
