//! `take-back`: many edits in one step, and the step undone.

use std::fmt::Write as _;

use reasonedit_dto::revert::{RestoredDto, RevertInput, RevertResultDto};
use reasonedit_editor::{CallContext, DryRunQuestions};
use serde_json::{Value, json};

use super::target::Target;
use crate::args::TakeBackArgs;
use crate::error::{CliError, Result};
use crate::{output, render, service};

/// Takes back what the options name, or tells what that would be; or undoes a step.
///
/// # Errors
/// Wrong options, an edit that isn't live, a step that can't be undone.
pub(crate) async fn run(args: &TakeBackArgs) -> Result<()> {
    let asked = request(args);
    let input: RevertInput =
        serde_json::from_value(asked.clone()).map_err(|error| CliError::Usage(error.to_string()))?;
    if args.undo.is_none() && !input.says_which() {
        return Err(CliError::Usage("say which edits, or --undo".to_owned()));
    }
    let value = match Target::open_existing(&args.target).await? {
        Target::Remote(client) => match args.undo {
            Some(id) => client.delete_shown(&format!("reverts/{id}")).await?,
            None => client.post("reverts", &asked).await?,
        },
        Target::Local(local, codebook) => {
            let editor = &local.editor;
            if let Some(id) = args.undo {
                let restored = editor.undo_revert(&codebook, id, None).await.map_err(service::refused)?;
                json!(RestoredDto::of(id, &restored))
            } else if args.dry_run {
                let questions = args.log.then_some(DryRunQuestions::Log);
                let call = CallContext::default();
                let seen = editor.foresee_revert(&codebook, input.selection(None), questions, call).await;
                let seen = seen.map_err(service::refused)?;
                json!(seen.as_ref().map_or_else(RevertResultDto::nothing, Into::into))
            } else {
                let done = editor.revert_selected(&codebook, input.selection(None), None).await;
                let done = done.map_err(service::refused)?;
                json!(done.map_or_else(RevertResultDto::nothing, |(id, reverted)| {
                    RevertResultDto::of(Some(id), &reverted)
                }))
            }
        }
    };
    if args.target.json { output::print_json(&value) } else { output::print(&told(args, &value)) }
}

fn request(args: &TakeBackArgs) -> Value {
    let mut asked = json!({ "dry_run": args.dry_run });
    let texts = [
        ("author", &args.author),
        ("tag", &args.tag),
        ("from", &args.from),
        ("to", &args.to),
        ("job", &args.job),
    ];
    for (field, text) in texts {
        if let Some(text) = text {
            asked[field] = json!(text);
        }
    }
    if !args.edits.is_empty() {
        asked["edits"] = json!(args.edits);
    }
    if args.log {
        asked["questions"] = json!("log");
    }
    asked
}

/// The result in a few lines.
fn told(args: &TakeBackArgs, value: &Value) -> String {
    let count = value["count"].as_u64().unwrap_or_default();
    let id = value["id"].as_str();
    let mut out = match (args.undo.is_some(), id) {
        (true, _) => format!("{count} are live again\n"),
        (false, Some(id)) => format!("{count} taken back; undo with --undo {id}\n"),
        (false, None) if args.dry_run => format!("{count} would be taken back\n"),
        (false, None) => "nothing fits, and nothing was taken back\n".to_owned(),
    };
    for edit in value["edits"].as_array().into_iter().flatten() {
        let id = edit.as_str().or_else(|| edit["id"].as_str()).unwrap_or_default();
        let part = if edit["whole"] == false { ", its newest versions" } else { "" };
        let _ = writeln!(out, "  {id}{part}");
    }
    let lists = [("erased", "erased meanwhile, and stays away"), ("standing", "stands again")];
    for (field, what) in lists {
        for id in value[field].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let _ = writeln!(out, "  {id} {what}");
        }
    }
    let effects = &value["effects"];
    if effects.is_object() {
        render::effects(&mut out, effects);
    }
    out.trim_end().to_owned()
}
