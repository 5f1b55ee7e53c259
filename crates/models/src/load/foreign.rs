//! What a folder or file is instead of a checkpoint that can be loaded, and what to do about it.

use std::path::Path;

use reasonedit_nn::weights::file::WeightFile;
use serde_json::Value;

use crate::error::{ModelError, Result};

/// What to do with weights of another form.
const CONVERT: &str =
    "read it with transformers and write it with save_pretrained, which makes safetensors of it";

/// Looks for what people take for a checkpoint, or for half of one: `None` where nothing of the kind is
/// there.
pub(super) fn instead_of_weights(folder: &Path) -> Option<ModelError> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    let first = |holds: &dyn Fn(&str) -> bool| names.iter().find(|name| holds(name)).map(String::as_str);
    let has = |name: &str| names.iter().any(|n| n == name);
    if has("adapter_config.json") || first(&|n| n.starts_with("adapter_model.")).is_some() {
        return Some(adapter(folder));
    }
    if let Some(shard) = first(&|n| is_shard(n)) {
        let reason = format!(
            "it is not there, though parts of the weights are ({shard}); it says which tensor lies in which \
             part. Copy the folder again"
        );
        return Some(ModelError::load("model.safetensors.index.json", reason));
    }
    if let Some(part) = first(&|n| is_unfinished(n)) {
        return Some(ModelError::load(part, "its download or copy has not ended; fetch the folder again"));
    }
    names.iter().find_map(|name| foreign_file(name)).or_else(|| {
        let other = first(&|n| extension(n) == "safetensors")?;
        let reason = format!(
            "weights are looked for under this name; the folder has {other}. Rename it, if those are the \
             model's"
        );
        Some(ModelError::load("model.safetensors", reason))
    })
}

/// Names a file whose form is not read.
pub(super) fn foreign_file(name: &str) -> Option<ModelError> {
    let index = name.trim_end_matches(".index.json");
    let reason = match extension(index).as_str() {
        "gguf" | "ggml" => {
            "GGUF is not read. Take the checkpoint in safetensors that it was made of; model.quantize makes \
             blocks of 8 or 4 bits while loading"
                .to_owned()
        }
        "bin" | "pt" | "pth" | "ckpt" if extension(index) != "bin" || index.starts_with("pytorch_model") => {
            format!(
                "it is a pickle, which can run code of whoever wrote it; safetensors are read. Where you \
                 trust it, {CONVERT}"
            )
        }
        "h5" | "msgpack" | "onnx" => {
            format!("weights of TensorFlow, Flax and ONNX are not read, safetensors are: {CONVERT}")
        }
        _ => return None,
    };
    Some(ModelError::load(name, reason))
}

fn extension(name: &str) -> String {
    Path::new(name).extension().map_or_else(String::new, |e| e.to_string_lossy().to_ascii_lowercase())
}

/// `model-00001-of-00002.safetensors`.
fn is_shard(name: &str) -> bool {
    name.starts_with("model-") && name.contains("-of-") && extension(name) == "safetensors"
}

fn is_unfinished(name: &str) -> bool {
    matches!(extension(name).as_str(), "incomplete" | "part" | "crdownload" | "aria2" | "tmp")
}

fn adapter(folder: &Path) -> ModelError {
    let read = std::fs::read(folder.join("adapter_config.json")).ok();
    let config: Value = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let plain = |name: &str| config[name].as_str().filter(|text| !text.is_empty() && text.len() <= 200);
    let kind = plain("peft_type").unwrap_or("LoRA");
    let base = plain("base_model_name_or_path").map_or_else(String::new, |base| format!(" ({base})"));
    ModelError::load(
        "adapter_config.json",
        format!(
            "the folder holds an adapter ({kind}) without the model it belongs to{base}. Name that model, and \
             this folder as model.adapter (--adapter); or merge the two with peft's merge_and_unload, write \
             the result with save_pretrained, tokenizer and processor too, and load that"
        ),
    )
}

/// Refuses weights that are quantised, with the word that `config.json` has for it. A `quantization_config`
/// that was left behind when the weights were made whole again does no harm.
pub(super) fn refuse_quantised(config: &Value, files: &[std::path::PathBuf]) -> Result<()> {
    let mut found = None;
    for path in files {
        let (_, tensors) = WeightFile::open(path)?;
        found = found.or_else(|| {
            let mut tensors = tensors.into_iter();
            tensors.find(|(name, info)| is_quantised(name, info.dtype)).map(|(name, info)| (name, info.dtype))
        });
    }
    let Some((name, dtype)) = found else { return Ok(()) };
    let said = [config, &config["text_config"]]
        .map(|c| &c["quantization_config"])
        .into_iter()
        .find(|q| q.is_object());
    let advice =
        "Take the checkpoint that is not quantised; model.quantize makes blocks of 8 or 4 bits while loading";
    Err(match said {
        Some(said) => ModelError::load(
            "config.json",
            format!(
                "quantization_config: the weights are quantised by {}, which is not read. {advice}",
                method(said)
            ),
        ),
        None => ModelError::load(
            name,
            format!(
                "it is stored as {dtype:?}: the weights are quantised, though config.json has no \
                 quantization_config. {advice}"
            ),
        ),
    })
}

