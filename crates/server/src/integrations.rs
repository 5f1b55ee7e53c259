//! Other programs' protocols: one folder each, with its shapes, its handlers and its settings.

pub(crate) mod label_studio;
pub(crate) mod openai;
pub(crate) mod webhooks;
