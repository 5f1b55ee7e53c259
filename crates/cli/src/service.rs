//! Opens a data folder and starts the engine: what `serve` and the offline commands share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reasonedit_access::TokenStore;
use reasonedit_audit::{AuditError, AuditTrail};
use reasonedit_backup::BackupService;
use reasonedit_codebook::store;
use reasonedit_codebook::{CodebookError, CodebookName, CodebookStore, ImageStore, Library, Unwritable};
use reasonedit_editor::{Editor, EditorError};
use reasonedit_inference::{Engine, EngineError, EngineHandle, ModelInfo, Models};
use reasonedit_keyring::{Keyring, KeyringError, OperatorKey};
use reasonedit_models::load::{load_sentence_encoder_with_progress, load_with_progress};
use reasonedit_models::prompt::ThinkingChoice;
use reasonedit_models::{DeviceChoice, DownloadProgress, LoadOptions, WeightType};

use crate::error::{CliError, Result};
use crate::progress::Downloads;
use crate::settings::{BackupSettings, ModelSources, Settings};

/// Where the codebooks lie in the data folder.
const STORE: &str = "codebooks";
/// Where uploaded pictures lie in it.
const IMAGES: &str = "images";
/// Where the keys lie in it that both are sealed by.
const KEYS: &str = "keys";
/// Where the tokens lie in it that were given to people.
const TOKENS: &str = "tokens.json";
/// What is locked while they are changed, and says that some were given.
const TOKENS_LOCK: &str = "tokens.lock";
/// Which repositories of backups it has.
const BACKUPS: &str = "backups.json";
/// Where uploads lie in it that jobs work on.
const JOBS: &str = "jobs";

/// An editor on a data folder, in this process.
pub(crate) struct Local {
    /// The editor.
    pub(crate) editor: Editor,
    /// Most bytes that an archive to import may come to.
    pub(crate) import_bytes: u64,
}

impl Local {
    /// What the model says of itself.
    ///
    /// # Errors
    /// The engine has ended.
    pub(crate) async fn info(&self) -> Result<Arc<ModelInfo>> {
        self.editor.engine().info().await.map_err(CliError::failed)
    }
}

/// Opens the data folder and loads the model.
///
/// # Errors
/// A folder in use, data that can't be read, a model that can't be loaded.
pub(crate) async fn open(settings: &Settings) -> Result<Local> {
    let sources = settings.model.sources()?;
    // The model loads on its own thread while the codebooks are read on this one.
    let engines = start_engines(settings, sources)?;
    let (library, images) = open_library(settings)?;
    let editor = editor(settings, engines, Arc::new(library), images).await?;
    Ok(Local { editor, import_bytes: settings.server.limits.import_bytes })
}

/// As [`open`], for commands that read a codebook: it has to be there, and nothing is made.
///
/// # Errors
/// As there; a folder that holds no codebooks, a codebook that is not among them.
pub(crate) async fn open_existing(settings: &Settings, codebook: &CodebookName) -> Result<Local> {
    let sources = settings.model.sources()?;
    // Before the model is loaded, which takes longer.
    let (library, images) = open_existing_library(settings)?;
    if let Err(error) = library.get(codebook) {
        let known: Vec<String> = library.books().iter().map(|book| book.name().to_string()).collect();
        let (data, known) = (settings.data.display(), known.join(", "));
        return Err(CliError::Failed(format!("data folder {data}: {error}; there are {known}")));
    }
    let engines = start_engines(settings, sources)?;
    let editor = editor(settings, engines, Arc::new(library), images).await?;
    Ok(Local { editor, import_bytes: settings.server.limits.import_bytes })
}

/// Another engine with the models of [`open`], once they are loaded.
///
/// # Errors
/// As there.
pub(crate) async fn another_engine(settings: &Settings) -> Result<EngineHandle> {
    let engine = start_engine(settings, settings.model.sources()?)?;
    engine
        .wait_ready()
        .await
        .map_err(|error| CliError::Failed(format!("the model can't be loaded: {error}")))?;
    Ok(engine)
}

