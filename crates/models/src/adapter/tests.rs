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
        // The second fits neither, since it looks ahead.
        (
            "rank_pattern",
            json!({r"layers\.[34]\.self_attn\.q_proj": 3, "(?!q)q_proj": 7, "q_proj": 1, "mlp.*": 2}),
        ),
        ("alpha_pattern", json!({r"^model\.layers\.4\.self_attn\.o_proj": 12})),
    ]))
    .unwrap();
    let of = |module: &str| {
        let rank = config.rank(module).unwrap();
        (rank, config.scale(module, rank).unwrap())
    };
    assert_eq!(of("model.layers.3.self_attn.q_proj"), (3, 8.0 / 3.0));
    assert_eq!(of("model.layers.5.self_attn.q_proj"), (1, 8.0));
    assert_eq!(of("model.layers.5.self_attn.eq_proj"), (4, 2.0));
    assert_eq!(of("model.layers.5.mlp.up_proj"), (2, 4.0));
    assert_eq!(of("model.layers.4.self_attn.o_proj"), (4, 3.0));
    assert_eq!(of("language.model.layers.4.self_attn.o_proj"), (4, 2.0));
    let root = AdapterConfig::parse(&with(&[("use_rslora", json!(true))])).unwrap();
    assert_eq!(root.scale("model.layers.4.self_attn.o_proj", 4).unwrap(), 4.0);
    let silent = AdapterConfig::parse(&json!({"peft_type": "LORA"})).unwrap();
    assert_eq!(silent.scale("q_proj", silent.rank("q_proj").unwrap()).unwrap(), 1.0);
}

