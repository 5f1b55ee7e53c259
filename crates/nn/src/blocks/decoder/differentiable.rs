//! The upper part of a decoder with gradients: the same layers, begun from hidden states that the fast path
//! has computed once, with a way in for whoever changes weights or outputs.
//!
//! Nothing here changes the model: the layers are shared with it and constant, what is trained are copies and
//! additions that an [`Adaptation`] hands in. Where nothing tracks a gradient, the slice forms are computed.

mod adapted;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Tensor};

use self::adapted::Adapted;
use super::pack::Packed;
use super::rope::{Position, TextRope};
use super::{Decoder, Layer};
use crate::blocks::activation::Activation;
use crate::blocks::attention::{HeadLayout, Span, attend, keys_and_values};
use crate::blocks::linear::Linear;
use crate::blocks::norm::RmsNorm;
use crate::blocks::product::RowKind;
use crate::blocks::{add, select_rows};
use crate::error::{NnError, Result};
use crate::kv_cache::{KvCache, Past, Stretch};
use crate::sequence::Sequence;

/// Where the differentiable part of a decoder begins; layers are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// At the state that enters a layer.
    Layer(usize),
    /// Behind a layer's attention and its residual, before the norm of its feed-forward.
    FeedForward(usize),
}

impl Cut {
    /// The layer that it lies in.
    pub fn layer(self) -> usize {
        match self {
            Self::Layer(layer) | Self::FeedForward(layer) => layer,
        }
    }
}

/// A linear map of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    /// Queries.
    Query,
    /// Keys.
    Key,
    /// Values.
    Value,
    /// The output of attention.
    Output,
    /// The gate of the feed-forward.
    Gate,
    /// What the gate is multiplied with.
    Up,
    /// The output of the feed-forward.
    Down,
}

impl Projection {
    /// All, in the order of a layer.
    pub const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// As checkpoints name it below a layer, `self_attn.q_proj` for one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::Output => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }
}

/// Hidden states of one sequence at a cut, computed by the fast path: what a differentiable suffix goes on
/// from, as often as it likes.
#[derive(Clone, Debug)]
pub struct HiddenStates {
    /// Where they were taken.
    pub cut: Cut,
    /// (rows, width), f32. Behind the last attention only the rows whose logits were asked for.
    pub states: Tensor,
    /// Rows, from the first, that no logits were asked of.
    skip: usize,
    /// Position of every row.
    positions: Vec<Position>,
    /// What is added to the rows after the layers from the cut's on.
    deepstack: Vec<Tensor>,
    /// Keys and values behind the sequence, where it asks for them and no attention follows the cut.
    pub cache: Option<KvCache>,
}

impl HiddenStates {
    /// Rows with logits.
    pub fn outputs(&self) -> usize {
        self.positions.len() - self.skip
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        of(&self.states) + self.deepstack.iter().map(of).sum::<usize>()
    }
}

/// What is different from a model's own layers. Every method leaves things as they are unless it is
/// implemented. `rows` are the rows of each sequence of the batch.
pub trait Adaptation {
    /// The weight, (outputs, inputs), that is used in the place of the layer's own.
    fn weight(&self, layer: usize, projection: Projection) -> Option<&Tensor> {
        let _ = (layer, projection);
        None
    }

    /// What is used in the place of a projection's `output`, (rows, outputs), of `input`, (rows, inputs).
    ///
    /// # Errors
    /// Those of the device.
    fn projected(
        &self,
        layer: usize,
        projection: Projection,
        input: &Tensor,
        output: Tensor,
        rows: &[Range<usize>],
    ) -> Result<Tensor> {
        let _ = (layer, projection, input, rows);
        Ok(output)
    }

    /// Whether [`Self::projected`] has anything to say of a projection: if not, packed weights stay packed.
    fn projects(&self, layer: usize, projection: Projection) -> bool {
        let _ = (layer, projection);
        false
    }

    /// Whether what it does to a row depends on that row alone: then rows that no logits are asked of are
    /// left out of the last layer, where only their keys and values are of use.
    fn is_row_wise(&self) -> bool {
        false
    }

