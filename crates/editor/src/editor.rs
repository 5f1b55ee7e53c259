//! The editor: what everything that edits or asks goes through. Nothing is decided here; each call is handed
//! to the pipeline or the part that does it.

use std::sync::Arc;

use reasonedit_codebook::{CodebookName, EditId, ImageStore, Library};
use reasonedit_imaging::{PixelBox, PixelRules};
use reasonedit_inference::{EngineHandle, EngineStats, ModelInfo, SentenceInfo};
use reasonedit_resilience::MemoryBudget;
use tokio::sync::mpsc;

use crate::config::EditorConfig;
use crate::core::Core;
use crate::edit::{self, EditPipeline};
use crate::error::{EditorError, FieldError};
use crate::query::{PreparedQuery, QueryPipeline, check_chat, check_query};
use crate::stream::streamed;
use crate::types::{
    Amendment, CallContext, ChatRequest, EditRequest, EditView, EvidenceFound, ImageSource, QueryEvent,
    QueryOutcome, QueryRequest,
};
use crate::visual_entailment::{EntailmentJudge, unaskable};

/// The editor: a cheap handle, shared by everything that edits or asks.
#[derive(Clone)]
pub struct Editor {
    pub(crate) core: Arc<Core>,
}

impl Editor {
    /// An editor on an engine, the codebooks and the pictures. Waits until the model is loaded.
    ///
    /// # Errors
    /// A setting out of its range, a model that can't be loaded, a configured tap that the model hasn't, a λ
    /// that is no weight, a background folder that can't be read.
    pub async fn new(
        engine: EngineHandle,
        library: Arc<Library>,
        images: ImageStore,
        config: EditorConfig,
    ) -> Result<Self, EditorError> {
        let editor = Self { core: Arc::new(Core::new(engine, library, images, config).await?) };
        // A wrong tap or λ is told at the start, not at the first edit.
        editor.core.configured_embedder()?;
        editor.core.settle_proposals().await?;
        editor.core.sweep_questions().await?;
        editor.core.keep_sweeping();
        editor.sweep_pictures().await?;
        editor.settle_embeddings().await?;
        editor.core.refresh_taps().await?;
        Ok(editor)
    }

    /// Has texts rephrased by another model, where `radius.paraphrase` is `model`. A second one is ignored.
    #[must_use]
    pub fn with_paraphraser(self, engine: EngineHandle) -> Self {
        self.core.set_paraphraser(engine);
        self
    }

    /// Takes memory for pictures and hypothetical codebooks of what all of a service has, beside its own
    /// bounds. A second one is ignored.
    pub fn stay_within(&self, memory: &MemoryBudget) {
        self.core.pictures().stay_within(memory);
        self.core.states().stay_within(memory);
    }

    /// Ends the engines; what they work on is finished first.
    pub async fn shutdown(&self) {
        self.core.shutdown().await;
    }

    /// The engine that rephrases.
    pub fn paraphraser(&self) -> &EngineHandle {
        self.core.paraphraser()
    }

    /// The engine.
    pub fn engine(&self) -> &EngineHandle {
        self.core.engine()
    }

    /// The configuration.
    pub fn config(&self) -> &EditorConfig {
        self.core.config()
    }

    /// The codebooks.
    pub fn library(&self) -> &Arc<Library> {
        self.core.library()
    }

    /// The model that answers.
    ///
    /// # Errors
    /// The engine has been shut down.
    pub async fn model(&self) -> Result<Arc<ModelInfo>, EditorError> {
        Ok(self.core.engine().info().await?)
    }

