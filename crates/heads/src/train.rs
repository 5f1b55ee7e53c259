//! Training the head: what bears on one another comes together, everything else stays apart.
//!
//! The loss is the symmetric `InfoNCE` of cosines (van den Oord et al. 2018; temperature as in CRANE, section
//! V-A) with every pair that bears on one another as a positive, and the cross-entropy of each pair by
//! itself: the first orders, the second makes one threshold mean the same for all questions.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reasonedit_relevance::{LinearMap, RelevanceHead, dot, unit};
use serde::Serialize;

use crate::error::HeadError;
use crate::examples::{Examples, Fact, Question};

/// How a head is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeadSettings {
    /// Numbers of an image (CRANE, section V-A: 256).
    pub outputs: usize,
    /// Steps.
    pub steps: usize,
    /// Questions of a step.
    pub questions: usize,
    /// Facts of a step.
    pub facts: usize,
    /// Learning rate of the first step; it falls to 0 by half a cosine.
    pub rate: f64,
    /// Temperature of the cosines (CRANE: 0.07).
    pub temperature: f64,
    /// Weight of the cross-entropy of single pairs.
    pub pairs: f64,
    /// Questions kept for calibration.
    pub unrelated: usize,
    /// Share of unrelated questions that a statement of another topic may come near by the threshold for
    /// statements.
    pub share: f64,
    /// Edits of the codebook that this holds for, drawn from the records: the more there are, the nearer
    /// comes one of them.
    pub edits: usize,
    /// Of everything that is drawn.
    pub seed: u64,
}

impl Default for HeadSettings {
    fn default() -> Self {
        Self {
            outputs: 256,
            steps: 3000,
            questions: 256,
            facts: 512,
            rate: 2e-3,
            temperature: 0.07,
            pairs: 4.0,
            unrelated: 1000,
            share: 0.03,
            edits: 500,
            seed: 0,
        }
    }
}

/// What came of a training, on questions that were held out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeadReport {
    /// Questions that were held out.
    pub questions: usize,
    /// Share of those about an edit that are nearer to an edit's question of the same topic than all but
    /// `share` of the unrelated ones are to any.
    pub edits_found: f64,
    /// The same with the cosine of the encoder alone.
    pub edits_found_by_encoder: f64,
    /// The same of statements.
    pub statements_found: f64,
    /// The same of statements with the cosine of the encoder alone.
    pub statements_found_by_encoder: f64,
    /// The loss of the last step.
    pub loss: f64,
    /// Above this cosine a statement bears on a question.
    pub statement_threshold: f64,
    /// Unrelated questions that the head brings.
    pub unrelated: usize,
}

/// One of this many questions is held out.
const HELD_OUT: usize = 10;

/// Trains a head on examples of which `embeddings` has the texts in their order, made by the encoder of this
/// fingerprint. `told` is called with each step that is done.
///
/// # Errors
/// Settings out of range, records without questions that an edit concerns or without any that none does, a
/// training that diverges.
pub fn train(
    examples: &Examples,
    embeddings: &[Vec<f32>],
    encoder: &str,
    settings: &HeadSettings,
    mut told: impl FnMut(usize),
) -> Result<(RelevanceHead, HeadReport), HeadError> {
    check(examples, embeddings, settings)?;
    let embeddings: Vec<Vec<f32>> = embeddings.iter().map(|embedding| unit(embedding)).collect();
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut order: Vec<&Question> = examples.questions.iter().collect();
    order.shuffle(&mut random);
    let (held_out, seen) = order.split_at(order.len() / HELD_OUT);
    let mut trained = Trained::new(settings, &embeddings, &mut random)?;
    let mut loss = f64::NAN;
    for step in 0..settings.steps {
        let drawn: Vec<&Question> = seen.choose_multiple(&mut random, settings.questions).copied().collect();
        let facts: Vec<&Fact> = examples.facts.choose_multiple(&mut random, settings.facts).collect();
        loss = trained.step(step, settings, &drawn, &facts)?;
        if !loss.is_finite() {
            return Err(HeadError::Diverged { step });
        }
        told(step + 1);
    }
    let maps = trained.maps()?;
    let mut unrelated: Vec<&Question> = examples.unrelated().collect();
    unrelated.shuffle(&mut random);
    unrelated.truncate(settings.unrelated);
    let kept: Vec<Vec<f32>> = unrelated.iter().map(|q| embeddings[q.text].clone()).collect();
    let head = |threshold| {
        RelevanceHead::new(encoder.to_owned(), maps.clone(), kept.clone(), threshold).map_err(HeadError::Head)
    };
    let untold = head(0.0)?;
    let edits = examples.facts.iter().filter(|fact| fact.of_edit).count().max(1);
    let codebook = (examples.facts.len() * settings.edits).div_ceil(edits);
    let codebook: Vec<&Fact> = examples.facts.choose_multiple(&mut random, codebook).collect();
    let of = |question: &dyn Fn(usize) -> Vec<f32>, fact: &dyn Fn(usize) -> Vec<f32>| {
        let texts = 0..examples.texts.len();
        let (questions, facts) = (texts.clone().map(question).collect(), texts.map(fact).collect());
        Images { codebook: &codebook, held_out, share: settings.share, questions, facts }
    };
    let images = of(&|text| untold.question(&embeddings[text]), &|text| untold.fact(&embeddings[text]));
    let plain = of(&|text| embeddings[text].clone(), &|text| embeddings[text].clone());
    let statement_threshold = images.threshold(false);
    let report = HeadReport {
        questions: held_out.len(),
        edits_found: images.found(true),
        edits_found_by_encoder: plain.found(true),
        statements_found: images.found(false),
        statements_found_by_encoder: plain.found(false),
        loss,
        statement_threshold,
        unrelated: kept.len(),
    };
    Ok((head(statement_threshold)?, report))
}

