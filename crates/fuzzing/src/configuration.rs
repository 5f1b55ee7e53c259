//! Settings of any file, profile and option.

use std::fs;
use std::sync::LazyLock;

use reasonedit_audit::AuditConfig;
use reasonedit_editor::EditorConfig;
use reasonedit_inference::EngineConfig;
use reasonedit_server::ServerConfig;
use reasonedit_settings::{Layer, merge, value};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

use crate::input::Input;
use crate::scratch;

/// What every crate brings of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Known {
    engine: EngineConfig,
    server: ServerConfig,
    editor: EditorConfig,
    audit: AuditConfig,
}

static KNOWN: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(Known::default()).expect("JSON"));
static FOLDER: LazyLock<TempDir> = LazyLock::new(scratch::folder);

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&KNOWN);
    LazyLock::force(&FOLDER);
}

/// A file, a profile and options, with zeros between them: refused in words, or settings that read back as
/// they are and show no secret.
pub(crate) fn settings(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (file, profile, options) = (part(), part(), Input(part()).text());
    let (path, beside) = (FOLDER.path().join("reasonedit.toml"), FOLDER.path().join("reasonedit.json"));
    fs::write(&path, file).expect("a file");
    let pairs = options.lines().filter_map(|line| line.split_once('='));
    let mut layers = Vec::new();
    let Ok(layer) = Layer::defaults("") else { return };
    layers.push(layer);
    if !profile.is_empty() {
        fs::write(&beside, profile).expect("a file");
        layers.extend(Layer::profile(&beside));
    }
    layers.extend(Layer::file(&path));
    layers.push(Layer::options(
        pairs.map(|(name, text)| (name.trim().to_owned(), value(text.trim()))).collect(),
    ));
    let settings: Known = match merge(&layers, &KNOWN) {
        Ok(settings) => settings,
        Err(error) => {
            assert!(error.to_string().len() <= 4000 + 8 * data.len(), "a long complaint");
            return;
        }
    };
    let _ = settings.server.validate();
    let mut masked = settings.clone();
    masked.server = settings.server.masked();
    let shown = serde_json::to_string(&masked).expect("JSON");
    // Short texts may stand anywhere.
    let secrets = settings.server.auth_tokens.iter().chain([&settings.server.oidc.client_secret]);
    for secret in secrets.filter(|secret| secret.len() > 12 && !shown_by_itself(secret, &settings)) {
        assert!(!shown.contains(secret.as_str()), "a secret is shown");
    }
    let text = serde_json::to_string(&settings).expect("JSON");
    if let Ok(again) = serde_json::from_str::<Known>(&text) {
        assert_eq!(serde_json::to_string(&again).expect("JSON"), text, "settings that read back as others");
    }
}

/// Whether the same text stands elsewhere too, where it is no secret.
fn shown_by_itself(secret: &str, settings: &Known) -> bool {
    let mut without = settings.clone();
    without.server.auth_tokens = Vec::new();
    without.server.oidc.client_secret = String::new();
    serde_json::to_string(&without).is_ok_and(|text| text.contains(secret))
}