    /// What is used in the place of the `state` that enters the suffix, (rows, width).
    ///
    /// # Errors
    /// Those of the device.
    fn entering(&self, state: Tensor, rows: &[Range<usize>]) -> Result<Tensor> {
        let _ = rows;
        Ok(state)
    }

    /// What is used in the place of the `state` behind a layer, (rows, width).
    ///
    /// # Errors
    /// Those of the device.
    fn layer_output(&self, layer: usize, state: Tensor, rows: &[Range<usize>]) -> Result<Tensor> {
        let _ = (layer, rows);
        Ok(state)
    }
}

/// The model as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unadapted;

impl Adaptation for Unadapted {
    fn is_row_wise(&self) -> bool {
        true
    }
}

/// The layers of a decoder from a cut on, its last norm and its output matrix.
#[derive(Clone, Debug)]
pub struct DifferentiableSuffix {
    cut: Cut,
    layout: HeadLayout,
    activation: Activation,
    rope: TextRope,
    /// From the cut's on.
    layers: Vec<Arc<Layer>>,
    norm: RmsNorm,
    head: Arc<Linear>,
    vocabulary: usize,
    width: usize,
}

impl Decoder {
    /// Its layers from `cut` on.
    ///
    /// # Errors
    /// [`NnError::Unsupported`] for a layer that it doesn't have, and for weights that are not computed
    /// with in f32.
    pub fn differentiable(&self, cut: Cut) -> Result<DifferentiableSuffix> {
        self.check(cut)?;
        Ok(DifferentiableSuffix {
            cut,
            layout: self.layout,
            activation: self.activation,
            rope: self.rope.clone(),
            layers: self.layers[cut.layer()..].to_vec(),
            norm: self.norm.clone(),
            head: Arc::clone(&self.head),
            vocabulary: self.vocabulary,
            width: self.width,
        })
    }

    fn check(&self, cut: Cut) -> Result<()> {
        let layers = self.layers.len();
        if cut.layer() >= layers {
            return Err(NnError::Unsupported(format!(
                "decoder layer {} of a model of {layers}",
                cut.layer()
            )));
        }
        if self.dtype != DType::F32 {
            return Err(NnError::Unsupported(
                "gradients are computed in f32: start the model with `dtype` f32".into(),
            ));
        }
        Ok(())
    }

