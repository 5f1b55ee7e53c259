//! How much a reasoning model thinks, in `OpenAI`'s words.

use reasonedit_editor::AnswerConfig;
use reasonedit_http::problem::{Problem, Result};

use super::rules::unsupported;

/// Where the request has it.
const EFFORT: &str = "/reasoning_effort";

/// Shares of what a model thinks where nothing is said.
const MINIMAL: usize = 16;
const LOW: usize = 4;

/// Tokens of thinking that an effort stands for: `medium` as many as where nothing is said, `low` a quarter
/// and `minimal` a sixteenth of them, `high` as many as may be asked for, `none` none. `thinking` is what a
/// reasoning model has by the settings.
///
/// # Errors
/// 422 for a word that is no effort; 400 for an effort where the model doesn't think.
pub(super) fn thinking_tokens(
    effort: Option<&str>,
    thinking: Option<&AnswerConfig>,
) -> Result<Option<usize>> {
    let Some(effort) = effort.filter(|effort| !effort.is_empty()) else { return Ok(None) };
    let known = ["none", "minimal", "low", "medium", "high"].contains(&effort);
    match thinking {
        None if effort == "none" => Ok(None),
        None => Err(unsupported(EFFORT, "`reasoning_effort` is not supported for this model")),
        Some(_) if !known => {
            Err(Problem::invalid(EFFORT, "It is `none`, `minimal`, `low`, `medium` or `high`."))
        }
        Some(config) => Ok(Some(match effort {
            "none" => 0,
            "minimal" => config.max_thinking_tokens / MINIMAL,
            "low" => config.max_thinking_tokens / LOW,
            "high" => config.max_thinking_tokens_limit,
            _ => config.max_thinking_tokens,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efforts_are_budgets_of_models_that_think() {
        let config = AnswerConfig::default();
        let of =
            |effort, thinking| thinking_tokens(effort, thinking).map_err(|problem| problem.status().as_u16());
        for (effort, tokens) in [
            (None, None),
            (Some(""), None),
            (Some("none"), Some(0)),
            (Some("minimal"), Some(64)),
            (Some("low"), Some(256)),
            (Some("medium"), Some(1024)),
            (Some("high"), Some(8192)),
        ] {
            assert_eq!(of(effort, Some(&config)), Ok(tokens));
        }
        assert_eq!(of(Some("most"), Some(&config)), Err(422));
        assert_eq!(
            (of(None, None), of(Some(""), None), of(Some("none"), None)),
            (Ok(None), Ok(None), Ok(None))
        );
        assert_eq!(of(Some("high"), None), Err(400));
    }
}
