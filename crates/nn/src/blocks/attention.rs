//! Attention over packed sequences: each span of rows attends to its own past and itself, nothing is padded.

use candle_core::{D, DType, Tensor};

use super::{attention_cpu, is_fast};
use crate::kv_cache::Past;

/// How queries, keys and values of one token lie in a packed row: all query heads, key heads, value heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLayout {
    /// Query heads; a multiple of `kv_heads`, consecutive ones share a key–value head.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Size of a head.
    pub head_dim: usize,
}

impl HeadLayout {
    /// Values in a packed row.
    pub fn width(self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Query heads to a key–value head.
    pub fn group(self) -> usize {
        self.heads / self.kv_heads
    }

    /// 1/√(head size).
    pub fn scale(self) -> f32 {
        (self.head_dim as f32).powf(-0.5)
    }
}

/// One sequence among the packed rows.
#[derive(Clone, Copy, Debug)]
pub struct Span<'p> {
    /// Its first row.
    pub start: usize,
    /// Its rows.
    pub len: usize,
    /// Rows of it, from its own beginning, whose output nobody needs; the others are its queries.
    pub skip: usize,
    /// Keys and values of what came before.
    pub past: Past<'p>,
    /// Whether its one row is the next token of a generation; else what computes a row doesn't depend on how
    /// many others of its sequence are computed with it.
    pub step: bool,
}

impl Span<'_> {
    /// Rows without a past, all of whose output is needed.
    pub fn alone(start: usize, len: usize) -> Self {
        Self { start, len, skip: 0, past: Past::default(), step: false }
    }

    /// Rows of output.
    pub fn queries(&self) -> usize {
        self.len - self.skip
    }
}

/// A number per head and relative position (key minus query), added to the scores.
#[derive(Clone, Debug)]
pub struct PositionBias {
    /// (heads, 2·reach + 1) values.
    pub values: Vec<f32>,
    /// Greatest distance in the table.
    pub reach: usize,
}

impl PositionBias {
    /// Bias of a query at `query` for a key at `key`.
    pub fn at(&self, head: usize, query: usize, key: usize) -> f32 {
        self.values[head * (2 * self.reach + 1) + self.reach + key - query]
    }
}

