//! What a client asks: known fields that would change the answer are done or refused by name, unknown ones
//! are ignored.

use std::fmt;

use reasonedit_api::query::RetrievalInput;
use reasonedit_editor::{AskedForm, ChatRequest, Decoding, Sampling, Warning};
use reasonedit_http::json::from_value;
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use ulid::Ulid;
use utoipa::ToSchema;

use super::form::{self, FormsInput, ReplyConstraint};
use super::message::{MessageInput, turns};
use super::neutral;
use super::reasoning::thinking_tokens;
use super::rules::{InputRules, unsupported};
use super::samplers::{self, SamplersInput};

/// Temperatures below it are greedy: logits divided by less leave the range of numbers.
const COLDEST: f64 = 1e-4;

/// `max_tokens` of those who want no limit.
const NO_LIMIT: i64 = -1;

/// A conversation to be replied to, as `OpenAI` documents it, with vLLM's fields for samplers and forms.
/// Fields not named here are ignored, but for those that would change the answer and can't be served
/// (`tools`, `n` above 1, audio, beam search …): these are refused by name.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatCompletionRequest)]
pub(crate) struct ChatInput {
    /// One of `GET /v1/models`: the model's name, or `NAME@CODEBOOK`.
    #[schema(example = "demo")]
    pub(crate) model: String,
    /// Turns, oldest first. What the codebook knows about the text of the user's last turn and the last
    /// picture of the conversation is put in front of that text. A last message of the assistant's is gone on
    /// with: the answer is what comes behind it.
    messages: Vec<MessageInput>,
    /// Answer as server-sent events: `chat.completion.chunk`s, then `[DONE]`.
    #[schema(nullable = false)]
    pub(crate) stream: Option<bool>,
    /// Of a stream.
    pub(crate) stream_options: Option<StreamOptions>,
    /// Most tokens to generate; as many as the service allows if more, -1 or nothing is said.
    #[schema(minimum = -1, example = 64)]
    max_completion_tokens: Option<i64>,
    /// The same by its older name.
    #[schema(minimum = -1)]
    max_tokens: Option<i64>,
    /// 0, or left out: the most probable token each time.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// With a temperature: tokens are drawn from the most probable ones that have this much of the
    /// probability together.
    #[schema(minimum = 0, maximum = 1)]
    top_p: Option<f64>,
    /// With a temperature: the same seed gives the same answer.
    seed: Option<i64>,
    /// A text, or several, that end the answer and are no part of it; empty ones are ignored.
    #[schema(value_type = Option<StopsSchema>)]
    stop: Option<Stops>,
    /// Tell the log-probability of every token.
    logprobs: Option<bool>,
    /// With `logprobs`: as many of the most probable tokens at every place.
    #[schema(minimum = 0, maximum = 20)]
    top_logprobs: Option<usize>,
    /// Whether to go on with the assistant's last message; so it is unless false.
    continue_final_message: Option<bool>,
    /// False: go on with the assistant's last message; true, with `continue_final_message` false: begin a new
    /// one behind it.
    add_generation_prompt: Option<bool>,
    /// How long the answer should be: taken, and of no effect (`reasonedit.warnings` says so). `low`,
    /// `medium` or `high`.
    verbosity: Option<String>,
    /// This service's own part.
    #[schema(nullable = false)]
    pub(crate) reasonedit: Option<OwnInput>,
    /// How much a reasoning model thinks before it answers: `none`, `minimal`, `low`, `medium` (as much as
    /// where nothing is said) or `high`. Other models take `none`, which changes nothing.
    #[schema(nullable = false)]
    reasoning_effort: Option<String>,
    /// Only 1.
    #[schema(minimum = 1, maximum = 1)]
    n: Option<u64>,
    /// Samplers, forms, and everything else, which is refused where it would change the answer.
    #[serde(flatten)]
    #[schema(value_type = MoreSchema)]
    more: Map<String, Value>,
}

