//! Adapters in PEFT's layout on golden checkpoints: merged while they are loaded, they compute what they
//! compute beside the model.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod support;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use reasonedit_models::{
    BlockType, Cut, LoadOptions, LogitsAt, LowRankAdapter, LowRankFactors, Piece, Projection, Sequence,
    VisionLanguageModel, WeightType, load,
};
use serde_json::json;
use support::{copy_of, golden, json as read_json, set};

const MODELS: [&str; 8] = [
    "qwen3_vl-1",
    "qwen3_vl-3",
    "qwen2_5_vl-1",
    "llava-1",
    "llava-4",
    "instructblip-1",
    "qwen2-1",
    "qwen2-3",
];

fn base(name: &str) -> Box<dyn VisionLanguageModel> {
    load(&golden(name).to_string_lossy(), &LoadOptions::default()).unwrap()
}

fn adapted(name: &str, adapter: &Path) -> reasonedit_models::Result<Box<dyn VisionLanguageModel>> {
    let options = LoadOptions { adapter: Some(adapter.to_owned()), ..LoadOptions::default() };
    load(&golden(name).to_string_lossy(), &options)
}

/// Random factors beside every projection of every layer, of other ranks and strengths here and there.
fn random(model: &dyn VisionLanguageModel) -> LowRankAdapter {
    let suffix = model.differentiable(Cut::Layer(0)).unwrap();
    let mut adapter = LowRankAdapter::default();
    for layer in 0..suffix.layers() {
        for projection in Projection::ALL {
            let (inputs, outputs) = suffix.shape(projection);
            let rank = if projection == Projection::Up { 3 } else { 2 };
            let a = Tensor::randn(0f32, 0.3, (rank, inputs), &Device::Cpu).unwrap();
            let b = Tensor::randn(0f32, 0.3, (outputs, rank), &Device::Cpu).unwrap();
            let scale = if layer == 0 { 0.5 } else { 2.0 };
            adapter.0.insert((layer, projection), LowRankFactors { a, b, scale });
        }
    }
    adapter
}

fn sequence() -> Sequence {
    let pieces = vec![Piece::Tokens(vec![3, 4, 5, 6])];
    Sequence { past: None, pieces, logits: LogitsAt::From(1), keep_cache: false }
}

fn logits(model: &dyn VisionLanguageModel) -> Vec<f32> {
    model.run(&[sequence()], &[]).unwrap().remove(0).logits
}

fn beside(model: &dyn VisionLanguageModel, adapter: &LowRankAdapter) -> Vec<f32> {
    let states = model.hidden_states(&[sequence()], Cut::Layer(0)).unwrap();
    let suffix = model.differentiable(Cut::Layer(0)).unwrap();
    suffix.logits(&[&states[0]], adapter).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn error(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1f32, |most, x| most.max(x.abs()));
    a.iter().zip(b).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / scale
}

#[test]
fn what_is_written_is_merged_into_every_architecture() {
    for name in MODELS {
        let model = base(name);
        let adapter = random(&*model);
        let folder = tempfile::tempdir().unwrap();
        adapter.write(folder.path(), model.info(), &[("codebook", "default".into())]).unwrap();
        let merged = adapted(name, folder.path()).unwrap();
        let (plain, with) = (logits(&*model), logits(&*merged));
        assert!(error(&with, &plain) > 1e-3, "{name}: nothing is different");
        let off = error(&with, &beside(&*model, &adapter));
        assert!(off < 1e-5, "{name}: {off}");

        let read = LowRankAdapter::read(folder.path()).unwrap();
        assert_eq!(read.bytes(), adapter.bytes());
        assert!(error(&beside(&*model, &read), &with) < 1e-5, "{name}");

        // Codebooks belong to a model with its adapter.
        assert_ne!(merged.info().fingerprint, model.info().fingerprint);
        assert_eq!(merged.info().fingerprint, adapted(name, folder.path()).unwrap().info().fingerprint);
        assert_eq!(merged.info().parameters, model.info().parameters);
    }
}

