//! Samplers: what is done to the model's logits before a token is chosen.

use std::collections::BTreeMap;

use reasonedit_editor::LogitRules;
use reasonedit_http::problem::{Problem, Result};
use serde::Deserialize;
use utoipa::ToSchema;

/// Greatest bias of a token, either way.
const MOST_BIAS: f64 = 100.0;

/// Fields of [`SamplersInput`].
pub(super) const NAMES: [&str; 10] = [
    "top_k",
    "min_p",
    "repetition_penalty",
    "repeat_penalty",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "min_tokens",
    "ignore_eos",
    "stop_token_ids",
];

/// Samplers, as `OpenAI` and vLLM define them.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ChatSamplers)]
pub(super) struct SamplersInput {
    /// With a temperature: tokens are drawn from this many of the most probable ones; 0 or -1: from all.
    #[schema(minimum = -1)]
    top_k: Option<i64>,
    /// With a temperature: tokens are drawn from those that are at least this much as probable as the most
    /// probable one.
    #[schema(minimum = 0, maximum = 1)]
    min_p: Option<f64>,
    /// Above 1: tokens of the prompt and of the answer so far become less probable; 1: nothing.
    #[schema(exclusive_minimum = 0)]
    repetition_penalty: Option<f64>,
    /// The same by llama.cpp's name.
    #[schema(exclusive_minimum = 0)]
    repeat_penalty: Option<f64>,
    /// Above 0: tokens become less probable with every time that they were said in the answer.
    #[schema(minimum = -2, maximum = 2)]
    frequency_penalty: Option<f64>,
    /// Above 0: tokens that were said in the answer become less probable.
    #[schema(minimum = -2, maximum = 2)]
    presence_penalty: Option<f64>,
    /// Added to the logits of tokens, by their ids: -100 to 100.
    #[schema(example = json!({"50": -100}))]
    logit_bias: Option<BTreeMap<String, f64>>,
    /// So many tokens come before the answer may end.
    #[schema(minimum = 0)]
    min_tokens: Option<i64>,
    /// Go on after the model's own end, up to `max_tokens`.
    ignore_eos: Option<bool>,
    /// Tokens that end the answer and are no part of it.
    stop_token_ids: Option<Vec<u32>>,
}