fn check(examples: &Examples, embeddings: &[Vec<f32>], settings: &HeadSettings) -> Result<(), HeadError> {
    let positive = settings.outputs > 0 && settings.steps > 0 && settings.questions > 0 && settings.facts > 0;
    let above_zero = |number: f64| number.is_finite() && number > 0.0;
    if !positive || !above_zero(settings.rate) || !above_zero(settings.temperature) {
        return Err(HeadError::Settings("sizes, steps, rate and temperature have to be more than 0"));
    }
    if !(settings.share > 0.0 && settings.share < 1.0) {
        return Err(HeadError::Settings("the share has to lie between 0 and 1"));
    }
    let width = embeddings.first().map_or(0, Vec::len);
    if embeddings.len() != examples.texts.len() || embeddings.iter().any(|one| one.len() != width) {
        return Err(HeadError::Records("their texts were not all embedded".to_owned()));
    }
    let held_out = examples.questions.len() / HELD_OUT;
    if held_out == 0 || examples.facts.is_empty() {
        return Err(HeadError::Records(format!(
            "{} questions and {} statements are too few",
            examples.questions.len(),
            examples.facts.len()
        )));
    }
    if examples.unrelated().next().is_none() {
        return Err(HeadError::Records("none of their questions is unrelated to every edit".to_owned()));
    }
    Ok(())
}

/// The maps while they are trained.
struct Trained<'a> {
    /// Of length 1.
    embeddings: &'a [Vec<f32>],
    question: (Var, Var),
    fact: (Var, Var),
    /// Logarithm of the factor, and the offset, that make a cosine the log-odds of bearing on it.
    scale: Var,
    offset: Var,
    optimiser: AdamW,
}

impl<'a> Trained<'a> {
    fn new(
        settings: &HeadSettings,
        embeddings: &'a [Vec<f32>],
        random: &mut ChaCha8Rng,
    ) -> Result<Self, HeadError> {
        let inputs = embeddings.first().map_or(0, Vec::len);
        // As linear layers begin in PyTorch: uniform within one over the root of the inputs.
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        let mut drawn = |shape: &[usize]| {
            let numbers: Vec<f32> =
                (0..shape.iter().product()).map(|_| random.random_range(-bound..bound)).collect();
            Var::from_tensor(&Tensor::from_vec(numbers, shape, &Device::Cpu)?)
        };
        let outputs = settings.outputs;
        let question = (drawn(&[outputs, inputs])?, drawn(&[outputs])?);
        let fact = (drawn(&[outputs, inputs])?, drawn(&[outputs])?);
        let scale = Var::new(2.6f32, &Device::Cpu)?;
        let offset = Var::new(-5.0f32, &Device::Cpu)?;
        let all = [&question.0, &question.1, &fact.0, &fact.1, &scale, &offset];
        let parameters = ParamsAdamW { lr: settings.rate, ..ParamsAdamW::default() };
        let optimiser = AdamW::new(all.into_iter().cloned().collect(), parameters)?;
        Ok(Self { embeddings, question, fact, scale, offset, optimiser })
    }

