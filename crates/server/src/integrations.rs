//! The one list of integrations.

/// The integrations: the settings of each with the key that they have below `server`. Hands them to the macro
/// of this name, which makes a field, a check or a value of each.
macro_rules! with_integrations {
    ($with:ident) => {
        $with! {
            /// Projects of Label Studio.
            label_studio: reasonedit_label_studio::LabelStudioConfig,
            /// Chat completions for `OpenAI`'s clients.
            openai: reasonedit_openai::OpenAiConfig,
            /// Who is told what happens to codebooks.
            webhooks: reasonedit_webhooks::WebhooksConfig,
        }
    };
}
pub(crate) use with_integrations;