    /// Runs sequences up to a cut and returns their states there. A sequence may go on from a past only where
    /// no attention follows the cut, at the feed-forward of the last layer.
    ///
    /// # Errors
    /// As [`Self::run`]; [`NnError::Unsupported`] for a past below a cut that attention follows.
    pub fn hidden_states<'s>(&self, batch: &'s [Sequence], cut: Cut) -> Result<Vec<HiddenStates>> {
        self.check(cut)?;
        let rows_only = cut == Cut::FeedForward(self.layers.len() - 1);
        if !rows_only && batch.iter().any(|sequence| sequence.past.is_some()) {
            return Err(NnError::Unsupported("a past below layers that are adapted".into()));
        }
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let packed = Packed::new(self, batch)?;
        let table = self.rope.table(&packed.positions);
        let mut x = packed.embedded.clone();
        let mut rows = packed.rows.clone();
        let spans = |layer: usize, skip: bool| -> Vec<Span<'s>> {
            let of = |((sequence, rows), first): ((&'s Sequence, &Range<usize>), &usize)| Span {
                skip: if skip { *first } else { 0 },
                past: sequence.past.as_deref().map_or_else(Past::default, |past| past.layer(layer)),
                ..Span::alone(rows.start, rows.len())
            };
            batch.iter().zip(&packed.rows).zip(&packed.first_logits).map(of).collect()
        };
        let mut caches: Vec<Vec<(Tensor, Tensor)>> = vec![Vec::new(); batch.len()];
        let mut keep = |qkv: &Tensor, spans: &[Span<'_>]| -> Result<()> {
            for ((sequence, span), cache) in batch.iter().zip(spans).zip(&mut caches) {
                if sequence.keep_cache && rows_only {
                    cache.push(keys_and_values(qkv, self.layout, span)?);
                }
            }
            Ok(())
        };
        for (i, layer) in self.layers.iter().enumerate().take(cut.layer()) {
            let qkv = layer.project(self.layout, &x, &table, RowKind::Prompt)?;
            let spans = spans(i, false);
            keep(&qkv, &spans)?;
            let attended = attend(&qkv, self.layout, &spans, true, None)?;
            x = layer.finish(self.activation, x, &attended, RowKind::Prompt)?;
            if let Some(features) = packed.deepstack.get(i) {
                x = add(x, features)?;
            }
        }
        if let Cut::FeedForward(i) = cut {
            let layer = &self.layers[i];
            let qkv = layer.project(self.layout, &x, &table, RowKind::Prompt)?;
            let spans = spans(i, rows_only);
            keep(&qkv, &spans)?;
            let attended = attend(&qkv, self.layout, &spans, true, None)?;
            if rows_only {
                rows = packed.logits_rows();
                x = select_rows(&x, &rows)?;
            }
            x = layer.attended(x, &attended, RowKind::Prompt)?;
        }
        let mut start = 0;
        batch
            .iter()
            .zip(rows)
            .zip(&packed.first_logits)
            .zip(caches)
            .zip(packed.next_positions)
            .map(|((((sequence, rows), first), layers), next_position)| {
                let past = sequence.past.as_deref();
                let kept = sequence.keep_cache && rows_only;
                let cache = kept.then(|| KvCache::after(past, Stretch { layers }, next_position));
                let states = x.narrow(0, start, rows.len())?.force_contiguous()?;
                start += rows.len();
                let deepstack = packed.deepstack.get(cut.layer()..).unwrap_or_default().iter();
                let deepstack =
                    deepstack.map(|all| Ok(all.narrow(0, rows.start, rows.len())?.force_contiguous()?));
                Ok(HiddenStates {
                    cut,
                    states,
                    skip: if rows_only { 0 } else { *first },
                    positions: packed.positions[rows.clone()].to_vec(),
                    deepstack: deepstack.collect::<Result<_>>()?,
                    cache: cache.transpose()?,
                })
            })
            .collect()
    }
}

impl DifferentiableSuffix {
    /// Where it begins.
    pub fn cut(&self) -> Cut {
        self.cut
    }

    /// Layers of the whole model: the last is one below.
    pub fn layers(&self) -> usize {
        self.cut.layer() + self.layers.len()
    }

    /// Width of the hidden states.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Size of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Inputs and outputs of a projection.
    pub fn shape(&self, projection: Projection) -> (usize, usize) {
        self.layers.first().map_or((0, 0), |layer| layer.shape(self.layout, projection))
    }

    /// A copy of a weight of a layer, (outputs, inputs), f32.
    ///
    /// # Errors
    /// [`NnError::Unsupported`] for a layer that it doesn't have.
    pub fn weight(&self, layer: usize, projection: Projection) -> Result<Tensor> {
        let own = layer.checked_sub(self.cut.layer()).and_then(|at| self.layers.get(at));
        let own = own.ok_or_else(|| {
            NnError::Unsupported(format!("layer {layer} of a suffix that begins at {:?}", self.cut))
        })?;
        own.weight(self.layout, projection)
    }

    /// Takes states at a feed-forward through it, as the model does: what its down projection is given,
    /// (rows, inner), and the states that enter the next layer.
    ///
    /// # Errors
    /// [`NnError::Shape`] for states of another cut, and where it is before no feed-forward.
    pub fn feed_forward(&self, before: &HiddenStates) -> Result<(Tensor, HiddenStates)> {
        let (Cut::FeedForward(i), Some(layer)) = (self.cut, self.layers.first()) else {
            return Err(NnError::Shape(format!("{:?} is before no feed-forward", self.cut)));
        };
        if before.cut != self.cut {
            return Err(NnError::Shape(format!("states that were not taken at {:?}", self.cut)));
        }
        // The layer adds to it in place.
        let x = before.states.copy()?;
        let inner = self.activation.gated(&layer.gate_up.forward(&layer.post_norm.forward(&x)?)?)?;
        let mut states = add(x, &layer.down.forward(&inner)?)?;
        if let Some(features) = before.deepstack.first() {
            states = add(states, features)?;
        }
        let after = HiddenStates {
            cut: Cut::Layer(i + 1),
            states,
            skip: before.skip,
            positions: before.positions.clone(),
            deepstack: before.deepstack.get(1..).unwrap_or_default().to_vec(),
            cache: None,
        };
        Ok((inner, after))
    }

