//! Replies of a given form: which tokens may come next, by a grammar that is followed token by token.
//!
//! The grammar is compiled on the caller's side within fixed limits; the engine's thread then asks it before
//! every token. A reply that ends by itself is of the form; one that is cut off (by its length) is the
//! beginning of one.

mod schema;

use std::sync::Arc;

use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokRxInfo, TokTrie};
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use reasonedit_models::prompt::{PromptTokenizer, Spelling};
use serde_json::Value;

use crate::error::{EngineError, Result};

/// Longest grammar or regular expression, in bytes.
const LONGEST: usize = 64 << 10;

/// Longest schema, in bytes of compact JSON.
const LONGEST_SCHEMA: usize = 256 << 10;

/// White space between the parts of a JSON text: none, one space, or a line with an indent. More of it could
/// go on for ever.
const WHITE_SPACE: &str = r"\x20|\x0A[\x20\x09]{0,20}";

/// What a grammar may cost: to compile (about 20 ms for the lexer), in memory (some 40 MB of lexer states),
/// for every token. Measured with vocabularies of 32,000 and 150,000 tokens, the mask of a JSON schema took
/// 10 to 20 µs on average and less than a millisecond at worst, that of an expression with `.*a.{12}` 2 ms
/// and 8 ms, that of a grammar without end to its ambiguity 6 ms and 50 ms.
const LIMITS: ParserLimits = ParserLimits {
    max_items_in_row: 2_000,
    initial_lexer_fuel: 1_000_000,
    step_lexer_fuel: 200_000,
    step_max_items: 50_000,
    max_lexer_states: 20_000,
    max_grammar_size: 200_000,
    precompute_large_lexemes: false,
    verbose_errors: false,
};

/// What a reply must look like.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyForm {
    /// A JSON text that a schema (draft 4 to 2020-12) holds for.
    Json(Value),
    /// A text that a regular expression matches as a whole.
    Regex(String),
    /// A text of a grammar in Lark's notation.
    Lark(String),
}

/// Why replies can't be held to a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormError {
    /// JSON pointer into the schema; empty for the whole, and for regular expressions and grammars.
    pub pointer: String,
    /// In words.
    pub detail: String,
}

impl FormError {
    fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

impl From<FormError> for EngineError {
    fn from(FormError { pointer, detail }: FormError) -> Self {
        Self::Form { pointer, detail }
    }
}

/// A form that was compiled for a model's vocabulary, at its beginning. Cheap to clone.
#[derive(Clone)]
pub struct CompiledForm(Arc<Matcher>);

impl std::fmt::Debug for CompiledForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CompiledForm")
    }
}

/// Compiles forms for one vocabulary.
pub(crate) struct FormCompiler {
    factory: ParserFactory,
    strips_space: bool,
}

impl FormCompiler {
    /// For a model of `vocabulary` logits.
    ///
    /// # Errors
    /// [`EngineError::Form`] for a vocabulary that not every text can be written with.
    pub(crate) fn new(tokenizer: &PromptTokenizer, vocabulary: usize) -> Result<Self> {
        let cant = |detail: &str| EngineError::from(FormError::new("", detail));
        let Some(Spelling { tokens, strips_space }) =
            tokenizer.spelling(vocabulary)?.filter(|spelling| spelling.missing() == 0)
        else {
            return Err(cant(
                "This model's vocabulary can't write every text, so that replies can't be held to a form.",
            ));
        };
        let ends: Vec<u32> =
            tokenizer.stop_tokens().iter().copied().filter(|id| (*id as usize) < tokens.len()).collect();
        let (Some(end), Ok(size)) = (ends.first(), u32::try_from(tokens.len())) else {
            return Err(cant(
                "This model doesn't know how to end a reply, so that it can't be held to a form.",
            ));
        };
        let trie = TokTrie::from(&TokRxInfo::new(size, *end), &tokens).with_eos_tokens(&ends);
        // Tokens are not forced on the model where it could spell the same otherwise: no tokenizer is asked.
        let environment: llguidance::toktrie::TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
            .map_err(|_| EngineError::Tokenizer("its vocabulary can't be searched by grammars".into()))?;
        factory.quiet();
        *factory.limits_mut() = LIMITS;
        Ok(Self { factory, strips_space })
    }

    /// Compiles a form; `begun` says whether the reply goes on with something that was said before.
    ///
    /// # Errors
    /// [`EngineError::Form`].
    pub(crate) fn compile(&self, form: &ReplyForm, begun: bool) -> Result<CompiledForm> {
        let mut grammars = vec![grammar(form)?];
        // By itself even where something stands ahead of it: whether any reply is of the form shows at its
        // own beginning.
        let mut compiled = self.matcher(form, grammars.clone())?;
        if self.strips_space && !begun {
            // The space that such a vocabulary puts ahead of a text is no part of it.
            "form".clone_into(grammars[0].name.get_or_insert_default());
            grammars.insert(0, GrammarWithLexer::from_lark("start: \" \" @form".to_owned()));
            compiled = self.matcher(form, grammars)?;
        }
        Ok(CompiledForm(Arc::new(compiled)))
    }

    /// Grammars, the first of which a reply is of.
    fn matcher(&self, form: &ReplyForm, grammars: Vec<GrammarWithLexer>) -> Result<Matcher> {
        let parser = self.factory.create_parser(TopLevelGrammar { grammars, max_tokens: None });
        let mut matcher = Matcher::new(parser);
        let first =
            matcher.get_error().map_or_else(|| matcher.compute_mask().map_err(|e| e.to_string()), Err);
        match first {
            Ok(_) => Ok(matcher),
            Err(reason) => Err(refusal(form, &reason).into()),
        }
    }
}