/// A tensor that only quantised checkpoints have.
fn is_quantised(name: &str, dtype: safetensors::Dtype) -> bool {
    use safetensors::Dtype;
    const MARKS: [&str; 13] = [
        "qweight",
        "qzeros",
        "g_idx",
        "weight_packed",
        "weight_scale",
        "weight_scale_inv",
        "weight_zero_point",
        "absmax",
        "quant_map",
        "SCB",
        "weight_format",
        "_blocks",
        "_scales",
    ];
    let last = name.rsplit('.').next().unwrap_or_default();
    let whole = matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16);
    MARKS.iter().any(|mark| if mark.starts_with('_') { last.ends_with(mark) } else { last == *mark })
        || name.contains(".quant_state.")
        || (last == "weight" && !whole)
}

/// How `quantization_config` calls the method, with its bits.
fn method(said: &Value) -> String {
    let name = match said["quant_method"].as_str().unwrap_or_default() {
        "awq" => "AWQ",
        "gptq" => "GPTQ",
        "bitsandbytes" => "bitsandbytes",
        "compressed-tensors" => "compressed-tensors",
        "fp8" | "fbgemm_fp8" => "FP8",
        "" => "an unnamed method",
        other if other.len() <= 40 => other,
        _ => "a method of its own",
    };
    let bits = ["bits", "w_bit", "nbits"].into_iter().find_map(|key| said[key].as_u64());
    let bits = bits.or_else(|| {
        let on = |key: &str| said[key].as_bool() == Some(true);
        if on("load_in_4bit") { Some(4) } else { on("load_in_8bit").then_some(8) }
    });
    bits.map_or_else(|| name.to_owned(), |bits| format!("{name} ({bits} bits)"))
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_lies_there_instead_is_named() {
        for (files, what, words) in [
            (
                &["adapter_config.json", "adapter_model.safetensors"][..],
                "adapter_config.json",
                "merge_and_unload",
            ),
            (&["adapter_model.bin"], "adapter_config.json", "adapter (LoRA)"),
            (&["model-00001-of-00002.safetensors"], "model.safetensors.index.json", "model-00001-of-00002"),
            (&["model.safetensors.part"], "model.safetensors.part", "not ended"),
            (&["config.json", "pytorch_model.bin"], "pytorch_model.bin", "pickle"),
            (&["pytorch_model.bin.index.json"], "pytorch_model.bin.index.json", "save_pretrained"),
            (&["consolidated.00.pth", "params.json"], "consolidated.00.pth", "pickle"),
            (&["mmproj.gguf", "README.md"], "mmproj.gguf", "GGUF"),
            (&["tf_model.h5"], "tf_model.h5", "TensorFlow"),
            (&["flax_model.msgpack"], "flax_model.msgpack", "Flax"),
            (&["weights.safetensors"], "model.safetensors", "weights.safetensors"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                std::fs::write(folder.path().join(file), "{}").unwrap();
            }
            let error = instead_of_weights(folder.path()).unwrap().to_string();
            assert!(
                error.starts_with(&format!("cannot load {what}: ")) && error.contains(words),
                "{files:?}: {error}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("training_args.bin"), "").unwrap();
        assert!(instead_of_weights(folder.path()).is_none());
        assert!(instead_of_weights(&folder.path().join("none")).is_none());
        std::fs::write(
            folder.path().join("adapter_config.json"),
            r#"{"peft_type": "DORA", "base_model_name_or_path": "a/b"}"#,
        )
        .unwrap();
        let error = instead_of_weights(folder.path()).unwrap().to_string();
        assert!(error.contains("DORA") && error.contains("(a/b)"), "{error}");
    }

    #[test]
    fn marks_of_quantised_weights() {
        for (name, dtype, quantised) in [
            ("l.q_proj.qweight", Dtype::I32, true),
            ("l.q_proj.weight_packed", Dtype::I32, true),
            ("l.q_proj.weight", Dtype::F8_E4M3, true),
            ("l.q_proj.weight", Dtype::U8, true),
            ("l.q_proj.weight", Dtype::I8, true),
            ("l.q_proj.SCB", Dtype::F32, true),
            ("l.q_proj.weight.quant_state.bitsandbytes__nf4", Dtype::U8, true),
            ("l.experts.gate_up_proj_blocks", Dtype::U8, true),
            ("l.q_proj.weight", Dtype::BF16, false),
            ("l.norm.weight", Dtype::F32, false),
            ("embeddings.position_ids", Dtype::I64, false),
            ("logit_scale", Dtype::F32, false),
        ] {
            assert_eq!(is_quantised(name, dtype), quantised, "{name}");
        }
    }

    #[test]
    fn methods_have_their_names() {
        for (said, want) in [
            (json!({"quant_method": "awq", "bits": 4}), "AWQ (4 bits)"),
            (json!({"quant_method": "gptq", "bits": 8}), "GPTQ (8 bits)"),
            (json!({"quant_method": "bitsandbytes", "load_in_4bit": true}), "bitsandbytes (4 bits)"),
            (json!({"load_in_8bit": true}), "an unnamed method (8 bits)"),
            (json!({"quant_method": "compressed-tensors"}), "compressed-tensors"),
            (json!({"quant_method": "fp8"}), "FP8"),
            (json!({"quant_method": "hqq"}), "hqq"),
        ] {
            assert_eq!(method(&said), want);
        }
    }
}
