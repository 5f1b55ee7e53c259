//! The settings of the program: one typed structure, filled from layers.
//!
//! Later layers win: built-in defaults (`config/default.toml`, compiled in) < the model's profile
//! (`reasonedit.json` in its folder) < a file < `REASONEDIT_*` variables < options.

mod model;
mod storage;

use std::path::{Path, PathBuf};

use figment::value::Value;
use reasonedit_audit::AuditConfig;
use reasonedit_editor::EditorConfig;
use reasonedit_inference::EngineConfig;
use reasonedit_server::{PageConfig, ServerConfig};
use reasonedit_settings::{Layer, SettingsError, merge, usual_file};
use serde::{Deserialize, Serialize};

use crate::args::{CommonArgs, ServeArgs, SettingsArgs};
use crate::logging::LogSettings;

pub(crate) use model::{ModelSettings, ModelSources};
use storage::StorageSettings;
pub(crate) use storage::read_key;

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
    /// The feedback page.
    pub(crate) page: PageConfig,
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
            page: PageConfig::default(),
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
        if let Some(file) = args.config.clone().or_else(usual_file) {
            over.push(Layer::file(&file)?);
        }
        over.push(Layer::environment());
        let mut options = options_of(args)?;
        options.extend(more);
        over.push(Layer::options(options));

        let defaults = Layer::defaults(DEFAULTS)?;
        let all: Vec<Layer> = std::iter::once(defaults.clone()).chain(over.iter().cloned()).collect();
        let settings: Self = merge(&all, &known)?;
        // The profile stands below what a person set, but which profile it is depends on what they set.
        let mut settings = match settings.model.profile() {
            None => settings,
            Some(profile) => {
                let all: Vec<Layer> = [defaults, Layer::profile(&profile)?].into_iter().chain(over).collect();
                merge(&all, &known)?
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
        options.push((name.trim().to_owned(), reasonedit_settings::value(value.trim())));
    }
    Ok(options)
}

#[cfg(test)]
mod tests;
