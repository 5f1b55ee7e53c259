//! The edit pipeline: from what a person says to entries in a durable codebook (paper algorithm 1; method
//! sections 1 to 4). Its stages, in order:
//!
//! 1. validate: texts repaired, every fault named (`validate`);
//! 2. replay: a request that was sent before is answered as it was;
//! 3. decode the picture, fit boxes to it, see that the question fits into the model's context;
//! 4. evidence where the person gave none ([`evidence`], `patchify`), and what the model answers before;
//! 5. entries: keys and radii (`entries`);
//! 6. store: picture, then edit ([`store`]);
//! 7. outcome: what the model answers after, what else is known ([`outcome`]).

mod amend;
mod evidence;
pub(crate) mod outcome;
mod propose;
pub(crate) mod relations;
pub(crate) mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use reasonedit_codebook::{
    AppliedEdit, CodebookName, EditId, EditRecord, Generation, GenerationId, Idempotency, Member, Opinion,
    Relations, Snapshot, Statement,
};
use reasonedit_imaging::PixelBox;
use reasonedit_inference::{EngineError, Flow};
use reasonedit_text::Warning;
use time::OffsetDateTime;
use tokio::sync::OwnedMutexGuard;

use crate::config::OnBreak;
use crate::conflicts::telling;
use crate::core::{Core, Turn};
use crate::embed::Embedder;
use crate::entries::EntryMaker;
use crate::error::EditorError;
use crate::pictures::{DecodedPicture, blocking};
use crate::prepared_chat::PreparedChat;
use crate::query::QueryPipeline;
use crate::timing::milliseconds;
use crate::token_budget::{ReplyLength, TokenBudget};
use crate::types::{
    Absence, BrokenCanary, CallContext, EditRequest, EditView, Firings, IdempotencyKey, RetrievalOverride,
};
use crate::validate;

pub(crate) use evidence::find_evidence;
use relations::Others;
use store::PreparedEdit;

/// The stages of one edit.
pub(crate) struct EditPipeline<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) codebook: &'a CodebookName,
    pub(crate) call: CallContext,
}

/// A valid request, its picture at hand.
struct DecodedEdit {
    request: EditRequest,
    /// How it will stand to others.
    relations: Relations,
    /// The version that it is made of, if it is one.
    base: Option<amend::Base>,
    /// The id that it is to have, if it waited under one.
    id: Option<EditId>,
    picture: DecodedPicture,
    /// Of each statement, on the picture.
    boxes: Vec<Vec<PixelBox>>,
    /// The edited question, as it can be asked.
    question: PreparedChat,
    /// What it leaves of the model's context.
    budget: TokenBudget,
}

/// Milliseconds by stage, and waiting for the engine.
#[derive(Default)]
struct Timings {
    queue: f64,
    patchify: f64,
    embed: f64,
    keep: f64,
}

