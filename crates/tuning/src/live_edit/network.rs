//! Generator and routing of LiveEdit.

use std::collections::BTreeMap;

use candle_core::{D, Tensor};

use super::attention::{Attention, Norm, Padded, softmax};
use super::batch::Signal;
use super::dimensions::Dimensions;
use super::repository::Experts;
use crate::error::Result;
use crate::training_case::{Init, ParameterStore};

/// PyTorch's `kaiming_normal_` of a (1, vectors, width) parameter.
fn vectors(store: &mut ParameterStore, name: &str, vectors: usize, width: usize) -> Result<Tensor> {
    let deviation = (2.0 / (vectors * width) as f64).sqrt();
    store.tensor(name, &[1, vectors, width], Init::Normal(deviation))
}

/// Compares by picture and by text: what a picture shows of what is asked, and what is asked.
pub(super) struct Extractor {
    visual_norm: Norm,
    visual_queries: Tensor,
    question_of_picture: Attention,
    picture: Attention,
    textual_norm: Norm,
    textual_queries: Tensor,
    question: Attention,
}

impl Extractor {
    fn new(store: &mut ParameterStore, name: &str, d: &Dimensions) -> Result<Self> {
        let attention = |store: &mut ParameterStore, part: &str| {
            Attention::new(
                store,
                &format!("{name}.{part}"),
                (d.module, d.width),
                (d.module, d.module),
                d.heads,
            )
        };
        Ok(Self {
            visual_norm: Norm::new(store, &format!("{name}.visual_norm"), d.width)?,
            visual_queries: vectors(store, &format!("{name}.visual_queries"), d.queries, d.module)?,
            question_of_picture: attention(store, "question_of_picture")?,
            picture: attention(store, "picture")?,
            textual_norm: Norm::new(store, &format!("{name}.textual_norm"), d.width)?,
            textual_queries: vectors(store, &format!("{name}.textual_queries"), d.queries, d.module)?,
            question: attention(store, "question")?,
        })
    }

    /// (sequences, queries, `d_m`).
    pub(super) fn visual(&self, pictures: &Padded, questions: &Padded) -> Result<Tensor> {
        let asked = questions.normalised(&self.visual_norm)?;
        let asking = self.question_of_picture.forward(&self.visual_queries, &asked)?;
        self.picture.forward(&asking, &pictures.normalised(&self.visual_norm)?)
    }

    /// (sequences, queries, `d_m`).
    pub(super) fn textual(&self, questions: &Padded) -> Result<Tensor> {
        self.question.forward(&self.textual_queries, &questions.normalised(&self.textual_norm)?)
    }
}

/// Makes one of the two matrices of an expert.
struct Generator {
    norm: Norm,
    /// (1, rank, `d_m`).
    queries: Tensor,
    attention: Attention,
    scale: f64,
}

impl Generator {
    fn new(store: &mut ParameterStore, name: &str, d: &Dimensions) -> Result<Self> {
        let widths = ((d.module, d.width), (d.module, d.width));
        Ok(Self {
            norm: Norm::new(store, &format!("{name}.norm"), d.width)?,
            queries: vectors(store, &format!("{name}.queries"), d.rank, d.module)?,
            attention: Attention::new(store, &format!("{name}.attention"), widths.0, widths.1, d.heads)?,
            scale: 1.0 / (d.scale * (d.rank as f64).sqrt()),
        })
    }

    /// (edits, rank, width).
    fn forward(&self, edits: &Padded) -> Result<Tensor> {
        Ok((self.attention.forward(&self.queries, &edits.normalised(&self.norm)?)? * self.scale)?)
    }
}

/// See the module's description.
pub(super) struct Network {
    pub(super) of_edits: Extractor,
    pub(super) of_questions: Extractor,
    /// Stands for a picture that no edit is about, (1, tokens, width).
    sentinel: Tensor,
    inwards: Generator,
    outwards: Generator,
    norm: Norm,
    dimensions: Dimensions,
    tensors: BTreeMap<String, Tensor>,
}

impl Network {
    /// One to be trained; its parameters are in `store`.
    pub(super) fn fresh(store: &mut ParameterStore, dimensions: Dimensions) -> Result<Self> {
        let d = &dimensions;
        Ok(Self {
            of_edits: Extractor::new(store, "of_edits", d)?,
            of_questions: Extractor::new(store, "of_questions", d)?,
            sentinel: vectors(store, "sentinel", d.sentinel, d.width)?,
            inwards: Generator::new(store, "inwards", d)?,
            outwards: Generator::new(store, "outwards", d)?,
            norm: Norm::new(store, "norm", d.width)?,
            dimensions,
            tensors: BTreeMap::new(),
        })
    }

