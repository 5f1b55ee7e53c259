//! `query`: a question about a picture.

use reasonedit_editor::{CallContext, QueryRequest, RetrievalOverride};
use serde_json::json;

use super::target::Target;
use crate::args::QueryArgs;
use crate::error::Result;
use crate::picture::Picture;
use crate::{output, render, service, shape};

/// Asks and prints the answer.
///
/// # Errors
/// Wrong options, a picture that can't be read, a query that is refused.
pub(crate) async fn run(args: &QueryArgs) -> Result<()> {
    let picture = Picture::read(&args.image)?;
    let retrieval = RetrievalOverride {
        enabled: args.no_retrieval.then_some(false),
        k: args.k,
        reject_percentile: args.reject_percentile,
        verify: args.verify,
        as_of: args.as_of,
        without: args.without.clone(),
        as_if: Vec::new(),
    };
    let value = match Target::open(&args.target).await? {
        Target::Remote(client) => {
            let mut body = json!({
                "image": picture.to_json(), "question": args.question, "retrieval": retrieval,
                "compare": args.compare, "explain": args.explain,
            });
            if !args.choices.is_empty() {
                body["choices"] = json!(args.choices);
            }
            if let Some(tokens) = args.max_tokens {
                body["max_tokens"] = json!(tokens);
            }
            client.post("query", &body).await?
        }
        Target::Local(local, codebook) => {
            let request = QueryRequest {
                warnings: Vec::new(),
                image: picture.into_source(),
                question: args.question.clone(),
                choices: args.choices.clone(),
                max_tokens: args.max_tokens,
                max_thinking_tokens: None,
                retrieval,
                compare: args.compare,
            };
            let outcome = local.editor.query(&codebook, request, CallContext::default()).await;
            shape::answer(outcome.map_err(service::refused)?, args.explain)
        }
    };
    if args.target.json { output::print_json(&value) } else { output::print(&render::answer(&value)) }
}
