//! Where a picture shows statements: the boxes that a person drew, else what the model finds. Also without
//! making an edit: what a person is shown before deciding where a statement is seen.

use std::time::Instant;

use reasonedit_codebook::{CodebookName, Evidence, EvidenceSource, Statement};
use reasonedit_inference::CallOptions;

use super::DecodedEdit;
use crate::core::Core;
use crate::error::EditorError;
use crate::patchify;
use crate::timing::milliseconds;
use crate::types::{CallContext, EvidenceFound, ImageSource};
use crate::validate;
use crate::visual_entailment::{EntailmentJudge, unaskable};

fn judge(core: &Core, options: CallOptions) -> EntailmentJudge<'_> {
    EntailmentJudge { engine: core.engine(), prompts: &core.config().prompts, options }
}

/// The statements of an edit as they are stored, their evidence found where the person gave none; and the
/// milliseconds that the search waited for the engine.
pub(super) async fn statements(
    core: &Core,
    edit: &DecodedEdit,
    options: CallOptions,
) -> Result<(Vec<Statement>, f64), EditorError> {
    let (config, picture, reasoning) = (&core.config().patchify, &edit.picture, &edit.request.reasoning);
    let statements: Vec<&str> = reasoning.iter().map(|s| s.statement.trim()).collect();
    let searched: Vec<&str> = statements
        .iter()
        .zip(reasoning)
        .filter(|(_, given)| config.enabled && given.evidence.is_empty())
        .map(|(statement, _)| *statement)
        .collect();
    let judge = judge(core, options);
    // What the model doesn't recognise here, or says of any picture, can't be held against others.
    let ((found, queue_ms), (p_yes, _), priors) = tokio::try_join!(
        patchify::search(judge, config, picture, &searched),
        judge.row(picture.input(None), &statements),
        judge.priors(&statements),
    )?;
    let mut found = found.into_iter();
    let by_user = |area| Evidence { area, source: EvidenceSource::User, p_yes: None, log_likelihood: None };
    let stored = statements.iter().zip(&edit.boxes).zip(p_yes.into_iter().zip(priors)).map(
        |((statement, boxes), (p_yes, prior))| {
            let evidence = match boxes.as_slice() {
                [] if config.enabled => found.next().map(|search| search.evidence).unwrap_or_default(),
                drawn => drawn.iter().copied().map(by_user).collect(),
            };
            Statement { statement: (*statement).to_owned(), evidence, p_yes, prior }
        },
    );
    Ok((stored.collect(), queue_ms))
}

/// Where a picture shows each statement, by the model: what an edit of them would store, and every part that
/// was looked at. Nothing is kept, the picture neither.
///
/// # Errors
/// Unusable statements or picture, a busy or failing engine.
pub(crate) async fn find_evidence(
    core: &Core,
    codebook: &CodebookName,
    image: &ImageSource,
    statements: &[String],
    call: CallContext,
) -> Result<EvidenceFound, EditorError> {
    let began = Instant::now();
    let statements = &validate::repair::statements(statements)[..];
    validate::statements(statements, &core.config().limits)?;
    let picture = core.pictures().resolve_for(call.flow, image, core.pixel_rules(codebook)?).await?;
    let texts: Vec<&str> = statements.iter().map(String::as_str).collect();
    let judge = judge(core, call.options());
    let ((searches, queue_ms), (p_yes, waited)) = tokio::try_join!(
        patchify::search(judge, &core.config().patchify, &picture, &texts),
        judge.row(picture.input(None), &texts),
    )?;
    let places = p_yes.iter().enumerate().filter(|(_, p)| p.is_none());
    let too_long: Vec<_> = places.map(|(at, _)| unaskable(format!("/statements/{at}"))).collect();
    if !too_long.is_empty() {
        return Err(EditorError::Invalid(too_long));
    }
    Ok(EvidenceFound {
        image: picture.info(),
        searches,
        p_yes: p_yes.into_iter().flatten().collect(),
        warnings: picture.warnings("/image").collect(),
        queue_ms: queue_ms + waited,
        total_ms: milliseconds(began),
    })
}
