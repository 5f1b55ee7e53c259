//! How generator and routing are trained together (LiveEdit, section 4.3; its code for what the paper
//! leaves open).

use std::ops::Range;

use candle_core::{D, Device, Tensor};
use candle_nn::ops::log_softmax;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;
use reasonedit_models::{Adaptation, Cut, DifferentiableSuffix, HiddenStates, VisionLanguageModel};

use super::LiveEditSettings;
use super::attention::{Padded, softmax};
use super::batch::{Signal, signal};
use super::network::Network;
use super::repository::Experts;
use crate::error::Result;
use crate::method::Correction;
use crate::training_case::{
    Group, KeptReply, LossCurves, OwnAnswers, ParameterStore, TrainingCase, TrainingProgress, optimise,
    require_cases, seeded,
};

/// Cases below which nothing is trained.
const LEAST: usize = 4;
/// Added to probabilities.
const TINY: f64 = 1e-8;
/// Gradients are not cut.
const LONGEST: f64 = f64::INFINITY;

/// A case whose hidden states are known.
struct Prepared {
    edit: Signal,
    /// Of the same reply: in other words, then on other pictures; a draw takes one of each kind.
    same: [Vec<Signal>; 2],
    unrelated: Vec<(Signal, KeptReply)>,
}

/// The states that enter the suffix with what was computed for them added.
struct Entered(Tensor);

impl Adaptation for Entered {
    fn entering(&self, state: Tensor, _: &[Range<usize>]) -> reasonedit_models::NnResult<Tensor> {
        Ok((state + &self.0)?)
    }
}

pub(super) fn train(
    model: &dyn VisionLanguageModel,
    cases: &[TrainingCase],
    settings: &LiveEditSettings,
    progress: TrainingProgress<'_>,
) -> Result<(Network, LossCurves)> {
    require_cases(cases, LEAST)?;
    let suffix = settings.suffix(model)?;
    let dimensions = settings.dimensions(suffix.width())?;
    // A step takes about as long as looking at several cases.
    let (steps, weight) = (settings.steps, 4);
    let all = cases.len() + steps * weight;
    let own_answers = OwnAnswers::new(model)?;
    let mut prepared = Vec::with_capacity(cases.len());
    for (done, case) in cases.iter().enumerate() {
        progress(done, all);
        prepared.extend(prepare(model, &suffix, &own_answers, case)?);
    }
    let mut store = ParameterStore::fresh(settings.seed);
    let network = Network::fresh(&mut store, dimensions)?;
    let groups = [Group { variables: store.variables(|_| true), rate: settings.learning_rate }];
    let mut rng = seeded(settings.seed, 1);
    let told = |done: usize, _: usize| progress(cases.len() + done * weight, all);
    let size = settings.batch.clamp(2, prepared.len().max(2));
    let curves = optimise(&groups, steps, LONGEST, &told, |_| {
        let drawn = rand::seq::index::sample(&mut rng, prepared.len(), size.min(prepared.len()));
        let batch: Vec<&Prepared> = drawn.into_iter().map(|at| &prepared[at]).collect();
        step(&network, &suffix, settings, &batch, &mut rng)
    })?;
    Ok((Network::trained(store.constants()?, dimensions)?, curves))
}

/// Something said in a step, with the experts that it is said with.
struct Said<'a> {
    signal: &'a Signal,
    /// Whether it is given each expert of the batch.
    given: Vec<bool>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Edit,
    Same,
    Unrelated(&'a KeptReply),
}

impl Kind<'_> {
    /// Of its loss.
    fn name(&self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Same => "generality",
            Self::Unrelated(_) => "locality",
        }
    }
}

