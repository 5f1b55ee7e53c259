//! Where edits are made for several editors at once.
//!
//! Most of what an edit costs is the search for evidence and the radius of its keys, and neither depends on
//! how keys are merged or looked up. Editors whose keys are made with the same settings therefore share them:
//! the edit is made once by a pool, an editor like any other with a codebook on disk, and each of them takes
//! its members over into a codebook of its own. So an ablation differs from what it is compared with in
//! nothing but what it names, down to the last bit of every key. An editor whose keys are made otherwise but
//! whose evidence is looked for in the same way is given the boxes that were found, and makes its own keys.
//!
//! Pools remember what they made (by idempotency keys), so that after a restart the same edits are not made
//! again.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use futures::lock::Mutex;
use reasonedit_codebook::store::{self, StoreKind};
use reasonedit_codebook::{
    CodebookError, CodebookName, CodebookStore, EditRecord, Generation, ImageStore, Library, Member,
};
use reasonedit_editor::{
    CallContext, EditRequest, Editor, EditorConfig, EditorError, IdempotencyKey, ImageSource,
};
use reasonedit_inference::EngineHandle;
use serde_json::json;

use crate::EvaluationError;
use crate::baseline::EditorCorrection;

/// See the module's description.
pub(super) struct SharedEditCache {
    /// Never empty. Edits that are shared are made on the first.
    engines: Vec<EngineUse>,
    folder: PathBuf,
    pools: Mutex<HashMap<String, Arc<KeyPool>>>,
}

/// An engine, and how many editors use it.
struct EngineUse {
    engine: EngineHandle,
    leases: Arc<()>,
}

/// An editor that keeps its codebooks in memory, on an engine that few others use while it is there.
pub(super) struct LeasedEditor {
    editor: Editor,
    _lease: Arc<()>,
}

impl Deref for LeasedEditor {
    type Target = Editor;

    fn deref(&self) -> &Editor {
        &self.editor
    }
}

/// An edit as a pool made it.
pub(super) struct CachedEdit {
    pub(super) record: EditRecord,
    pub(super) members: Vec<Member>,
    pub(super) generation: Generation,
    /// Milliseconds that it took when it was made.
    pub(super) ms: Option<f64>,
}

/// Makes edits with one way to make keys.
pub(super) struct KeyPool {
    editor: Editor,
    /// Whose boxes are taken; `None`: its own.
    lender: Option<Arc<KeyPool>>,
}

impl SharedEditCache {
    pub(super) fn new(engine: EngineHandle, folder: PathBuf) -> Self {
        Self { engines: vec![EngineUse::new(engine)], folder, pools: Mutex::default() }
    }

    /// Another engine of the same model.
    pub(super) fn add(&mut self, engine: EngineHandle) {
        self.engines.push(EngineUse::new(engine));
    }

    /// An editor that keeps its codebooks in memory.
    pub(super) async fn plain(&self, config: &EditorConfig) -> Result<LeasedEditor, EvaluationError> {
        let store = store::open(StoreKind::Memory, &self.folder).map_err(EditorError::from)?;
        // Of equals the last: edits that are shared keep the first busy.
        let fewest = self.engines.iter().rev().min_by_key(|own| Arc::strong_count(&own.leases));
        let EngineUse { engine, leases } = fewest.unwrap_or(&self.engines[0]);
        let lease = Arc::clone(leases);
        Ok(LeasedEditor { editor: self.editor(engine, config.clone(), store).await?, _lease: lease })
    }

    async fn editor(
        &self,
        engine: &EngineHandle,
        config: EditorConfig,
        store: Arc<dyn CodebookStore>,
    ) -> Result<Editor, EvaluationError> {
        let library = Library::open(store, config.codebook).map_err(EditorError::from)?;
        let images = ImageStore::open(&self.folder.join("images")).map_err(EditorError::from)?;
        Ok(Editor::new(engine.clone(), Arc::new(library), images, config).await?)
    }

    /// The pool that makes keys as `config` says, which is `base` with changes.
    pub(super) async fn pool(
        &self,
        base: &EditorConfig,
        config: &EditorConfig,
    ) -> Result<Arc<KeyPool>, EvaluationError> {
        let lends = keys_of(base) != keys_of(config) && evidence_of(base) == evidence_of(config);
        let lender = if lends && base.patchify.enabled {
            let base = self.open_pool(base, base.clone(), None).await?;
            Some(base)
        } else {
            None
        };
        let mut own = config.clone();
        // Statements for which nothing was found have no boxes, and are not to be searched again.
        own.patchify.enabled &= lender.is_none();
        self.open_pool(base, own, lender).await
    }