    /// One that was trained.
    pub(super) fn trained(tensors: BTreeMap<String, Tensor>, dimensions: Dimensions) -> Result<Self> {
        let mut store = ParameterStore::Trained(tensors.clone());
        Ok(Self { tensors, ..Self::fresh(&mut store, dimensions)? })
    }

    /// Parameters of a trained one.
    pub(super) fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Experts of edits, with what they are found by.
    pub(super) fn experts(&self, edits: &[&Signal]) -> Result<Experts> {
        let part = |of: &dyn Fn(&Signal) -> Result<Tensor>| -> Result<Padded> {
            Padded::new(&edits.iter().map(|edit| of(edit)).collect::<Result<Vec<_>>>()?)
        };
        let questions = part(&Signal::question)?;
        let pictures = part(&Signal::picture)?;
        let all = part(&Signal::whole)?;
        Ok(Experts {
            textual: self.of_edits.textual(&questions)?,
            visual: self.of_edits.visual(&pictures, &questions)?,
            inwards: self.inwards.forward(&all)?,
            outwards: self.outwards.forward(&all)?,
        })
    }

    /// Mean over the compared vectors of their scaled products: (questions, edits).
    pub(super) fn similarity(questions: &Tensor, edits: &Tensor) -> Result<Tensor> {
        let (count, queries, module) = questions.dims3()?;
        let flat = |x: &Tensor| x.reshape((x.dim(0)?, queries * module));
        debug_assert_eq!(edits.dim(2)?, module);
        let product = flat(questions)?.matmul(&flat(edits)?.t()?)?.reshape((count, edits.dim(0)?))?;
        Ok((product / (queries as f64 * (module as f64).sqrt()))?)
    }

    /// How near questions' pictures are to the learned one, (questions, 1).
    pub(super) fn sentinel_similarity(&self, visual: &Tensor, questions: &Padded) -> Result<Tensor> {
        let (count, queries, module) = visual.dims3()?;
        let sentinel = Padded::repeated(&self.sentinel, count)?;
        let sentinel = self.of_questions.visual(&sentinel, questions)?;
        let product = (visual * sentinel)?.sum(D::Minus1)?.sum_keepdim(1)?;
        Ok((product / (queries as f64 * (module as f64).sqrt()))?)
    }

    /// Hard routing: the edits, by number, whose picture is nearer to the question's than the learned one.
    pub(super) fn visually_related<'e>(
        &self,
        picture: &Tensor,
        question: &Tensor,
        edits: impl Iterator<Item = &'e Tensor>,
    ) -> Result<Vec<u32>> {
        let questions = Padded::new(std::slice::from_ref(question))?;
        let visual = self.of_questions.visual(&Padded::new(std::slice::from_ref(picture))?, &questions)?;
        let least = self.sentinel_similarity(&visual, &questions)?.flatten_all()?.to_vec1::<f32>()?;
        let least = least.first().copied().unwrap_or(f32::INFINITY);
        let mut similar: Vec<f32> = Vec::new();
        for stretch in edits {
            similar.extend(Self::similarity(&visual, stretch)?.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok((0..).zip(similar).filter(|(_, own)| *own > least).map(|(at, _)| at).collect())
    }

    /// Soft routing: how much each expert does for a question, (1, experts).
    pub(super) fn text_weights(&self, question: &Tensor, edits: &Tensor) -> Result<Tensor> {
        let textual = self.of_questions.textual(&Padded::new(std::slice::from_ref(question))?)?;
        let similar = Self::similarity(&textual, edits)?;
        Ok((softmax(&similar)? * candle_nn::ops::sigmoid(&similar)?)?)
    }

    /// What experts add to hidden states, (rows, width): Σ w · max(0, norm(x) Uᵀ) V. `weights` are each
    /// row's, (rows, experts).
    pub(super) fn residual(&self, state: &Tensor, experts: &Experts, weights: &Tensor) -> Result<Tensor> {
        let Dimensions { width, rank, .. } = self.dimensions;
        let (rows, count) = weights.dims2()?;
        let inwards = experts.inwards.reshape((count * rank, width))?;
        let outwards = experts.outwards.reshape((count * rank, width))?;
        let inner = self.norm.forward(state)?.matmul(&inwards.t()?)?.relu()?;
        let weights = weights.reshape((rows, count, 1))?.broadcast_as((rows, count, rank))?;
        Ok((inner * weights.contiguous()?.reshape((rows, count * rank))?)?.matmul(&outwards)?)
    }
}
