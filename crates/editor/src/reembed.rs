//! Moving a codebook to another embedding while it serves: every key made anew beside the live ones, then
//! swapped in at once.
//!
//! Edits are never held up by the bulk of the work: they go into the live generation, and the rounds that
//! follow make the keys of those that came during the round before. Once few are left (or edits come faster
//! than rounds end) they wait at a gate, just before they are stored, until these last keys are made and the
//! swap is done; an edit that waited finds the new embedding and makes its keys anew. Reverts need no keys
//! and wait for nothing but the swap's write.
//!
//! The generation before is kept as it was at the swap; a rollback makes the keys of the edits since, and
//! swaps back. So edits cost nothing more while it is kept, and none is lost by going back.

use std::future::Future;
use std::sync::Arc;

use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use reasonedit_codebook::{
    Build, BuildProgress, Codebook, CodebookError, CodebookName, EditRecord, Generation, GenerationId,
    Member, Snapshot,
};
use reasonedit_inference::{CallOptions, Priority};

use crate::config::OnMismatch;
use crate::editor::Editor;
use crate::embed::{Embedder, KeyRules};
use crate::entries::EntryMaker;
use crate::error::EditorError;
use crate::pictures::blocking;
use crate::retry::{PAUSE, retry_when_full};
use crate::types::{EmbeddingChoice, ImageSource, ReembedProgress, ReembedStage};

/// Edits whose keys are made at once: while one is computed, the next is decoded and augmented.
const AT_ONCE: usize = 2;
/// Edits whose keys are written in one go.
const PER_WRITE: usize = 16;
/// Edits that are few enough for others to wait for.
const FEW: usize = 4;
/// Rounds after which edits wait though more are left: they come faster than their keys are made.
const ROUNDS: usize = 16;
/// Waits, of `PAUSE` each, for a write that has to end first.
const PAUSES: usize = 100;

impl Editor {
    /// Moves a codebook to another embedding, which then is its own whatever the configuration says. Queries
    /// and edits are served meanwhile; when this returns, the new keys are live and on disk. What a stopped
    /// process had done is gone on with. Where the codebook is embedded so already, nothing is made.
    ///
    /// When `cancelled` resolves before the swap, nothing is left of the work. Dropping the future leaves
    /// what is done, to be gone on with by the next call for the same embedding, or removed by another or by
    /// [`Editor::discard_reembedding`].
    ///
    /// # Errors
    /// `Invalid` for a tap that the model lacks or a λ that is no weight; `UnknownCodebook` before the first
    /// edit, `Conflict` while another re-embedding of it runs; `Cancelled`; a failing engine or storage.
    /// After an error the old keys are live.
    pub async fn reembed(
        &self,
        codebook: &CodebookName,
        choice: &EmbeddingChoice,
        progress: impl FnMut(ReembedProgress) + Send,
        cancelled: impl Future<Output = ()> + Send,
    ) -> Result<GenerationId, EditorError> {
        let wanted = Embedder::chosen(choice, self.core.model(), self.core.encoder())?;
        let book = self.core.library().get(codebook)?;
        let live = book.snapshot();
        if let Some(embedding) = live.embedding()
            && embedding.same_space(&wanted.embedding)
        {
            let id = embedding.id;
            blocking(move || Ok(book.choose_live()?)).await?;
            return Ok(id);
        }
        self.move_to(book, wanted, progress, cancelled).await
    }

    /// Makes every key anew where that is by other rules than today's (of pixels, of seeds): tap, pooling and
    /// λ stay what they are, chosen or configured. Else nothing is made. The same rules as for
    /// [`Editor::reembed`], and [`Editor::rollback`] goes back.
    ///
    /// # Errors
    /// As [`Editor::reembed`]; a picture that today's rules refuse.
    pub async fn renew(
        &self,
        codebook: &CodebookName,
        progress: impl FnMut(ReembedProgress) + Send,
        cancelled: impl Future<Output = ()> + Send,
    ) -> Result<GenerationId, EditorError> {
        let book = self.core.library().get(codebook)?;
        let live = book.snapshot();
        let own = self.core.embedder_for(&live)?;
        match live.embedding() {
            Some(_) if own.rules() != KeyRules::CURRENT => {
                self.move_to(book, own.by(KeyRules::CURRENT), progress, cancelled).await
            }
            Some(embedding) => Ok(embedding.id),
            None => Err(CodebookError::UnknownCodebook(codebook.clone()).into()),
        }
    }