/// Samplers and forms of answers.
#[derive(ToSchema)]
#[schema(as = ChatCompletionExtras)]
#[allow(dead_code, reason = "describes samplers and forms in the contract")]
struct MoreSchema {
    #[serde(flatten)]
    samplers: SamplersInput,
    #[serde(flatten)]
    forms: FormsInput,
}

/// Of a stream.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatCompletionStreamOptions)]
pub(crate) struct StreamOptions {
    /// Send a chunk with the tokens counted at the end.
    #[schema(nullable = false)]
    pub(crate) include_usage: Option<bool>,
}

/// What is asked of this service beyond `OpenAI`'s fields (`extra_body` of its Python package).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReasonEditRequest)]
pub(crate) struct OwnInput {
    /// The codebook; `model` may name it instead.
    #[schema(nullable = false, pattern = "^[a-z0-9-]{1,64}$")]
    pub(crate) codebook: Option<String>,
    /// Settings of retrieval.
    #[schema(nullable = false)]
    retrieval: Option<RetrievalInput>,
    /// Answers to choose from; without them the answer is generated.
    #[schema(nullable = false, example = json!(["benign", "malignant"]))]
    choices: Option<Vec<String>>,
    /// Answer without the codebook too.
    #[schema(nullable = false)]
    compare: Option<bool>,
    /// Give the prompt as the model got it.
    #[schema(nullable = false)]
    pub(crate) explain: Option<bool>,
}

/// Texts that end the answer.
#[derive(Debug)]
struct Stops(Vec<String>);

/// A text that ends the answer, or several.
#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = OpenAiStop)]
#[allow(dead_code, reason = "describes stop texts in the contract")]
enum StopsSchema {
    /// A text.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for Stops {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Stops;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Stops, E> {
                Ok(Stops(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Stops, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Stops)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl ChatInput {
    /// Refuses what would change the answer and isn't done.
    fn supported(&self) -> Result<()> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(unsupported("/n", "`n` other than 1 is not supported"));
        }
        neutral::check(&self.more)
    }

    /// Those of the other fields that belong together.
    fn part<T: DeserializeOwned>(&self, names: &[&str]) -> Result<T> {
        let own = self.more.iter().filter(|(name, _)| names.contains(&name.as_str()));
        from_value(Value::Object(own.map(|(name, value)| (name.clone(), value.clone())).collect()))
    }

    /// How the answer is made, by a model of `vocabulary` tokens.
    fn decoding(&self, vocabulary: usize) -> Result<Decoding> {
        let within = |pointer, value: Option<f64>, most: f64| match value {
            Some(value) if !(0.0..=most).contains(&value) => {
                Err(Problem::invalid(pointer, format!("{value} is not from 0 to {most}.")))
            }
            other => Ok(other),
        };
        let temperature = within("/temperature", self.temperature, 2.0)?.unwrap_or(0.0);
        let top_p = within("/top_p", self.top_p, 1.0)?.unwrap_or(1.0);
        let sampling = if temperature < COLDEST || top_p == 0.0 {
            Sampling::Greedy
        } else {
            // Without a seed each answer is another.
            let seed = self.seed.map_or_else(|| Ulid::new().random() as u64, i64::cast_unsigned);
            Sampling::TopP { temperature, top_p, seed }
        };
        let asked = self.logprobs.unwrap_or(false);
        let alternatives = match self.top_logprobs {
            Some(count) if count > 20 => {
                return Err(Problem::invalid("/top_logprobs", format!("{count} is not from 0 to 20.")));
            }
            Some(count) if count > 0 && !asked => {
                return Err(Problem::invalid("/top_logprobs", "`top_logprobs` needs `logprobs`."));
            }
            count => asked.then(|| count.unwrap_or(0)),
        };
        let stops = self.stop.iter().flat_map(|stops| &stops.0);
        let stop = stops.filter(|stop| !stop.is_empty()).cloned().collect();
        let rules = self.part::<SamplersInput>(&samplers::NAMES)?.rules(vocabulary)?;
        if let Some(most) = self.max_tokens()?.filter(|most| *most < rules.min_tokens) {
            let detail = format!("{} is more than the {most} of `max_tokens`.", rules.min_tokens);
            return Err(Problem::invalid("/min_tokens", detail));
        }
        Ok(Decoding { sampling, rules, stop, alternatives })
    }

