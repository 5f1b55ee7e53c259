//! The layers above one layer, as a function of one hidden state, with its derivative.

use candle_core::{D, DType, Tensor, Var};

use super::Decoder;
use super::pack::Packed;
use crate::blocks::attention::{Span, attend};
use crate::blocks::product::RowKind;
use crate::blocks::rotary::RotaryTable;
use crate::error::{NnError, Result};
use crate::kv_cache::Past;
use crate::layer_suffix::LayerSuffix;
use crate::sequence::{Piece, Sequence};

/// A sequence that has been run up to a layer. Keys and values of its past above that layer are as they were:
/// only new tokens can see another state.
pub struct DecoderSuffix<'m> {
    model: &'m Decoder,
    layer: usize,
    sequence: Sequence,
    table: RotaryTable,
    before: Vec<f32>,
    after: Vec<f32>,
    /// States of the other new tokens behind the layer: (tokens − 1, hidden), `None` if there are none.
    others: Option<Tensor>,
    tokens: usize,
}

impl<'m> DecoderSuffix<'m> {
    pub(super) fn new(model: &'m Decoder, layer: usize, sequence: &Sequence) -> Result<Self> {
        if layer >= model.layers.len() {
            return Err(NnError::Unsupported(format!(
                "decoder layer {layer} of a model of {}",
                model.layers.len()
            )));
        }
        if sequence.pieces.iter().any(|piece| matches!(piece, Piece::Image(_) | Piece::Instructed(..))) {
            return Err(NnError::Unsupported("a picture behind a state that is to be replaced".into()));
        }
        let packed = Packed::new(model, std::slice::from_ref(sequence))?;
        let mut this = Self {
            model,
            layer,
            sequence: sequence.clone(),
            table: model.rope.table(&packed.positions),
            before: Vec::new(),
            after: Vec::new(),
            others: None,
            tokens: packed.positions.len(),
        };
        let x = this.run(packed.embedded, 0..layer)?;
        this.before = first_row(&x)?;
        let x = this.run(x, layer..layer + 1)?;
        this.after = first_row(&x)?;
        this.others = if this.tokens > 1 { Some(x.narrow(0, 1, this.tokens - 1)?.copy()?) } else { None };
        Ok(this)
    }

    /// Some layers over the new tokens.
    fn run(&self, mut x: Tensor, layers: std::ops::Range<usize>) -> Result<Tensor> {
        let model = self.model;
        for i in layers {
            let layer = &model.layers[i];
            let qkv = layer.project(model.layout, &x, &self.table, RowKind::Prompt)?;
            let past = self.sequence.past.as_deref().map_or_else(Past::default, |past| past.layer(i));
            let span = Span { past, ..Span::alone(0, self.tokens) };
            let attended = attend(&qkv, model.layout, &[span], true, None)?;
            x = layer.finish(model.activation, x, &attended, RowKind::Prompt)?;
        }
        Ok(x)
    }

    /// Logits of all new tokens: (tokens, vocabulary), f32.
    fn rest(&self, state: &Tensor) -> Result<Tensor> {
        let model = self.model;
        let state = state.to_dtype(model.dtype)?;
        let x = match &self.others {
            Some(others) => Tensor::cat(&[&state, others], 0)?,
            // The layers add to their input in place.
            None if state.track_op() => state,
            None => state.copy()?,
        };
        let x = self.run(x, self.layer + 1..model.layers.len())?;
        Ok(model.head.forward(&model.norm.forward(&x)?)?.to_dtype(DType::F32)?)
    }

    fn checked(&self, state: &[f32]) -> Result<()> {
        let width = self.model.width;
        if state.len() == width {
            return Ok(());
        }
        Err(NnError::Shape(format!("a state of {} values for layers of width {width}", state.len())))
    }
}

fn first_row(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.narrow(0, 0, 1)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

impl LayerSuffix for DecoderSuffix<'_> {
    fn before(&self) -> &[f32] {
        &self.before
    }

    fn after(&self) -> &[f32] {
        &self.after
    }

    fn logits(&self, state: &[f32]) -> Result<Vec<f32>> {
        self.checked(state)?;
        let state = Tensor::from_slice(state, (1, state.len()), self.model.embedding.device())?;
        Ok(self.rest(&state)?.flatten_all()?.to_vec1()?)
    }

    fn loss(&self, state: &[f32], targets: &[u32]) -> Result<(f32, Vec<f32>)> {
        self.checked(state)?;
        let vocabulary = self.model.vocabulary;
        if targets.len() != self.tokens || targets.iter().any(|id| *id as usize >= vocabulary) {
            return Err(NnError::Shape(format!(
                "{} targets below {vocabulary} for {} tokens",
                targets.len(),
                self.tokens
            )));
        }
        let device = self.model.embedding.device();
        let state = Var::from_slice(state, (1, state.len()), device)?;
        let logits = self.rest(state.as_tensor())?;
        let targets = Tensor::from_slice(targets, (targets.len(), 1), device)?;
        let chosen = candle_nn::ops::log_softmax(&logits, D::Minus1)?.gather(&targets, 1)?;
        let loss = chosen.mean_all()?.neg()?;
        let gradients = loss.backward()?;
        let gradient = gradients
            .get(&state)
            .ok_or_else(|| NnError::Shape("the reply doesn't depend on the state".into()))?;
        Ok((loss.to_scalar()?, gradient.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?))
    }
}
