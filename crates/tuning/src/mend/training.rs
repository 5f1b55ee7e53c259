//! How the network is trained: an edit is made with it, and what it should and should not have changed is
//! looked at (MEND, section 3.3).

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use reasonedit_models::{Adaptation, DifferentiableSuffix, HiddenStates, Projection, VisionLanguageModel};

use super::MendSettings;
use super::factors::{Factors, factors};
use super::network::{Shapes, Transform, Update, statistics};
use crate::error::{Result, TuningError};
use crate::feed_forward::last_suffix;
use crate::loss::log_probabilities;
use crate::method::Correction;
use crate::prompt::{Example, Prompt};
use crate::training_case::{
    Group, KeptReply, LossCurves, OwnAnswers, ParameterStore, TrainingCase, TrainingProgress, optimise,
    require_cases, seeded,
};
use crate::weights::WeightPatch;

/// Cases below which nothing is trained.
const LEAST: usize = 4;

/// A case whose hidden states and gradient are known.
struct Prepared {
    factors: BTreeMap<Projection, Factors>,
    /// The edit itself and the question in other words.
    in_other_words: Vec<Example>,
    on_other_pictures: Vec<Example>,
    unrelated: Vec<KeptReply>,
}

/// An edit that is not made yet: what it takes off the output of each matrix, by which the loss reaches the
/// network.
pub(super) struct Pending {
    pub(super) layer: usize,
    pub(super) updates: BTreeMap<Projection, Update>,
}

impl Adaptation for Pending {
    fn projects(&self, layer: usize, projection: Projection) -> bool {
        layer == self.layer && self.updates.contains_key(&projection)
    }

    fn projected(
        &self,
        _: usize,
        projection: Projection,
        input: &Tensor,
        output: Tensor,
        _: &[Range<usize>],
    ) -> reasonedit_models::NnResult<Tensor> {
        let Some(update) = self.updates.get(&projection) else { return Ok(output) };
        Ok((output - input.matmul(&update.inputs.t()?)?.matmul(&update.outputs)?)?)
    }
}

/// Trains a network; it does not depend on the order of anything but the seed.
pub(super) fn train(
    model: &dyn VisionLanguageModel,
    cases: &[TrainingCase],
    settings: &MendSettings,
    progress: TrainingProgress<'_>,
) -> Result<(Transform, LossCurves)> {
    require_cases(cases, LEAST)?;
    let suffix = last_suffix(model)?;
    // Looking at the cases takes about as long as a step each.
    let all = cases.len() + settings.steps;
    let mut prepared = Vec::with_capacity(cases.len());
    let own_answers = OwnAnswers::new(model)?;
    for (done, case) in cases.iter().enumerate() {
        progress(done, all);
        prepared.extend(prepare(model, &suffix, &own_answers, case)?);
    }
    let statistics = statistics(prepared.iter().map(|case| &case.factors))?;
    let mut store = ParameterStore::fresh(settings.seed);
    let shapes = Shapes::of(&suffix);
    let transform = Transform::fresh(&mut store, shapes, settings.rank, settings.edit_rate, statistics)?;
    let groups = [
        Group { variables: store.variables(|name| !Transform::is_rate(name)), rate: settings.learning_rate },
        Group { variables: store.variables(Transform::is_rate), rate: settings.edit_rate_learning_rate },
    ];
    let mut rng = seeded(settings.seed, 1);
    let told = |done: usize, _: usize| progress(cases.len() + done, all);
    let curves = optimise(&groups, settings.steps, settings.longest_gradient, &told, |_| {
        let (mut edit, mut picture, mut locality) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..settings.batch.max(1) {
            // Made at once, from the same weights: their changes add up.
            let mut updates: BTreeMap<Projection, Vec<Update>> = BTreeMap::new();
            let (mut trained, mut kept): (Vec<(&Example, bool)>, Vec<&KeptReply>) = (Vec::new(), Vec::new());
            for _ in 0..settings.edits_together.max(1) {
                let case = &prepared[rng.random_range(0..prepared.len())];
                trained.extend(case.in_other_words.choose(&mut rng).map(|example| (example, false)));
                trained.extend(case.on_other_pictures.choose(&mut rng).map(|example| (example, true)));
                kept.extend(case.unrelated.choose(&mut rng));
                for (projection, update) in transform.updates(&case.factors)? {
                    updates.entry(projection).or_default().push(update);
                }
            }
            let pending = Pending { layer: suffix.cut().layer(), updates: together(updates)? };
            let examples =
                trained.iter().map(|(example, _)| *example).chain(kept.iter().map(|own| &own.example));
            let states: Vec<&HiddenStates> = examples.map(|example| &example.states).collect();
            let logits = suffix.logits(&states, &pending)?;
            let mut start = 0;
            for (example, elsewhere) in trained {
                let rows = logits.narrow(0, start, example.targets.len())?;
                let loss = log_probabilities(&rows, &example.targets)?.mean_all()?.neg()?;
                if elsewhere {
                    picture.push(loss);
                } else {
                    edit.push(loss);
                }
                start += example.targets.len();
            }
            for own in kept {
                let rows = logits.narrow(0, start, own.example.targets.len())?;
                locality.push(own.divergence(&rows)?);
                start += own.example.targets.len();
            }
        }
        let (edit, picture, locality) = (mean(&edit)?, mean(&picture)?, mean(&locality)?);
        let weighted = [
            (&edit, settings.edit_weight),
            (&picture, settings.edit_weight),
            (&locality, settings.locality_weight),
        ];
        let mut total = None;
        for (loss, weight) in weighted {
            if let Some(loss) = loss {
                let part = (loss * weight)?;
                total = Some(match total {
                    Some(sum) => (sum + part)?,
                    None => part,
                });
            }
        }
        let total = total.ok_or_else(|| TuningError::Setting("a training case without questions".into()))?;
        let named = [("edit", edit), ("other pictures", picture), ("locality", locality)];
        let named = named.into_iter().filter_map(|(name, loss)| Some((name, loss?)));
        Ok(std::iter::once(("total", total)).chain(named).collect())
    })?;
    let trained = Transform::trained(transform.constant(&store)?, shapes, settings.rank)?;
    Ok((trained, curves))
}