    /// Most tokens to generate, if that is limited.
    fn max_tokens(&self) -> Result<Option<usize>> {
        let (name, asked) = match self.max_completion_tokens {
            Some(tokens) => ("max_completion_tokens", tokens),
            None => ("max_tokens", self.max_tokens.unwrap_or(NO_LIMIT)),
        };
        match usize::try_from(asked) {
            Ok(tokens) if tokens > 0 => Ok(Some(tokens)),
            _ if asked == NO_LIMIT => Ok(None),
            _ => Err(Problem::invalid(
                format!("/{name}"),
                format!("`{name}` is a whole number from 1, or -1 for no limit."),
            )),
        }
    }

    /// Whether the answer goes on with the last message, which is the assistant's or isn't.
    fn continues(&self) -> Result<bool> {
        let (asked, prompted) = (self.continue_final_message, self.add_generation_prompt);
        let last = self.messages.last().filter(|last| last.is_assistants());
        let prefix = last.and_then(MessageInput::prefix);
        if asked == Some(true) && prompted == Some(true) {
            let detail = "`add_generation_prompt` begins a new message, `continue_final_message` goes on with the last; \
                          only one of them can be true.";
            return Err(Problem::invalid("/continue_final_message", detail));
        }
        if last.is_none() && (asked == Some(true) || prompted == Some(false)) {
            let name = if asked == Some(true) { "continue_final_message" } else { "add_generation_prompt" };
            let detail = "Only a last message of the assistant's can be gone on with.";
            return Err(Problem::invalid(format!("/{name}"), detail));
        }
        let anew = prefix != Some(true) && (asked == Some(false) || prompted == Some(true));
        Ok(last.is_some() && !anew)
    }

    /// The editor's request, pictures decoded or fetched.
    ///
    /// # Errors
    /// 400 for what is not supported, 422 for what can't be used, and what fetching says.
    pub(super) async fn request(self, rules: &InputRules<'_>) -> Result<Prepared> {
        self.supported()?;
        let (decoding, max_tokens, continues) =
            (self.decoding(rules.vocabulary)?, self.max_tokens()?, self.continues()?);
        let max_thinking_tokens = thinking_tokens(self.reasoning_effort.as_deref(), rules.thinking)?;
        let asked = self.part::<FormsInput>(&form::NAMES)?.asked()?;
        let own = self.reasonedit.unwrap_or_default();
        let mut warnings: Vec<Warning> = Vec::new();
        match self.verbosity.as_deref() {
            None | Some("" | "medium") => {}
            Some("low" | "high") => {
                let detail = "It has no effect: this model's answers are as long as they are.";
                warnings.push(Warning::new("no_effect", "/verbosity", detail));
            }
            Some(_) => return Err(Problem::invalid("/verbosity", "It is `low`, `medium` or `high`.")),
        }
        let mut choices_at = "/reasonedit/choices".to_owned();
        let mut choices = own.choices.unwrap_or_default();
        if choices.len() == 1 {
            return Err(Problem::invalid(choices_at, "give at least two choices, or none"));
        }
        let mut form = None;
        match asked {
            None => {}
            Some((place, _)) if !choices.is_empty() => {
                let detail = "An answer is one of `reasonedit.choices` or has a form, not both.";
                return Err(Problem::invalid(place, detail));
            }
            Some((place, ReplyConstraint::Choice(asked))) => (choices_at, choices) = (place, asked),
            Some((place, ReplyConstraint::Form(asked))) => form = Some(AskedForm { form: asked, place }),
        }
        let (turns, omitted_pictures) = turns(self.messages, rules).await?;
        let characters: usize = turns.iter().map(|turn| turn.text().chars().count()).sum();
        if characters > rules.characters {
            return Err(too_many_characters(characters, rules));
        }
        if let Some(first) = omitted_pictures.first() {
            let detail = format!(
                "{} of the oldest pictures were left out; at most {} are shown to the model.",
                omitted_pictures.len(),
                rules.pictures
            );
            warnings.push(Warning::new("pictures_omitted", first, detail));
        }
        let request = ChatRequest {
            warnings,
            turns,
            continues,
            choices,
            form,
            max_tokens,
            max_thinking_tokens,
            decoding,
            retrieval: own.retrieval.unwrap_or_default().into(),
            compare: own.compare.unwrap_or(false),
        };
        Ok(Prepared { request, choices_at, omitted_pictures })
    }
}