/// The editor, once the model is loaded.
///
/// # Errors
/// A model that can't be loaded, a setting of the editor that the model can't follow.
pub(crate) async fn editor(
    settings: &Settings,
    engines: Engines,
    library: Arc<Library>,
    images: ImageStore,
) -> Result<Editor> {
    let Engines { engine, paraphraser } = engines;
    let failed = |what: &str, error| CliError::Failed(format!("{what} can't be loaded: {error}"));
    engine.wait_ready().await.map_err(|error| failed("the model", error))?;
    let editor = Editor::new(engine, library, images, settings.editor.clone()).await.map_err(refused)?;
    let Some(paraphraser) = paraphraser else { return Ok(editor) };
    paraphraser.wait_ready().await.map_err(|error| failed("the paraphraser", error))?;
    Ok(editor.with_paraphraser(paraphraser))
}

/// Opens the codebooks and the pictures of the data folder; makes the folder if it is missing.
///
/// # Errors
/// A folder in use by another process, data that can't be read.
pub(crate) fn open_library(settings: &Settings) -> Result<(Library, ImageStore)> {
    let data = &settings.data;
    private_folder(data).map_err(|error| CliError::file(data, error))?;
    let (store, images) = open_stores(settings, data)?;
    let library = Library::open(store, settings.editor.codebook).map_err(|error| in_folder(data, &error))?;
    Ok((library, images))
}

/// Opens the stores of a data folder, sealed by its keys.
///
/// # Errors
/// As [`open_library`]; keys that can't be had, or are of another folder.
pub(crate) fn open_stores(settings: &Settings, data: &Path) -> Result<(Arc<dyn CodebookStore>, ImageStore)> {
    let told = |error: CodebookError| in_folder(data, &error);
    let [codebooks, images, keys] = folders(data);
    if !keys.exists() && store::is_sealed(&codebooks).map_err(told)? {
        return Err(CliError::Failed(format!(
            "{}: the file of keys is missing, without which nothing in the folder can be read; put it back from a \
             backup (`keys` in the folder of backups)",
            keys.display()
        )));
    }
    let keys = open_keys(settings, &keys)?;
    let store = store::open_with(&codebooks, Arc::clone(&keys)).map_err(told)?;
    let images = ImageStore::open_with(&images, keys).map_err(told)?;
    let sealed = images.seal_all(|done, total| {
        if done == 0 {
            tracing::warn!(
                pictures = total,
                "pictures that lie unsealed are sealed, about a hundred a second"
            );
        }
    });
    let sealed = sealed.map_err(told)?;
    if sealed > 0 {
        tracing::info!(pictures = sealed, "pictures were sealed");
    }
    Ok((store, images))
}

/// Opens the keys of a data folder, and makes them if there are none.
///
/// # Errors
/// A folder in use, a disk that refuses; of the settings an operator's key that can't be read, isn't random,
/// isn't given, or is another one.
pub(crate) fn open_keys(settings: &Settings, path: &Path) -> Result<Arc<Keyring>> {
    open_keys_under(settings.storage.random_operator_key()?.as_ref(), path)
}

/// As [`open_keys`], under this operator's key.
///
/// # Errors
/// As there.
pub(crate) fn open_keys_under(operator: Option<&OperatorKey>, path: &Path) -> Result<Arc<Keyring>> {
    let data = path.parent().unwrap_or(path);
    Keyring::open(path, operator).map_err(|error| match error {
        KeyringError::KeyNeeded | KeyringError::WrongKey => {
            CliError::Usage(format!("data folder {}: {error}", data.display()))
        }
        error => in_folder(data, &error.into()),
    })
}

/// Makes the folder for its owner alone: there are patients' pictures in it. One that others can look into is
/// told of and left, since someone may have meant it.
pub(crate) fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

        builder.mode(0o700);
        if let Ok(there) = std::fs::metadata(folder) {
            let mode = there.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let mode = format!("{mode:o}");
                tracing::warn!(data = %folder.display(), mode, "others can look into the data folder; chmod 700 keeps them out");
            }
        }
    }
    builder.create(folder)
}

/// The tokens that were given to people. The folder may be in use by a service, which sees what is changed.
///
/// # Errors
/// A file that can't be read: nobody is let in by it.
pub(crate) fn tokens(settings: &Settings) -> Result<TokenStore> {
    let [codebooks, ..] = folders(&settings.data);
    store::make_room(&codebooks);
    private_folder(&settings.data).map_err(|error| CliError::file(&settings.data, error))?;
    TokenStore::open(&settings.data.join(TOKENS)).map_err(CliError::failed)
}

