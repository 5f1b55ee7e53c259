//! Visual evidence patchification: which part of the picture shows a statement (paper section 3.2, appendix
//! C; method section 1).
//!
//! The engine computes the vision features of a candidate once and shares the image part of the prompt
//! between all statements and both prompts, so the cost grows with the texts, not with forwards.

use reasonedit_codebook::{Evidence, EvidenceSource};
use reasonedit_imaging::{PixelBox, grid};
use reasonedit_inference::{Answered, Ask, KeyedImage, Want};

use crate::config::PatchifyConfig;
use crate::error::EditorError;
use crate::pictures::DecodedPicture;
use crate::types::{PatchOpinion, PatchSearch};
use crate::visual_entailment::{Entailment, EntailmentJudge};

/// Searches evidence for every statement at once. Of one that the model's context has no room for nothing is
/// looked at.
///
/// # Errors
/// A busy or failing engine.
pub async fn search(
    judge: EntailmentJudge<'_>,
    config: &PatchifyConfig,
    picture: &DecodedPicture,
    statements: &[&str],
) -> Result<(Vec<PatchSearch>, f64), EditorError> {
    let (width, height) = picture.pixels.dimensions();
    let areas = grid::candidates(width, height, &config.grid);
    let images: Vec<KeyedImage> = areas.iter().map(|area| picture.input(Some(*area))).collect();
    let (engine, prompts, options) = (judge.engine, judge.prompts, judge.options);
    let Entailment { rows: p_yes, mut queue_ms } = judge.matrix(images.clone(), statements).await?;
    let kept = |area: usize, statement: usize| p_yes[area][statement].is_some_and(|p| p > config.min_p_yes);

    // One prompt a candidate, and as replies to it every statement that the candidate shows.
    let mut describe = Vec::new();
    let mut described = Vec::new();
    for image in 0..areas.len() {
        let shown: Vec<usize> = (0..statements.len()).filter(|&s| kept(image, s)).collect();
        if !shown.is_empty() {
            let replies = shown.iter().map(|&s| statements[s].to_owned()).collect();
            describe.push(Ask { image, prompt: prompts.describe.clone(), want: Want::Replies(replies) });
            described.push((image, shown));
        }
    }
    let mut likelihood = vec![None; areas.len() * statements.len()];
    if !describe.is_empty() {
        let (answers, times) = engine.ask(images, describe, options).await?;
        queue_ms += times.queue_ms;
        for ((image, shown), answer) in described.iter().zip(&answers) {
            let Answered::Replies(scores) = answer else { return Err(EditorError::unexpected_answer()) };
            for (&statement, score) in shown.iter().zip(scores) {
                likelihood[image * statements.len() + statement] =
                    Some(score.log_likelihood / score.tokens.max(1) as f64);
            }
        }
    }

    let searches = (0..statements.len()).map(|statement| {
        let looked_at = areas.iter().enumerate().filter_map(|(image, area)| {
            let p_yes = p_yes[image][statement]?;
            let log_likelihood = likelihood[image * statements.len() + statement];
            Some(PatchOpinion { area: *area, p_yes, log_likelihood })
        });
        let candidates: Vec<PatchOpinion> = looked_at.collect();
        let evidence = choose(&candidates, (width, height), config);
        PatchSearch { evidence, candidates }
    });
    Ok((searches.collect(), queue_ms))
}

/// The best patch of all, and the best among the smallest, ties included (method section 1.5).
fn choose(candidates: &[PatchOpinion], picture: (u32, u32), config: &PatchifyConfig) -> Vec<Evidence> {
    let scored: Vec<(&PatchOpinion, f64)> =
        candidates.iter().filter_map(|c| c.log_likelihood.map(|score| (c, score))).collect();
    // The first of equals wins, so that the choice doesn't depend on anything but the picture.
    let best = |among: &[(&PatchOpinion, f64)]| -> Option<f64> {
        among.iter().map(|(_, score)| *score).fold(None, |top, s| Some(top.map_or(s, |t: f64| t.max(s))))
    };
    let Some(top) = best(&scored) else { return Vec::new() };
    let mut chosen: Vec<&PatchOpinion> =
        scored.iter().filter(|(_, s)| *s == top).map(|(c, _)| *c).take(1).collect();

    // Cells of equal kernels differ by a pixel, so size is counted in cells of the grid.
    let cells = |area: &PixelBox| {
        let across = (area.width * config.grid.columns) as f64 / picture.0 as f64;
        let down = (area.height * config.grid.rows) as f64 / picture.1 as f64;
        (across.round().max(1.0) * down.round().max(1.0)) as u32
    };
    if let Some(least) = scored.iter().map(|(c, _)| cells(&c.area)).min() {
        let smallest: Vec<_> = scored.iter().filter(|(c, _)| cells(&c.area) == least).copied().collect();
        let scale = 10f64.powi(config.tie_decimals as i32);
        let rounded = |s: f64| (s * scale).round();
        if let Some(top) = best(&smallest) {
            for (candidate, _) in smallest.iter().filter(|(_, s)| rounded(*s) == rounded(top)) {
                if !chosen.iter().any(|c| c.area == candidate.area) {
                    chosen.push(candidate);
                }
            }
        }
    }
    chosen
        .into_iter()
        .map(|c| Evidence {
            area: c.area,
            source: EvidenceSource::Model,
            p_yes: Some(c.p_yes),
            log_likelihood: c.log_likelihood,
        })
        .collect()
}

#[cfg(test)]
mod tests;
