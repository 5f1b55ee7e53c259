//! `dry-run`: what an edit would change.

use reasonedit_dto::dry_run::DryRunDto;
use reasonedit_editor::{CallContext, DryRunQuestions};
use serde_json::{Value, json};

use super::edit::Said;
use super::target::Target;
use crate::args::DryRunArgs;
use crate::error::Result;
use crate::{output, render, service};

/// Tells which answers would be others, and which canaries would break, if the edit were made.
///
/// # Errors
/// Wrong options, a picture that can't be read, an edit that would be refused.
pub(crate) async fn run(args: &DryRunArgs) -> Result<()> {
    let edit = &args.edit;
    let said = Said::of(edit)?;
    let value: Value = match Target::open_existing(&edit.target).await? {
        Target::Remote(client) => {
            let mut body = json!({ "edit": said.body(edit) });
            if args.log {
                body["questions"] = json!("log");
            }
            client.post("dry-run", &body).await?
        }
        Target::Local(local, codebook) => {
            let questions = if args.log { DryRunQuestions::Log } else { DryRunQuestions::Given(Vec::new()) };
            let (request, call) = (said.request(edit), CallContext::default());
            let outcome = local.editor.dry_run(&codebook, request, questions, call).await;
            json!(DryRunDto::from(&outcome.map_err(service::refused)?))
        }
    };
    if edit.target.json { output::print_json(&value) } else { output::print(&render::dry_run(&value)) }
}
