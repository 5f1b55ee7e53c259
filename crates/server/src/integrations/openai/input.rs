//! What a client asks: known fields that would change the answer are done or refused by name, unknown ones are ignored.

use std::fmt;

use reasonedit_editor::{ChatRequest, Decoding};
use reasonedit_vlm::engine::Sampling;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use ulid::Ulid;
use utoipa::ToSchema;

use super::message::{MessageInput, turns};
use crate::dto::query::RetrievalInput;
use crate::fetch::Fetcher;
use crate::problem::{Problem, ProblemKind, Result};

/// Temperatures below it are greedy: logits divided by less leave the range of numbers.
const COLDEST: f64 = 1e-4;

/// A conversation to be replied to, as `OpenAI` documents it. Fields not named here are ignored, but for those that would change the answer
/// (`tools`, `functions`, `response_format` other than text, `logit_bias`, penalties, `n` above 1, audio …): these are refused by name.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatCompletionRequest)]
pub(crate) struct ChatInput {
    /// One of `GET /v1/models`: the model's name, or `NAME@CODEBOOK`.
    #[schema(example = "demo")]
    pub(crate) model: String,
    /// Turns, oldest first; the last is the user's. What the codebook knows about its text and the last picture of the conversation is put in
    /// front of that text.
    messages: Vec<MessageInput>,
    /// Answer as server-sent events: `chat.completion.chunk`s, then `[DONE]`.
    #[schema(nullable = false)]
    pub(crate) stream: Option<bool>,
    /// Of a stream.
    #[schema(nullable = false)]
    pub(crate) stream_options: Option<StreamOptions>,
    /// Most tokens to generate; as many as the service allows if more or nothing is said.
    #[schema(nullable = false, minimum = 1, example = 64)]
    max_completion_tokens: Option<usize>,
    /// The same by its older name.
    #[schema(nullable = false, minimum = 1)]
    max_tokens: Option<usize>,
    /// 0, or left out: the most probable token each time.
    #[schema(nullable = false, minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// With a temperature: tokens are drawn from the most probable ones that have this much of the probability together.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    top_p: Option<f64>,
    /// With a temperature: the same seed gives the same answer.
    #[schema(nullable = false)]
    seed: Option<i64>,
    /// A text, or several, that end the answer and are no part of it.
    #[schema(value_type = Option<StopsSchema>)]
    stop: Option<Stops>,
    /// Tell the log-probability of every token.
    #[schema(nullable = false)]
    logprobs: Option<bool>,
    /// With `logprobs`: as many of the most probable tokens at every place.
    #[schema(nullable = false, minimum = 0, maximum = 20)]
    top_logprobs: Option<usize>,
    /// This service's own part.
    #[schema(nullable = false)]
    pub(crate) reasonedit: Option<OwnInput>,
    /// Only 1.
    #[schema(nullable = false, minimum = 1, maximum = 1)]
    n: Option<u64>,
    #[schema(ignore)]
    frequency_penalty: Option<f64>,
    #[schema(ignore)]
    presence_penalty: Option<f64>,
    #[schema(ignore)]
    logit_bias: Option<Value>,
    #[schema(ignore)]
    response_format: Option<Value>,
    #[schema(ignore)]
    modalities: Option<Vec<String>>,
    #[schema(ignore)]
    audio: Option<Value>,
    #[schema(ignore)]
    tools: Option<Value>,
    #[schema(ignore)]
    tool_choice: Option<Value>,
    #[schema(ignore)]
    functions: Option<Value>,
    #[schema(ignore)]
    function_call: Option<Value>,
    #[schema(ignore)]
    web_search_options: Option<Value>,
    #[schema(ignore)]
    reasoning_effort: Option<Value>,
    #[schema(ignore)]
    verbosity: Option<Value>,
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

/// Something known that is not done here (400).
pub(super) fn unsupported(pointer: impl Into<String>, what: &str) -> Problem {
    Problem::at(ProblemKind::Unsupported, pointer, format!("{what} by this service."))
}

/// Whether something is asked for: `null`, `false` and what is empty ask for nothing.
pub(super) fn given(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(_) => true,
    }
}

impl ChatInput {
    /// Refuses what would change the answer and isn't done.
    fn supported(&self) -> Result<()> {
        let is = |value: &Option<Value>, texts: &[&str]| {
            value.as_ref().and_then(Value::as_str).is_some_and(|text| texts.contains(&text))
        };
        let format = self.response_format.as_ref();
        let text = format.and_then(|format| format.get("type")).is_some_and(|kind| kind == "text");
        let penalty = |value: Option<f64>| value.is_some_and(|penalty| penalty != 0.0);
        let refused = [
            ("n", self.n.is_some_and(|n| n != 1)),
            ("tools", given(self.tools.as_ref())),
            ("functions", given(self.functions.as_ref())),
            ("tool_choice", given(self.tool_choice.as_ref()) && !is(&self.tool_choice, &["none", "auto"])),
            (
                "function_call",
                given(self.function_call.as_ref()) && !is(&self.function_call, &["none", "auto"]),
            ),
            ("response_format", given(format) && !text),
            ("logit_bias", given(self.logit_bias.as_ref())),
            ("frequency_penalty", penalty(self.frequency_penalty)),
            ("presence_penalty", penalty(self.presence_penalty)),
            ("modalities", self.modalities.as_ref().is_some_and(|all| all.iter().any(|m| m != "text"))),
            ("audio", given(self.audio.as_ref())),
            ("web_search_options", self.web_search_options.as_ref().is_some_and(|v| !v.is_null())),
            ("reasoning_effort", given(self.reasoning_effort.as_ref())),
            ("verbosity", given(self.verbosity.as_ref())),
        ];
        match refused.into_iter().find(|(_, refused)| *refused) {
            Some(("n", _)) => Err(unsupported("/n", "`n` other than 1 is not supported")),
            Some((name, _)) => Err(unsupported(format!("/{name}"), &format!("`{name}` is not supported"))),
            None => Ok(()),
        }
    }