    /// The images of texts, a row each.
    fn images(&self, map: &(Var, Var), texts: impl Iterator<Item = usize>) -> Result<Tensor, HeadError> {
        let rows: Vec<&[f32]> = texts.map(|text| self.embeddings[text].as_slice()).collect();
        let (count, width) = (rows.len(), rows.first().map_or(0, |row| row.len()));
        let rows = Tensor::from_vec(rows.concat(), (count, width), &Device::Cpu)?;
        let images = rows.matmul(&map.0.t()?)?.broadcast_add(&map.1)?;
        let lengths = (images.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
        Ok(images.broadcast_div(&lengths)?)
    }

    fn step(
        &mut self,
        step: usize,
        settings: &HeadSettings,
        questions: &[&Question],
        facts: &[&Fact],
    ) -> Result<f64, HeadError> {
        let asked = self.images(&self.question, questions.iter().map(|question| question.text))?;
        let said = self.images(&self.fact, facts.iter().map(|fact| fact.text))?;
        let cosines = asked.matmul(&said.t()?)?;
        let bears = |question: &&Question| {
            facts.iter().map(|fact| f32::from(Examples::bears(question, fact))).collect::<Vec<_>>()
        };
        let labels: Vec<f32> = questions.iter().flat_map(bears).collect();
        let labels = Tensor::from_vec(labels, (questions.len(), facts.len()), &Device::Cpu)?;
        let sharp = (&cosines / settings.temperature)?;
        let order = (info_nce(&sharp, &labels)? + info_nce(&sharp.t()?, &labels.t()?)?)?;
        let odds = cosines.broadcast_mul(&self.scale.exp()?)?.broadcast_add(&self.offset)?;
        let pairs = candle_nn::loss::binary_cross_entropy_with_logit(&odds, &labels)?;
        let loss = (order + (pairs * settings.pairs)?)?;
        let share = step as f64 / settings.steps as f64;
        self.optimiser.set_learning_rate(settings.rate * 0.5 * (1.0 + (std::f64::consts::PI * share).cos()));
        self.optimiser.backward_step(&loss)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    fn maps(&self) -> Result<(LinearMap, LinearMap), HeadError> {
        let map = |(weight, bias): &(Var, Var)| {
            Ok::<_, HeadError>(LinearMap { weight: weight.flatten_all()?.to_vec1()?, bias: bias.to_vec1()? })
        };
        Ok((map(&self.question)?, map(&self.fact)?))
    }
}

/// Mean over the rows that have a positive of −log of the share that their positives have of all.
fn info_nce(logits: &Tensor, labels: &Tensor) -> Result<Tensor, HeadError> {
    let log_shares = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    let positive = log_shares.exp()?.mul(labels)?.sum(D::Minus1)?;
    let has = labels.sum(D::Minus1)?.gt(0.0)?.to_dtype(DType::F32)?;
    // Rows without a positive count nothing: their share is made 1.
    let share = (positive.mul(&has)? + (1.0 - &has)?)?;
    let of_rows = (share + 1e-9)?.log()?.neg()?.sum_all()?;
    let rows = (has.sum_all()? + 1e-9)?;
    Ok(of_rows.div(&rows)?)
}

/// The images of all texts as questions and as facts, and what is measured with them.
struct Images<'a> {
    codebook: &'a [&'a Fact],
    held_out: &'a [&'a Question],
    share: f64,
    questions: Vec<Vec<f32>>,
    facts: Vec<Vec<f32>>,
}

impl Images<'_> {
    /// The greatest cosine of a question with facts of this kind that bear on it, or that don't.
    fn best(&self, question: &Question, of_edit: bool, bearing: bool) -> Option<f64> {
        let fitting = |fact: &&&Fact| fact.of_edit == of_edit && Examples::bears(question, fact) == bearing;
        let cosine = |fact: &&Fact| f64::from(dot(&self.questions[question.text], &self.facts[fact.text]));
        self.codebook.iter().filter(fitting).map(cosine).max_by(f64::total_cmp)
    }

    /// The cosine that all but a share of the unrelated questions stay below, with what does not bear on
    /// them.
    fn threshold(&self, of_edit: bool) -> f64 {
        let unrelated = self.held_out.iter().filter(|question| question.unrelated);
        let mut best: Vec<f64> =
            unrelated.filter_map(|question| self.best(question, of_edit, false)).collect();
        best.sort_by(|a, b| b.total_cmp(a));
        best.get((self.share * best.len() as f64) as usize).copied().unwrap_or(0.0).clamp(-1.0, 1.0)
    }

    /// Share of the questions about an edit that are nearer than that to something that bears on them.
    fn found(&self, of_edit: bool) -> f64 {
        let threshold = self.threshold(of_edit);
        let related = self.held_out.iter().filter(|question| !question.unrelated);
        let best: Vec<f64> = related.filter_map(|question| self.best(question, of_edit, true)).collect();
        best.iter().filter(|best| **best > threshold).count() as f64 / best.len().max(1) as f64
    }
}