    /// Goes back to the generation of keys that was live before the last swap, with the edits and reverts
    /// made since: the same rules as for [`Editor::reembed`]. What was live is kept in its turn, so that a
    /// second rollback goes forward again; a caller that may have to repeat its call says with `to` which
    /// generation is meant, and where that is live nothing is done.
    ///
    /// # Errors
    /// `Conflict` if no earlier generation, or not this one, is kept or a re-embedding runs,
    /// `EmbeddingMismatch` if another model or encoder made its keys; else as [`Editor::reembed`].
    pub async fn rollback(
        &self,
        codebook: &CodebookName,
        to: Option<GenerationId>,
        progress: impl FnMut(ReembedProgress) + Send,
        cancelled: impl Future<Output = ()> + Send,
    ) -> Result<GenerationId, EditorError> {
        let book = self.core.library().get(codebook)?;
        let live = book.snapshot();
        if let (Some(to), Some(embedding)) = (to, live.embedding())
            && embedding.id == to
        {
            return Ok(to);
        }
        let configured = self.core.configured_embedder()?;
        // A codebook that followed the configuration does so again, unless that says something else by now.
        let chosen = live.previous().is_some_and(|previous| {
            let configured = configured.by(KeyRules::of(&previous.embedding)).embedding;
            previous.chosen || !previous.embedding.same_space(&configured)
        });
        let build = blocking(move || Ok(book.begin_rollback(to, chosen)?)).await?;
        self.carry_through(build, progress, cancelled).await
    }