/// Where codebooks, pictures and keys lie in a data folder.
pub(crate) fn folders(data: &Path) -> [PathBuf; 3] {
    [STORE, IMAGES, KEYS].map(|name| data.join(name))
}

/// Whether something of a service lies in the folder.
pub(crate) fn is_in_use(data: &Path) -> bool {
    folders(data).into_iter().chain(kept_files(data)).any(|path| path.exists())
}

/// The files of the tokens of a data folder, be they there or not.
pub(crate) fn token_files(data: &Path) -> [PathBuf; 2] {
    [TOKENS, TOKENS_LOCK].map(|name| data.join(name))
}

/// What goes along with a backup beside codebooks and pictures, be it there or not.
pub(crate) fn kept_files(data: &Path) -> Vec<PathBuf> {
    token_files(data).into_iter().chain([audit_folder(data)]).collect()
}

/// The file of a data folder that says to which folders it was backed up, be it there or not.
pub(crate) fn known_repositories(data: &Path) -> PathBuf {
    data.join(BACKUPS)
}

/// Where the audit trail lies in a data folder.
pub(crate) fn audit_folder(data: &Path) -> PathBuf {
    data.join(reasonedit_audit::FOLDER)
}

/// Opens the audit trail of the data folder, unless the settings say that none is kept.
///
/// # Errors
/// A folder in use by another process, or that can't be read.
pub(crate) fn audit(settings: &Settings) -> Result<Option<AuditTrail>> {
    if !settings.audit.enabled {
        tracing::warn!("no audit trail is kept (audit.enabled)");
        return Ok(None);
    }
    let data = &settings.data;
    let opened = AuditTrail::open(&audit_folder(data), &settings.audit);
    opened.map(Some).map_err(|error| match error {
        AuditError::InUse(_) => in_folder(data, &CodebookError::Locked),
        other => CliError::Failed(format!("data folder {}: {other}", data.display())),
    })
}

