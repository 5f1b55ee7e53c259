use reasonedit_settings::names;

use super::*;

fn load(common: CommonArgs) -> Result<Settings, SettingsError> {
    Settings::load(&SettingsArgs { data: None, common })
}

/// `section.key` of every line that sets a value in the file of defaults, commented out or not, and
/// whether the line above it is a comment that says what it is.
fn lines_of_defaults() -> Vec<(String, bool)> {
    let mut section = String::new();
    let mut explained = false;
    let mut found = Vec::new();
    for line in DEFAULTS.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            explained = false;
            continue;
        }
        // `#key = value` (no space) is a setting that has no value by default; `# words` explains.
        let setting = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
        let key = setting.split_once('=').map(|(key, _)| key.trim());
        match key.filter(|key| {
            !line.starts_with("# ") && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        }) {
            Some(key) => {
                let name = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
                found.push((name, explained));
                explained = false;
            }
            None => explained = line.starts_with("# ") || (explained && line.starts_with('#')),
        }
    }
    found
}

#[test]
fn the_file_of_defaults_is_the_defaults() {
    let defaults = Layer::defaults(DEFAULTS).unwrap();
    let read: Settings = merge(&[defaults], &known().unwrap()).unwrap();
    assert_eq!(to_json(&read).unwrap(), known().unwrap());
    assert_eq!(read, Settings::default());
}

#[test]
fn every_setting_stands_in_the_file_with_a_comment() {
    let lines = lines_of_defaults();
    for name in names(&known().unwrap()) {
        let Some((_, explained)) = lines.iter().find(|(n, _)| *n == name) else {
            panic!("config/default.toml does not have `{name}`");
        };
        assert!(explained, "config/default.toml: `{name}` has no comment above it");
    }
    let names = names(&known().unwrap());
    for (name, _) in lines {
        assert!(names.contains(&name), "config/default.toml has `{name}`, which is no setting");
    }
}

#[test]
fn options_win_over_a_file_and_a_file_over_a_profile() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("bundle");
    for part in ["vlm", "sentence-encoder"] {
        std::fs::create_dir_all(model.join(part)).unwrap();
    }
    std::fs::write(
        model.join("reasonedit.json"),
        r#"{"codebook": {"retrieval": {"k": 3, "hubness": true}}, "embedding": {"lambda": 1.5}}"#,
    )
    .unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "[editor.codebook.retrieval]\nk = 4\n[editor.retrieval]\nmax_k = 9\n").unwrap();
    let args = CommonArgs {
        config: Some(file),
        model: Some(model.display().to_string()),
        set: vec!["editor.retrieval.max_k=11".to_owned()],
        ..CommonArgs::default()
    };
    let settings = load(args).unwrap();
    assert!(settings.editor.codebook.retrieval.hubness);
    assert_eq!(settings.editor.embedding.lambda, 1.5);
    assert_eq!(settings.editor.codebook.retrieval.k, 4);
    assert_eq!(settings.editor.retrieval.max_k, 11);
}

#[test]
fn an_address_to_listen_on_is_read_from_files_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let of = |bind: &str| {
        std::fs::write(&file, format!("[server]\nbind = {bind}\n")).unwrap();
        load(CommonArgs { config: Some(file.clone()), ..CommonArgs::default() })
    };
    for bind in ["localhost:8080", ":8080", "[::1]:80", "0.0.0.0:0"] {
        assert_eq!(of(&format!("{bind:?}")).unwrap().server.bind.to_string(), bind);
        let set = vec![format!("server.bind={bind}")];
        let settings = load(CommonArgs { set, ..CommonArgs::default() }).unwrap();
        assert_eq!(settings.server.bind.to_string(), bind);
    }
    for (bind, reason) in [("8080", "\":8080\""), ("\"nowhere\"", "no port"), ("\"::1\"", "brackets")] {
        let error = of(bind).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("server.bind"), "{bind}: {error}");
    }
}

#[test]
fn a_profile_sets_the_editor_only() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("vlm")).unwrap();
    std::fs::write(folder.path().join("reasonedit.json"), r#"{"server": {"bind": "0.0.0.0:80"}}"#).unwrap();
    let args = CommonArgs { model: Some(folder.path().display().to_string()), ..CommonArgs::default() };
    let error = load(args).unwrap_err().to_string();
    assert!(error.contains("`editor.server`") && error.contains("reasonedit.json"), "{error}");
}

#[test]
fn what_the_types_cannot_tell_is_checked_too() {
    let args = CommonArgs { set: vec!["server.limits.requests=0".to_owned()], ..CommonArgs::default() };
    let error = load(args).unwrap_err().to_string();
    assert!(error.contains("server.limits.requests"), "{error}");
}

#[test]
fn tokens_are_not_shown() {
    let mut settings = Settings::default();
    settings.server.auth_tokens = vec!["hush".to_owned()];
    settings.server.label_studio.token = Some("hush".to_owned());
    settings.server.oidc.client_secret = "hush".to_owned();
    let shown = settings.shown().unwrap().to_string();
    assert!(!shown.contains("hush") && shown.contains("(left out)"));
}

#[test]
fn a_receiver_is_put_together_from_layers_and_its_secret_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(
        &file,
        "[server.webhooks.endpoints.audit]\nurl = \"https://hooks.example.org/in\"\nevents = [\"edit.created\"]\n",
    )
    .unwrap();
    let with = |setting: &str| {
        let args = CommonArgs {
            config: Some(file.clone()),
            set: vec![format!("server.webhooks.endpoints.audit.{setting}")],
            ..CommonArgs::default()
        };
        load(args)
    };
    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let settings = with(&format!("secret={secret}")).unwrap();
    assert_eq!(settings.server.webhooks.endpoints["audit"].events.len(), 1);
    let shown = settings.shown().unwrap().to_string();
    assert!(shown.contains("hooks.example.org") && !shown.contains(&secret[6..]), "{shown}");
    for (wrong, told) in [
        ("secret=whsec_hunter2", "`audit`: it needs a secret"),
        ("texts=true", "`audit`: it needs a secret"),
        ("secret=73123456", "server.webhooks.endpoints.audit.secret"),
        ("secrets=whsec_hunter2", "server.webhooks.endpoints.audit"),
    ] {
        let error = with(wrong).unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("hunter2") && !error.contains("73123456"), "{error}");
    }
}