/// softmax(q·kᵀ/√d + bias)·v for each span, of shape (queries of all spans, heads · head size).
///
/// `causal`: a query sees the past and its span up to itself; else all of its span.
pub fn attend(
    qkv: &Tensor,
    layout: HeadLayout,
    spans: &[Span<'_>],
    causal: bool,
    bias: Option<&PositionBias>,
) -> candle_core::Result<Tensor> {
    if is_fast(qkv) {
        return attention_cpu::attend(qkv, layout, spans, causal, bias);
    }
    // Gradients of slices are as large as all of it, so that they are not taken span by span.
    let whole = |span: &Span<'_>| span.skip == 0 && span.len > 0 && span.past.stretches().next().is_none();
    if qkv.track_op() && causal && bias.is_none() && spans.len() > 1 && spans.iter().all(whole) {
        return together(qkv, layout, spans);
    }
    let outputs = spans
        .iter()
        .filter(|span| span.queries() > 0)
        .map(|span| plain(qkv, layout, span, causal, bias))
        .collect::<candle_core::Result<Vec<_>>>()?;
    Tensor::cat(&outputs, 0)
}

/// Keys and values of a span without its past, each (kv heads, length, head size), contiguous.
pub fn keys_and_values(
    qkv: &Tensor,
    layout: HeadLayout,
    span: &Span<'_>,
) -> candle_core::Result<(Tensor, Tensor)> {
    if is_fast(qkv) {
        return attention_cpu::keys_and_values(qkv, layout, span);
    }
    let part = |head: usize| {
        qkv.narrow(0, span.start, span.len)?
            .narrow(1, head * layout.head_dim, layout.kv_heads * layout.head_dim)?
            .reshape((span.len, layout.kv_heads, layout.head_dim))?
            .transpose(0, 1)?
            .contiguous()
    };
    Ok((part(layout.heads)?, part(layout.heads + layout.kv_heads)?))
}

/// Causal attention within whole spans, by plain tensor operations on all of them, filled up to the longest.
fn together(qkv: &Tensor, layout: HeadLayout, spans: &[Span<'_>]) -> candle_core::Result<Tensor> {
    let (count, d) = (spans.len(), layout.head_dim);
    let longest = spans.iter().map(|span| span.len).max().unwrap_or(0);
    let (mut filled, mut own) = (Vec::with_capacity(count * longest), Vec::new());
    for (at, span) in spans.iter().enumerate() {
        // What fills up stands behind everything of the span, where no query of its own sees it.
        filled.extend((0..longest).map(|row| (span.start + row.min(span.len - 1)) as u32));
        own.extend((0..span.len).map(|row| (at * longest + row) as u32));
    }
    let rows = qkv.index_select(&Tensor::new(filled, qkv.device())?, 0)?;
    let part = |head: usize, heads: usize| {
        rows.narrow(1, head * d, heads * d)?
            .reshape((count, longest, heads, d))?
            .transpose(1, 2)?
            .contiguous()?
            .reshape((count * layout.kv_heads, heads / layout.kv_heads * longest, d))
    };
    let (q, k) = (part(0, layout.heads)?, part(layout.heads, layout.kv_heads)?);
    let v = part(layout.heads + layout.kv_heads, layout.kv_heads)?;
    let scores = (q.matmul(&k.t()?.contiguous()?)?.to_dtype(DType::F32)? * f64::from(layout.scale()))?;
    let mask: Vec<f32> = (0..longest)
        .flat_map(|query| (0..longest).map(move |key| if key <= query { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    let scores = scores
        .reshape((count, layout.heads, longest, longest))?
        .broadcast_add(&Tensor::from_vec(mask, (1, 1, longest, longest), qkv.device())?)?;
    // The greatest is constant: softmax does not depend on it.
    let exp = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
    let weights = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?.to_dtype(qkv.dtype())?;
    weights
        .reshape((count * layout.kv_heads, layout.group() * longest, longest))?
        .matmul(&v)?
        .reshape((count, layout.heads, longest, d))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((count * longest, layout.heads * d))?
        .index_select(&Tensor::new(own, qkv.device())?, 0)
}

/// One span by plain tensor operations; scores and softmax in f32.
fn plain(
    qkv: &Tensor,
    layout: HeadLayout,
    span: &Span<'_>,
    causal: bool,
    bias: Option<&PositionBias>,
) -> candle_core::Result<Tensor> {
    let (d, group, queries) = (layout.head_dim, layout.group(), span.queries());
    let (k, v) = keys_and_values(qkv, layout, span)?;
    let (mut all_k, mut all_v): (Vec<_>, Vec<_>) = span.past.stretches().unzip();
    all_k.push(&k);
    all_v.push(&v);
    let (k, v) = (Tensor::cat(&all_k, 1)?, Tensor::cat(&all_v, 1)?);
    let keys = k.dim(1)?;
    let past = keys - span.len;
    // Rows of a key–value head: its query heads one after the other.
    let q = qkv
        .narrow(0, span.start + span.skip, queries)?
        .narrow(1, 0, layout.heads * d)?
        .reshape((queries, layout.heads, d))?
        .transpose(0, 1)?
        .contiguous()?
        .reshape((layout.kv_heads, group * queries, d))?;
    let scores = q.matmul(&k.t()?.contiguous()?)?.to_dtype(DType::F32)?;
    let scores = (scores * f64::from(layout.scale()))?.reshape((layout.heads, queries, keys))?;
    let scores = match bias {
        None => scores,
        Some(bias) => {
            let mut values = Vec::with_capacity(layout.heads * queries * keys);
            for head in 0..layout.heads {
                for query in 0..queries {
                    values.extend((0..keys).map(|key| bias.at(head, past + span.skip + query, key)));
                }
            }
            (scores + Tensor::from_vec(values, (layout.heads, queries, keys), qkv.device())?)?
        }
    };
    // A single last token sees everything.
    let scores = if causal && queries > 1 {
        let mut mask = Vec::with_capacity(queries * keys);
        for query in 0..queries {
            let last = past + span.skip + query;
            mask.extend((0..keys).map(|key| if key <= last { 0f32 } else { f32::NEG_INFINITY }));
        }
        scores.broadcast_add(&Tensor::from_vec(mask, (1, queries, keys), qkv.device())?)?
    } else {
        scores
    };
    // The fused form has no derivative.
    let weights = if scores.track_op() {
        candle_nn::ops::softmax(&scores, D::Minus1)?
    } else {
        candle_nn::ops::softmax_last_dim(&scores)?
    };
    let weights = weights.to_dtype(qkv.dtype())?;
    weights
        .reshape((layout.kv_heads, group * queries, keys))?
        .matmul(&v)?
        .reshape((layout.heads, queries, d))?
        .transpose(0, 1)?
        .contiguous()?
        .reshape((queries, layout.heads * d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv_cache::{KvCache, Stretch};
    use candle_core::Device;
    use proptest::prelude::*;

    fn random(shape: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    fn after(past: Option<&KvCache>, layer: (Tensor, Tensor)) -> KvCache {
        KvCache::after(past, Stretch { layers: vec![layer] }, 0).unwrap()
    }

    fn error(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn slice_form_equals_plain_form(
            lens in proptest::collection::vec((1usize..40, 0usize..30, 0usize..40), 1..4),
            kv_heads in 1usize..3, group in 1usize..4, head_dim in prop::sample::select(vec![4usize, 18, 72]),
            causal: bool, biased: bool,
        ) {
            let layout = HeadLayout { heads: kv_heads * group, kv_heads, head_dim };
            let rows: usize = lens.iter().map(|l| l.0).sum();
            let qkv = random(&[rows, layout.width()]);
            let pasts: Vec<_> = lens
                .iter()
                .map(|(_, long, short)| {
                    // In two stretches.
                    [*long, short % 5].into_iter().filter(|len| *len > 0).fold(None, |past, len| {
                        let shape = [kv_heads, len, head_dim];
                        Some(after(past.as_ref(), (random(&shape), random(&shape))))
                    })
                })
                .collect();
            let mut start = 0;
            let spans: Vec<Span> = lens
                .iter()
                .zip(&pasts)
                .map(|((len, _, skip), past)| {
                    let span = Span {
                        skip: skip % len, past: past.as_ref().map_or_else(Past::default, |p| p.layer(0)), ..Span::alone(start, *len)
                    };
                    start += len;
                    span
                })
                .collect();
            let reach = 80;
            let values = random(&[layout.heads * (2 * reach + 1)]).to_vec1::<f32>().unwrap();
            let bias = biased.then_some(PositionBias { values, reach });
            let fast = attend(&qkv, layout, &spans, causal, bias.as_ref()).unwrap();
            let want: Vec<_> =
                spans.iter().map(|s| plain(&qkv, layout, s, causal, bias.as_ref()).unwrap()).collect();
            prop_assert!(error(&fast, &Tensor::cat(&want, 0).unwrap()) < 1e-4);
            // Alone, a sequence gives the same bits.
            let last = spans.len() - 1;
            let alone = attend(&qkv, layout, &spans[last..], causal, bias.as_ref()).unwrap();
            let queries = spans[last].queries();
            let together = fast.narrow(0, fast.dim(0).unwrap() - queries, queries).unwrap();
            prop_assert_eq!(error(&alone, &together), 0.0);
        }
    }

    #[test]
    fn spans_have_the_same_gradients_together_as_alone() {
        let layout = HeadLayout { heads: 4, kv_heads: 2, head_dim: 8 };
        let qkv = candle_core::Var::from_tensor(&random(&[17, layout.width()])).unwrap();
        let spans = [Span::alone(0, 5), Span::alone(5, 9), Span::alone(14, 3)];
        let toward = random(&[17, 32]);
        let gradient = |output: &Tensor| {
            let loss = (output * &toward).unwrap().sum_all().unwrap();
            loss.backward().unwrap().get(&qkv).unwrap().clone()
        };
        let all = attend(qkv.as_tensor(), layout, &spans, true, None).unwrap();
        let each: Vec<_> =
            spans.iter().map(|s| plain(qkv.as_tensor(), layout, s, true, None).unwrap()).collect();
        let each = Tensor::cat(&each, 0).unwrap();
        assert!(error(&all, &each) < 1e-5 && error(&gradient(&all), &gradient(&each)) < 1e-5);
    }

    #[test]
    fn cached_equals_uncached() {
        let layout = HeadLayout { heads: 4, kv_heads: 2, head_dim: 8 };
        let qkv = random(&[23, layout.width()]);
        let whole = Span::alone(0, 23);
        let full = attend(&qkv, layout, &[whole], true, None).unwrap();
        let cache = after(None, keys_and_values(&qkv, layout, &Span::alone(0, 9)).unwrap());
        let cache = after(Some(&cache), keys_and_values(&qkv, layout, &Span::alone(9, 1)).unwrap());
        let rest = Span { past: cache.layer(0), ..Span::alone(10, 13) };
        let continued = attend(&qkv, layout, &[rest], true, None).unwrap();
        assert!(error(&full.narrow(0, 10, 13).unwrap(), &continued) < 1e-5);
    }
}