/// Puts the audit trail of one data folder into another.
///
/// # Errors
/// The disk refuses.
pub(crate) fn copy_audit(from: &Path, to: &Path) -> std::io::Result<()> {
    let files = reasonedit_audit::trail_files(&audit_folder(from)).map_err(std::io::Error::other)?;
    let folder = audit_folder(to);
    for file in files.into_iter().filter(|file| file.is_file()) {
        private_folder(&folder)?;
        std::fs::copy(&file, folder.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Puts the tokens that were given for one data folder into another.
///
/// # Errors
/// The disk refuses.
pub(crate) fn copy_tokens(from: &Path, to: &Path) -> std::io::Result<()> {
    for (file, copy) in token_files(from).into_iter().zip(token_files(to)) {
        if file.is_file() {
            std::fs::copy(&file, copy)?;
        }
    }
    Ok(())
}

/// Where a service with these pictures backs itself up, if the settings say so.
///
/// # Errors
/// A folder within the data folder, whose loss would be that of the backups.
pub(crate) fn backups(settings: &Settings, images: &ImageStore) -> Result<Option<BackupService>> {
    let BackupSettings { folder, keep } = settings.backup.clone();
    if folder.as_os_str().is_empty() {
        return Ok(None);
    }
    outside(&settings.data, &folder)?;
    let files = kept_files(&settings.data);
    let known = known_repositories(&settings.data);
    Ok(Some(BackupService { folder, keep, images: images.clone(), files, known }))
}

/// Refuses a folder of backups that lies in the data folder.
///
/// # Errors
/// It does.
pub(crate) fn outside(data: &Path, backups: &Path) -> Result<()> {
    let resolved = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    match (resolved(data), resolved(backups)) {
        (Ok(data), Ok(backups)) if backups.starts_with(&data) => Err(CliError::Failed(format!(
            "{}: backups would lie in the data folder that they are of; name a folder elsewhere, on another \
             disk best",
            backups.display()
        ))),
        _ => Ok(()),
    }
}

/// The folder of uploads that jobs work on.
pub(crate) fn jobs_folder(settings: &Settings) -> PathBuf {
    settings.data.join(JOBS)
}

/// As [`open_library`], for commands that only look: a folder that isn't there is a mistake, not a beginning.
///
/// # Errors
/// As there, and a folder that holds no codebooks.
pub(crate) fn open_existing_library(settings: &Settings) -> Result<(Library, ImageStore)> {
    if !settings.data.join(STORE).is_dir() {
        return Err(CliError::Failed(format!("{}: no codebooks here", settings.data.display())));
    }
    open_library(settings)
}

/// What went wrong with a data folder, and what to do about it.
pub(crate) fn in_folder(data: &Path, error: &CodebookError) -> CliError {
    let advice = match error {
        CodebookError::Locked => {
            "; stop that process, choose another folder (--data DIR), or talk to the service (--server URL)"
        }
        CodebookError::Unwritable(Unwritable::Full) => {
            "; make room on its disk first: what a start needs there can't be written"
        }
        CodebookError::Keys(KeyringError::Malformed(_)) => {
            "; put it back from a backup (`keys` in the folder of backups)"
        }
        CodebookError::Corrupt { .. } | CodebookError::Store { action: "open the data", .. } => {
            "; `reasonedit codebook salvage OUT` saves what can be read of it into a new data folder"
        }
        _ => "",
    };
    CliError::Failed(format!("data folder {}: {error}{advice}", data.display()))
}

/// The threads that own models.
pub(crate) struct Engines {
    /// Looks, answers and embeds.
    engine: EngineHandle,
    /// Rephrases, where that is another model's work.
    paraphraser: Option<EngineHandle>,
}

/// Starts the threads that own models; they begin to load them.
///
/// # Errors
/// A wrong device or type, an engine that can't be started.
pub(crate) fn start_engines(settings: &Settings, sources: ModelSources) -> Result<Engines> {
    let paraphraser = sources.paraphraser.clone().map(|source| {
        // Revision, adapter and what is said of its thinking are the vision-language model's.
        let thinking = ThinkingChoice::Auto;
        let options =
            LoadOptions { revision: None, adapter: None, thinking, ..settings.model.load_options() };
        let load = move || Ok(Models::writer(load_with_progress(&source, &options, &download_progress())?));
        started(load, settings)
    });
    Ok(Engines { engine: start_engine(settings, sources)?, paraphraser: paraphraser.transpose()? })
}

fn started(
    load: impl FnOnce() -> Result<Models, EngineError> + Send + 'static,
    settings: &Settings,
) -> Result<EngineHandle> {
    Engine::start(load, settings.engine.clone()).map_err(|error| match error {
        EngineError::Unsupported(reason) => CliError::Usage(reason),
        other => CliError::failed(other),
    })
}

fn start_engine(settings: &Settings, sources: ModelSources) -> Result<EngineHandle> {
    let options = settings.model.load_options();
    let load = move || {
        let began = std::time::Instant::now();
        let vlm = load_with_progress(&sources.vlm, &options, &download_progress())?;
        // Revision and adapter are the model's; the encoder is small enough for the processor and for full
        // precision.
        let options = LoadOptions {
            device: DeviceChoice::Cpu,
            dtype: WeightType::F32,
            quantize: None,
            adapter: None,
            thinking: ThinkingChoice::Auto,
            revision: None,
            offline: options.offline,
        };
        let sentences =
            load_sentence_encoder_with_progress(&sources.sentence_encoder, &options, &download_progress())?;
        let info = vlm.info();
        tracing::info!(
            model = %info.name, parameters = info.parameters, device = %info.device, dtype = %info.dtype,
            ms = began.elapsed().as_millis(), "model loaded"
        );
        Ok(Models { vlm, sentences })
    };
    started(load, settings)
}

/// Shows downloads, when there are any: models of the hub are fetched when they are first used.
pub(crate) fn download_progress() -> impl Fn(DownloadProgress) {
    let downloads = Downloads::default();
    move |progress: DownloadProgress| downloads.show(&progress.file, progress.done, progress.total)
}

/// What the editor refused, in a few lines: every field it names.
pub(crate) fn refused(error: EditorError) -> CliError {
    match error {
        EditorError::Invalid(fields) if fields.len() > 1 => {
            let lines: Vec<String> =
                fields.iter().map(|field| format!("  {}: {}", field.pointer, field.detail)).collect();
            CliError::Failed(format!("the input can't be used\n{}", lines.join("\n")))
        }
        other => CliError::failed(other),
    }
}