#[test]
fn layers_in_blocks_and_halves_have_it_too() {
    let model = base("qwen3_vl-1");
    let folder = tempfile::tempdir().unwrap();
    random(&*model).write(folder.path(), model.info(), &[]).unwrap();
    let source = golden("qwen3_vl-1");
    let of = |quantize: Option<BlockType>, dtype, adapter: bool| {
        let adapter = adapter.then(|| folder.path().to_owned());
        let options = LoadOptions { quantize, dtype, adapter, ..LoadOptions::default() };
        logits(&*load(&source.to_string_lossy(), &options).unwrap())
    };
    let exact = of(None, WeightType::F32, true);
    for (quantize, dtype) in [(Some(BlockType::Q8_0), WeightType::F32), (None, WeightType::Bf16)] {
        let (plain, with) = (of(quantize, dtype, false), of(quantize, dtype, true));
        assert!(error(&with, &exact) < 0.2 * error(&plain, &exact), "{quantize:?} {dtype:?}");
    }
}

#[test]
fn an_adapter_of_another_architecture_is_refused_by_its_first_parameter() {
    let (small, other) = (base("qwen3_vl-1"), base("qwen2-1"));
    let folder = tempfile::tempdir().unwrap();
    random(&*other).write(folder.path(), other.info(), &[]).unwrap();
    let refused = adapted("qwen3_vl-1", folder.path()).map(drop).unwrap_err().to_string();
    assert!(refused.contains("base_model.model.model.layers.0.self_attn."), "{refused}");
    assert!(refused.contains("lora_") && refused.contains("model.language_model.layers.0"), "{refused}");

    let mut deep = random(&*small);
    let layers = small.differentiable(Cut::Layer(0)).unwrap().layers();
    let more = deep.0[&(0, Projection::Down)].clone();
    deep.0.insert((layers, Projection::Down), more);
    deep.write(folder.path(), small.info(), &[]).unwrap();
    let refused = adapted("qwen3_vl-1", folder.path()).map(drop).unwrap_err().to_string();
    let name = format!("layers.{layers}.mlp.down_proj.lora_A.weight");
    assert!(refused.contains(&name) && refused.contains("has no"), "{refused}");
}

#[test]
fn broken_adapters_are_told_by_their_file() {
    let model = base("qwen2-1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let says = |words: &[&str]| {
        let told = adapted("qwen2-1", path).map(drop).unwrap_err().to_string();
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    };
    says(&["adapter_config.json"]);
    random(&*model).write(path, model.info(), &[]).unwrap();
    adapted("qwen2-1", path).unwrap();
    set(path, "adapter_config.json", "/use_dora", json!(true));
    says(&["adapter_config.json", "use_dora"]);
    set(path, "adapter_config.json", "/use_dora", json!(false));
    set(path, "adapter_config.json", "/r", json!(5));
    says(&["layers.0.self_attn.q_proj.lora_A.weight", "the rank in adapter_config.json is 5"]);
    set(path, "adapter_config.json", "/r", json!(2));

    let weights = path.join("adapter_model.safetensors");
    let mut tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(&weights, &Device::Cpu).unwrap();
    let whole = tensors.clone();
    tensors.remove("base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight").unwrap();
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    says(&["layers.0.self_attn.k_proj.lora_A.weight", "no lora_B"]);
    let twice = whole["base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight"].clone();
    tensors = whole.clone();
    tensors.insert("base_model.model.layers.0.self_attn.k_proj.lora_A.weight".into(), twice);
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    says(&["layers.0.self_attn.k_proj.lora_A.weight", "stands for the same"]);
    // Trainers store halves as well.
    let half = |(name, tensor): (String, Tensor)| (name, tensor.to_dtype(DType::BF16).unwrap());
    let halves: HashMap<String, Tensor> = whole.into_iter().map(half).collect();
    candle_core::safetensors::save(&halves, &weights).unwrap();
    adapted("qwen2-1", path).unwrap();
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
    says(&["adapter_model.safetensors", "whole safetensors"]);
    std::fs::rename(&weights, path.join("adapter_model.bin")).unwrap();
    says(&["adapter_model.bin", "pickle"]);
    assert_eq!(read_json(path, "adapter_config.json")["peft_type"], "LORA");
}

/// What stands in a file of weights, with some of it changed.
fn change(weights: &Path, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let mut tensors = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, weights).unwrap();
}

#[test]
fn factors_that_are_no_numbers_are_refused_by_their_parameter() {
    let model = base("qwen2-1");
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("adapter_model.safetensors");
    let name = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight";
    for (value, dtype, told) in
        [(f32::NAN, DType::F32, "NaN"), (f32::INFINITY, DType::BF16, "inf"), (1e30, DType::F16, "inf")]
    {
        random(&*model).write(folder.path(), model.info(), &[]).unwrap();
        change(&weights, |tensors| {
            let shape = tensors[name].dims().to_vec();
            let mut values = tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            *values.last_mut().unwrap() = value;
            let changed = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            tensors.insert(name.into(), changed);
        });
        let refused = adapted("qwen2-1", folder.path()).map(drop).unwrap_err().to_string();
        assert!(refused.contains(name) && refused.contains(told), "{refused}");
    }
}

