//! [`attend`](super::attention::attend) on slices of f32.
//!
//! A task is one sequence and one key–value head with all its query heads. Sixteen query rows lie across the
//! lanes of a vector, keys and values are read one scalar at a time, put in the order in which they are
//! read. A row's result does not depend on what else is in the batch.

use candle_core::{Storage, Tensor};
use rayon::prelude::*;

use super::attention::{HeadLayout, PositionBias, Span};
use super::gemv::{self, STEP, STREAMS};
use super::math::{self, LANES};
use super::with_values;

type Lanes = [f32; LANES];

/// Multiplications below which one thread does it all.
const PARALLEL_FROM: usize = 200_000;
/// Query rows up to which each row is done on its own (generation: one token, few heads). A causal sequence
/// is cut here and there, by what is known of its beginning, and its rows must not tell: of such only the
/// steps of generations are done so.
const FEW_ROWS: usize = 4;

/// What one task works on.
struct Task<'a> {
    span: Span<'a>,
    /// Key–value head.
    head: usize,
    keys: Vec<&'a [f32]>,
    values: Vec<&'a [f32]>,
}

pub(super) fn attend(
    qkv: &Tensor,
    layout: HeadLayout,
    spans: &[Span<'_>],
    causal: bool,
    bias: Option<&PositionBias>,
) -> candle_core::Result<Tensor> {
    let (d, group) = (layout.head_dim, layout.group());
    let row_out = layout.heads * d;
    let queries: usize = spans.iter().map(Span::queries).sum();
    let out = with_values(qkv, |rows| {
        with_pasts(spans, |pasts| {
            let work: usize = spans.iter().map(|s| s.queries() * (s.past.tokens() + s.len)).sum();
            let mut tasks = Vec::with_capacity(spans.len() * layout.kv_heads);
            for (span, past) in spans.iter().zip(pasts) {
                if span.queries() > 0 {
                    tasks.extend((0..layout.kv_heads).map(|head| task(rows, layout, *span, past, head)));
                }
            }
            let run = |task: &Task<'_>| run(rows, layout, task, causal, bias);
            let results: Vec<Vec<f32>> = if work * layout.heads * d < PARALLEL_FROM {
                tasks.iter().map(run).collect()
            } else {
                tasks.par_iter().map(run).collect()
            };
            let mut out = vec![0f32; queries * row_out];
            let mut first = 0;
            for of_span in tasks.chunks(layout.kv_heads).zip(results.chunks(layout.kv_heads)) {
                for (task, result) in of_span.0.iter().zip(of_span.1) {
                    for (query, chunk) in result.chunks_exact(group * d).enumerate() {
                        let at = (first + query) * row_out + task.head * group * d;
                        out[at..at + group * d].copy_from_slice(chunk);
                    }
                }
                first += of_span.0[0].span.queries();
            }
            Ok(out)
        })
    })?;
    Tensor::from_vec(out, (queries, row_out), qkv.device())
}

pub(super) fn keys_and_values(
    qkv: &Tensor,
    layout: HeadLayout,
    span: &Span<'_>,
) -> candle_core::Result<(Tensor, Tensor)> {
    let (d, width) = (layout.head_dim, layout.width());
    let part = |rows: &[f32], first: usize| {
        let rows = &rows[span.start * width..(span.start + span.len) * width];
        let mut part = Vec::with_capacity(layout.kv_heads * span.len * d);
        for column in first..first + layout.kv_heads {
            rows.chunks_exact(width)
                .for_each(|row| part.extend_from_slice(&row[column * d..(column + 1) * d]));
        }
        Tensor::from_vec(part, (layout.kv_heads, span.len, d), qkv.device())
    };
    with_values(qkv, |rows| Ok((part(rows, layout.heads)?, part(rows, layout.heads + layout.kv_heads)?)))
}

/// A span's past: keys and values of each stretch.
type Pasts<'a> = Vec<(&'a [f32], &'a [f32])>;

/// Calls `f` with the values of every span's past while all of them are locked for reading.
fn with_pasts<R>(
    spans: &[Span<'_>],
    f: impl FnOnce(&[Pasts<'_>]) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    let guards: Vec<Vec<_>> = spans
        .iter()
        .map(|span| {
            span.past.stretches().map(|(k, v)| (k.storage_and_layout(), v.storage_and_layout())).collect()
        })
        .collect();
    let pasts = guards
        .iter()
        .map(|past| past.iter().map(|(k, v)| Ok((slice_of(&k.0, k.1)?, slice_of(&v.0, v.1)?))).collect())
        .collect::<candle_core::Result<Vec<_>>>()?;
    f(&pasts)
}

fn slice_of<'s>(storage: &'s Storage, layout: &candle_core::Layout) -> candle_core::Result<&'s [f32]> {
    match storage {
        Storage::Cpu(storage) => super::contiguous(storage.as_slice::<f32>()?, layout),
        _ => candle_core::bail!("not on the CPU"),
    }
}

fn task<'a>(
    rows: &'a [f32],
    layout: HeadLayout,
    span: Span<'a>,
    past: &[(&'a [f32], &'a [f32])],
    head: usize,
) -> Task<'a> {
    let (d, width) = (layout.head_dim, layout.width());
    let count = span.past.tokens() + span.len;
    let (mut keys, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (past_keys, past_values) in past {
        let of_head = past_keys.len() / layout.kv_heads;
        let part = head * of_head..(head + 1) * of_head;
        keys.extend(past_keys[part.clone()].chunks_exact(d));
        values.extend(past_values[part].chunks_exact(d));
    }
    for row in rows[span.start * width..(span.start + span.len) * width].chunks_exact(width) {
        let at = |column: usize| &row[column * d..(column + 1) * d];
        keys.push(at(layout.heads + head));
        values.push(at(layout.heads + layout.kv_heads + head));
    }
    Task { span, head, keys, values }
}

/// Output of one task: (queries, group · head size).
fn run(
    rows: &[f32],
    layout: HeadLayout,
    task: &Task<'_>,
    causal: bool,
    bias: Option<&PositionBias>,
) -> Vec<f32> {
    let (d, group, span) = (layout.head_dim, layout.group(), &task.span);
    let past = span.past.tokens();
    let count = span.queries() * group;
    let query = |row: usize| {
        let at = (span.start + span.skip + row / group) * layout.width();
        let head = task.head * group + row % group;
        &rows[at + head * d..at + (head + 1) * d]
    };
    // Keys that a row sees.
    let limit = |row: usize| {
        if causal { past + span.skip + row / group + 1 } else { task.keys.len() }
    };
    let bias_of = |row: usize, key: usize| {
        bias.map_or(0.0, |b| b.at(task.head * group + row % group, past + span.skip + row / group, key))
    };
    let mut out = vec![0f32; count * d];
    if count <= FEW_ROWS && (span.step || !causal) {
        few_queries(
            &std::array::from_fn::<_, FEW_ROWS, _>(|row| query(row.min(count - 1)))[..count],
            task,
            &mut out,
            |row, scores| {
                let scores = &mut scores[..limit(row)];
                for (key, score) in scores.iter_mut().enumerate() {
                    *score = *score * layout.scale() + bias_of(row, key);
                }
                scores
            },
        );
        return out;
    }
    let keys = in_groups(task.keys.len(), d, |i, key| task.keys[key][i]);
    let values = in_groups(d, task.keys.len(), |key, column| task.values[key][column]);
    let mut scores = vec![[0f32; LANES]; task.keys.len().next_multiple_of(SUMS)];
    let mut queries = vec![[0f32; LANES]; d];
    for (block, out) in out.chunks_mut(LANES * d).enumerate() {
        let first = block * LANES;
        let lanes = out.len() / d;
        // Spare lanes repeat the last row, so that they hold nothing infinite.
        let row_of = |lane: usize| first + lane.min(lanes - 1);
        for lane in 0..LANES {
            for (to, from) in queries.iter_mut().zip(query(row_of(lane))) {
                to[lane] = from * layout.scale();
            }
        }
        let longest = limit(row_of(LANES - 1));
        let seen = keys.chunks_exact(SUMS * d).take(longest.div_ceil(SUMS));
        for (scores, keys) in scores.as_chunks_mut().0.iter_mut().zip(seen) {
            *scores = weighted_sums(&queries, keys);
        }
        let scores = &mut scores[..longest];
        if bias.is_some() {
            for (key, score) in scores.iter_mut().enumerate() {
                for (lane, score) in score.iter_mut().enumerate() {
                    *score += bias_of(row_of(lane), key);
                }
            }
        }
        for (key, score) in scores.iter_mut().enumerate().skip(limit(first)) {
            for (lane, score) in score.iter_mut().enumerate() {
                if key >= limit(row_of(lane)) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        let sums = softmax_lanes(scores);
        for (group, values) in values.chunks_exact(SUMS * task.keys.len()).enumerate() {
            let totals = weighted_sums(scores, values);
            for (lane, out) in out.chunks_exact_mut(d).enumerate() {
                for (total, to) in totals.iter().zip(&mut out[group * SUMS..]) {
                    *to = total[lane] / sums[lane];
                }
            }
        }
    }
    out
}

/// Few query rows over all keys: each key and value is read from memory once. `finish` makes a row's products
/// with all keys its scores, of the keys that it sees.
fn few_queries(
    queries: &[&[f32]],
    task: &Task<'_>,
    out: &mut [f32],
    finish: impl Fn(usize, &mut [f32]) -> &mut [f32],
) {
    let keys = task.keys.len();
    let mut scores = vec![0f32; queries.len() * keys];
    // Streams far apart, as in products.
    let part = keys / STREAMS;
    for i in 0..part {
        let some: [usize; STREAMS] = std::array::from_fn(|s| s * part + i);
        for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(keys)) {
            let products = gemv::dots(query, some.map(|key| task.keys[key]));
            for (key, product) in some.into_iter().zip(products) {
                scores[key] = product;
            }
        }
    }
    for key in STREAMS * part..keys {
        for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(keys)) {
            [scores[key]] = gemv::dots(query, [task.keys[key]]);
        }
    }
    for (row, scores) in scores.chunks_exact_mut(keys).enumerate() {
        let seen = finish(row, scores);
        let max = math::max(seen);
        for score in seen.iter_mut() {
            *score = math::exp(*score - max);
        }
        let scale = 1.0 / math::sum(seen);
        for score in seen.iter_mut() {
            *score *= scale;
        }
        let seen = seen.len();
        scores[seen..].fill(0.0);
    }
    let d = out.len() / queries.len();
    let part = keys / STEP;
    for i in 0..part {
        let some: [usize; STEP] = std::array::from_fn(|s| s * part + i);
        for (weights, out) in scores.chunks_exact(keys).zip(out.chunks_exact_mut(d)) {
            gemv::add_scaled(out, some.map(|key| weights[key]), some.map(|key| task.values[key]));
        }
    }
    for key in STEP * part..keys {
        for (weights, out) in scores.chunks_exact(keys).zip(out.chunks_exact_mut(d)) {
            gemv::add_scaled(out, [weights[key]], [task.values[key]]);
        }
    }
}

/// Sums that are built up at a time: enough that the processor has something to do while it waits for each,
/// few enough for the registers of narrower vectors. Twelve are no faster; with eight, the compiler keeps
/// them in memory (measured: 15 times slower).
const SUMS: usize = 6;

/// A matrix of (`height`, `width`) in groups of [`SUMS`] columns, each row by row; the last one has zeros for
/// what it lacks.
fn in_groups(width: usize, height: usize, at: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut groups = Vec::with_capacity(width.next_multiple_of(SUMS) * height);
    for first in (0..width).step_by(SUMS) {
        for row in 0..height {
            groups.extend(
                (first..first + SUMS).map(|column| if column < width { at(row, column) } else { 0.0 }),
            );
        }
    }
    groups
}

/// `sums[n][lane] = Σ_i rows[i][lane] · factors[i][n]`, for a group of columns as factors.
#[inline(never)]
fn weighted_sums(rows: &[Lanes], factors: &[f32]) -> [Lanes; SUMS] {
    let mut sums = [[0f32; LANES]; SUMS];
    for (row, factors) in rows.iter().zip(factors.as_chunks::<SUMS>().0) {
        for (sum, factor) in sums.iter_mut().zip(factors) {
            for lane in 0..LANES {
                sum[lane] = math::fma(*factor, row[lane], sum[lane]);
            }
        }
    }
    sums
}

/// e^(score − maximum) for every lane; returns the sums.
fn softmax_lanes(scores: &mut [Lanes]) -> Lanes {
    let mut max = [f32::NEG_INFINITY; LANES];
    for score in scores.iter() {
        for lane in 0..LANES {
            max[lane] = max[lane].max(score[lane]);
        }
    }
    let mut sums = [0f32; LANES];
    for score in scores.iter_mut() {
        for lane in 0..LANES {
            let weight = math::exp(score[lane] - max[lane]);
            // The clamped exponential of a masked score is tiny, but not nothing.
            score[lane] = if score[lane] == f32::NEG_INFINITY { 0.0 } else { weight };
            sums[lane] += score[lane];
        }
    }
    sums
}