/// Refuses a conversation before its tokens are counted.
fn too_many_characters(characters: usize, rules: &InputRules<'_>) -> Problem {
    let (positions, most) = (rules.positions, rules.characters);
    let detail = format!(
        "This model's maximum context length is {positions} tokens. However, your messages have {characters} characters, of \
         which at most {most} are taken. Please reduce the length of the messages."
    );
    // At most one token of a character, or about that.
    Problem::at(ProblemKind::Unsupported, "/messages", detail).exceeding(characters, positions)
}

/// A request as the editor takes it.
pub(super) struct Prepared {
    pub(super) request: ChatRequest,
    /// JSON pointer to the choices.
    pub(super) choices_at: String,
    /// JSON pointers to pictures that were left out.
    pub(super) omitted_pictures: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A usable request with more fields.
    fn with(more: &Value) -> ChatInput {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        from_value(body).unwrap()
    }

    fn refused(more: &Value) -> Option<(u16, String)> {
        let input = with(more);
        let checked = input.supported().and_then(|()| input.decoding(100)).and_then(|_| input.continues());
        let problem = checked.err()?;
        Some((problem.status().as_u16(), problem.body().errors[0].pointer.clone()))
    }

    #[test]
    fn what_cant_be_served_is_refused_by_name() {
        for (field, value) in [
            ("n", json!(2)),
            ("tools", json!([{"type": "function"}])),
            ("tool_choice", json!({"type": "function"})),
            ("web_search_options", json!({})),
            ("use_beam_search", json!(true)),
            ("add_generation_prompt", json!(false)),
            ("continue_final_message", json!(true)),
        ] {
            let status = if field.ends_with("prompt") || field.ends_with("message") { 422 } else { 400 };
            assert_eq!(refused(&json!({field: value})), Some((status, format!("/{field}"))), "{value}");
        }
    }

    #[test]
    fn what_changes_nothing_is_taken() {
        for more in [
            json!({"n": 1, "tools": [], "tool_choice": "auto", "functions": null, "logit_bias": {}, "function_call": "none"}),
            json!({"response_format": {"type": "text"}, "frequency_penalty": 0, "presence_penalty": 0.0, "top_k": -1}),
            json!({"user": "me", "store": true, "metadata": {"a": "b"}, "made_up": [1], "parallel_tool_calls": true}),
            json!({"modalities": ["text"], "audio": null, "service_tier": "auto", "stop": null, "top_p": 0.5}),
            json!({"stream_options": null, "stop": "", "max_tokens": -1, "seed": null}),
            json!({"stop": ["", ""], "n": null, "temperature": null, "top_p": null, "logprobs": null, "top_logprobs": null}),
            json!({"add_generation_prompt": true, "continue_final_message": false, "max_completion_tokens": null}),
        ] {
            assert_eq!(refused(&more), None, "{more}");
            assert_eq!(with(&more).decoding(100).unwrap(), Decoding::default());
            assert!(!with(&more).continues().unwrap());
        }
    }

