//! Matrix–vector products by what weights are held in, and the steps of a decoder:
//! `cargo bench -p reasonedit-nn`. What a whole model takes is measured by the example `bench_model` of
//! `reasonedit-models`.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reasonedit_nn::blocks::decoder::{Axes, Decoder, TextConfig, Variant};
use reasonedit_nn::blocks::linear::{Linear, Weight};
use reasonedit_nn::blocks::product::RowKind;
use reasonedit_nn::blocks::quantised::QuantisedRows;
use reasonedit_nn::sequence::{LogitsAt, Piece, Sequence};
use reasonedit_nn::weights::Weights;
use serde_json::json;

/// Inputs and outputs of the products.
const INPUTS: usize = 1024;
const OUTPUTS: usize = 2048;
/// Tokens that are there before a step.
const PROMPT: usize = 64;

fn random(shape: (usize, usize)) -> Tensor {
    Tensor::randn(0f32, 0.05, shape, &Device::Cpu).unwrap()
}

fn quantised(kind: GgmlDType) -> Weight {
    let values = random((OUTPUTS, INPUTS)).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut rows = QuantisedRows::new(INPUTS);
    rows.append(kind, &values, &Device::Cpu).unwrap();
    Weight::Quantised(rows)
}

/// The next token of one generation: how fast weights come from memory.
fn products(criterion: &mut Criterion) {
    let rows = |dtype| Weight::Rows(random((OUTPUTS, INPUTS)).to_dtype(dtype).unwrap());
    let weights = [
        ("f32", Weight::Dense(random((INPUTS, OUTPUTS)))),
        ("bf16", rows(DType::BF16)),
        ("f16", rows(DType::F16)),
        ("q8_0", quantised(GgmlDType::Q8_0)),
        ("q4_k", quantised(GgmlDType::Q4K)),
    ];
    let x = random((1, INPUTS));
    let mut group = criterion.benchmark_group("matrix_vector");
    group.throughput(Throughput::Elements((INPUTS * OUTPUTS) as u64));
    for (name, weight) in weights {
        let linear = Linear::new(weight, None);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| linear.forward_as(black_box(&x), RowKind::Step).unwrap());
        });
    }
    group.finish();
}

/// A decoder of random weights.
fn decoder() -> Decoder {
    let config = json!({
        "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 4096, "max_position_embeddings": 1024, "rope_theta": 1e4,
    });
    let config = TextConfig::parse(&config, "text_config", &[]).unwrap();
    let variant = || Variant {
        axes: Axes::Plain,
        theta: 1e4,
        qkv_bias: false,
        output_bias: false,
        head_norms: false,
        tied: true,
    };
    let names = Weights::names_only();
    Decoder::new(&names.scope(""), &names.scope(""), &config, variant()).unwrap();
    let tensors: HashMap<String, Tensor> = names
        .asked()
        .into_iter()
        .map(|(name, shape)| (name, Tensor::randn(0f32, 0.05, shape, &Device::Cpu).unwrap()))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    candle_core::safetensors::save(&tensors, file.path()).unwrap();
    let weights = Weights::open(&[file.path()], DType::F32, Device::Cpu).unwrap();
    Decoder::new(&weights.scope(""), &weights.scope(""), &config, variant()).unwrap()
}

/// One step of one generation and of eight side by side, behind a prompt.
fn decode(criterion: &mut Criterion) {
    let decoder = decoder();
    let tokens: Vec<u32> = (0..PROMPT as u32).collect();
    let prompt = Sequence {
        past: None,
        pieces: vec![Piece::Tokens(tokens)],
        logits: LogitsAt::Last,
        keep_cache: true,
    };
    let past = decoder.run(&[prompt], &[]).unwrap().pop().unwrap().cache.map(Arc::new);
    let step =
        Sequence { past, pieces: vec![Piece::Tokens(vec![1])], logits: LogitsAt::Last, keep_cache: true };
    let mut group = criterion.benchmark_group("decode");
    for generations in [1, 8] {
        let batch = vec![step.clone(); generations];
        group.throughput(Throughput::Elements(generations as u64));
        group.bench_function(BenchmarkId::from_parameter(generations), |bencher| {
            bencher.iter(|| decoder.run(black_box(&batch), &[]).unwrap());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = products, decode
}
criterion_main!(benches);