    /// Whether the model thinks before it answers.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub async fn thinks(&self) -> Result<bool, EditorError> {
        Ok(self.core.engine().tokenizer().await?.thinking().is_some())
    }

    /// The encoder of sentences.
    pub fn sentence_encoder(&self) -> &Arc<SentenceInfo> {
        self.core.encoder()
    }

    /// Whether the model is loaded and takes questions.
    pub fn is_ready(&self) -> bool {
        self.core.engine().ready()
    }

    /// What the engine has done and has waiting.
    pub fn engine_stats(&self) -> EngineStats {
        self.core.engine().stats()
    }

    /// Makes an edit: durable and live when this returns.
    ///
    /// # Errors
    /// Unusable input or picture, a conflicting idempotency key, a busy or failing engine, failing storage.
    /// After an error nothing of the edit is in the codebook.
    pub async fn edit(
        &self,
        codebook: &CodebookName,
        request: EditRequest,
        call: CallContext,
    ) -> Result<EditView, EditorError> {
        // On the heap: whoever waits for an edit would be as large as all of its stages.
        Box::pin(EditPipeline { core: &self.core, codebook, call }.run(request, None)).await
    }

    /// Makes a new version of an edit: durable and live when this returns. Its id stays, whichever of its
    /// versions is named by its own. One that says nothing new is not made.
    ///
    /// # Errors
    /// As [`Editor::edit`]; an edit that isn't live, or has another newest version than the amendment is for.
    pub async fn amend(
        &self,
        codebook: &CodebookName,
        id: EditId,
        amendment: Amendment,
        call: CallContext,
    ) -> Result<EditView, EditorError> {
        Box::pin(EditPipeline { core: &self.core, codebook, call }.amend(id, amendment, None)).await
    }

    /// Reverts an edit with all its versions: the codebook becomes what it would be had it never been made.
    ///
    /// # Errors
    /// An unknown or already reverted edit, failing storage.
    pub async fn revert(&self, codebook: &CodebookName, id: EditId) -> Result<(), EditorError> {
        self.revert_expected(codebook, id, None).await
    }

    /// As [`Editor::revert`], of an edit whose newest version is stored under this id, where one is given.
    ///
    /// # Errors
    /// As there; another newest version.
    pub async fn revert_expected(
        &self,
        codebook: &CodebookName,
        id: EditId,
        expected: Option<EditId>,
    ) -> Result<(), EditorError> {
        edit::revert(&self.core, codebook, id, expected).await
    }

    /// Undoes the newest version of an edit, which has this number: the codebook becomes what it would be had
    /// that version never been made. Shows the one before.
    ///
    /// # Errors
    /// An edit that isn't live, another version than the newest, the first one, failing storage.
    pub async fn undo_version(
        &self,
        codebook: &CodebookName,
        version: (EditId, u32),
        expected: Option<EditId>,
    ) -> Result<EditView, EditorError> {
        edit::undo_version(&self.core, codebook, version, expected).await
    }

    /// Answers a question about a picture, with what the codebook knows in front.
    ///
    /// # Errors
    /// Unusable input, a question that the model's context has no room for, an unknown picture, a busy or
    /// failing engine, a codebook made with another embedding.
    pub async fn query(
        &self,
        codebook: &CodebookName,
        request: QueryRequest,
        call: CallContext,
    ) -> Result<QueryOutcome, EditorError> {
        let request = check_query(self.config(), request)?;
        let query = PreparedQuery::question(&self.core, codebook, request, call.flow).await?;
        Box::pin(QueryPipeline { core: &self.core, codebook, call, events: None }.run(query)).await
    }

    /// As [`Editor::query`], but sends what was retrieved at once and the answer as it is generated. Input
    /// errors are returned here; later ones arrive in the stream. Dropping the receiver cancels the work.
    ///
    /// # Errors
    /// Unusable input.
    pub fn query_stream(
        &self,
        codebook: &CodebookName,
        request: QueryRequest,
        call: CallContext,
    ) -> Result<mpsc::Receiver<Result<QueryEvent, EditorError>>, EditorError> {
        let request = check_query(self.config(), request)?;
        let (core, codebook) = (Arc::clone(&self.core), codebook.clone());
        Ok(streamed(move |events| async move {
            let query = PreparedQuery::question(&core, &codebook, request, call.flow).await?;
            QueryPipeline { core: &core, codebook: &codebook, call, events: Some(&events) }.run(query).await
        }))
    }

    /// Replies to a conversation: what was retrieved at once, the reply as it is made, then everything. Input
    /// errors that show without looking at the pictures are returned here; later ones arrive in the stream.
    /// Dropping the receiver cancels the work.
    ///
    /// # Errors
    /// Unusable input.
    pub fn chat_stream(
        &self,
        codebook: &CodebookName,
        request: ChatRequest,
        call: CallContext,
    ) -> Result<mpsc::Receiver<Result<QueryEvent, EditorError>>, EditorError> {
        let request = check_chat(self.config(), request)?;
        let (core, codebook) = (Arc::clone(&self.core), codebook.clone());
        Ok(streamed(move |events| async move {
            let query = PreparedQuery::conversation(&core, &codebook, request, call.flow).await?;
            QueryPipeline { core: &core, codebook: &codebook, call, events: Some(&events) }.run(query).await
        }))
    }

    /// Where a picture shows each statement, by the model: what an edit of them would store, and every part
    /// that was looked at. Nothing is kept, the picture neither. The picture is looked at as an edit of this
    /// codebook would be.
    ///
    /// # Errors
    /// Unusable statements or picture, a busy or failing engine.
    pub async fn find_evidence(
        &self,
        codebook: &CodebookName,
        image: &ImageSource,
        statements: &[String],
        call: CallContext,
    ) -> Result<EvidenceFound, EditorError> {
        edit::find_evidence(&self.core, codebook, image, statements, call).await
    }

    /// Probability that a picture, or a part of it, shows a statement, by the unedited model; samples are
    /// read by today's rules.
    ///
    /// # Errors
    /// An unusable picture or box, a busy or failing engine.
    pub async fn verify_statement(
        &self,
        image: ImageSource,
        area: Option<PixelBox>,
        statement: &str,
        call: CallContext,
    ) -> Result<f64, EditorError> {
        let picture = self.core.pictures().resolve(&image, PixelRules::CURRENT).await?;
        let (width, height) = picture.pixels.dimensions();
        if area.is_some_and(|area| area.validate(width, height).is_err()) {
            let fault = FieldError::new("/crop", "the box is not inside the picture");
            return Err(EditorError::Invalid(vec![fault]));
        }
        let prompts = &self.config().prompts;
        let judge = EntailmentJudge { engine: self.engine(), prompts, options: call.options() };
        let (p, _) = judge.row(picture.input(area), &[statement]).await?;
        match p.first() {
            Some(Some(p)) => Ok(*p),
            Some(None) => Err(EditorError::Invalid(vec![unaskable("/statement")])),
            None => Err(EditorError::unexpected_answer()),
        }
    }
}