    #[test]
    fn decoding_is_as_asked() {
        let of = |more: Value| with(&more).decoding(100).unwrap();
        assert_eq!(of(json!({"temperature": 1e-9, "seed": 1})).sampling, Sampling::Greedy);
        assert_eq!(
            of(json!({"temperature": 0.7, "top_p": 0.9, "seed": -1})).sampling,
            Sampling::TopP { temperature: 0.7, top_p: 0.9, seed: u64::MAX }
        );
        assert_ne!(of(json!({"temperature": 1})), of(json!({"temperature": 1})), "a seed for each");
        assert_eq!(of(json!({"stop": "END"})).stop, ["END"]);
        assert_eq!(of(json!({"stop": ["a", "", "b"]})).stop, ["a", "b"]);
        assert_eq!(of(json!({"min_tokens": 5, "max_tokens": 5})).rules.min_tokens, 5);
        assert_eq!(of(json!({"logprobs": true})).alternatives, Some(0));
        assert_eq!(of(json!({"logprobs": true, "top_logprobs": 3})).alternatives, Some(3));
        assert_eq!(of(json!({"logprobs": false, "top_logprobs": 0})).alternatives, None);
        for (more, pointer) in [
            (json!({"temperature": 2.5}), "/temperature"),
            (json!({"temperature": -1}), "/temperature"),
            (json!({"top_p": 1.5}), "/top_p"),
            (json!({"top_logprobs": 3}), "/top_logprobs"),
            (json!({"top_logprobs": 21, "logprobs": true}), "/top_logprobs"),
            (json!({"max_tokens": 0}), "/max_tokens"),
            (json!({"max_completion_tokens": -2, "max_tokens": 5}), "/max_completion_tokens"),
            (json!({"min_tokens": 6, "max_tokens": 5}), "/min_tokens"),
            (json!({"logit_bias": {"100": 1}}), "/logit_bias/100"),
        ] {
            assert_eq!(refused(&more), Some((422, pointer.to_owned())), "{more}");
        }
    }

    #[test]
    fn an_answer_goes_on_with_the_assistants_last_message() {
        let of = |last: Value, more: Value| {
            let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}, last]});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            from_value::<ChatInput>(body).unwrap().continues().map_err(|problem| problem.status().as_u16())
        };
        let said = |more: Value| {
            let mut message = json!({"role": "assistant", "content": "It is"});
            message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            message
        };
        for (message, more, expected) in [
            (json!({}), json!({}), Ok(true)),
            (json!({}), json!({"continue_final_message": true, "add_generation_prompt": false}), Ok(true)),
            (json!({}), json!({"add_generation_prompt": false}), Ok(true)),
            (json!({"prefix": true}), json!({}), Ok(true)),
            (json!({"prefix": false}), json!({}), Ok(true)),
            (json!({"prefix": true}), json!({"add_generation_prompt": true}), Ok(true)),
            (json!({}), json!({"continue_final_message": false}), Ok(false)),
            (json!({}), json!({"add_generation_prompt": true}), Ok(false)),
            (json!({}), json!({"continue_final_message": true, "add_generation_prompt": true}), Err(422)),
        ] {
            assert_eq!(of(said(message.clone()), more.clone()), expected, "{message} {more}");
        }
        assert_eq!(
            of(json!({"role": "user", "content": "a"}), json!({"continue_final_message": true})),
            Err(422)
        );
    }

    #[test]
    fn the_own_part_is_strict() {
        let parse = |own: Value| {
            let body = json!({"model": "m", "messages": [], "reasonedit": own});
            from_value::<ChatInput>(body).map_err(|problem| problem.body().errors[0].pointer.clone())
        };
        assert!(parse(json!({"codebook": "a", "retrieval": {"k": 3}, "explain": true})).is_ok());
        assert_eq!(parse(json!({"chioces": []})).unwrap_err(), "/reasonedit/chioces");
        assert_eq!(parse(json!({"retrieval": {"kk": 1}})).unwrap_err(), "/reasonedit/retrieval/kk");
    }
}
