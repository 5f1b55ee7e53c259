//! The settings of the program: one typed structure, filled from layers.
//!
//! Later layers win: built-in defaults (`config/default.toml`, compiled in) < the model's profile
//! (`reasonedit.json` in its folder) < a file < `REASONEDIT_*` variables < options.

mod layers;
mod model;
mod storage;

use std::path::{Path, PathBuf};

use figment::value::Value;
use reasonedit_audit::AuditConfig;
use reasonedit_editor::EditorConfig;
use reasonedit_inference::EngineConfig;
use reasonedit_server::ServerConfig;
use serde::{Deserialize, Serialize};

use crate::args::{CommonArgs, ServeArgs, SettingsArgs};
use crate::logging::LogSettings;

use layers::Layer;
pub(crate) use layers::SettingsError;
pub(crate) use model::{ModelSettings, ModelSources};
use storage::StorageSettings;

/// The commented file of defaults.
pub(crate) const DEFAULTS: &str = include_str!("../../../config/default.toml");

/// Every setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Folder of codebooks and pictures; made if missing.
    pub(crate) data: PathBuf,
    /// Under whose key that folder is encrypted.
    pub(crate) storage: StorageSettings,
    /// How long is kept what nobody uses any more.
    pub(crate) retention: RetentionSettings,
    /// Logs.
    pub(crate) log: LogSettings,
    /// Which model, and where it runs.
    pub(crate) model: ModelSettings,
    /// The thread that owns the model, and its queue.
    pub(crate) engine: EngineConfig,
    /// The HTTP service.
    pub(crate) server: ServerConfig,
    /// The method.
    pub(crate) editor: EditorConfig,
    /// Choosing the layer.
    pub(crate) modularity: ModularitySettings,
    /// Where the service backs itself up.
    pub(crate) backup: BackupSettings,
    /// Who did or saw what.
    pub(crate) audit: AuditConfig,
}

/// How long is kept what nobody uses any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionSettings {
    /// Days after which an edit that was taken back is erased, with its picture where no other edit is about
    /// it; 0: never.
    pub(crate) reverted_days: u32,
}

/// Where the service backs itself up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupSettings {
    /// Folder of backups; made if missing. Empty: there are none.
    pub(crate) folder: PathBuf,
    /// Backups that are kept, the newest; 0: all.
    pub(crate) keep: usize,
}

/// What layers can be measured on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModularitySettings {
    /// Dataset folders that `POST /modularity` may name as its source, each by its last name.
    pub(crate) datasets: Vec<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            storage: StorageSettings::default(),
            retention: RetentionSettings::default(),
            log: LogSettings::default(),
            model: ModelSettings::default(),
            engine: EngineConfig::default(),
            server: ServerConfig::default(),
            editor: EditorConfig::default(),
            modularity: ModularitySettings::default(),
            backup: BackupSettings::default(),
            audit: AuditConfig::default(),
        }
    }
}

impl Settings {
    /// Reads all layers, the model's profile included.
    ///
    /// # Errors
    /// What is wrong, by name and origin.
    pub(crate) fn load(args: &SettingsArgs) -> Result<Self, SettingsError> {
        Self::load_with(&args.common, data_option(args))
    }

    /// As [`Settings::load`], for work that keeps nothing: the data folder is `scratch`.
    ///
    /// # Errors
    /// What is wrong, by name and origin.
    pub(crate) fn load_for_scratch(args: &CommonArgs, scratch: &Path) -> Result<Self, SettingsError> {
        let settings = Self::load_with(args, Vec::new())?;
        Ok(Self { data: scratch.to_owned(), ..settings })
    }

    /// As [`Settings::load`], with the options of `serve`.
    ///
    /// # Errors
    /// What is wrong, by name and origin.
    pub(crate) fn load_for_serve(args: &ServeArgs) -> Result<Self, SettingsError> {
        let mut options = data_option(&args.settings);
        options
            .extend(args.bind.as_ref().map(|bind| ("server.bind".to_owned(), Value::from(bind.to_string()))));
        if args.insecure_no_auth {
            options.push(("server.insecure_no_auth".to_owned(), Value::from(true)));
        }
        Self::load_with(&args.settings.common, options)
    }

