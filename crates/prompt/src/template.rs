//! Chat templates in the dialect Hugging Face checkpoints use.

use std::collections::BTreeMap;

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};

use crate::error::{PromptError, Result};

const NAME: &str = "chat";

/// A compiled chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    special_tokens: BTreeMap<String, String>,
}

/// The template without transformers' own `{% generation %}` tags, which mark replies for training and print
/// nothing.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        rest = tag;
        let Some((inner, after)) = tag.split_once("%}") else { break };
        let name = inner.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let stand_in = match name {
            "generation" => "if true",
            "endgeneration" => "endif",
            _ => continue,
        };
        // White space control stays with the tag.
        out.push_str(&inner.replace(name, stand_in));
        out.push_str("%}");
        rest = after;
    }
    out.push_str(rest);
    out
}

impl ChatTemplate {
    pub(crate) fn new(source: &str, special_tokens: BTreeMap<String, String>) -> Result<Self> {
        let mut environment = Environment::new();
        // As transformers sets up jinja2: trim_blocks, lstrip_blocks, loop controls, Python's methods on
        // values.
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        // A prompt that changes with the clock could not be answered the same way twice: dates stay out of
        // it.
        environment.add_function("strftime_now", |_format: String| String::new());
        environment.set_fuel(Some(5_000_000));
        environment
            .add_template_owned(NAME, without_generation_tags(source))
            .map_err(|e| PromptError::Template(format!("it doesn't compile: {e}")))?;
        Ok(Self { environment, special_tokens })
    }

    pub(crate) fn render(&self, messages: &[serde_json::Value], reply: bool) -> Result<String> {
        let template =
            self.environment.get_template(NAME).map_err(|e| PromptError::Template(e.to_string()))?;
        let special = Value::from_serialize(&self.special_tokens);
        let context = minijinja::context! {
            messages => Value::from_serialize(messages),
            add_generation_prompt => reply,
            ..special
        };
        // The error's text may quote the conversation; only its kind is passed on.
        template.render(context).map_err(|e| PromptError::Template(format!("{:?}", e.kind())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_tags_leave_no_trace() {
        let source = "{% for m in messages %}\n{%- generation -%} {{ m }} {% endgeneration %}\n{% endfor %}{% raw %}x{% endraw %}{% if";
        let want = "{% for m in messages %}\n{%- if true -%} {{ m }} {% endif %}\n{% endfor %}{% raw %}x{% endraw %}{% if";
        assert_eq!(without_generation_tags(source), want);
        let template = ChatTemplate::new(source.trim_end_matches("{% if"), BTreeMap::new()).unwrap();
        assert_eq!(template.render(&["a".into(), "b".into()], false).unwrap(), "a b x");
    }
}