fn step(
    network: &Network,
    suffix: &DifferentiableSuffix,
    settings: &LiveEditSettings,
    batch: &[&Prepared],
    rng: &mut ChaCha8Rng,
) -> Result<Vec<(&'static str, Tensor)>> {
    let count = batch.len();
    let mut said: Vec<Said<'_>> = Vec::new();
    // By case: of the same reply, and unrelated.
    let (mut same, mut unrelated): (Vec<Vec<&Signal>>, Vec<&Signal>) = (Vec::new(), Vec::new());
    for (at, case) in batch.iter().enumerate() {
        // With the right expert, and with none, some or all of the others: the first so many.
        let mut given = |own: bool| -> Vec<bool> {
            let others = rng.random_range(0..=count);
            (0..count).map(|other| other < others || (own && other == at)).collect()
        };
        said.push(Said { signal: &case.edit, given: given(true), kind: Kind::Edit });
        let (with_own, with_others) = (given(true), given(false));
        let mut alike = vec![&case.edit];
        for kind in &case.same {
            if let Some(signal) = kind.choose(rng) {
                said.push(Said { signal, given: with_own.clone(), kind: Kind::Same });
                alike.push(signal);
            }
        }
        if let Some((signal, kept)) = case.unrelated.choose(rng) {
            said.push(Said { signal, given: with_others, kind: Kind::Unrelated(kept) });
            unrelated.push(signal);
        }
        same.push(alike);
    }
    let edits: Vec<&Signal> = batch.iter().map(|case| &case.edit).collect();
    let experts = network.experts(&edits)?;
    let logits = edited_logits(network, suffix, &said, &experts)?;
    let mut losses = replies(&said, &logits)?;
    losses.extend(routing(network, &same, &unrelated, rng)?);
    let mut total: Option<Tensor> = None;
    for (name, loss) in &losses {
        let weight = match *name {
            "edit" => settings.edit_weight,
            "generality" => settings.generality_weight,
            "locality" => settings.locality_weight,
            _ => settings.routing_weight,
        };
        let part = (loss * weight)?;
        total = Some(match total {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    Ok(total.map(|total| ("total", total)).into_iter().chain(losses).collect())
}

/// Logits of everything said, each with its experts by soft routing; hard routing is not trained here.
fn edited_logits(
    network: &Network,
    suffix: &DifferentiableSuffix,
    said: &[Said<'_>],
    experts: &Experts,
) -> Result<Tensor> {
    let questions = said.iter().map(|one| one.signal.question()).collect::<Result<Vec<_>>>()?;
    let textual = network.of_questions.textual(&Padded::new(&questions)?)?;
    let similar = Network::similarity(&textual, &experts.textual)?;
    let shape = similar.dims2()?;
    let flags = |yes: f32, no: f32| -> Result<Tensor> {
        let values = said.iter().flat_map(|one| one.given.iter().map(move |own| if *own { yes } else { no }));
        Ok(Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu)?)
    };
    let shares = softmax(&(&similar + flags(0.0, -1e9)?)?)?;
    // Where no expert is given at all, the softmax is over nothing.
    let weights = ((shares * candle_nn::ops::sigmoid(&similar)?)? * flags(1.0, 0.0)?)?;
    let states: Vec<&HiddenStates> = said.iter().map(|one| &one.signal.example.states).collect();
    let entering = Tensor::cat(&states.iter().map(|one| &one.states).collect::<Vec<_>>(), 0)?;
    let mut of_row: Vec<u32> = Vec::with_capacity(entering.dim(0)?);
    for (at, one) in (0..).zip(&states) {
        of_row.extend(std::iter::repeat_n(at, one.states.dim(0)?));
    }
    let weights = weights.index_select(&Tensor::new(of_row, &Device::Cpu)?, 0)?;
    let residual = network.residual(&entering, experts, &weights)?;
    Ok(suffix.logits(&states, &Entered(residual))?)
}

/// Losses of what is said, each the mean over replies of the mean over their places.
fn replies(said: &[Said<'_>], logits: &Tensor) -> Result<Vec<(&'static str, Tensor)>> {
    let log_p = log_softmax(logits, D::Minus1)?;
    let targets: Vec<u32> = said.iter().flat_map(|one| one.signal.example.targets.iter().copied()).collect();
    let targets = Tensor::new(targets, &Device::Cpu)?;
    let chosen = log_p.gather(&targets.unsqueeze(1)?, 1)?;
    let mut losses = Vec::new();
    for name in ["edit", "generality"] {
        let count = said.iter().filter(|one| one.kind.name() == name).count();
        let mut shares: Vec<f32> = Vec::with_capacity(chosen.elem_count());
        for one in said {
            let len = one.signal.example.targets.len();
            let share = if one.kind.name() == name { 1.0 / (len * count) as f32 } else { 0.0 };
            shares.extend(std::iter::repeat_n(share, len));
        }
        if count > 0 {
            let shares = Tensor::new(shares, &Device::Cpu)?.unsqueeze(1)?;
            losses.push((name, (&chosen * shares)?.sum_all()?.neg()?));
        }
    }
    let mut start = 0u32;
    let (mut rows, mut shares, mut before) = (Vec::new(), Vec::new(), Vec::new());
    for one in said {
        let len = one.signal.example.targets.len();
        if let Kind::Unrelated(kept) = &one.kind {
            rows.extend(start..start + len as u32);
            shares.extend(std::iter::repeat_n(1.0 / len as f32, len));
            before.push(kept.log_probabilities());
        }
        start += len as u32;
    }
    if !before.is_empty() {
        let after = log_p.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?;
        let (count, before) = (before.len(), Tensor::cat(&before, 0)?);
        let divergence = (before.exp()? * (before - after)?)?.sum(D::Minus1)?;
        let shares = Tensor::new(shares, &Device::Cpu)?;
        losses.push(("locality", ((divergence * shares)?.sum_all()? / count as f64)?));
    }
    Ok(losses)
}

/// Losses of both kinds of routing. Neighbours are the edit and what has its reply, or an unrelated question
/// and itself; a picture that is neither is nearer to the sentinel.
fn routing(
    network: &Network,
    same: &[Vec<&Signal>],
    unrelated: &[&Signal],
    rng: &mut ChaCha8Rng,
) -> Result<Vec<(&'static str, Tensor)>> {
    let (mut asked, mut edited): (Vec<&Signal>, Vec<&Signal>) = (Vec::new(), Vec::new());
    let (mut apart_asked, mut apart_edited): (Vec<&Signal>, Vec<&Signal>) = (Vec::new(), Vec::new());
    for (alike, other) in same.iter().zip(unrelated) {
        let mut one = || alike.choose(rng).copied().unwrap_or(*other);
        let (first, second, third) = (one(), one(), one());
        if rng.random_range(0..3) == 2 {
            asked.push(other);
            edited.push(other);
        } else {
            asked.push(first);
            edited.push(second);
        }
        let (a, b) = if rng.random() { (third, *other) } else { (*other, third) };
        apart_asked.push(a);
        apart_edited.push(b);
    }
    let questions = |of: &[&Signal]| -> Result<Padded> {
        Padded::new(&of.iter().map(|one| one.question()).collect::<Result<Vec<_>>>()?)
    };
    let pictures = |of: &[&Signal]| -> Result<Padded> {
        Padded::new(&of.iter().map(|one| one.picture()).collect::<Result<Vec<_>>>()?)
    };
    let count = asked.len();
    let diagonal = Tensor::new((0..count as u32).collect::<Vec<u32>>(), &Device::Cpu)?.reshape((count, 1))?;
    let of = |x: &Tensor, columns: &Tensor| -> Result<Tensor> { Ok(x.gather(columns, 1)?) };
    let log_loss = |x: Tensor| -> Result<Tensor> { Ok((x + TINY)?.log()?.mean_all()?.neg()?) };

    let (asked_texts, edited_texts) = (questions(&asked)?, questions(&edited)?);
    let texts = Network::similarity(
        &network.of_questions.textual(&asked_texts)?,
        &network.of_edits.textual(&edited_texts)?,
    )?;
    let relative = log_loss(of(&softmax(&texts)?, &diagonal)?)?;
    let next: Vec<u32> = (0..count as u32).map(|at| (at + 1) % count as u32).collect();
    let next = Tensor::new(next, &Device::Cpu)?.reshape((count, 1))?;
    let certain = candle_nn::ops::sigmoid(&texts)?;
    let wrong = of(&certain, &next)?.affine(-1.0, 1.0)?;
    let absolute = (log_loss(of(&certain, &diagonal)?)? + log_loss(wrong)?)?;

    let nearest = |asked: &[&Signal], texts: &Padded, edited: &[&Signal], edited_texts: &Padded| {
        let visual = network.of_questions.visual(&pictures(asked)?, texts)?;
        let edits = network.of_edits.visual(&pictures(edited)?, edited_texts)?;
        let similar = Network::similarity(&visual, &edits)?;
        softmax(&Tensor::cat(&[&similar, &network.sentinel_similarity(&visual, texts)?], D::Minus1)?)
    };
    let near = nearest(&asked, &asked_texts, &edited, &edited_texts)?;
    let neighbours = log_loss(of(&near, &diagonal)?)?;
    let apart = nearest(&apart_asked, &questions(&apart_asked)?, &apart_edited, &questions(&apart_edited)?)?;
    let sentinel = log_loss(apart.narrow(1, count, 1)?)?;
    Ok(vec![("text routing", (relative + absolute)?), ("picture routing", (neighbours + sentinel)?)])
}

/// `None` for a case that nothing can be learned of.
fn prepare(
    model: &dyn VisionLanguageModel,
    suffix: &DifferentiableSuffix,
    own_answers: &OwnAnswers<'_>,
    case: &TrainingCase,
) -> Result<Option<Prepared>> {
    let cut: Cut = suffix.cut();
    let edit = signal(model, cut, &case.correction, true)?;
    let all = |of: &[Correction]| -> Result<Vec<Signal>> {
        of.iter().map(|correction| signal(model, cut, correction, false)).collect()
    };
    let same = [all(&case.in_other_words)?, all(&case.on_other_pictures)?];
    let mut unrelated = Vec::new();
    for question in &case.unrelated {
        if let Some(kept) = own_answers.of(question)? {
            let signal = signal(model, cut, &kept, false)?;
            let kept = KeptReply::new(suffix, signal.example.clone())?;
            unrelated.push((signal, kept));
        }
    }
    if unrelated.is_empty() {
        return Ok(None);
    }
    Ok(Some(Prepared { edit, same, unrelated }))
}
