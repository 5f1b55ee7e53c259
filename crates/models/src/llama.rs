//! What models around a Llama (Vicuna) language model share: settings that `config.json` may leave out, names
//! that differ between releases of transformers.

use reasonedit_nn::blocks::decoder::TextConfig;
use reasonedit_nn::weights::{Scope, Weights};
use serde_json::{Value, json};

use crate::error::Result;

/// The first of `prefixes` below which there is a tensor `marker`; the first of all if there is none, whose
/// tensors are then missed by their published names.
pub(crate) fn first_prefix<'p>(weights: &Weights, prefixes: &[&'p str], marker: &str) -> &'p str {
    let found = prefixes.iter().find(|prefix| weights.has(&under(prefix, marker)));
    found.or(prefixes.first()).copied().unwrap_or_default()
}

/// The names below [`first_prefix`].
pub(crate) fn first_scope<'w>(weights: &'w Weights, prefixes: &[&str], marker: &str) -> Scope<'w> {
    weights.scope(first_prefix(weights, prefixes, marker))
}

/// A name below a prefix.
pub(crate) fn under(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// Base of the rotary frequencies in `LlamaConfig`; the published LLaVA and InstructBLIP files say nothing of
/// it.
pub(crate) const LLAMA_THETA: f64 = 10_000.0;

/// What `LlamaConfig` assumes; the published LLaVA and InstructBLIP files name little but what differs from
/// it.
fn llama_defaults() -> [(&'static str, Value); 8] {
    [
        ("vocab_size", json!(32_000)),
        ("hidden_size", json!(4096)),
        ("intermediate_size", json!(11_008)),
        ("num_hidden_layers", json!(32)),
        ("num_attention_heads", json!(32)),
        ("hidden_act", json!("silu")),
        ("max_position_embeddings", json!(2048)),
        ("rms_norm_eps", json!(1e-6)),
    ]
}

/// The language model's part of `config.json`.
///
/// # Errors
/// A value of the wrong kind, or one that is not computed here.
pub(crate) fn text_config(config: &Value) -> Result<TextConfig> {
    Ok(TextConfig::parse(&config["text_config"], "text_config", &llama_defaults())?)
}