/// The changes of several edits as those of one.
fn together(updates: BTreeMap<Projection, Vec<Update>>) -> Result<BTreeMap<Projection, Update>> {
    let join = |(projection, all): (Projection, Vec<Update>)| {
        let inputs: Vec<&Tensor> = all.iter().map(|one| &one.inputs).collect();
        let outputs: Vec<&Tensor> = all.iter().map(|one| &one.outputs).collect();
        Ok((projection, Update { inputs: Tensor::cat(&inputs, 0)?, outputs: Tensor::cat(&outputs, 0)? }))
    };
    updates.into_iter().map(join).collect()
}

/// The mean of scalars; `None` of none.
fn mean(losses: &[Tensor]) -> Result<Option<Tensor>> {
    if losses.is_empty() { Ok(None) } else { Ok(Some(Tensor::stack(losses, 0)?.mean_all()?)) }
}

/// `None` for a case that nothing can be learned of.
fn prepare(
    model: &dyn VisionLanguageModel,
    suffix: &DifferentiableSuffix,
    own_answers: &OwnAnswers<'_>,
    case: &TrainingCase,
) -> Result<Option<Prepared>> {
    let example = |correction: &Correction| {
        let question = &correction.question;
        let prompt = Prompt::new(model, &question.picture, &question.text, suffix.cut())?;
        prompt.example(model, &correction.reply)
    };
    let edit = example(&case.correction)?;
    let factors = factors(suffix, &edit, &WeightPatch::default())?;
    let mut in_other_words = vec![edit];
    for other in &case.in_other_words {
        in_other_words.push(example(other)?);
    }
    let on_other_pictures = case.on_other_pictures.iter().map(example).collect::<Result<_>>()?;
    let mut unrelated = Vec::new();
    for question in &case.unrelated {
        if let Some(kept) = own_answers.of(question)? {
            unrelated.push(KeptReply::new(suffix, example(&kept)?)?);
        }
    }
    if unrelated.is_empty() {
        return Ok(None);
    }
    Ok(Some(Prepared { factors, in_other_words, on_other_pictures, unrelated }))
}