#[test]
fn an_alpha_that_leaves_the_floats_is_refused_by_name_and_value() {
    let model = base("qwen2-1");
    let folder = tempfile::tempdir().unwrap();
    random(&*model).write(folder.path(), model.info(), &[]).unwrap();
    set(folder.path(), "adapter_config.json", "/alpha_pattern", json!({}));
    for (alpha, told) in [(1e40, "lora_alpha is 1e40"), (-1.7e308, "lora_alpha is -1.7e308")] {
        set(folder.path(), "adapter_config.json", "/lora_alpha", json!(alpha));
        let refused = adapted("qwen2-1", folder.path()).map(drop).unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
    // None at all, and the other way round.
    let plain = logits(&*model);
    set(folder.path(), "adapter_config.json", "/lora_alpha", json!(0));
    assert_eq!(logits(&*adapted("qwen2-1", folder.path()).unwrap()), plain);
    set(folder.path(), "adapter_config.json", "/lora_alpha", json!(-4));
    let turned = logits(&*adapted("qwen2-1", folder.path()).unwrap());
    assert!(turned.iter().all(|logit| logit.is_finite()) && error(&turned, &plain) > 1e-3);
    set(folder.path(), "adapter_config.json", "/alpha_pattern", json!({"up_proj": 1e300}));
    let refused = adapted("qwen2-1", folder.path()).map(drop).unwrap_err().to_string();
    assert!(refused.contains("alpha_pattern.up_proj is 1e300"), "{refused}");
}

#[test]
fn factors_of_modules_that_are_not_named_are_left_out_as_peft_does() {
    let model = base("qwen2-1");
    let folder = tempfile::tempdir().unwrap();
    let mut adapter = random(&*model);
    adapter.write(folder.path(), model.info(), &[]).unwrap();
    set(folder.path(), "adapter_config.json", "/target_modules", json!(["q_proj", "down_proj"]));
    adapter.0.retain(|(_, projection), _| [Projection::Query, Projection::Down].contains(projection));
    let off = error(&logits(&*adapted("qwen2-1", folder.path()).unwrap()), &beside(&*model, &adapter));
    assert!(off < 1e-5, "{off}");
    set(folder.path(), "adapter_config.json", "/target_modules", json!(["c_attn"]));
    let refused = adapted("qwen2-1", folder.path()).map(drop).unwrap_err().to_string();
    assert!(refused.contains("target_modules") && refused.contains("c_attn"), "{refused}");
}

#[test]
fn an_adapter_goes_onto_the_model_that_it_was_trained_on() {
    // Of one architecture and shape, with other weights.
    let (own, folder) = (base("qwen2-1"), tempfile::tempdir().unwrap());
    let other = copy_of("qwen2-1");
    change(&other.path().join("model.safetensors"), |tensors| {
        let embeddings = &tensors["model.embed_tokens.weight"];
        tensors.insert("model.embed_tokens.weight".into(), (embeddings * 0.5).unwrap());
    });
    let load_other = || {
        let adapter = Some(folder.path().to_owned());
        load(&other.path().to_string_lossy(), &LoadOptions { adapter, ..LoadOptions::default() })
    };
    random(&*own).write(folder.path(), own.info(), &[]).unwrap();
    adapted("qwen2-1", folder.path()).unwrap();
    let refused = load_other().map(drop).unwrap_err().to_string();
    let plain = load(&other.path().to_string_lossy(), &LoadOptions::default()).unwrap();
    for fingerprint in [&own.info().fingerprint, &plain.info().fingerprint] {
        assert!(refused.contains(fingerprint), "{refused}");
    }
    // The fingerprint is that of what the weights are read from, whatever they are held in.
    for (dtype, quantize) in [(WeightType::Bf16, None), (WeightType::F32, Some(BlockType::Q8_0))] {
        let adapter = Some(folder.path().to_owned());
        let options = LoadOptions { dtype, quantize, adapter, ..LoadOptions::default() };
        load(&golden("qwen2-1").to_string_lossy(), &options).unwrap();
    }
    // PEFT's say nothing of it.
    change(&folder.path().join("adapter_model.safetensors"), |_| {});
    load_other().unwrap();
}