    /// Removes what a re-embedding left whose future was dropped, for one that nobody will go on with.
    /// Without such, nothing happens.
    ///
    /// # Errors
    /// `Conflict` while one runs, failing storage.
    pub async fn discard_reembedding(&self, codebook: &CodebookName) -> Result<(), EditorError> {
        let Some(book) = self.core.existing(codebook)? else { return Ok(()) };
        for _ in 0..PAUSES {
            let book = Arc::clone(&book);
            match blocking(move || Ok(book.discard_draft()?)).await {
                // A write that was under way when the future was dropped comes to its end.
                Err(EditorError::Codebook(CodebookError::Conflict(_))) => tokio::time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
        blocking(move || Ok(book.discard_draft()?)).await
    }

    /// Brings every codebook that follows the configuration, or whose keys another model or encoder made, to
    /// the configured embedding, if the configuration says so. One that is left as it is refuses edits and
    /// queries; the log names it. Other rules of keys are no reason to refuse one: it is moved over where
    /// that can be done, and else goes on as it is.
    pub(crate) async fn settle_embeddings(&self) -> Result<(), EditorError> {
        let wanted = self.core.configured_embedder()?;
        for book in self.core.library().books() {
            let name = book.name().clone();
            let snapshot = book.snapshot();
            match (self.core.embedder_for(&snapshot), self.core.config().embedding.on_mismatch) {
                (Ok(own), _) => {
                    if own.chosen && !own.embedding.same_space(&wanted.embedding) {
                        let (tap, lambda) = (&own.embedding.tap, own.embedding.lambda);
                        tracing::info!(codebook = %name, %tap, lambda, "keeps to the embedding chosen for it");
                    }
                    if own.rules() != KeyRules::CURRENT {
                        self.settle_rules(&name, &own).await;
                    }
                }
                (Err(mismatch), OnMismatch::Refuse) => {
                    tracing::error!(codebook = %name, %mismatch, "this codebook can't be used");
                }
                (Err(_), OnMismatch::Reembed) => {
                    let log = |at: ReembedProgress| {
                        if at.done.is_multiple_of(100) {
                            tracing::info!(codebook = %name, done = at.done, total = at.total, "making keys anew");
                        }
                    };
                    self.move_to(book, wanted.clone(), log, std::future::pending()).await?;
                    tracing::info!(codebook = %name, edits = snapshot.edit_count(), "made every key anew");
                }
            }
        }
        Ok(())
    }

    /// Moves a codebook whose keys are made by other rules than today's over to these, if the configuration
    /// says that keys follow it.
    async fn settle_rules(&self, name: &CodebookName, own: &Embedder) {
        let KeyRules { pixels, seeds } = own.rules();
        if self.core.config().embedding.on_mismatch == OnMismatch::Reembed && !own.chosen {
            match self.renew(name, |_| (), std::future::pending()).await {
                Ok(_) => tracing::info!(codebook = %name, "made every key anew by today's rules"),
                Err(error) => {
                    tracing::warn!(codebook = %name, %error, ?pixels, ?seeds, "goes on with the rules that it has");
                }
            }
        } else {
            tracing::info!(
                codebook = %name, ?pixels, ?seeds,
                "goes on with the rules of keys that it has; POST /modularity/reembed moves it over"
            );
        }
    }

    async fn move_to(
        &self,
        book: Arc<Codebook>,
        wanted: Embedder,
        progress: impl FnMut(ReembedProgress) + Send,
        cancelled: impl Future<Output = ()> + Send,
    ) -> Result<GenerationId, EditorError> {
        let generation = wanted.under(GenerationId(self.core.next_id())).generation();
        let editor = self.clone();
        let build =
            blocking(move || Ok(book.begin(generation.clone(), editor.recipe(&generation)?)?)).await?;
        self.carry_through(build, progress, cancelled).await
    }

    /// All that decides the keys of given pairs besides the embedding.
    pub(crate) fn recipe(&self, generation: &Generation) -> Result<[u8; 32], EditorError> {
        let config = self.core.config();
        let settings = serde_json::to_vec(&(&config.radius, &config.prompts.rephrase))
            .map_err(|error| EditorError::Storage(error.into()))?;
        let mut hasher = blake3::Hasher::new();
        // The number of this way of making keys: one that makes others must have another.
        hasher.update(&1u32.to_le_bytes()).update(&settings);
        for picture in self.core.backgrounds(generation.embedding.pixels).iter() {
            hasher.update(&picture.width().to_le_bytes()).update(picture.as_raw());
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// Brings a build to its end, or gives it up.
    async fn carry_through(
        &self,
        build: Build,
        progress: impl FnMut(ReembedProgress) + Send,
        cancelled: impl Future<Output = ()> + Send,
    ) -> Result<GenerationId, EditorError> {
        let generation: Generation = build.generation().clone();
        let embedder = self.core.stored_embedder(&generation)?;
        let build = Shared(Arc::new(Mutex::new(build)));
        let ended = tokio::select! {
            biased;
            outcome = self.rounds(&build, &embedder, progress) => Some(outcome),
            () = cancelled => None,
        };
        if let Some(outcome) = ended {
            outcome?;
        } else {
            // What runs on a blocking thread ends first. If that was the swap, it stands.
            let swapped = build.with(|build| {
                if !build.finished() {
                    build.discard()?;
                }
                Ok(build.finished())
            });
            if !swapped.await? {
                return Err(EditorError::Cancelled);
            }
        }
        if let Err(error) = self.core.refresh_taps().await {
            tracing::warn!(%error, "pictures are embedded in a pass of their own");
        }
        Ok(generation.embedding.id)
    }

    async fn rounds(
        &self,
        build: &Shared,
        embedder: &Embedder,
        mut progress: impl FnMut(ReembedProgress) + Send,
    ) -> Result<(), EditorError> {
        let mut round = 0;
        loop {
            let (snapshot, missing) = build.prepare().await?;
            // Nobody waits for the first round, however small.
            let few = if round == 0 { 0 } else { FEW };
            if missing.edits.len() > few && round < ROUNDS {
                round += 1;
                let at = (ReembedStage::Embedding, Priority::Background);
                self.add_keys(build, embedder, &snapshot, &missing, at, &mut progress).await?;
                continue;
            }
            let gate = self.core.gate().write_owned().await;
            let (snapshot, missing) = build.prepare().await?;
            let at = (ReembedStage::Swapping, Priority::Interactive);
            self.add_keys(build, embedder, &snapshot, &missing, at, &mut progress).await?;
            let swapped = build.with(move |build| {
                let swapped = build.finish()?.is_some();
                drop(gate);
                Ok(swapped)
            });
            // Only someone who writes to the codebook past this editor can have come in between.
            if swapped.await? {
                return Ok(());
            }
        }
    }

    /// Makes the keys of these edits and writes them.
    async fn add_keys(
        &self,
        build: &Shared,
        embedder: &Embedder,
        snapshot: &Snapshot,
        missing: &BuildProgress,
        (stage, priority): (ReembedStage, Priority),
        progress: &mut (impl FnMut(ReembedProgress) + Send),
    ) -> Result<(), EditorError> {
        let total = missing.of;
        let mut done = total - missing.edits.len();
        let mut kept = done;
        progress(ReembedProgress { stage, done, kept, total });
        let options = CallOptions { priority, ..CallOptions::default() };
        // Those that are gone were reverted meanwhile.
        let edits: Vec<(Arc<EditRecord>, Vec<Arc<Member>>)> = missing
            .edits
            .iter()
            .filter_map(|id| {
                Some((Arc::clone(snapshot.edit(*id)?), snapshot.members_of(*id).cloned().collect()))
            })
            .collect();
        let keys = |(record, members)| self.keys_of(record, members, embedder, options);
        let mut made = std::pin::pin!(stream::iter(edits).map(keys).buffer_unordered(AT_ONCE));
        let (mut pending, mut edits) = (Vec::new(), 0);
        loop {
            let members = made.try_next().await?;
            let last = members.is_none();
            if let Some(members) = members {
                pending.extend(members);
                (edits, done) = (edits + 1, done + 1);
                progress(ReembedProgress { stage, done, kept, total });
            }
            if edits == PER_WRITE || (last && edits > 0) {
                let members = std::mem::take(&mut pending);
                build.with(|build| Ok(build.add(members)?)).await?;
                (edits, kept) = (0, done);
            }
            if last {
                return Ok(());
            }
        }
    }

    /// The members of one edit with new keys and radii. Waits while the engine is full.
    async fn keys_of(
        &self,
        record: Arc<EditRecord>,
        members: Vec<Arc<Member>>,
        embedder: &Embedder,
        options: CallOptions,
    ) -> Result<Vec<Member>, EditorError> {
        let source = ImageSource::Known(record.image.id);
        let picture = self.core.pictures().resolve(&source, embedder.pixels()).await?;
        let maker = EntryMaker { core: &self.core, embedder, options };
        retry_when_full(|| maker.again(&record, &picture, &members)).await
    }
}

/// A build that blocking threads work on in turn.
struct Shared(Arc<Mutex<Build>>);

impl Shared {
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Build) -> Result<T, EditorError> + Send + 'static,
    ) -> Result<T, EditorError> {
        let build = Arc::clone(&self.0);
        blocking(move || work(&mut build.lock())).await
    }

    /// What lacks keys, and a state of the codebook that has those edits unless they were reverted.
    async fn prepare(&self) -> Result<(Arc<Snapshot>, BuildProgress), EditorError> {
        self.with(|build| {
            let missing = build.prepare();
            Ok((build.book().snapshot(), missing))
        })
        .await
    }
}

#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod tests;
