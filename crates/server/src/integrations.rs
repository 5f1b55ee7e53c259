//! Other programs' protocols: one folder each, with its shapes, its handlers and its settings.

pub(crate) mod label_studio;
pub(crate) mod openai;
pub(crate) mod webhooks;

/// The one list of integrations: the settings of each with the key that they have below `server`. Hands them
/// to the macro of this name, which makes a field, a check or a value of each.
macro_rules! with_integrations {
    ($with:ident) => {
        $with! {
            /// Projects of Label Studio.
            label_studio: crate::integrations::label_studio::LabelStudioConfig,
            /// Chat completions for `OpenAI`'s clients.
            openai: crate::integrations::openai::OpenAiConfig,
            /// Who is told what happens to codebooks.
            webhooks: crate::integrations::webhooks::WebhooksConfig,
        }
    };
}
pub(crate) use with_integrations;
