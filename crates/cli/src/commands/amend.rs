//! `amend`: a new version of an edit.

use reasonedit_editor::{Amendment, CallContext};
use serde_json::json;

use super::edit::{sent, statements};
use super::target::Target;
use crate::args::AmendArgs;
use crate::error::{CliError, Result};
use crate::{output, render, service, shape};

/// Makes the version and prints what became of it; or undoes the newest.
///
/// # Errors
/// Wrong options, an edit that isn't there, a version that is refused.
pub(crate) async fn run(args: &AmendArgs) -> Result<()> {
    let reasoning = (!args.reasoning.is_empty())
        .then(|| statements(&args.reasoning, &args.evidence))
        .transpose()?
        .or_else(|| args.no_reasoning.then(Vec::new));
    let tags = (!args.tags.is_empty() || args.no_tags).then(|| args.tags.clone());
    if reasoning.is_none() && tags.is_none() && args.answer.is_none() && args.undo.is_none() {
        return Err(CliError::Usage("say what is otherwise, or --undo".to_owned()));
    }
    let value = match Target::open(&args.target).await? {
        Target::Remote(client) => {
            if let Some(version) = args.undo {
                client.delete_shown(&format!("edits/{}/versions/{version}", args.id)).await?
            } else {
                let mut body = json!({ "verify": !args.no_verify });
                if let Some(answer) = &args.answer {
                    body["answer"] = json!(answer);
                }
                if let Some(said) = &reasoning {
                    body["reasoning"] = sent(said);
                }
                if let Some(tags) = &tags {
                    body["tags"] = json!(tags);
                }
                if let Some(author) = &args.author {
                    body["author"] = json!(author);
                }
                client.patch(&format!("edits/{}", args.id), &body).await?
            }
        }
        Target::Local(local, codebook) => {
            let view = if let Some(version) = args.undo {
                local.editor.undo_version(&codebook, (args.id, version), None).await
            } else {
                let amendment = Amendment {
                    answer: args.answer.clone(),
                    reasoning,
                    tags,
                    author: args.author.clone(),
                    verify: !args.no_verify,
                    ..Amendment::default()
                };
                local.editor.amend(&codebook, args.id, amendment, CallContext::default()).await
            };
            shape::edit(&view.map_err(service::refused)?)
        }
    };
    if args.target.json { output::print_json(&value) } else { output::print(&render::edit(&value)) }
}
