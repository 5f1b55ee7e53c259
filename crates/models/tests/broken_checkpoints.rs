//! Folders that can't be loaded: every refusal names the file, the field or the tensor, and says what to do.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod support;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use reasonedit_models::siglip::Siglip;
use reasonedit_models::{LoadOptions, load, load_sentence_encoder};
use serde_json::{Value, json};
use support::{copy_of, golden, set};

/// What is done to a folder.
enum Change {
    /// A JSON file has another value at a pointer; null: none.
    Json(&'static str, &'static str, Value),
    /// A file has other bytes.
    Bytes(&'static str, &'static [u8]),
    /// A file is cut at its end.
    Cut(&'static str, usize),
    /// A text in a file becomes another one.
    Text(&'static str, &'static str, &'static str),
    Remove(&'static str),
    /// The weights lie in another file.
    Rename(&'static str),
    /// A tensor goes, and others come.
    Tensors(&'static str, &'static [(&'static str, DType)]),
}

impl Change {
    fn make(&self, folder: &Path) {
        const WEIGHTS: &str = "model.safetensors";
        match self {
            Self::Json(file, pointer, value) => set(folder, file, pointer, value.clone()),
            Self::Bytes(file, bytes) => std::fs::write(folder.join(file), bytes).unwrap(),
            Self::Cut(file, count) => {
                let bytes = std::fs::read(folder.join(file)).unwrap();
                std::fs::write(folder.join(file), &bytes[..bytes.len() - count]).unwrap();
            }
            Self::Text(file, from, to) => {
                let text = std::fs::read_to_string(folder.join(file)).unwrap();
                assert!(text.contains(from), "{file} has no {from}");
                std::fs::write(folder.join(file), text.replacen(from, to, 1)).unwrap();
            }
            Self::Remove(file) => std::fs::remove_file(folder.join(file)).unwrap(),
            Self::Rename(to) => std::fs::rename(folder.join(WEIGHTS), folder.join(to)).unwrap(),
            Self::Tensors(without, with) => {
                let mut tensors = candle_core::safetensors::load(folder.join(WEIGHTS), &Device::Cpu).unwrap();
                tensors.remove(*without).unwrap_or_else(|| panic!("no tensor {without}"));
                let new = |dtype| Tensor::zeros((2, 2), dtype, &Device::Cpu).unwrap();
                tensors.extend(with.iter().map(|(name, dtype)| ((*name).to_owned(), new(*dtype))));
                let tensors: HashMap<String, Tensor> = tensors;
                candle_core::safetensors::save(&tensors, folder.join(WEIGHTS)).unwrap();
            }
        }
    }
}

fn refusal(folder: &Path) -> String {
    let (source, options) = (folder.to_string_lossy(), LoadOptions::default());
    let name = support::json(folder, "reference.json")["architecture"].as_str().unwrap().to_owned();
    let loaded = match name.as_str() {
        "siglip" => Siglip::load(&source, &options).map(|_| ()),
        "mpnet" | "bert" => load_sentence_encoder(&source, &options).map(|_| ()),
        _ => load(&source, &options).map(|_| ()),
    };
    loaded.unwrap_err().to_string()
}

/// Words of libraries that no refusal may have.
const FOREIGN: [&str; 8] =
    ["serde", "invalid type", "expected struct", "missing field", "EOF", "usize", "Error(", "unwrap"];

fn assert_refused(name: &str, changes: &[Change], words: &[&str]) {
    let folder = copy_of(name);
    for change in changes {
        change.make(folder.path());
    }
    let error = refusal(folder.path());
    for word in words {
        assert!(error.contains(word), "{name}: {error:?} has no {word:?}");
    }
    for word in FOREIGN {
        assert!(!error.contains(word), "{name}: {error:?} has {word:?}");
    }
}

#[test]
fn settings_are_named() {
    use Change::Json;
    const CONFIG: &str = "config.json";
    let rope = "/text_config/rope_parameters";
    for (name, change, words) in [
        ("qwen3_vl-2", Json(CONFIG, "/model_type", json!("gpt2")), &["config.json", "gpt2", "qwen3_vl"][..]),
        ("qwen3_vl-2", Json(CONFIG, "/model_type", Value::Null), &["config.json", "model_type"]),
        (
            "qwen3_vl-2",
            Json(CONFIG, "/text_config/hidden_size", json!("x")),
            &["text_config.hidden_size", "whole number"],
        ),
        (
            "qwen3_vl-2",
            Json(CONFIG, "/text_config/hidden_size", Value::Null),
            &["text_config.hidden_size is missing"],
        ),
        ("qwen3_vl-2", Json(CONFIG, "/text_config/vocab_size", json!(9)), &["embed_tokens.weight", "shape"]),
        ("qwen3_vl-2", Json(CONFIG, "/vision_config", Value::Null), &["vision_config is missing"]),
        ("qwen3_vl-2", Json(CONFIG, "/image_token_id", Value::Null), &["image_token_id"]),
        (
            "qwen3_vl-2",
            Json(CONFIG, "/text_config/rope_parameters", Value::Null),
            &["rope_parameters.rope_theta"],
        ),
        (
            "qwen2_5_vl-2",
            Json(CONFIG, "/text_config/rope_parameters/rope_theta", Value::Null),
            &["rope_theta"],
        ),
        ("qwen2_5_vl-2", Json(CONFIG, "/text_config/rope_parameters/type", json!("yarn")), &["type", "yarn"]),
        ("qwen2_5_vl-1", Json(CONFIG, "/text_config/rope_theta", Value::Null), &["rope_theta"]),
        ("qwen2-2", Json(CONFIG, "/rope_parameters", json!({"rope_type": "default"})), &["rope_theta"]),
        (
            "qwen2-2",
            Json(CONFIG, "/tie_word_embeddings", json!(false)),
            &["lm_head.weight", "tie_word_embeddings"],
        ),
        ("qwen2-2", Json(CONFIG, "/layer_types", json!(["sliding_attention"])), &["layer_types", "sliding"]),
        (
            "llava-2",
            Json(CONFIG, rope, json!({"rope_type": "llama3", "rope_theta": 1e4})),
            &["rope_type", "llama3"],
        ),
        ("llava-1", Json(CONFIG, "/image_token_index", Value::Null), &["image_token_index"]),
        ("llava-1", Json(CONFIG, "/text_config/model_type", json!("mistral")), &["mistral", "llama"]),
        ("llava-1", Json(CONFIG, "/vision_config/patch_size", json!(1)), &["shape"]),
        ("llava-1", Json(CONFIG, "/vision_feature_layer", json!(-9)), &["vision_feature_layer"]),
        ("instructblip-1", Json(CONFIG, "/num_query_tokens", json!(1)), &["query_tokens", "shape"]),
        ("siglip-1", Json(CONFIG, "/model_type", json!("clip")), &["siglip", "clip"]),
        ("bert-2", Json(CONFIG, "/model_type", json!("roberta")), &["roberta", "mpnet, bert"]),
        ("bert-2", Json(CONFIG, "/hidden_act", json!(3)), &["hidden_act is 3", "a text"]),
    ] {
        assert_refused(name, &[change], words);
    }
}

#[test]
fn what_surrounds_the_model_is_named() {
    use Change::{Bytes, Json, Remove, Text};
    let nested = "/image_processor";
    for (name, changes, words) in [
        ("qwen3_vl-1", &[Json("preprocessor_config.json", "/patch_size", json!(8))][..], &["patch_size"][..]),
        ("qwen3_vl-1", &[Remove("preprocessor_config.json")], &["preprocessor_config.json"]),
        ("qwen3_vl-2", &[Json("processor_config.json", nested, Value::Null)], &["preprocessor_config.json"]),
        (
            "llava-1",
            &[Text("preprocessor_config.json", "CLIPImage", "Fuyu")],
            &["preprocessor_config.json", "Fuyu"],
        ),
        (
            "qwen3_vl-1",
            &[Text("chat_template.jinja", "{%- if messages", "{%- if if messages")],
            &["template"],
        ),
        ("llava-1", &[Text("chat_template.jinja", "<image>", "<picture>")], &["pictures"]),
        ("qwen3_vl-1", &[Remove("chat_template.jinja")], &["chat_template.jinja", "instruction-tuned"]),
        ("qwen3_vl-1", &[Remove("tokenizer.json")], &["tokenizer.json", "vocab.json", "use_fast"]),
        ("qwen3_vl-2", &[Remove("tokenizer.json")], &["tokenizer.json"]),
        ("qwen3_vl-2", &[Bytes("tokenizer.json", b"{}")], &["tokenizer.json"]),
        ("qwen3_vl-2", &[Bytes("tokenizer_config.json", b"")], &["tokenizer_config.json", "empty"]),
        (
            "instructblip-1",
            &[Text("qformer_tokenizer/tokenizer.json", "{", "[{")],
            &["qformer_tokenizer/tokenizer.json"],
        ),
        ("siglip-2", &[Bytes("spiece.model", b"\x0a\x09")], &["spiece.model"]),
        ("siglip-2", &[Remove("spiece.model")], &["tokenizer.json"]),
        (
            "bert-2",
            &[Json("1_Pooling/config.json", "/pooling_mode", json!("cls"))],
            &["1_Pooling/config.json", "cls"],
        ),
        ("bert-1", &[Json("1_Pooling/config.json", "/pooling_mode_max_tokens", json!(true))], &["\"max\""]),
        (
            "bert-2",
            &[Json("config_sentence_transformers.json", "/default_prompt_name", json!("none"))],
            &["none"],
        ),
        (
            "bert-2",
            &[Json("config_sentence_transformers.json", "/prompts/query", json!("round border ".repeat(40)))],
            &["config_sentence_transformers.json", "prompt"],
        ),
        (
            "mpnet-2",
            &[Text("modules.json", "modules.pooling.Pooling", "modules.Router")],
            &["modules.json", "Router"],
        ),
    ] {
        assert_refused(name, changes, words);
    }
}

#[test]
fn missing_and_broken_weights_are_named() {
    use Change::{Bytes, Cut, Remove, Rename, Tensors};
    const INDEX: &str = "model.safetensors.index.json";
    let lists = br#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    for (changes, words) in [
        (&[Remove("config.json")][..], &["config.json"][..]),
        (&[Bytes("config.json", b"{\"model_type\": ")], &["config.json", "ends in the middle"]),
        (&[Bytes("config.json", b"{,}")], &["config.json", "line 1, column 2"]),
        (
            &[Bytes("config.json", b"version https://git-lfs.github.com/spec/v1\n")],
            &["config.json", "git lfs pull"],
        ),
        (
            &[Bytes("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n")],
            &["model.safetensors", "git lfs"],
        ),
        (&[Remove("model.safetensors")], &["model.safetensors"]),
        (&[Cut("model.safetensors", 7)], &["model.safetensors", "bytes"]),
        (&[Rename("model-00001-of-00002.safetensors")], &[INDEX, "model-00001-of-00002.safetensors"]),
        (
            &[Rename("model-00001-of-00002.safetensors"), Bytes(INDEX, lists)],
            &["model-00002-of-00002.safetensors", INDEX],
        ),
        (
            &[Rename("model.safetensors"), Remove("model.safetensors"), Bytes(INDEX, b"{}")],
            &[INDEX, "weight_map"],
        ),
        (&[Rename("consolidated.safetensors")], &["model.safetensors", "consolidated.safetensors"]),
        (&[Rename("pytorch_model.bin")], &["pytorch_model.bin", "pickle", "save_pretrained"]),
        (&[Rename("model-q4_k_m.gguf")], &["model-q4_k_m.gguf", "GGUF", "model.quantize"]),
        (&[Rename("model.safetensors.incomplete")], &["model.safetensors.incomplete", "not ended"]),
        (&[Rename("adapter_model.safetensors")], &["adapter_config.json", "merge_and_unload"]),
        (
            &[
                Remove("config.json"),
                Rename("adapter_model.safetensors"),
                Bytes("adapter_config.json", b"{}"),
            ],
            &["adapter_config.json", "merge_and_unload"],
        ),
        (&[Tensors("lm_head.weight", &[])], &["lm_head.weight", "no such tensor"]),
        (
            &[Tensors("model.visual.merger.norm.weight", &[])],
            &["model.visual.merger.norm.weight", "no such tensor"],
        ),
        (
            &[Tensors("model.visual.merger.norm.weight", &[("model.visual.merger.ln.weight", DType::BF16)])],
            &["no such tensor"],
        ),
    ] {
        assert_refused("qwen3_vl-2", changes, words);
    }
    // A tensor more than there are places is an error too.
    let folder = copy_of("qwen3_vl-2");
    let path = folder.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    tensors.insert(
        "model.visual.adapter.weight".into(),
        Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap(),
    );
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let error = refusal(folder.path());
    assert!(error.contains("model.visual.adapter.weight") && error.contains("no place"), "{error}");
}

#[test]
fn quantised_weights_are_named_by_their_method() {
    const PROJECTION: &str = "model.layers.0.mlp.up_proj.weight";
    const PACKED: &[(&str, DType)] = &[
        ("model.layers.0.mlp.up_proj.qweight", DType::I64),
        ("model.layers.0.mlp.up_proj.scales", DType::F16),
    ];
    for (config, tensors, words) in [
        (
            json!({"quant_method": "awq", "bits": 4}),
            PACKED,
            &["quantization_config", "AWQ (4 bits)", "model.quantize"][..],
        ),
        (json!({"quant_method": "gptq", "bits": 8}), PACKED, &["GPTQ (8 bits)"]),
        (
            json!({"quant_method": "bitsandbytes", "load_in_4bit": true}),
            &[(PROJECTION, DType::U8), ("model.layers.0.mlp.up_proj.weight.absmax", DType::F32)],
            &["bitsandbytes (4 bits)"],
        ),
        (
            json!({"quant_method": "compressed-tensors", "format": "pack-quantized"}),
            &[("model.layers.0.mlp.up_proj.weight_packed", DType::I64)],
            &["compressed-tensors"],
        ),
        (
            json!({"quant_method": "fp8"}),
            &[("model.layers.0.mlp.up_proj.weight_scale_inv", DType::F32)],
            &["FP8"],
        ),
        (json!({"quant_method": "hqq"}), PACKED, &["hqq"]),
    ] {
        let (config, tensors) = (
            Change::Json("config.json", "/quantization_config", config),
            Change::Tensors(PROJECTION, tensors),
        );
        assert_refused("qwen2-2", &[config, tensors], words);
    }
    let words = &["up_proj.qweight", "no quantization_config"];
    assert_refused("qwen2-2", &[Change::Tensors(PROJECTION, PACKED)], words);
}

/// Weights that were made whole again may have the word of how they once were beside them.
#[test]
fn a_word_of_quantisation_without_it_does_no_harm() {
    let folder = copy_of("qwen2-2");
    set(folder.path(), "config.json", "/quantization_config", json!({"quant_method": "bitsandbytes"}));
    load(&folder.path().to_string_lossy(), &LoadOptions::default()).unwrap();
}

/// Weights in parts, as libraries save those that are large.
#[test]
fn parts_with_an_index_are_one() {
    let folder = copy_of("qwen2-2");
    let path = folder.path().join("model.safetensors");
    let tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    std::fs::remove_file(path).unwrap();
    let mut map = serde_json::Map::new();
    let mut parts: [HashMap<String, Tensor>; 2] = Default::default();
    for (i, (name, tensor)) in tensors.into_iter().enumerate() {
        map.insert(name.clone(), json!(format!("model-0000{}-of-00002.safetensors", i % 2 + 1)));
        parts[i % 2].insert(name, tensor);
    }
    for (i, part) in parts.iter().enumerate() {
        let path = folder.path().join(format!("model-0000{}-of-00002.safetensors", i + 1));
        candle_core::safetensors::save(part, path).unwrap();
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert!(reasonedit_models::check::check(folder.path()).unwrap().passes());
}

#[test]
fn a_file_is_no_folder() {
    for (file, words) in [("model.safetensors", "give the folder"), ("config.json", "give the folder")] {
        let path = golden("qwen2-2").join(file);
        let error =
            load(&path.to_string_lossy(), &LoadOptions::default()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(words), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, "GGUF").unwrap();
    let error = load(&path.to_string_lossy(), &LoadOptions::default()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("GGUF is not read"), "{error}");
}

/// Where the settings of pictures stand twice, those count that transformers reads: the newer ones.
#[test]
fn nested_settings_of_pictures_count_more_than_those_of_an_older_file() {
    let folder = copy_of("qwen3_vl-2");
    std::fs::write(folder.path().join("preprocessor_config.json"), r#"{"patch_size": 8}"#).unwrap();
    assert!(reasonedit_models::check::check(folder.path()).unwrap().passes());
}

/// Chat templates lie in four places.
#[test]
fn templates_are_found_wherever_releases_put_them() {
    for (file, key) in [
        ("chat_template.json", "chat_template"),
        ("processor_config.json", "chat_template"),
        ("tokenizer_config.json", "chat_template"),
    ] {
        for named in [false, true] {
            let folder = copy_of("qwen3_vl-2");
            let at = folder.path().join("chat_template.jinja");
            let template = json!(std::fs::read_to_string(&at).unwrap());
            std::fs::remove_file(at).unwrap();
            let value = match (named, file) {
                (false, _) => template,
                (true, "tokenizer_config.json") => json!([{"name": "default", "template": template}]),
                (true, "chat_template.json") => json!({"default": template, "rag": ""}),
                (true, _) => continue,
            };
            if !folder.path().join(file).is_file() {
                std::fs::write(folder.path().join(file), "{}").unwrap();
            }
            set(folder.path(), file, &format!("/{key}"), value);
            assert!(reasonedit_models::check::check(folder.path()).unwrap().passes(), "{file}");
        }
    }
}

/// A folder of a trainer may have no `generation_config.json`.
#[test]
fn the_end_of_a_turn_is_found_in_config_json_too() {
    let folder = copy_of("qwen2-1");
    std::fs::remove_file(folder.path().join("generation_config.json")).unwrap();
    set(folder.path(), "tokenizer_config.json", "/eos_token", Value::Null);
    load(&folder.path().to_string_lossy(), &LoadOptions::default()).unwrap();
    set(folder.path(), "config.json", "/eos_token_id", Value::Null);
    let error = refusal(folder.path());
    assert!(error.contains("generation_config.json") && error.contains("eos_token_id"), "{error}");
}