#[test]
fn settings_that_change_what_is_computed_are_refused_by_name() {
    for (name, value) in [
        ("peft_type", json!("LOHA")),
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("lora_bias", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("layer_replication", json!([[0, 4], [2, 5]])),
        ("trainable_token_indices", json!([1, 2])),
        ("target_parameters", json!(["experts.gate"])),
        ("alora_invocation_tokens", json!([5])),
        ("init_lora_weights", json!("pissa_niter_4")),
        ("something_new", json!(3)),
        ("r", json!(0)),
        ("r", json!(2.5)),
        ("lora_alpha", json!("much")),
        ("arrow_config", json!({"top_k": 3})),
        ("rank_pattern", json!({"(q_proj": 3})),
        ("alpha_pattern", json!({"q_proj": "three"})),
    ] {
        let error = AdapterConfig::parse(&with(&[(name, value)])).unwrap_err().to_string();
        assert!(error.contains(CONFIG) && error.contains(name), "{name}: {error}");
    }
    let off = [
        ("something_old", json!(0)),
        ("something_new", json!(false)),
        ("another", json!({})),
        ("third", Value::Null),
    ];
    AdapterConfig::parse(&with(&off)).unwrap();
    AdapterConfig::parse(&with(&[("init_lora_weights", json!("gaussian"))])).unwrap();
    assert!(AdapterConfig::parse(&json!({"r": 4})).unwrap_err().to_string().contains("peft_type"));
}

/// Settings as a file has them, since JSON has no NaN.
fn written(name: &str, value: &str) -> Result<AdapterConfig> {
    let mut others = with(&[]);
    others.as_object_mut().unwrap().remove(name);
    let mut text = others.to_string();
    text.insert_str(1, &format!("{}:{value},", json!(name)));
    AdapterConfig::parse(&python::json(text.as_bytes())?)
}

/// What PEFT 0.21.2 says to each was tried: it raises an error, or gives logits that are no numbers.
#[test]
fn what_peft_can_not_use_is_refused_by_name_and_value() {
    for (name, values) in [
        ("lora_alpha", &["NaN", "Infinity", "-Infinity", "1.8e308", "\"8\"", "null", "[8]"][..]),
        ("r", &["4.0", "\"4\"", "null", "true", "-4", "0", "NaN"]),
        ("lora_dropout", &["1.5", "\"0.1\"", "null", "Infinity", "[0.1]"]),
        ("bias", &["null", "false", "\"\"", "[]", "{}", "0", "true", "\"None\"", "\"lora_only\""]),
        ("target_modules", &["3", "true", "{}", "[3]", "[null,\"q_proj\"]", "[]", "\"\"", "\"(\""]),
        ("exclude_modules", &["3", "true", "\"(\""]),
        ("layers_to_transform", &["\"0\"", "2.5", "{\"0\":1}"]),
        ("layers_pattern", &["3", "\"layers\"", "[\"layers\"]"]),
        ("rank_pattern", &["null", "[]", "\"\"", "3"]),
        ("alpha_pattern", &["null", "[]", "\"\"", "3"]),
        ("init_lora_weights", &["1", "3", "\"zz\"", "\"olora\""]),
        ("task_type", &["3", "\"zz\"", "[]"]),
        ("eva_config", &["0", "\"\"", "[]", "false"]),
        ("trainable_token_indices", &["0", "\"\"", "[]", "false"]),
        ("target_parameters", &["\"\""]),
        ("peft_type", &["null", "0", "\"\"", "\"lora\""]),
    ] {
        for value in values {
            let error = written(name, value).unwrap_err().to_string();
            // An expression is told as it is written, everything else with its setting.
            let told = error.contains(&format!("{name} is {value}")) || error.contains("expression \"(\"");
            assert!(told && error.contains(CONFIG) && error.contains(name), "{name} {value}: {error}");
        }
    }
    for (value, told) in [("NaN", "NaN"), ("1e999", "1e999"), ("null", "null"), ("\"8\"", "\"8\"")] {
        let error = written("alpha_pattern", &format!("{{\"q_proj\": {value}}}")).unwrap_err().to_string();
        assert!(error.contains(&format!("alpha_pattern.q_proj is {told}")), "{error}");
    }
}

/// The scale that each gives, where PEFT 0.21.2 gives logits by that scale.
#[test]
fn what_peft_can_use_means_what_it_means_to_peft() {
    for (name, value, scale) in [
        ("lora_alpha", "0", 0.0),
        ("lora_alpha", "-8", -2.0),
        ("lora_alpha", "true", 0.25),
        ("lora_alpha", "1180591620717411303424", 2f64.powi(68)),
        ("use_rslora", "null", 2.0),
        ("use_rslora", "\"\"", 2.0),
        ("use_rslora", "0", 2.0),
        ("use_rslora", "\"no\"", 4.0),
        ("use_rslora", "NaN", 4.0),
        ("use_rslora", "1", 4.0),
        ("alpha_pattern", "{\"q_proj\": 0}", 0.0),
        ("alpha_pattern", "{\"q_proj\": -8}", -2.0),
        ("alpha_pattern", "{\"q_proj\": true}", 0.25),
        ("lora_dropout", "NaN", 2.0),
        ("lora_dropout", "-Infinity", 2.0),
        ("lora_dropout", "-0.1", 2.0),
        ("lora_dropout", "1", 2.0),
        ("lora_dropout", "true", 2.0),
        ("fan_in_fan_out", "true", 2.0),
        ("use_dora", "0", 2.0),
        ("init_lora_weights", "\"Gaussian\"", 2.0),
        ("init_lora_weights", "[]", 2.0),
        ("eva_config", "{\"rho\": 1.5}", 2.0),
        ("trainable_token_indices", "{}", 2.0),
        ("task_type", "null", 2.0),
        ("layers_pattern", "\"\"", 2.0),
        ("inference_mode", "\"x\"", 2.0),
    ] {
        let config = written(name, value).unwrap_or_else(|error| panic!("{name} {value}: {error}"));
        assert_eq!(config.scale("model.layers.0.self_attn.q_proj", 4).unwrap(), scale, "{name} {value}");
    }
}

/// Factors beside `q_proj` and `v_proj` of two layers, of which PEFT 0.21.2 put some into the model.
#[test]
fn modules_are_those_that_peft_puts_factors_beside() {
    let names = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"]
        .into_iter()
        .chain(["model.layers.0.self_attn.v_proj", "model.layers.1.self_attn.v_proj"])
        .map(|module| format!("base_model.model.{module}.lora_A.weight"));
    let names: Vec<String> = names.collect();
    let included = |changes: &[(&str, Value)]| {
        let config = AdapterConfig::parse(&with(changes)).unwrap();
        let parameters = parameters(names.iter().map(String::as_str)).unwrap();
        parameters.iter().map(|p| u8::from(config.includes(p).unwrap()).to_string()).collect::<String>()
    };
    let all = ("target_modules", json!(["q_proj", "v_proj", "zz"]));
    for (target, want) in [
        (json!(["q_proj"]), "1100"),
        (json!(["_proj", "roj"]), "0000"),
        (json!(["model.layers.1.self_attn.v_proj", "layers.0.self_attn.q_proj"]), "1001"),
        (json!(["model.language_model.layers.1.self_attn.v_proj"]), "0001"),
        (json!({"q_proj": 1, "v_proj": 2}), "1111"),
        (json!("q_proj"), "0000"),
        (json!(".*q_proj|.*v_proj"), "1111"),
        (json!(r"^model\.language_model(?=\.).*\.(v_proj|up_proj)$"), "0011"),
        (json!("All-Linear"), "1111"),
        (Value::Null, "1111"),
    ] {
        assert_eq!(included(&[("target_modules", target.clone())]), want, "{target}");
    }
    for (excluded, want) in [
        (json!(["q_proj", 3]), "0011"),
        (json!("q_proj"), "1111"),
        (json!(".*q_proj"), "0011"),
        (json!(["k_proj"]), "1111"),
        (json!({}), "1111"),
    ] {
        assert_eq!(included(&[all.clone(), ("exclude_modules", excluded.clone())]), want, "{excluded}");
    }
    for (layers, pattern, want) in [
        (json!(0), Value::Null, "1010"),
        (json!([1]), json!(""), "0101"),
        (json!(true), json!(["blocks", "layers"]), "0101"),
        (json!([0, 1]), json!("blocks"), "0000"),
        (json!([]), Value::Null, "1111"),
        (json!([5]), Value::Null, "0000"),
        (json!(-1), Value::Null, "0000"),
    ] {
        let changes =
            [all.clone(), ("layers_to_transform", layers.clone()), ("layers_pattern", pattern.clone())];
        assert_eq!(included(&changes), want, "{layers} {pattern}");
    }
    // A whole name is meant whatever the layer.
    let whole = json!(["model.layers.1.self_attn.v_proj", "q_proj"]);
    assert_eq!(included(&[("target_modules", whole), ("layers_to_transform", json!([0]))]), "1001");
    for name in ["layers_to_transform", "layers_pattern"] {
        let both = [("target_modules", json!(".*q_proj")), (name, json!([0]))];
        let error = AdapterConfig::parse(&with(&both)).unwrap_err().to_string();
        assert!(error.contains(&format!("{name} is [0]")), "{error}");
    }
}