/// The grammar of a form.
fn grammar(form: &ReplyForm) -> Result<GrammarWithLexer, FormError> {
    let limited = |text: &str| {
        if text.len() > LONGEST {
            return Err(FormError::new("", format!("It has more than {LONGEST} bytes.")));
        }
        Ok(())
    };
    Ok(match form {
        ReplyForm::Json(schema) => {
            if schema.to_string().len() > LONGEST_SCHEMA {
                return Err(schema::too_large(""));
            }
            let mut schema = match schema::prepared(schema)? {
                Value::Bool(true) => Value::Object(serde_json::Map::new()),
                Value::Bool(false) => return Err(FormError::new("", UNSATISFIABLE)),
                schema => schema,
            };
            let options = JsonCompileOptions {
                whitespace_pattern: Some(WHITE_SPACE.to_owned()),
                ..JsonCompileOptions::default()
            };
            options.apply_to(&mut schema);
            GrammarWithLexer::from_json_schema(schema)
        }
        ReplyForm::Regex(pattern) => {
            limited(pattern)?;
            GrammarWithLexer::from_regex(anchored(pattern))
        }
        ReplyForm::Lark(grammar) => {
            limited(grammar)?;
            if grammar.contains("::=") {
                let detail = "A grammar in Lark's notation is taken (`start: …`), none in EBNF or GBNF.";
                return Err(FormError::new("", detail));
            }
            GrammarWithLexer::from_lark(grammar.clone())
        }
    })
}

/// A pattern without the anchors at its ends: it is matched as a whole anyway.
fn anchored(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    match pattern.strip_suffix('$') {
        Some(rest) if !rest.ends_with('\\') => rest,
        _ => pattern,
    }
}

const UNSATISFIABLE: &str = "No answer satisfies this schema.";

/// Why a form can't be compiled, from what the library says of it.
fn refusal(form: &ReplyForm, reason: &str) -> FormError {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    let too_large = says(&["too large", "too big", "too complex", "limit", "fuel", "too many", "exceeded"]);
    let detail = match form {
        ReplyForm::Json(_) if says(&["Unsatisfiable"]) => UNSATISFIABLE,
        ReplyForm::Json(_) if says(&["oneOf"]) => {
            "A `oneOf` whose alternatives can't be told apart is not supported in a schema; `anyOf` is."
        }
        ReplyForm::Json(_) if says(&["NoExtension"]) => UNSATISFIABLE,
        ReplyForm::Json(_) if too_large => return schema::too_large(""),
        ReplyForm::Json(_) if says(&["patternProperty"]) => {
            "`patternProperties` whose patterns can't be told apart are not supported in a schema."
        }
        ReplyForm::Json(_) if says(&["regex", "Regex", "pattern"]) => {
            "A `pattern` of this schema is not a regular expression that is supported."
        }
        ReplyForm::Json(_) if says(&["Reference", "$ref", "Definition"]) => {
            "A `$ref` of this schema names a place that isn't there."
        }
        ReplyForm::Json(_) => "This is not a JSON schema that a reply can be held to.",
        ReplyForm::Regex(_) if too_large => "This regular expression is too large.",
        ReplyForm::Regex(_) => "This is not a regular expression that is supported.",
        ReplyForm::Lark(_) if too_large => "This grammar is too large.",
        ReplyForm::Lark(_) => "This is not a grammar in Lark's notation that is supported.",
    };
    FormError::new("", detail)
}

/// A reply that is held to a form.
pub(crate) struct FormState(Matcher);

impl FormState {
    /// At the beginning of a reply.
    pub(crate) fn new(form: &CompiledForm) -> Self {
        Self(form.0.deep_clone())
    }

    /// Tokens that may come next, the ends of the turn among them where the reply may end; at least one.
    ///
    /// # Errors
    /// [`EngineError::Form`] where the grammar is too ambiguous for its limits at this place.
    pub(crate) fn allowed(&mut self) -> Result<SimpleVob> {
        self.0.compute_mask().map_err(|_| on_the_way())
    }

    /// Takes a token that is allowed and ends nothing. Gives whether nothing can follow.
    ///
    /// # Errors
    /// As [`Self::allowed`].
    pub(crate) fn take(&mut self, token: u32) -> Result<bool> {
        self.0.consume_token(token).map_err(|_| on_the_way())?;
        if self.0.is_stopped() && !self.0.stop_reason().is_ok() {
            return Err(on_the_way());
        }
        Ok(self.0.is_stopped())
    }
}

fn on_the_way() -> EngineError {
    FormError::new("", "The reply can't be held to this form within the limits of this service.").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_that_cant_write_everything_is_said_so() {
        // Words without letters, braces or bytes.
        let json = serde_json::json!({
            "model": {"type": "BPE", "vocab": {"<e>": 0, "Ġyes": 1, "no": 2, "a": 3, "<img>": 4}, "merges": []},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "added_tokens": [
                {"id": 0, "content": "<e>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
            ],
        });
        let settings = reasonedit_models::prompt::PromptSettings {
            chat_template: "{% for m in messages %}{{ m.content }}{% endfor %}<e>".to_owned(),
            stop_tokens: vec![0],
            ..reasonedit_models::prompt::PromptSettings::default()
        };
        let tokenizer = PromptTokenizer::new(json.to_string().as_bytes(), settings).unwrap();
        match FormCompiler::new(&tokenizer, 5) {
            Err(EngineError::Form { detail, .. }) => {
                assert!(detail.contains("can't write every text"), "{detail}");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was taken"),
        }
    }

    #[test]
    fn anchors_at_the_ends_are_no_part_of_a_pattern() {
        for (pattern, bare) in [("^a$", "a"), ("a", "a"), ("^a", "a"), (r"a\$", r"a\$"), ("", "")] {
            assert_eq!(anchored(pattern), bare);
        }
    }
}
