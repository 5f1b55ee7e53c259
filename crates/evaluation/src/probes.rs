//! What the unedited model sees: plain questions, and whether it recognises statements in pictures and in
//! parts of them.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use reasonedit_codebook::CodebookName;
use reasonedit_dataset::{Dataset, Probe, ProbeKind};
use reasonedit_editor::{CallContext, Editor, QueryRequest, RetrievalOverride};

use crate::EvaluationError;
use crate::estimate::{Bootstrap, Estimate};

/// Questions under way at once.
const CONCURRENCY: usize = 8;

/// Shares of right answers to the probes of a data set, by name: `perception`, `verify_whole`, `verify_crop`;
/// those without probes are left out.
///
/// # Errors
/// Unreadable data, a failing editor.
pub async fn perception(
    editor: &Editor,
    data: &Dataset,
    bootstrap: &Bootstrap,
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Vec<(String, Estimate)>, EvaluationError> {
    let total = data.probes.len();
    let outcomes: Vec<(ProbeKind, bool)> = stream::iter(data.probes.iter().enumerate())
        .map(|(index, probe)| async move {
            progress("perception", index, total);
            Ok::<_, EvaluationError>((probe.kind, is_right(editor, data, probe).await?))
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let figures = [
        (ProbeKind::Perception, "perception"),
        (ProbeKind::VerifyWhole, "verify_whole"),
        (ProbeKind::VerifyCrop, "verify_crop"),
    ]
    .map(|(kind, name)| {
        let own = outcomes.iter().filter(|(of, _)| *of == kind);
        let groups: Vec<(f64, usize)> = own.map(|(_, right)| (f64::from(u8::from(*right)), 1)).collect();
        (name.to_owned(), bootstrap.estimate(&groups))
    });
    Ok(figures.into_iter().filter(|(_, figure)| figure.n > 0).collect())
}

async fn is_right(editor: &Editor, data: &Dataset, probe: &Probe) -> Result<bool, EvaluationError> {
    let image = data.picture(&probe.image)?;
    if let Some(statement) = &probe.statement {
        let p_yes = editor.verify_statement(image, probe.crop, statement, CallContext::default()).await?;
        return Ok((p_yes > 0.5) == (probe.answer == "yes"));
    }
    let request = QueryRequest {
        image,
        question: probe.question.clone().unwrap_or_default(),
        choices: probe.choices.clone(),
        max_tokens: None,
        max_thinking_tokens: None,
        retrieval: RetrievalOverride { enabled: Some(false), ..RetrievalOverride::default() },
        compare: false,
        warnings: Vec::new(),
    };
    let outcome = editor.query(&CodebookName::default(), request, CallContext::default()).await?;
    Ok(outcome.answer == probe.answer)
}