impl EditPipeline<'_> {
    /// Makes an edit, under this id if it waited under one: durable and live when this returns.
    ///
    /// # Errors
    /// Unusable input or picture, a conflicting idempotency key, a busy or failing engine, failing storage.
    /// After an error nothing of the edit is in the codebook.
    pub(crate) async fn run(
        &self,
        mut request: EditRequest,
        id: Option<EditId>,
    ) -> Result<EditView, EditorError> {
        let began = Instant::now();
        validate::repair::edit(&mut request);
        validate::edit(&request, &self.core.config().limits)?;
        // Held until the edit is stored, so that the same request sent twice at once makes one edit.
        let _turn = match &request.idempotency {
            Some(key) => Some(self.core.turn(self.codebook, Turn::Request(key.key.clone())).await),
            None => None,
        };
        if let Some(replay) = self.replay_of(request.idempotency.as_ref()).await? {
            return Ok(replay);
        }
        let relations = relations::asked_for(self.core, self.codebook, &request)?;
        Box::pin(self.make(request, relations, (None, id), began)).await
    }

    /// Stages 3 to 7, of a checked request.
    async fn make(
        &self,
        request: EditRequest,
        relations: Relations,
        (base, id): (Option<amend::Base>, Option<EditId>),
        began: Instant,
    ) -> Result<EditView, EditorError> {
        let mut timings = Timings::default();
        let embedder = self.core.embedder_of(self.codebook)?;
        let mut edit = self.decode(request, relations, &embedder, self.call.flow).await?;
        (edit.base, edit.id) = (base, id);
        self.admit(&edit)?;
        let record = self.record(&edit, &embedder, &mut timings).await?;
        let members = self.entries(&record, &edit.picture, &embedder, &mut timings).await?;
        let mut made = (members, embedder);
        let (_turn, broken) = self.hold_against_canaries(&record, &mut made, &edit.picture).await?;
        let (members, embedder) = made;
        let (record, applied) = self.store(record, members, embedder, &edit.picture, &mut timings).await?;
        self.query().find_contradictions(record.id, &edit.picture).await;
        let after = self.after(&record, &edit).await;
        let mut view = EditView { broken_canaries: broken, ..view(record, applied, after, &timings, began) };
        outcome::remember(self.core, self.codebook, &view).await;
        if let Some(book) = self.core.existing(self.codebook)? {
            telling::tell(self.core, self.codebook, &book.snapshot(), &mut view);
        }
        Ok(view)
    }

    /// Holds an edit against the canaries of its codebook, if there are any: those that it breaks. Until what
    /// is given with them is dropped no other edit is held against them, so that none comes in between.
    /// Should the codebook have moved to another embedding, the keys are made anew.
    async fn hold_against_canaries(
        &self,
        record: &EditRecord,
        (members, embedder): &mut (Vec<Member>, Embedder),
        picture: &DecodedPicture,
    ) -> Result<(Option<OwnedMutexGuard<()>>, Vec<BrokenCanary>), EditorError> {
        let looks = self.core.config().canaries.on_break != OnBreak::Off;
        if !looks || !self.core.canaries().has(self.codebook) {
            return Ok((None, Vec::new()));
        }
        let turn = self.core.turn(self.codebook, Turn::Canaries).await;
        let snapshot = match self.core.existing(self.codebook)? {
            Some(book) => book.snapshot(),
            None => Arc::new(Snapshot::empty(&self.core.config().codebook)),
        };
        let now = self.core.embedder_for(&snapshot)?;
        if snapshot.embedding().is_some() && now.embedding != embedder.embedding {
            let maker = EntryMaker { core: self.core, embedder: &now, options: self.call.options() };
            let stored: Vec<Arc<Member>> = members.drain(..).map(Arc::new).collect();
            (*members, *embedder) = (maker.again(record, picture, &stored).await?, now);
        }
        let record = EditRecord { embedding: embedder.embedding.id, ..record.clone() };
        let edit = (record, members.clone(), embedder.generation());
        let asking = (self.codebook, self.call);
        let broken = self.core.hold_against_canaries(asking, snapshot, edit, picture).await?;
        Ok((Some(turn), broken))
    }

    /// An edit as it would be stored into this state of the codebook; nothing of it is, and its id is nobody
    /// else's.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) async fn imagine(
        &self,
        request: EditRequest,
        snapshot: &Snapshot,
    ) -> Result<((EditRecord, Vec<Member>, Generation), DecodedPicture), EditorError> {
        let mut request = EditRequest { verify: false, idempotency: None, ..request };
        validate::repair::edit(&mut request);
        validate::edit(&request, &self.core.config().limits)?;
        let relations = relations::asked_for(self.core, self.codebook, &request)?;
        self.imagine_checked(request, relations, (None, None), snapshot).await
    }

    /// As [`Self::imagine`], of a checked request that has its relations.
    async fn imagine_checked(
        &self,
        request: EditRequest,
        relations: Relations,
        (base, id): (Option<amend::Base>, Option<EditId>),
        snapshot: &Snapshot,
    ) -> Result<((EditRecord, Vec<Member>, Generation), DecodedPicture), EditorError> {
        let mut timings = Timings::default();
        let embedder = self.core.embedder_for(snapshot)?;
        let mut edit = self.decode(request, relations, &embedder, self.call.flow).await?;
        (edit.base, edit.id) = (base, id);
        let record = self.record(&edit, &embedder, &mut timings).await?;
        let members = self.entries(&record, &edit.picture, &embedder, &mut timings).await?;
        Ok(((record, members, embedder.generation()), edit.picture))
    }

    /// The stored edit of an earlier request with the same idempotency key.
    async fn replay_of(&self, idempotency: Option<&IdempotencyKey>) -> Result<Option<EditView>, EditorError> {
        let Some(idempotency) = idempotency else { return Ok(None) };
        let Some(book) = self.core.existing(self.codebook)? else { return Ok(None) };
        let Some((body, id)) = book.idempotency(&idempotency.key)? else { return Ok(None) };
        if body != idempotency.body && !idempotency.former.contains(&body) {
            return Err(EditorError::IdempotencyConflict);
        }
        match outcome::view(self.core, self.codebook, id).await {
            Ok(view) => Ok(Some(EditView { replayed: true, ..view })),
            // It was made, so it was reverted since. Making it again would undo that behind somebody's back.
            Err(EditorError::UnknownEdit(_)) => Err(EditorError::Reverted(id)),
            Err(error) => Err(error),
        }
    }

    /// The picture, the boxes on it, and the question, which an edit that is kept can be asked.
    ///
    /// # Errors
    /// An unusable picture, a box outside it; [`EditorError::TooLong`] if the model's context has no room for
    /// the question.
    async fn decode(
        &self,
        mut request: EditRequest,
        relations: Relations,
        embedder: &Embedder,
        flow: Flow,
    ) -> Result<DecodedEdit, EditorError> {
        let picture = self.core.pictures().resolve_for(flow, &request.image, embedder.pixels()).await?;
        let (boxes, adjusted) = validate::boxes(&request, picture.pixels.width(), picture.pixels.height())?;
        request.warnings.extend(adjusted);
        let question = PreparedChat::question(picture.clone(), request.question.trim());
        let reply = ReplyLength::new(&request.choices, self.core.config().answer.max_tokens);
        let budget = TokenBudget::of(self.core.engine(), &question, reply, "/question").await?;
        Ok(DecodedEdit { request, relations, base: None, id: None, picture, boxes, question, budget })
    }

    /// Whether it may stand to others as it is to, before anything is computed; it is seen again when it is
    /// stored.
    fn admit(&self, edit: &DecodedEdit) -> Result<(), EditorError> {
        let Some(book) = self.core.existing(self.codebook)? else { return Ok(()) };
        let record = new_record(edit, EditId::from_bytes([0; 16]), Vec::new(), None);
        Ok(book.snapshot().admits(&record)?)
    }

    /// What is stored of the edit: its evidence found where the person gave none, the model asked before.
    async fn record(
        &self,
        edit: &DecodedEdit,
        embedder: &Embedder,
        timings: &mut Timings,
    ) -> Result<EditRecord, EditorError> {
        let searching = Instant::now();
        let kept = edit.base.as_ref().filter(|base| base.keeps_reasoning);
        let evidence = async {
            let found = match kept {
                Some(base) => (base.record().reasoning.clone(), 0.0),
                None => evidence::statements(self.core, edit, self.call.options()).await?,
            };
            Ok::<_, EditorError>((found, milliseconds(searching)))
        };
        let (before, ((reasoning, queue_ms), patchify_ms)) = tokio::try_join!(self.before(edit), evidence)?;
        (timings.queue, timings.patchify) = (queue_ms, patchify_ms);
        let mut record =
            new_record(edit, edit.id.unwrap_or_else(|| EditId(self.core.next_id())), reasoning, before);
        record.embedding = embedder.embedding.id;
        record.warnings.extend(self.unfitting(&record, edit).await?);
        Ok(record)
    }

    /// What of an edit can't be put in front of its own question.
    async fn unfitting(&self, record: &EditRecord, edit: &DecodedEdit) -> Result<Vec<Warning>, EditorError> {
        let answer = self.core.config().prompts.answer_entry(&record.question, &record.answer);
        let mut sentences = vec![("/answer".to_owned(), answer.as_str())];
        for (i, statement) in record.reasoning.iter().enumerate() {
            sentences.push((format!("/reasoning/{i}/statement"), &statement.statement));
        }
        edit.budget.warnings(self.core.engine(), &edit.question, sentences).await
    }

    /// Keys and radii.
    async fn entries(
        &self,
        record: &EditRecord,
        picture: &DecodedPicture,
        embedder: &Embedder,
        timings: &mut Timings,
    ) -> Result<Vec<Member>, EditorError> {
        let embedding = Instant::now();
        let maker = EntryMaker { core: self.core, embedder, options: self.call.options() };
        let (members, waited) = maker.members(record, picture).await?;
        timings.queue += waited;
        timings.embed = milliseconds(embedding);
        Ok(members)
    }

    /// Picture, then edit: durable and live when this returns.
    async fn store(
        &self,
        mut record: EditRecord,
        members: Vec<Member>,
        embedder: Embedder,
        picture: &DecodedPicture,
        timings: &mut Timings,
    ) -> Result<(EditRecord, AppliedEdit), EditorError> {
        record.timings_ms =
            BTreeMap::from([("patchify".to_owned(), timings.patchify), ("embed".to_owned(), timings.embed)]);
        let keeping = Instant::now();
        let (core, upload) = (Arc::clone(self.core), picture.clone());
        blocking(move || core.pictures().keep(&upload)).await?;
        timings.keep = milliseconds(keeping);
        let edit = PreparedEdit { record, members, embedder };
        store::commit(self.core, self.codebook, edit, picture, self.call.options()).await
    }

    /// How the model is asked about the edit.
    fn query(&self) -> QueryPipeline<'_> {
        QueryPipeline { core: self.core, codebook: self.codebook, call: self.call, events: None }
    }

    /// The model's own answer to the edited question, without the codebook.
    async fn before(&self, edit: &DecodedEdit) -> Result<Option<Opinion>, EditorError> {
        // Of the same picture and question the model itself says the same.
        if let Some(before) = edit.base.as_ref().and_then(|base| base.record().before.clone()) {
            return Ok(Some(before));
        }
        if !edit.request.verify {
            return Ok(None);
        }
        self.query().opinion(edit.question.with([]), &edit.request.choices).await.map(Some)
    }

    /// The model's answer to the edited question with the codebook. The edit is stored by now, so a failure
    /// here is told in the log and in place of the answer.
    async fn after(&self, record: &EditRecord, edit: &DecodedEdit) -> Result<Opinion, Absence> {
        if !edit.request.verify {
            return Err(Absence::not_asked());
        }
        let asked = async {
            let wishes = RetrievalOverride { enabled: Some(true), ..RetrievalOverride::default() };
            let retrieved = self.query().context(&edit.question, edit.budget, &wishes).await?;
            self.query().opinion(edit.question.with(retrieved.facts()), &record.choices).await
        };
        asked.await.map_err(|error| {
            tracing::warn!(%error, edit = %record.id, "no answer after the edit");
            Absence::failed(match error {
                EditorError::Engine(EngineError::DeadlineExceeded) => {
                    "The edit is stored; the time for the request was up before the model had answered."
                }
                EditorError::Engine(EngineError::QueueFull { .. }) => {
                    "The edit is stored; the model was too busy to be asked after it."
                }
                EditorError::Engine(EngineError::Closed) | EditorError::Cancelled => {
                    "The edit is stored; the service was stopping."
                }
                _ => {
                    "The edit is stored; the model failed to answer after it, and the service's log says why."
                }
            })
        })
    }
}

