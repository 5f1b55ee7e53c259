//! What the files of an adapter are called, as PEFT writes them.

/// The file of settings.
pub(super) const CONFIG: &str = "adapter_config.json";
/// The file of weights.
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";
/// The note in the weights' header that names the model; other writers' files have none.
pub(super) const FINGERPRINT: &str = "model_fingerprint";
