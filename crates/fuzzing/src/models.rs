//! Files of models: what comes from a hub is somebody else's.

use std::fs;
use std::sync::LazyLock;

use reasonedit_models::{LoadOptions, LowRankAdapter, load_sentence_encoder};
use reasonedit_resilience::tree_bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bend::bent;
use crate::input::Input;
use crate::limits::{MIB, peak};
use crate::scratch;

const WEIGHTS: &str = "model.safetensors";
/// Bytes that reading an adapter takes beside the trees of its JSON.
const READ: usize = 4 * MIB;

/// A sentence encoder's folder, and the header and tensors of its weights.
struct Encoder {
    folder: TempDir,
    header: Value,
    tensors: Vec<u8>,
}

static ENCODER: LazyLock<Encoder> = LazyLock::new(|| {
    let folder = scratch::folder();
    copy(&scratch::of_workspace("crates/models/tests/goldens/mpnet-1"), folder.path());
    let bytes = fs::read(folder.path().join(WEIGHTS)).expect("weights");
    let (length, rest) = bytes.split_first_chunk::<8>().expect("a header");
    let (header, tensors) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header = serde_json::from_slice(header).expect("JSON");
    Encoder { folder, header, tensors: tensors.to_vec() }
});

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}

/// The bytes of a safetensors file.
fn whole(header: &[u8], tensors: &[u8], length: u64) -> Vec<u8> {
    [&length.to_le_bytes(), header, tensors].concat()
}

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&ENCODER);
    LazyLock::force(&ADAPTER);
}

/// Weights of a sentence encoder whose file is anything, or whose header is nearly right.
pub(crate) fn safetensors(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let encoder = &*ENCODER;
    let bytes = match kind % 4 {
        0 => input.0.to_vec(),
        1 => whole(input.0, &encoder.tensors, input.0.len() as u64),
        _ => {
            let header = bent(&encoder.header, &mut input).to_string().into_bytes();
            let length = header.len() as u64;
            whole(
                &header,
                &encoder.tensors,
                if kind & 0x80 == 0 { length } else { u64::from(input.u32()) << (kind % 32) },
            )
        }
    };
    fs::write(encoder.folder.path().join(WEIGHTS), bytes).expect("a file");
    let folder = encoder.folder.path().display().to_string();
    if let Ok(encoder) = load_sentence_encoder(&folder, &LoadOptions::default()) {
        assert!(encoder.width() > 0);
    }
}

static ADAPTER: LazyLock<(TempDir, Value)> = LazyLock::new(|| {
    let config = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4.0, "use_rslora": false, "bias": "none",
        "target_modules": ["q_proj", "v_proj"], "exclude_modules": null, "layers_to_transform": [0, 1],
        "layers_pattern": "layers", "rank_pattern": {"q_proj": 3}, "alpha_pattern": {"^layers\\.1\\..*": 2.5},
        "base_model_name_or_path": "a", "inference_mode": true, "init_lora_weights": true,
    });
    (scratch::folder(), config)
});

/// An adapter of anybody's.
pub(crate) fn adapter(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let (folder, good) = &*ADAPTER;
    let mut config = if kind & 1 == 0 { bent(good, &mut input).to_string().into_bytes() } else { Vec::new() };
    let name = |layer: u8, projection: &str, factor: &str| {
        format!("base_model.model.model.layers.{layer}.self_attn.{projection}.lora_{factor}.weight")
    };
    let mut header = serde_json::Map::new();
    let (mut at, rank) = (0_usize, usize::from(kind >> 1 & 1) + 2);
    for layer in 0..2 {
        for (projection, factor, shape) in [
            ("q_proj", "A", [rank, 4]),
            ("q_proj", "B", [4, rank]),
            ("v_proj", "A", [2, 4]),
            ("v_proj", "B", [4, 2]),
        ] {
            let bytes = 4 * shape[0] * shape[1];
            header.insert(
                name(layer, projection, factor),
                json!({"dtype": "F32", "shape": shape, "data_offsets": [at, at + bytes]}),
            );
            at += bytes;
        }
    }
    let mut header = Value::Object(header);
    if kind & 4 == 0 {
        header = bent(&header, &mut input);
    }
    if kind & 1 == 1 {
        config = input.0.to_vec();
    }
    let header = header.to_string().into_bytes();
    let bytes = whole(&header, &vec![0x3c; at], header.len() as u64);
    let trees = (tree_bytes(&config) + tree_bytes(&header)) as usize;
    fs::write(folder.path().join("adapter_config.json"), config).expect("a file");
    fs::write(folder.path().join("adapter_model.safetensors"), bytes).expect("a file");
    let taken = peak(|| {
        if let Ok(adapter) = LowRankAdapter::read(folder.path()) {
            assert!(adapter.bytes() <= at as u64 * 2);
        }
    });
    assert!(taken <= READ + trees, "{taken} bytes of memory to read an adapter");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_files_are_loaded() {
        let bytes = |header: &Value, tensors: &[u8]| {
            let header = header.to_string().into_bytes();
            whole(&header, tensors, header.len() as u64)
        };
        let folder = ENCODER.folder.path();
        fs::write(folder.join(WEIGHTS), bytes(&ENCODER.header, &ENCODER.tensors)).expect("a file");
        let loaded = load_sentence_encoder(&folder.display().to_string(), &LoadOptions::default());
        assert!(loaded.is_ok(), "{:?}", loaded.err());
    }
}