    async fn open_pool(
        &self,
        base: &EditorConfig,
        mut config: EditorConfig,
        lender: Option<Arc<KeyPool>>,
    ) -> Result<Arc<KeyPool>, EvaluationError> {
        // How keys are merged and looked up is the business of those who take them over.
        config.codebook = base.codebook;
        config.retrieval = base.retrieval.clone();
        let name = format!("{}-{}", keys_of(&config), if lender.is_some() { "lent" } else { "own" });
        let mut pools = self.pools.lock().await;
        if let Some(pool) = pools.get(&name) {
            return Ok(Arc::clone(pool));
        }
        let folder = self.folder.join("pools").join(&name);
        std::fs::create_dir_all(&folder).map_err(|error| EvaluationError::file(&folder, error))?;
        let store = store::open(StoreKind::default(), &folder).map_err(EditorError::from)?;
        let pool =
            Arc::new(KeyPool { editor: self.editor(&self.engines[0].engine, config, store).await?, lender });
        pools.insert(name, Arc::clone(&pool));
        Ok(pool)
    }
}

impl EngineUse {
    fn new(engine: EngineHandle) -> Self {
        Self { engine, leases: Arc::default() }
    }
}

impl KeyPool {
    /// Whether part of the work was done by another.
    pub(super) fn borrows(&self) -> bool {
        self.lender.is_some()
    }

    /// Makes an edit of a set, or finds it made.
    pub(super) async fn make(
        &self,
        set: &CodebookName,
        number: usize,
        correction: &EditorCorrection,
    ) -> Result<CachedEdit, EvaluationError> {
        let lent = match &self.lender {
            Some(lender) => Some(lender.make_own(set, number, correction).await?.record.reasoning),
            None => None,
        };
        let Some(lent) = lent else { return self.make_own(set, number, correction).await };
        let mut with_boxes = correction.clone();
        for (statement, found) in with_boxes.reasoning.iter_mut().zip(lent) {
            statement.evidence = found.evidence.into_iter().map(|evidence| evidence.area.into()).collect();
        }
        self.make_own(set, number, &with_boxes).await
    }

    async fn make_own(
        &self,
        set: &CodebookName,
        number: usize,
        correction: &EditorCorrection,
    ) -> Result<CachedEdit, EvaluationError> {
        let body = digest_of(number, correction);
        let request = EditRequest {
            warnings: Vec::new(),
            image: correction.image.clone(),
            question: correction.question.clone(),
            answer: correction.answer.clone(),
            reasoning: correction.reasoning.clone(),
            choices: correction.choices.clone(),
            author: None,
            tags: Vec::new(),
            metadata: serde_json::Value::Null,
            verify: false,
            supersedes: Vec::new(),
            on_conflict: None,
            idempotency: Some(IdempotencyKey {
                key: blake3::Hash::from_bytes(body).to_hex().to_string(),
                body,
                former: Vec::new(),
            }),
        };
        let view = self.editor.edit(set, request, CallContext::default()).await?;
        let snapshot = self.editor.library().get(set).map_err(EditorError::from)?.snapshot();
        let id = view.record.id;
        // The edit has just been made or found, and nobody reverts edits here.
        let gone = || EditorError::from(CodebookError::UnknownEdit(id));
        Ok(CachedEdit {
            members: snapshot.members_of(id).map(|member| member.as_ref().clone()).collect(),
            generation: snapshot.generation().ok_or_else(gone)?,
            record: snapshot.edit(id).ok_or_else(gone)?.as_ref().clone(),
            ms: view.timings_ms.get("total").copied(),
        })
    }
}

/// What tells an edit from others of its set.
fn digest_of(number: usize, correction: &EditorCorrection) -> [u8; 32] {
    let image = match &correction.image {
        ImageSource::Bytes(upload) => upload.id(),
        ImageSource::Known(id) => *id,
    };
    let EditorCorrection { question, answer, choices, reasoning, image: _ } = correction;
    let said = json!([number, image.to_string(), question, answer, choices, reasoning]);
    *blake3::hash(said.to_string().as_bytes()).as_bytes()
}

/// A name for how keys are made: equal names, equal keys of the same edit.
fn keys_of(config: &EditorConfig) -> String {
    let EditorConfig { embedding, patchify, entries, radius, image, prompts, .. } = config;
    let said = json!([embedding, patchify, entries, radius, image, prompts]);
    blake3::hash(said.to_string().as_bytes()).to_hex().as_str()[..16].to_owned()
}

/// What decides which evidence is found.
fn evidence_of(config: &EditorConfig) -> serde_json::Value {
    json!([config.patchify, config.image, config.prompts])
}
