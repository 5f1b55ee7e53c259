//! The vision tower: patches of all pictures in one matrix, attention within windows of a picture and, in a
//! few blocks, within all of it.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use reasonedit_nn::blocks::activation::Activation;
use reasonedit_nn::blocks::add;
use reasonedit_nn::blocks::attention::{HeadLayout, Span, attend};
use reasonedit_nn::blocks::linear::Linear;
use reasonedit_nn::blocks::norm::RmsNorm;
use reasonedit_nn::blocks::pool::TapCollector;
use reasonedit_nn::blocks::rotary::{RotaryTable, norm_and_rotate};
use reasonedit_nn::sequence::{ImageFeatures, PixelInput};
use reasonedit_nn::taps::{TapInfo, TapName};
use reasonedit_nn::weights::Scope;

use super::config::WindowConfig;
use super::windows::windows;
use crate::composed::PictureTower;
use crate::error::Result;
use crate::qwen_vision::config::QwenVisionConfig;
use crate::qwen_vision::patches;

/// ε of every norm of the tower.
const EPSILON: f64 = 1e-6;

#[derive(Debug)]
struct Block {
    norm1: RmsNorm,
    qkv: Linear,
    proj: Linear,
    norm2: RmsNorm,
    gate_up: Linear,
    down: Linear,
    /// Whether it attends to the whole picture.
    full: bool,
}

/// The vision tower with its merger.
#[derive(Debug)]
pub(super) struct VisionTower {
    config: QwenVisionConfig,
    /// Side of an attention window in image tokens.
    window: usize,
    layout: HeadLayout,
    activation: Activation,
    patch_embed: Linear,
    blocks: Vec<Block>,
    merger_norm: RmsNorm,
    fc1: Linear,
    fc2: Linear,
    device: Device,
    dtype: DType,
}

/// Pictures laid out as rows, window after window.
struct Laid<'p> {
    images: &'p [&'p PixelInput],
    /// Rows of each picture.
    rows: Vec<Range<usize>>,
    /// Rows of each window, of all pictures.
    windows: Vec<Range<usize>>,
    /// Rows of each frame, of all pictures.
    frames: Vec<Range<usize>>,
    /// For every token in the processor's order, where it lies here.
    places: Vec<u32>,
    table: RotaryTable,
    pixels: Vec<f32>,
}

fn spans(ranges: &[Range<usize>]) -> Vec<Span<'static>> {
    ranges.iter().map(|r| Span::alone(r.start, r.len())).collect()
}

