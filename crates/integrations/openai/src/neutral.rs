//! Parameters that would change the answer and can't be served: taken at the value that changes nothing, else
//! refused by name.

use reasonedit_http::problem::Result;
use serde_json::{Map, Value};

use super::rules::{given, unsupported};

/// The values of a parameter that change nothing, `null` aside.
enum Neutral {
    /// False, and what is empty.
    Off,
    /// True.
    On,
    /// These numbers; false too.
    Numbers(&'static [f64]),
    /// These texts; what is empty too.
    Texts(&'static [&'static str]),
    /// Lists of these texts.
    ListOf(&'static [&'static str]),
    /// An object all of whose values are false or empty.
    Flags,
    /// None: that it is there asks for something.
    Nothing,
}

use Neutral::{Flags, ListOf, Nothing, Numbers, Off, On, Texts};

/// By name. `docs/openai.md` has the same table.
const PARAMETERS: [(&str, Neutral); 53] = [
    // OpenAI.
    ("tools", Off),
    ("functions", Off),
    ("tool_choice", Texts(&["none", "auto"])),
    ("function_call", Texts(&["none", "auto"])),
    ("modalities", ListOf(&["text"])),
    ("audio", Off),
    ("web_search_options", Nothing),
    // vLLM.
    ("best_of", Numbers(&[1.0])),
    ("use_beam_search", Off),
    ("echo", Off),
    ("prompt_logprobs", Off),
    ("bad_words", Off),
    ("allowed_token_ids", Off),
    ("logits_processors", Off),
    ("truncate_prompt_tokens", Off),
    ("include_stop_str_in_output", Off),
    ("skip_special_tokens", On),
    ("add_special_tokens", Off),
    ("return_token_ids", Off),
    ("return_tokens_as_token_ids", Off),
    ("logprob_token_ids", Off),
    ("chat_template", Off),
    ("chat_template_kwargs", Flags),
    ("documents", Off),
    ("mm_processor_kwargs", Off),
    ("media_io_kwargs", Off),
    ("vllm_xargs", Off),
    ("guided_whitespace_pattern", Off),
    ("structural_tag", Off),
    ("repetition_detection", Off),
    ("thinking_token_budget", Off),
    // llama.cpp, SGLang, text-generation-webui and others.
    ("grammar", Off),
    ("ebnf", Off),
    ("custom_logit_processor", Off),
    ("typical_p", Numbers(&[1.0])),
    ("tfs_z", Numbers(&[1.0])),
    ("top_a", Numbers(&[0.0])),
    ("top_n_sigma", Numbers(&[0.0, -1.0])),
    ("epsilon_cutoff", Numbers(&[0.0])),
    ("eta_cutoff", Numbers(&[0.0])),
    ("mirostat", Numbers(&[0.0])),
    ("mirostat_mode", Numbers(&[0.0])),
    ("dynatemp_range", Numbers(&[0.0])),
    ("xtc_probability", Numbers(&[0.0])),
    ("dry_multiplier", Numbers(&[0.0])),
    ("smoothing_factor", Numbers(&[0.0])),
    ("no_repeat_ngram_size", Numbers(&[0.0])),
    ("encoder_repetition_penalty", Numbers(&[1.0])),
    ("guidance_scale", Numbers(&[1.0])),
    ("negative_prompt", Off),
    ("ban_eos_token", Off),
    ("custom_token_bans", Off),
    ("lora", Off),
];

impl Neutral {
    fn holds(&self, value: &Value) -> bool {
        let empty = !given(Some(value)) || value.as_str() == Some("");
        match self {
            Off => empty,
            On => matches!(value, Value::Null | Value::Bool(true)),
            Numbers(all) => empty || value.as_f64().is_some_and(|number| all.contains(&number)),
            Texts(all) => empty || value.as_str().is_some_and(|text| all.contains(&text)),
            ListOf(all) => {
                let known = |value: &Value| value.as_str().is_some_and(|text| all.contains(&text));
                empty || value.as_array().is_some_and(|list| list.iter().all(known))
            }
            Flags => {
                let off = |value: &Value| !given(Some(value));
                empty || value.as_object().is_some_and(|flags| flags.values().all(off))
            }
            Nothing => value.is_null(),
        }
    }
}

/// Refuses the first of `more` fields that asks for what isn't done.
///
/// # Errors
/// 400, with its place.
pub(super) fn check(more: &Map<String, Value>) -> Result<()> {
    let asks =
        |(name, neutral): &&(&str, Neutral)| more.get(*name).is_some_and(|value| !neutral.holds(value));
    match PARAMETERS.iter().find(asks) {
        Some((name, _)) => Err(unsupported(format!("/{name}"), &format!("`{name}` is not supported"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(name: &str, value: &Value) -> bool {
        check(&Map::from_iter([(name.to_owned(), value.clone())])).is_ok()
    }

    #[test]
    fn null_changes_nothing_and_a_use_is_refused_by_name() {
        for (name, neutral) in &PARAMETERS {
            assert!(taken(name, &Value::Null), "{name}");
            let used = match neutral {
                Off | Nothing => json!({"a": 1}),
                On => json!(false),
                Numbers(_) => json!(0.5),
                Texts(_) => json!("high"),
                ListOf(_) => json!(["audio"]),
                Flags => json!({"enable_thinking": true}),
            };
            let more = Map::from_iter([((*name).to_owned(), used)]);
            let problem = check(&more).unwrap_err();
            assert_eq!(problem.status().as_u16(), 400);
            let body = problem.body();
            assert_eq!(body.errors[0].pointer, format!("/{name}"));
            assert!(body.detail.contains(&format!("`{name}`")), "{}", body.detail);
        }
    }

    #[test]
    fn neutral_values_of_every_habit_are_taken() {
        for (name, value) in [
            ("tools", json!([])),
            ("tool_choice", json!("auto")),
            ("tool_choice", json!("")),
            ("modalities", json!(["text"])),
            ("best_of", json!(1)),
            ("use_beam_search", json!(false)),
            ("skip_special_tokens", json!(true)),
            ("bad_words", json!([])),
            ("chat_template_kwargs", json!({"enable_thinking": false})),
            ("chat_template_kwargs", json!({})),
            ("typical_p", json!(1)),
            ("typical_p", json!(1.0)),
            ("mirostat", json!(0)),
            ("top_n_sigma", json!(-1.0)),
            ("no_repeat_ngram_size", json!(0)),
            ("made_up", json!({"anything": ["goes"]})),
        ] {
            assert!(taken(name, &value), "{name}: {value}");
        }
    }
}
