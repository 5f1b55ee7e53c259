use super::*;
use serde_json::{Value, json};

fn with(changes: &[(&str, Value)]) -> Value {
    let mut config = json!({
        "peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "target_modules": ["q_proj"],
        "modules_to_save": null, "use_dora": false, "init_lora_weights": true, "lora_dropout": 0.05,
    });
    for (name, value) in changes {
        config[*name] = value.clone();
    }
    config
}

#[test]
fn names_of_every_release_stand_for_the_same_projection() {
    for path in [
        "model.language_model.layers.11.self_attn.q_proj",
        "language_model.model.layers.11.self_attn.q_proj",
        "model.layers.11.self_attn.q_proj",
        "language_model.layers.11.self_attn.q_proj",
        "layers.11.self_attn.q_proj",
    ] {
        let names = ["A", "B"].map(|factor| format!("base_model.model.{path}.lora_{factor}.weight"));
        let found = parameters(names.iter().map(String::as_str)).unwrap();
        for (factor, parameter) in found.iter().enumerate() {
            assert_eq!((parameter.layer, parameter.projection), (11, Projection::Query), "{path}");
            assert_eq!((parameter.factor, parameter.module.as_str()), (factor, path));
        }
    }
}

#[test]
fn what_else_was_trained_is_refused_by_its_name() {
    for name in [
        "base_model.model.model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.visual.blocks.0.attn.qkv.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias",
        "base_model.model.model.layers.0.self_attn.q_norm.lora_A.weight",
        "base_model.model.model.layers.x.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.lm_head.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
    ] {
        let Err(error) = parameters([name].into_iter()) else { panic!("{name}") };
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn ranks_and_alphas_follow_the_first_pattern_that_fits() {
    let config = AdapterConfig::parse(&with(&[
        ("rank_pattern", json!({r"layers\.[34]\.self_attn\.q_proj": 3, "q_proj": 1, "mlp.*": 2})),
        ("alpha_pattern", json!({r"^model\.layers\.4\.self_attn\.o_proj": 12})),
    ]))
    .unwrap();
    let of = |module: &str| {
        let rank = config.rank(module);
        (rank, config.scale(module, rank))
    };
    assert_eq!(of("model.layers.3.self_attn.q_proj"), (3, 8.0 / 3.0));
    assert_eq!(of("model.layers.5.self_attn.q_proj"), (1, 8.0));
    assert_eq!(of("model.layers.5.self_attn.eq_proj"), (4, 2.0));
    assert_eq!(of("model.layers.5.mlp.up_proj"), (2, 4.0));
    assert_eq!(of("model.layers.4.self_attn.o_proj"), (4, 3.0));
    assert_eq!(of("language.model.layers.4.self_attn.o_proj"), (4, 2.0));
    let root = AdapterConfig::parse(&with(&[("use_rslora", json!(true))])).unwrap();
    assert_eq!(root.scale("model.layers.4.self_attn.o_proj", 4), 4.0);
    let silent = AdapterConfig::parse(&json!({"peft_type": "LORA"})).unwrap();
    assert_eq!(silent.scale("q_proj", silent.rank("q_proj")), 1.0);
}

#[test]
fn settings_that_change_what_is_computed_are_refused_by_name() {
    for (name, value) in [
        ("peft_type", json!("LOHA")),
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("lora_bias", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("fan_in_fan_out", json!(true)),
        ("layer_replication", json!([[0, 4], [2, 5]])),
        ("trainable_token_indices", json!([1, 2])),
        ("target_parameters", json!(["experts.gate"])),
        ("alora_invocation_tokens", json!([5])),
        ("init_lora_weights", json!("pissa_niter_4")),
        ("something_new", json!(3)),
        ("r", json!(0)),
        ("r", json!(2.5)),
        ("lora_alpha", json!("much")),
        ("use_rslora", json!("yes")),
        ("rank_pattern", json!({"(?!q)q_proj": 3})),
        ("alpha_pattern", json!({"q_proj": "three"})),
    ] {
        let error = AdapterConfig::parse(&with(&[(name, value)])).unwrap_err().to_string();
        assert!(error.contains(CONFIG) && error.contains(name), "{name}: {error}");
    }
    let off = [("something_new", json!(false)), ("another", json!({})), ("third", Value::Null)];
    AdapterConfig::parse(&with(&off)).unwrap();
    AdapterConfig::parse(&with(&[("init_lora_weights", json!("gaussian"))])).unwrap();
    assert!(AdapterConfig::parse(&json!({"r": 4})).unwrap_err().to_string().contains("peft_type"));
}