impl VisionTower {
    pub(super) fn new(
        scope: &Scope<'_>,
        config: &QwenVisionConfig,
        windows: &WindowConfig,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let joined = width * config.spatial_merge_size.pow(2);
        let patch = config.patch();
        let norm = |scope: &Scope<'_>| -> Result<RmsNorm> {
            Ok(RmsNorm::new(scope.tensor("weight", &[width])?, EPSILON))
        };
        let blocks = (0..config.depth)
            .map(|i| {
                let block = scope.scope(format_args!("blocks.{i}"));
                Ok(Block {
                    norm1: norm(&block.scope("norm1"))?,
                    qkv: block.linear(&[("attn.qkv", 3 * width)], width, true)?,
                    proj: block.linear(&[("attn.proj", width)], width, true)?,
                    norm2: norm(&block.scope("norm2"))?,
                    gate_up: block.linear(
                        &[("mlp.gate_proj", inner), ("mlp.up_proj", inner)],
                        width,
                        true,
                    )?,
                    down: block.linear(&[("mlp.down_proj", width)], inner, true)?,
                    full: windows.fullatt_block_indexes.contains(&i),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            layout: HeadLayout {
                heads: config.num_heads,
                kv_heads: config.num_heads,
                head_dim: width / config.num_heads,
            },
            activation: Activation::parse(&config.hidden_act)?,
            patch_embed: scope.linear_shaped(&[("patch_embed.proj", width)], &patch, false)?,
            blocks,
            merger_norm: norm(&scope.scope("merger.ln_q"))?,
            fc1: scope.linear(&[("merger.mlp.0", joined)], joined, true)?,
            fc2: scope.linear(&[("merger.mlp.2", config.out_hidden_size)], joined, true)?,
            config: config.clone(),
            window: windows.side(config),
            device: device.clone(),
            dtype,
        })
    }

    fn lay<'p>(&self, images: &'p [&'p PixelInput]) -> Result<Laid<'p>> {
        let merge = self.config.spatial_merge_size;
        let unit = merge * merge;
        let values = unit * self.config.patch_values();
        let (mut rows, mut all_windows, mut frames) = (Vec::new(), Vec::new(), Vec::new());
        let (mut pixels, mut patch_places) = (Vec::new(), Vec::new());
        let mut places = Vec::new();
        for image in images {
            let (t, height, width) = self.config.grid_of(image)?;
            let (order, of_image) = windows((t, height / merge, width / merge), self.window);
            let of_patches = patches::patch_places((t, height, width), merge);
            let (first, first_token) = (patch_places.len(), places.len());
            places.resize(first_token + order.len(), 0);
            for (at, token) in order.into_iter().enumerate() {
                pixels.extend_from_slice(&image.values[token * values..(token + 1) * values]);
                patch_places.extend_from_slice(&of_patches[token * unit..(token + 1) * unit]);
                places[first_token + token] = (first_token + at) as u32;
            }
            rows.push(first..patch_places.len());
            all_windows.extend(of_image.iter().map(|w| first + w.start * unit..first + w.end * unit));
            let frame = height * width;
            frames.extend((0..t).map(|i| first + i * frame..first + (i + 1) * frame));
        }
        let table = patches::axial_table(&patch_places, self.layout.head_dim, self.config.theta());
        Ok(Laid { images, rows, windows: all_windows, frames, places, table, pixels })
    }

    fn run(&self, laid: Laid<'_>, taps: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>> {
        let unit = self.config.spatial_merge_size.pow(2);
        let mut collector = TapCollector::new(taps, laid.images.len());
        let count = laid.places.len() * unit;
        let pixels = Tensor::from_vec(laid.pixels, (count, self.config.patch_values()), &self.device)?;
        let mut x = self.patch_embed.forward(&pixels.to_dtype(self.dtype)?)?;
        collector.take("vision.embedding", &x, &laid.rows)?;
        let (windows, frames) = (spans(&laid.windows), spans(&laid.frames));
        for (i, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward(&block.norm1.forward(&x)?)?;
            let qkv = norm_and_rotate(qkv, self.layout, None, &laid.table)?;
            let spans = if block.full { &frames } else { &windows };
            let attended = attend(&qkv, self.layout, spans, false, None)?;
            x = add(x, &block.proj.forward(&attended)?)?;
            let inner = block.gate_up.forward(&block.norm2.forward(&x)?)?;
            x = add(x, &block.down.forward(&self.activation.gated(&inner)?)?)?;
            collector.take(&format!("vision.{i}"), &x, &laid.rows)?;
        }
        let joined = self.merger_norm.forward(&x)?.reshape((laid.places.len(), ()))?;
        let merged = self.fc2.forward(&self.fc1.forward_activated(&joined, Activation::Gelu)?)?;
        let tokens: Vec<_> = laid.rows.iter().map(|r| r.start / unit..r.end / unit).collect();
        collector.take("merger", &merged, &tokens)?;
        // Back to the order of rows.
        let places = Tensor::from_vec(laid.places, merged.dim(0)?, &self.device)?;
        let merged = merged.index_select(&places, 0)?;
        self.config.features(laid.images, tokens, &merged, &[], collector.finish())
    }
}

impl PictureTower for VisionTower {
    fn taps(&self) -> Vec<TapInfo> {
        self.config.taps()
    }

    fn encode(&self, images: &[&PixelInput], taps: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>> {
        if images.is_empty() { Ok(Vec::new()) } else { self.run(self.lay(images)?, taps) }
    }
}
