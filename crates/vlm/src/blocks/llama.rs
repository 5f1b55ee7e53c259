//! What models around a Llama (Vicuna) language model share: settings that `config.json` may leave out, names that differ between
//! releases of transformers.

use serde_json::{Value, json};

use crate::load::weights::{Scope, Weights};

/// The first of `prefixes` below which there is a tensor `marker`; the first of all if there is none, whose tensors are then
/// missed by their published names.
pub(crate) fn first_scope<'w>(weights: &'w Weights, prefixes: &[&str], marker: &str) -> Scope<'w> {
    let full =
        |prefix: &str| if prefix.is_empty() { marker.to_owned() } else { format!("{prefix}.{marker}") };
    let found = prefixes.iter().find(|prefix| weights.has(&full(prefix)));
    weights.scope(found.or(prefixes.first()).copied().unwrap_or_default())
}

/// What `LlamaConfig` assumes; the published LLaVA and InstructBLIP files name little but what differs from it.
pub(crate) fn llama_defaults() -> [(&'static str, Value); 8] {
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
