//! Ranges of the editor's numbers, so that a slip of the pen is told when the service starts and not by
//! strange answers.

use super::{EditorConfig, OutOfRange};

impl EditorConfig {
    /// Checks that every number is in its range. λ and the tap are checked where they meet the model, the
    /// codebook's own settings where a codebook is opened; bounds of the input may be anything, 0 forbids
    /// what they bound.
    ///
    /// # Errors
    /// The field that is not, and its range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let share = 0.0..=1.0;
        let unit = 0.0..=1.0f32;
        let (grid, augment, verify) = (&self.patchify.grid, &self.radius.augment, &self.retrieval.verify);
        let disputes = &verify.disputes;
        let fits = |kernel: &reasonedit_imaging::grid::Kernel| {
            (1..=grid.rows).contains(&kernel.rows) && (1..=grid.columns).contains(&kernel.columns)
        };
        let checks = [
            (
                (1..=64).contains(&grid.rows) && (1..=64).contains(&grid.columns),
                "patchify.grid must have 1 to 64 rows and columns",
            ),
            (grid.kernels.iter().all(fits), "patchify.grid.kernels must fit the grid and be 1 cell at least"),
            (share.contains(&self.patchify.min_p_yes), "patchify.min_p_yes must lie between 0 and 1"),
            (self.patchify.tie_decimals <= 15, "patchify.tie_decimals must be 15 at most"),
            ((1..=100).contains(&self.radius.pairs), "radius.pairs must lie between 1 and 100"),
            (self.radius.augment_pixels >= 1, "radius.augment_pixels must be at least 1"),
            (self.radius.paraphrase_tokens >= 1, "radius.paraphrase_tokens must be at least 1"),
            (
                (0.01..=1.0).contains(&augment.area_kept),
                "radius.augment.area_kept must lie between 0.01 and 1",
            ),
            (
                (1..=64).contains(&augment.tiles_per_side),
                "radius.augment.tiles_per_side must lie between 1 and 64",
            ),
            (unit.contains(&augment.noise_share), "radius.augment.noise_share must lie between 0 and 1"),
            (
                (0.0..=180.0).contains(&augment.rotation_degrees),
                "radius.augment.rotation_degrees must lie between 0 and 180",
            ),
            (unit.contains(&augment.brightness), "radius.augment.brightness must lie between 0 and 1"),
            (unit.contains(&augment.contrast), "radius.augment.contrast must lie between 0 and 1"),
            (unit.contains(&augment.saturation), "radius.augment.saturation must lie between 0 and 1"),
            ((0.0..=0.5).contains(&augment.hue), "radius.augment.hue must lie between 0 and 0.5"),
            ((1..=1000).contains(&self.retrieval.max_k), "retrieval.max_k must lie between 1 and 1000"),
            (share.contains(&verify.min_support), "retrieval.verify.min_support must lie between 0 and 1"),
            (
                share.contains(&verify.min_edit_support),
                "retrieval.verify.min_edit_support must lie between 0 and 1",
            ),
            (
                (1..=1000).contains(&verify.candidates),
                "retrieval.verify.candidates must lie between 1 and 1000",
            ),
            (
                (1..=1000).contains(&verify.statements),
                "retrieval.verify.statements must lie between 1 and 1000",
            ),
            (
                verify.unjudged_reach.is_finite() && verify.unjudged_reach >= 0.0,
                "retrieval.verify.unjudged_reach must be finite and at least 0",
            ),
            (
                [disputes.margin, disputes.min_gap].iter().all(|least| least.is_finite() && *least >= 0.0),
                "retrieval.verify.disputes.margin and min_gap must be finite and at least 0",
            ),
            (
                [disputes.min_place, disputes.min_nearness].iter().all(|least| share.contains(least)),
                "retrieval.verify.disputes.min_place and min_nearness must lie between 0 and 1",
            ),
            (
                (-1.0..=1.0).contains(&disputes.same_question),
                "retrieval.verify.disputes.same_question must lie between -1 and 1",
            ),
            (
                (-1.0..=1.0).contains(&self.conflicts.same_question),
                "conflicts.same_question must lie between -1 and 1",
            ),
            (
                (2..=100).contains(&disputes.contenders),
                "retrieval.verify.disputes.contenders must lie between 2 and 100",
            ),
            (
                is_open_share(self.retrieval.relevance.false_injection),
                "retrieval.relevance.false_injection must lie between 0 and 1",
            ),
            (
                is_open_share(self.retrieval.relevance.confidence),
                "retrieval.relevance.confidence must lie between 0 and 1",
            ),
            (
                (1..=self.answer.max_tokens_limit).contains(&self.answer.max_tokens),
                "answer.max_tokens must lie between 1 and answer.max_tokens_limit",
            ),
            (
                self.answer.max_thinking_tokens <= self.answer.max_thinking_tokens_limit,
                "answer.max_thinking_tokens must be at most answer.max_thinking_tokens_limit",
            ),
            (self.review.is_sound(), "review.approvals must lie between 1 and 20"),
            ((1..=100_000).contains(&self.review.most), "review.most must lie between 1 and 100000"),
            (self.canaries.most <= 10_000, "canaries.most must be 10000 at most"),
            (
                (1..=100_000).contains(&self.question_log.most),
                "question_log.most must lie between 1 and 100000",
            ),
            (
                (1..=3650).contains(&self.question_log.keep_days),
                "question_log.keep_days must lie between 1 and 3650",
            ),
        ];
        match checks.iter().find(|(ok, _)| !ok) {
            Some((_, what)) => Err(OutOfRange(what)),
            None => Ok(()),
        }
    }
}

/// Above 0 and below 1.
fn is_open_share(share: f64) -> bool {
    share > 0.0 && share < 1.0
}

#[cfg(test)]
mod tests;