fn new_record(
    edit: &DecodedEdit,
    id: EditId,
    reasoning: Vec<Statement>,
    before: Option<Opinion>,
) -> EditRecord {
    let (request, picture) = (&edit.request, &edit.picture);
    let idempotency = request.idempotency.as_ref();
    EditRecord {
        warnings: request.warnings.iter().cloned().chain(picture.warnings("/image")).collect(),
        id,
        created_at: OffsetDateTime::now_utc(),
        image: picture.info(),
        question: request.question.trim().to_owned(),
        answer: request.answer.trim().to_owned(),
        choices: request.choices.iter().map(|c| c.trim().to_owned()).collect(),
        reasoning,
        author: request.author.clone(),
        tags: request.tags.clone(),
        metadata: request.metadata.clone(),
        embedding: GenerationId(ulid::Ulid::nil()),
        before,
        timings_ms: BTreeMap::new(),
        idempotency: idempotency.map(|i| Idempotency { key: i.key.clone(), body: i.body }),
        relations: edit.relations.clone(),
    }
}

fn view(
    record: EditRecord,
    applied: AppliedEdit,
    after: Result<Opinion, Absence>,
    timings: &Timings,
    began: Instant,
) -> EditView {
    let mut timings_ms = record.timings_ms.clone();
    let (merge, store) = (applied.merge_time.as_secs_f64() * 1e3, applied.store_time.as_secs_f64() * 1e3);
    for (stage, milliseconds) in [
        ("merge", merge),
        ("store", timings.keep + store),
        ("queue", timings.queue),
        ("total", milliseconds(began)),
    ] {
        timings_ms.insert(stage.to_owned(), milliseconds);
    }
    let generation = applied.snapshot.embedding().map_or(record.embedding, |embedding| embedding.id);
    let others = Others::of(&applied.snapshot, &record);
    let (after, after_absent) = match after {
        Ok(after) => (Some(after), None),
        Err(absence) => (None, Some(absence)),
    };
    EditView {
        before_absent: record.before.is_none().then(Absence::not_asked),
        record,
        entries: applied.entries,
        generation,
        after,
        after_absent,
        conflicts: others.conflicts,
        superseded_by: others.superseded_by,
        supersedes: others.supersedes,
        duplicate_of: others.duplicate_of,
        near_duplicates: others.near_duplicates,
        versions: others.versions,
        timings_ms,
        fired: Firings::default(),
        broken_canaries: Vec::new(),
        replayed: false,
    }
}

/// Reverts an edit with all its versions: the codebook becomes what it would be had it never been made.
///
/// # Errors
/// An unknown or already reverted edit, another newest version than expected, failing storage.
pub(crate) async fn revert(
    core: &Core,
    codebook: &CodebookName,
    id: EditId,
    expected: Option<EditId>,
) -> Result<(), EditorError> {
    let Some(book) = core.existing(codebook)? else { return Err(EditorError::UnknownEdit(id)) };
    blocking(move || Ok(book.revert_expected(id, expected)?)).await
}

/// Undoes the newest version of an edit, which has this number, and shows the one before.
///
/// # Errors
/// An unknown edit, another version than the newest, the first one, failing storage.
pub(crate) async fn undo_version(
    core: &Arc<Core>,
    codebook: &CodebookName,
    (id, number): (EditId, u32),
    expected: Option<EditId>,
) -> Result<EditView, EditorError> {
    let Some(book) = core.existing(codebook)? else { return Err(EditorError::UnknownEdit(id)) };
    let newest = blocking(move || Ok(book.undo_version(id, number, expected)?)).await?;
    outcome::view(core, codebook, newest).await
}