    /// How the answer is made.
    fn decoding(&self) -> Result<Decoding> {
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
        let stop = self.stop.as_ref().map(|stops| stops.0.clone()).unwrap_or_default();
        Ok(Decoding { sampling, stop, alternatives })
    }

    /// The editor's request, pictures decoded or fetched, at most `pictures`.
    ///
    /// # Errors
    /// 400 for what is not supported, 422 for what can't be used, and what fetching says.
    pub(super) async fn request(self, pictures: usize, fetcher: &Fetcher) -> Result<ChatRequest> {
        self.supported()?;
        let decoding = self.decoding()?;
        let own = self.reasonedit.unwrap_or_default();
        Ok(ChatRequest {
            warnings: Vec::new(),
            turns: turns(self.messages, pictures, fetcher).await?,
            choices: own.choices.unwrap_or_default(),
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            decoding,
            retrieval: own.retrieval.unwrap_or_default().into(),
            compare: own.compare.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json::from_value;

    /// A usable request with more fields.
    fn with(more: &Value) -> ChatInput {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        from_value(body).unwrap()
    }

    fn refused(more: &Value) -> Option<(u16, String)> {
        let input = with(more);
        let problem = input.supported().and_then(|()| input.decoding()).err()?;
        Some((problem.status().as_u16(), problem.body().errors[0].pointer.clone()))
    }

    #[test]
    fn what_would_change_the_answer_is_refused_by_name() {
        for (field, value) in [
            ("n", json!(2)),
            ("tools", json!([{"type": "function"}])),
            ("functions", json!([{"name": "f"}])),
            ("tool_choice", json!("required")),
            ("tool_choice", json!({"type": "function"})),
            ("response_format", json!({"type": "json_schema"})),
            ("response_format", json!({"type": "json_object"})),
            ("logit_bias", json!({"50256": -100})),
            ("frequency_penalty", json!(0.5)),
            ("presence_penalty", json!(-0.5)),
            ("modalities", json!(["text", "audio"])),
            ("audio", json!({"voice": "x"})),
            ("web_search_options", json!({})),
            ("reasoning_effort", json!("high")),
        ] {
            assert_eq!(refused(&json!({field: value})), Some((400, format!("/{field}"))), "{value}");
        }
    }

    #[test]
    fn what_changes_nothing_is_taken() {
        for more in [
            json!({"n": 1, "tools": [], "tool_choice": "auto", "functions": null, "logit_bias": {}, "function_call": "none"}),
            json!({"response_format": {"type": "text"}, "frequency_penalty": 0, "presence_penalty": 0.0}),
            json!({"user": "me", "store": true, "metadata": {"a": "b"}, "made_up": [1], "parallel_tool_calls": true}),
            json!({"modalities": ["text"], "audio": null, "service_tier": "auto", "stop": null, "top_p": 0.5}),
        ] {
            assert_eq!(refused(&more), None, "{more}");
            assert_eq!(with(&more).decoding().unwrap(), Decoding::default());
        }
    }

    #[test]
    fn decoding_is_as_asked() {
        let of = |more: Value| with(&more).decoding().unwrap();
        assert_eq!(of(json!({"temperature": 1e-9, "seed": 1})).sampling, Sampling::Greedy);
        assert_eq!(
            of(json!({"temperature": 0.7, "top_p": 0.9, "seed": -1})).sampling,
            Sampling::TopP { temperature: 0.7, top_p: 0.9, seed: u64::MAX }
        );
        assert_ne!(of(json!({"temperature": 1})), of(json!({"temperature": 1})), "a seed for each");
        assert_eq!(of(json!({"stop": "END"})).stop, ["END"]);
        assert_eq!(of(json!({"stop": ["a", "b"]})).stop, ["a", "b"]);
        assert_eq!(of(json!({"logprobs": true})).alternatives, Some(0));
        assert_eq!(of(json!({"logprobs": true, "top_logprobs": 3})).alternatives, Some(3));
        assert_eq!(of(json!({"logprobs": false, "top_logprobs": 0})).alternatives, None);
        for (more, pointer) in [
            (json!({"temperature": 2.5}), "/temperature"),
            (json!({"temperature": -1}), "/temperature"),
            (json!({"top_p": 1.5}), "/top_p"),
            (json!({"top_logprobs": 3}), "/top_logprobs"),
            (json!({"top_logprobs": 21, "logprobs": true}), "/top_logprobs"),
        ] {
            assert_eq!(refused(&more), Some((422, pointer.to_owned())), "{more}");
        }
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