    fn load_with(args: &CommonArgs, more: Vec<(String, Value)>) -> Result<Self, SettingsError> {
        let known = known()?;
        let mut over = Vec::new();
        if let Some(file) = args.config.clone().or_else(layers::usual_file) {
            over.push(Layer::file(&file)?);
        }
        over.push(Layer::environment()?);
        let mut options = options_of(args)?;
        options.extend(more);
        over.push(Layer::options(options));

        let defaults = Layer::defaults(DEFAULTS)?;
        let all: Vec<Layer> = std::iter::once(defaults.clone()).chain(over.iter().cloned()).collect();
        let settings: Self = layers::merge(&all, &known)?;
        // The profile stands below what a person set, but which profile it is depends on what they set.
        let mut settings = match settings.model.profile() {
            None => settings,
            Some(profile) => {
                let all: Vec<Layer> = [defaults, Layer::profile(&profile)?].into_iter().chain(over).collect();
                layers::merge(&all, &known)?
            }
        };
        let head = &mut settings.editor.retrieval.relevance.head;
        if head.is_none() {
            *head = settings.model.relevance_head();
        }
        settings.server.validate().map_err(|error| SettingsError::Layer {
            origin: "all layers together".to_owned(),
            reason: error.to_string(),
        })?;
        Ok(settings)
    }

    /// The settings as JSON, without secrets.
    ///
    /// # Errors
    /// None that is known: every field is plain data.
    pub(crate) fn shown(&self) -> Result<serde_json::Value, SettingsError> {
        let mut shown = self.clone();
        shown.server = shown.server.masked();
        shown.storage = shown.storage.masked();
        to_json(&shown)
    }
}

fn to_json(settings: &Settings) -> Result<serde_json::Value, SettingsError> {
    serde_json::to_value(settings)
        .map_err(|error| SettingsError::Layer { origin: "defaults".to_owned(), reason: error.to_string() })
}

fn known() -> Result<serde_json::Value, SettingsError> {
    to_json(&Settings::default())
}

/// The option that names the data folder. A text as it is: a folder named `1` stays a text.
fn data_option(args: &SettingsArgs) -> Vec<(String, Value)> {
    let data = args.data.as_ref().map(|path| ("data".to_owned(), Value::from(path.display().to_string())));
    data.into_iter().collect()
}

/// Options as dotted names and values.
fn options_of(args: &CommonArgs) -> Result<Vec<(String, Value)>, SettingsError> {
    let named = [
        ("model.source", args.model.clone()),
        ("model.sentence_encoder", args.sentence_encoder.clone()),
        ("model.adapter", args.adapter.as_ref().map(|folder| folder.display().to_string())),
        ("model.device", args.device.clone()),
        ("model.dtype", args.dtype.clone()),
    ];
    // Texts as they are too.
    let mut options: Vec<(String, Value)> = named
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name.to_owned(), Value::from(value))))
        .collect();
    for pair in &args.set {
        let (name, value) = pair.split_once('=').ok_or_else(|| SettingsError::Layer {
            origin: "the command line".to_owned(),
            reason: format!("--set {pair}: NAME=VALUE is expected"),
        })?;
        options.push((name.trim().to_owned(), layers::value(value.trim())));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
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
        let read: Settings = layers::merge(&[defaults], &known().unwrap()).unwrap();
        assert_eq!(to_json(&read).unwrap(), known().unwrap());
        assert_eq!(read, Settings::default());
    }

    #[test]
    fn every_setting_stands_in_the_file_with_a_comment() {
        let lines = lines_of_defaults();
        for name in layers::names(&known().unwrap()) {
            let Some((_, explained)) = lines.iter().find(|(n, _)| *n == name) else {
                panic!("config/default.toml does not have `{name}`");
            };
            assert!(explained, "config/default.toml: `{name}` has no comment above it");
        }
        let names = layers::names(&known().unwrap());
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
        std::fs::write(folder.path().join("reasonedit.json"), r#"{"server": {"bind": "0.0.0.0:80"}}"#)
            .unwrap();
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
            assert!(
                error.contains(told) && !error.contains("hunter2") && !error.contains("73123456"),
                "{error}"
            );
        }
    }
}