    /// What enters the feed-forward at the cut, behind its norm: (rows, width).
    ///
    /// # Errors
    /// [`NnError::Shape`] for states of another cut, or of a cut before a layer's attention.
    pub fn feed_forward_inputs(&self, states: &HiddenStates) -> Result<Tensor> {
        match (self.cut, self.layers.first()) {
            (Cut::FeedForward(_), Some(layer)) if states.cut == self.cut => {
                Ok(layer.post_norm.forward(&states.states)?)
            }
            _ => Err(NnError::Shape(format!("no feed-forward follows states at {:?}", states.cut))),
        }
    }

    /// f32 logits of the rows that need some, (rows of all sequences one behind the other, vocabulary).
    ///
    /// # Errors
    /// [`NnError::Shape`] for states of another cut; those of the device and of `adaptation`.
    pub fn logits(&self, batch: &[&HiddenStates], adaptation: &dyn Adaptation) -> Result<Tensor> {
        if batch.is_empty() || batch.iter().any(|states| states.cut != self.cut) {
            return Err(NnError::Shape(format!("states that were not taken at {:?}", self.cut)));
        }
        let states: Vec<&Tensor> = batch.iter().map(|one| &one.states).collect();
        // A fresh tensor even of one: the layers add to it in place.
        let mut x = Tensor::cat(&states, 0)?.force_contiguous()?;
        let mut rows = Vec::with_capacity(batch.len());
        let mut positions = Vec::new();
        for one in batch {
            rows.push(positions.len()..positions.len() + one.positions.len());
            positions.extend_from_slice(&one.positions);
        }
        x = adaptation.entering(x, &rows)?;
        let wanted: Vec<Range<usize>> =
            rows.iter().zip(batch).map(|(rows, one)| rows.start + one.skip..rows.end).collect();
        let table = self.rope.table(&positions);
        let last = self.layers.len() - 1;
        for (at, layer) in self.layers.iter().enumerate() {
            let i = self.cut.layer() + at;
            let features = deepstack(batch, at)?;
            if at > 0 || matches!(self.cut, Cut::Layer(_)) {
                // Behind the last attention the others are of no use.
                let left = (at == last && features.is_none() && adaptation.is_row_wise()).then_some(&wanted);
                (x, rows) = Adapted { layer, layout: self.layout, i, adaptation, rows: &rows }
                    .attention(x, &table, left)?;
            }
            let adapted = Adapted { layer, layout: self.layout, i, adaptation, rows: &rows };
            x = adapted.feed_forward(self.activation, x)?;
            x = adaptation.layer_output(i, x, &rows)?;
            if let Some(features) = features {
                x = add(x, &features)?;
            }
        }
        // All of them where they are what is left.
        let x = select_rows(&x, &wanted)?;
        Ok(self.head.forward(&self.norm.forward(&x)?)?.to_dtype(DType::F32)?)
    }
}

/// Picture features that are added behind a layer of the suffix, for all sequences.
fn deepstack(batch: &[&HiddenStates], at: usize) -> Result<Option<Tensor>> {
    if batch.iter().all(|one| one.deepstack.get(at).is_none()) {
        return Ok(None);
    }
    let parts: Vec<Tensor> = batch
        .iter()
        .map(|one| match one.deepstack.get(at) {
            Some(features) => Ok(features.clone()),
            None => one.states.zeros_like(),
        })
        .collect::<candle_core::Result<_>>()?;
    Ok(Some(Tensor::cat(&parts, 0)?))
}