impl SamplersInput {
    /// What they come to for a model of `vocabulary` tokens.
    ///
    /// # Errors
    /// 422 for what is out of range, with its place.
    pub(super) fn rules(&self, vocabulary: usize) -> Result<LogitRules> {
        let within = |name: &str, value: Option<f64>, least: f64, most: f64| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(Problem::invalid(format!("/{name}"), format!("{value} is not from {least} to {most}.")))
            }
            other => Ok(other.unwrap_or(0.0)),
        };
        let token = |pointer: String, id: u32| {
            let detail = format!("{id} is no token of this model, which has {vocabulary}.");
            if (id as usize) < vocabulary { Ok(id) } else { Err(Problem::invalid(pointer, detail)) }
        };
        let top_k = match self.top_k.map(usize::try_from) {
            None | Some(Ok(0)) => None,
            Some(Ok(count)) => Some(count),
            Some(Err(_)) if self.top_k == Some(-1) => None,
            Some(Err(_)) => {
                return Err(Problem::invalid(
                    "/top_k",
                    "`top_k` is a whole number from 1, or -1 for all tokens.",
                ));
            }
        };
        let min_tokens = self.min_tokens.map_or(Ok(0), usize::try_from);
        let min_tokens = min_tokens
            .map_err(|_| Problem::invalid("/min_tokens", "`min_tokens` is a whole number from 0."))?;
        let (name, repetition) = match self.repetition_penalty {
            Some(penalty) => ("repetition_penalty", penalty),
            None => ("repeat_penalty", self.repeat_penalty.unwrap_or(1.0)),
        };
        let repetition_penalty = repetition as f32;
        if !(repetition_penalty.is_finite() && repetition_penalty > 0.0) {
            return Err(Problem::invalid(format!("/{name}"), format!("{repetition} is not above 0.")));
        }
        let bias = self.logit_bias.iter().flatten().map(|(id, bias)| {
            let pointer = || format!("/logit_bias/{}", id.replace('~', "~0").replace('/', "~1"));
            let id: u32 = id
                .trim()
                .parse()
                .map_err(|_| Problem::invalid(pointer(), "Keys are ids of tokens, whole numbers from 0."))?;
            if !(-MOST_BIAS..=MOST_BIAS).contains(bias) {
                let detail = format!("{bias} is not from -{MOST_BIAS} to {MOST_BIAS}.");
                return Err(Problem::invalid(pointer(), detail));
            }
            Ok((token(pointer(), id)?, *bias as f32))
        });
        let stops = self.stop_token_ids.iter().flatten().enumerate();
        let stops = stops.map(|(at, id)| token(format!("/stop_token_ids/{at}"), *id));
        Ok(LogitRules {
            repetition_penalty,
            frequency_penalty: within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)? as f32,
            presence_penalty: within("presence_penalty", self.presence_penalty, -2.0, 2.0)? as f32,
            bias: bias.collect::<Result<_>>()?,
            min_tokens,
            ignore_end: self.ignore_eos.unwrap_or(false),
            stop_tokens: stops.collect::<Result<_>>()?,
            top_k,
            min_p: within("min_p", self.min_p, 0.0, 1.0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use reasonedit_http::json::from_value;

    fn rules(more: Value) -> Result<LogitRules> {
        from_value::<SamplersInput>(more)?.rules(100)
    }

    #[test]
    fn neutral_values_are_no_rules() {
        for more in [
            json!({}),
            json!({"top_k": -1, "min_p": 0, "repetition_penalty": 1, "frequency_penalty": 0, "presence_penalty": 0.0}),
            json!({"top_k": 0, "logit_bias": {}, "min_tokens": 0, "ignore_eos": false, "stop_token_ids": []}),
            json!({"top_k": null, "min_p": null, "logit_bias": null, "stop_token_ids": null, "repeat_penalty": 1.0}),
        ] {
            assert_eq!(rules(more.clone()).unwrap(), LogitRules::default(), "{more}");
        }
    }

    #[test]
    fn samplers_are_as_asked() {
        let asked = json!({
            "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.5, "frequency_penalty": 0.5, "presence_penalty": -2,
            "logit_bias": {"5": -100, " 7": 2.5}, "min_tokens": 3, "ignore_eos": true, "stop_token_ids": [9],
        });
        let expected = LogitRules {
            repetition_penalty: 1.5,
            frequency_penalty: 0.5,
            presence_penalty: -2.0,
            bias: [(7, 2.5), (5, -100.0)].into(),
            min_tokens: 3,
            ignore_end: true,
            stop_tokens: [9].into(),
            top_k: Some(7),
            min_p: 0.1,
        };
        assert_eq!(rules(asked).unwrap(), expected);
        assert_eq!(rules(json!({"repeat_penalty": 1.25})).unwrap().repetition_penalty, 1.25);
    }

    #[test]
    fn every_field_has_its_name() {
        for name in NAMES {
            assert!(rules(json!({name: "x"})).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for (more, pointer) in [
            (json!({"top_k": -2}), "/top_k"),
            (json!({"min_p": 1.5}), "/min_p"),
            (json!({"repetition_penalty": 0}), "/repetition_penalty"),
            (json!({"repeat_penalty": -1}), "/repeat_penalty"),
            (json!({"repetition_penalty": 1e300}), "/repetition_penalty"),
            (json!({"frequency_penalty": 2.5}), "/frequency_penalty"),
            (json!({"presence_penalty": -3}), "/presence_penalty"),
            (json!({"logit_bias": {"5": 101}}), "/logit_bias/5"),
            (json!({"logit_bias": {"a/b": 1}}), "/logit_bias/a~1b"),
            (json!({"logit_bias": {"100": 1}}), "/logit_bias/100"),
            (json!({"min_tokens": -1}), "/min_tokens"),
            (json!({"stop_token_ids": [1, 100]}), "/stop_token_ids/1"),
        ] {
            let problem = rules(more.clone()).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), problem.body().errors[0].pointer.as_str()),
                (422, pointer)
            );
        }
    }
}
