//! One layer as an [`Adaptation`] has it.

use std::ops::Range;

use candle_core::Tensor;

use super::{Adaptation, Projection};
use crate::blocks::activation::Activation;
use crate::blocks::attention::{HeadLayout, Span, attend};
use crate::blocks::decoder::Layer;
use crate::blocks::linear::Linear;
use crate::blocks::product::tracked_rows;
use crate::blocks::rotary::{RotaryTable, norm_and_rotate};
use crate::blocks::{add, select_rows};
use crate::error::Result;

/// A layer with what is different about it.
pub(super) struct Adapted<'a> {
    pub(super) layer: &'a Layer,
    pub(super) layout: HeadLayout,
    pub(super) i: usize,
    pub(super) adaptation: &'a dyn Adaptation,
    pub(super) rows: &'a [Range<usize>],
}

impl Adapted<'_> {
    fn touched(&self, projection: Projection) -> bool {
        self.adaptation.weight(self.i, projection).is_some() || self.adaptation.projects(self.i, projection)
    }

    /// `packed` weights hold the `projections` one after the other; (rows, outputs of all).
    fn project(&self, packed: &Linear, projections: &[Projection], x: &Tensor) -> Result<Tensor> {
        if !projections.iter().any(|projection| self.touched(*projection)) {
            return Ok(packed.forward(x)?);
        }
        // The layer's own product is only made where something of it is used.
        let mut own = None;
        let mut start = 0;
        let mut parts = Vec::with_capacity(projections.len());
        for &projection in projections {
            let (_, width) = self.layer.shape(self.layout, projection);
            let mut y = if let Some(weight) = self.adaptation.weight(self.i, projection) {
                let y = tracked_rows(x, weight)?;
                match packed.bias() {
                    Some(bias) => y.broadcast_add(&bias.narrow(0, start, width)?)?,
                    None => y,
                }
            } else {
                if own.is_none() {
                    own = Some(packed.forward(x)?);
                }
                own.as_ref().unwrap_or(x).narrow(1, start, width)?
            };
            if self.adaptation.projects(self.i, projection) {
                y = self.adaptation.projected(self.i, projection, x, y, self.rows)?;
            }
            parts.push(y);
            start += width;
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 1)? })
    }

    /// Of the rows that are `left`, if not of all, and where these lie then.
    pub(super) fn attention(
        &self,
        mut x: Tensor,
        table: &RotaryTable,
        left: Option<&Vec<Range<usize>>>,
    ) -> Result<(Tensor, Vec<Range<usize>>)> {
        use Projection::{Key, Output, Query, Value};
        let (layer, layout) = (self.layer, self.layout);
        let qkv = self.project(&layer.qkv, &[Query, Key, Value], &layer.input_norm.forward(&x)?)?;
        let qkv = norm_and_rotate(qkv, layout, layer.head_norms.as_ref().map(|(q, k)| (q, k)), table)?;
        let skip = |at: usize| left.map_or(0, |left| left[at].start - self.rows[at].start);
        let alone = |(at, rows): (usize, &Range<usize>)| Span {
            skip: skip(at),
            ..Span::alone(rows.start, rows.len())
        };
        let spans: Vec<Span<'_>> = self.rows.iter().enumerate().map(alone).collect();
        let attended = attend(&qkv, layout, &spans, true, None)?;
        let mut rows = self.rows.to_vec();
        if let Some(left) = left {
            x = select_rows(&x, left)?;
            let mut start = 0;
            rows = left.iter().map(|rows| (start..start + rows.len(), start += rows.len()).0).collect();
        }
        let behind = Adapted { rows: &rows, ..*self };
        let x = add(x, &behind.project(&layer.o, &[Output], &attended)?)?;
        Ok((x, rows))
    }

    pub(super) fn feed_forward(&self, activation: Activation, x: Tensor) -> Result<Tensor> {
        use Projection::{Down, Gate, Up};
        let layer = self.layer;
        let inner = self.project(&layer.gate_up, &[Gate, Up], &layer.post_norm.forward(&x)?)?;
        Ok(add(x, &self.project(&layer.down, &[Down], &activation.gated(&inner)?)?)?)
    }
}

impl Layer {
    /// Inputs and outputs of a projection.
    pub(super) fn shape(&self, layout: HeadLayout, projection: Projection) -> (usize, usize) {
        let (queries, kv) = (layout.heads * layout.head_dim, layout.kv_heads * layout.head_dim);
        match projection {
            Projection::Query => (self.width, queries),
            Projection::Key | Projection::Value => (self.width, kv),
            Projection::Output => (queries, self.width),
            Projection::Gate | Projection::Up => (self.width, self.inner),
            Projection::Down => (self.inner, self.width),
        }
    }

    /// A copy of a weight, (outputs, inputs), f32.
    pub(super) fn weight(&self, layout: HeadLayout, projection: Projection) -> Result<Tensor> {
        let (packed, before): (&Linear, &[Projection]) = match projection {
            Projection::Query => (&self.qkv, &[]),
            Projection::Key => (&self.qkv, &[Projection::Query]),
            Projection::Value => (&self.qkv, &[Projection::Query, Projection::Key]),
            Projection::Output => (&self.o, &[]),
            Projection::Gate => (&self.gate_up, &[]),
            Projection::Up => (&self.gate_up, &[Projection::Gate]),
            Projection::Down => (&self.down, &[]),
        };
        let start = before.iter().map(|projection| self.shape(layout, *projection).1).sum();
        let all = packed.matrix()?;
        Ok(all.narrow(0, start, self.shape(layout, projection).1)?.force_contiguous()?)
    }
}
