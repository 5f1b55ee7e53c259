//! An edit, from what a person says to entries in a durable codebook (paper algorithm 1; method sections 1 to
//! 4).

use std::collections::BTreeMap;
use std::time::Instant;

use reasonedit_codebook::{
    CodebookName, EditId, EditRecord, Evidence, EvidenceSource, GenerationId, Idempotency, Opinion, Statement,
};
use reasonedit_imaging::PixelBox;
use reasonedit_text::Warning;
use reasonedit_vlm::VlmError;
use reasonedit_vlm::engine::Conversation;
use time::OffsetDateTime;

use crate::Editor;
use crate::answer::{choose, generate};
use crate::chat::{Decoding, Talk};
use crate::context::{Reply, Room};
use crate::entries::EntryMaker;
use crate::error::EditorError;
use crate::outcome::Rivals;
use crate::patchify;
use crate::pictures::{Picture, blocking};
use crate::query::milliseconds;
use crate::types::{Absence, CallContext, EditRequest, EditView, Firings, RetrievalOverride};
use crate::{text, validate, verify};

impl Editor {
    /// Makes an edit: durable and live when this returns.
    ///
    /// # Errors
    /// Unusable input or picture, a conflicting idempotency key, a busy or failing engine, failing storage.
    /// After an error nothing of the edit is in the codebook.
    pub async fn edit(
        &self,
        codebook: &CodebookName,
        mut request: EditRequest,
        call: CallContext,
    ) -> Result<EditView, EditorError> {
        let began = Instant::now();
        text::read_edit(&mut request);
        validate::edit(&request, &self.config().limits)?;
        // Held until the edit is stored, so that the same request sent twice at once makes one edit.
        let _turn = match &request.idempotency {
            Some(key) => Some(self.idempotency_turn(codebook, &key.key).await),
            None => None,
        };
        if let Some(replay) = self.replay(codebook, &request).await? {
            return Ok(replay);
        }
        let embedder = self.embedder_of(codebook)?;
        let picture = self.pictures().resolve(&request.image, embedder.pixels()).await?;
        let (boxes, adjusted) = validate::boxes(&request, picture.pixels.width(), picture.pixels.height())?;
        request.warnings.extend(adjusted);
        // An edit that is kept can be asked about.
        let asked = self.asked(&request, &picture).await?;
        let mut timings = BTreeMap::new();

        let (before, record) = tokio::try_join!(
            self.before(&request, &asked, call),
            self.record((&request, &boxes), &picture, embedder.embedding.id, call)
        )?;
        let (mut record, mut queue_ms, patchify_ms) = record;
        record.before = before;
        record.warnings.extend(self.unfitting(&record, &asked).await?);
        timings.insert("patchify".to_owned(), patchify_ms);

        let embedding = Instant::now();
        let maker = EntryMaker { editor: self, embedder: &embedder, options: call.options() };
        let (members, waited) = maker.members(&record, &picture).await?;
        queue_ms += waited;
        timings.insert("embed".to_owned(), milliseconds(embedding));

        record.timings_ms = timings.clone();
        let keeping = Instant::now();
        let (editor, upload) = (self.clone(), picture.clone());
        blocking(move || editor.pictures().keep(&upload)).await?;
        let keep_ms = milliseconds(keeping);
        let (record, applied) =
            self.commit(codebook, record, &picture, members, embedder, call.options()).await?;
        timings.insert("merge".to_owned(), applied.merge_time.as_secs_f64() * 1e3);
        timings.insert("store".to_owned(), keep_ms + applied.store_time.as_secs_f64() * 1e3);

        let (after, after_absent) = if request.verify {
            match self.after(codebook, &record, (&picture, &asked), call).await {
                Ok(after) => (Some(after), None),
                Err(absence) => (None, Some(absence)),
            }
        } else {
            (None, Some(Absence::not_asked()))
        };
        timings.insert("queue".to_owned(), queue_ms);
        timings.insert("total".to_owned(), milliseconds(began));
        let generation = applied.snapshot.embedding().map_or(record.embedding, |embedding| embedding.id);
        let rivals = Rivals::of(&applied.snapshot, record.id);
        let view = EditView {
            before_absent: record.before.is_none().then(Absence::not_asked),
            record,
            entries: applied.entries,
            generation,
            after,
            after_absent,
            conflicts: rivals.conflicts,
            superseded_by: rivals.superseded_by,
            timings_ms: timings,
            fired: Firings::default(),
            replayed: false,
        };
        self.remember_outcome(codebook, &view).await;
        Ok(view)
    }

    /// The stored edit of an earlier request with the same idempotency key.
    async fn replay(
        &self,
        codebook: &CodebookName,
        request: &EditRequest,
    ) -> Result<Option<EditView>, EditorError> {
        let Some(idempotency) = &request.idempotency else { return Ok(None) };
        let Some(book) = self.existing(codebook)? else { return Ok(None) };
        let Some((body, id)) = book.idempotency(&idempotency.key)? else { return Ok(None) };
        if body != idempotency.body && !idempotency.former.contains(&body) {
            return Err(EditorError::IdempotencyConflict);
        }
        match self.get_edit(codebook, id).await {
            Ok(view) => Ok(Some(EditView { replayed: true, ..view })),
            // It was made, so it was reverted since. Making it again would undo that behind somebody's back.
            Err(EditorError::UnknownEdit(_)) => Err(EditorError::Reverted(id)),
            Err(error) => Err(error),
        }
    }

    /// The edited question, and the room that the model's context has in front of it.
    ///
    /// # Errors
    /// [`EditorError::TooLong`] if there is none.
    async fn asked(&self, request: &EditRequest, picture: &Picture) -> Result<(Talk, Room), EditorError> {
        let talk = Talk::question(picture.clone(), request.question.trim());
        let reply = Reply::new(&request.choices, self.config().answer.max_tokens);
        let room = Room::of(self.engine(), &talk, reply, "/question").await?;
        Ok((talk, room))
    }

    /// What of an edit can't be put in front of its own question.
    async fn unfitting(
        &self,
        record: &EditRecord,
        (talk, room): &(Talk, Room),
    ) -> Result<Vec<Warning>, EditorError> {
        let answer = self.config().prompts.answer_entry(&record.question, &record.answer);
        let mut sentences = vec![("/answer".to_owned(), answer.as_str())];
        for (i, statement) in record.reasoning.iter().enumerate() {
            sentences.push((format!("/reasoning/{i}/statement"), &statement.statement));
        }
        room.warnings(self.engine(), talk, sentences).await
    }

    /// The model's own answer to the edited question, without the codebook.
    async fn before(
        &self,
        request: &EditRequest,
        (talk, _): &(Talk, Room),
        call: CallContext,
    ) -> Result<Option<Opinion>, EditorError> {
        if !request.verify {
            return Ok(None);
        }
        self.opinion(talk.with([]), &request.choices, call).await.map(Some)
    }

    /// The model's answer to the edited question with the codebook. The edit is stored by now, so a failure
    /// here is told in the log and in place of the answer.
    async fn after(
        &self,
        codebook: &CodebookName,
        record: &EditRecord,
        (picture, (talk, room)): (&Picture, &(Talk, Room)),
        call: CallContext,
    ) -> Result<Opinion, Absence> {
        let asked = async {
            let wishes = RetrievalOverride { enabled: Some(true), ..RetrievalOverride::default() };
            let mut retrieved = self.retrieve(codebook, picture, &record.question, wishes, call).await?;
            retrieved.fit(*room, self.engine(), talk).await?;
            let facts = retrieved.report.facts.iter().map(|f| f.value.as_str());
            self.opinion(talk.with(facts), &record.choices, call).await
        };
        asked.await.map_err(|error| {
            tracing::warn!(%error, edit = %record.id, "no answer after the edit");
            Absence::failed(match error {
                EditorError::Engine(VlmError::DeadlineExceeded) => {
                    "The edit is stored; the time for the request was up before the model had answered."
                }
                EditorError::Engine(VlmError::QueueFull { .. }) => {
                    "The edit is stored; the model was too busy to be asked after it."
                }
                EditorError::Engine(VlmError::Closed) | EditorError::Cancelled => {
                    "The edit is stored; the service was stopping."
                }
                _ => {
                    "The edit is stored; the model failed to answer after it, and the service's log says why."
                }
            })
        })
    }

    async fn opinion(
        &self,
        prompt: Conversation,
        choices: &[String],
        call: CallContext,
    ) -> Result<Opinion, EditorError> {
        if choices.is_empty() {
            let (decoding, most) = (Decoding::default(), self.config().answer.max_tokens);
            let answer = generate(self.engine(), prompt, most, &decoding, None, None, call.options()).await?;
            return Ok(answer.opinion());
        }
        let answers = choose(self.engine(), vec![prompt], choices, call.options()).await?;
        answers.first().map(crate::answer::Answer::opinion).ok_or_else(patchify::unexpected)
    }

    /// The record of an edit with its boxes, its evidence found where the person gave none; with the
    /// milliseconds spent waiting and searching.
    async fn record(
        &self,
        (request, boxes): (&EditRequest, &[Vec<PixelBox>]),
        picture: &Picture,
        embedding: GenerationId,
        call: CallContext,
    ) -> Result<(EditRecord, f64, f64), EditorError> {
        let began = Instant::now();
        let config = &self.config().patchify;
        let searched: Vec<&str> = request
            .reasoning
            .iter()
            .filter(|s| config.enabled && s.evidence.is_empty())
            .map(|s| s.statement.trim())
            .collect();
        let statements: Vec<&str> = request.reasoning.iter().map(|s| s.statement.trim()).collect();
        let (engine, prompts) = (self.engine(), &self.config().prompts);
        // What the model doesn't recognise here, or says of any picture, can't be held against others.
        let ((found, queue_ms), (p_yes, _), priors) = tokio::try_join!(
            patchify::search(engine, config, prompts, picture, &searched, call.options()),
            verify::shown(engine, prompts, picture.input(None), &statements, call.options()),
            verify::priors(engine, prompts, &statements, call.options()),
        )?;
        let mut found = found.into_iter();
        let reasoning = request
            .reasoning
            .iter()
            .zip(boxes)
            .zip(p_yes.into_iter().zip(priors))
            .map(|((given, boxes), (p_yes, prior))| {
                let by_user =
                    |area| Evidence { area, source: EvidenceSource::User, p_yes: None, log_likelihood: None };
                let evidence = if boxes.is_empty() {
                    if config.enabled {
                        found.next().map(|f| f.evidence).unwrap_or_default()
                    } else {
                        Vec::new()
                    }
                } else {
                    boxes.iter().copied().map(by_user).collect()
                };
                Statement { statement: given.statement.trim().to_owned(), evidence, p_yes, prior }
            })
            .collect();
        let record = EditRecord {
            warnings: request.warnings.iter().cloned().chain(picture.warnings("/image")).collect(),
            id: EditId(self.next_id()),
            created_at: OffsetDateTime::now_utc(),
            image: picture.info(),
            question: request.question.trim().to_owned(),
            answer: request.answer.trim().to_owned(),
            choices: request.choices.iter().map(|c| c.trim().to_owned()).collect(),
            reasoning,
            author: request.author.clone(),
            tags: request.tags.clone(),
            metadata: request.metadata.clone(),
            embedding,
            before: None,
            timings_ms: BTreeMap::new(),
            idempotency: request
                .idempotency
                .as_ref()
                .map(|i| Idempotency { key: i.key.clone(), body: i.body }),
        };
        Ok((record, queue_ms, milliseconds(began)))
    }

    /// Reverts an edit: the codebook becomes what it would be had the edit never been made.
    ///
    /// # Errors
    /// An unknown or already reverted edit, failing storage.
    pub async fn revert(&self, codebook: &CodebookName, id: EditId) -> Result<(), EditorError> {
        let Some(book) = self.existing(codebook)? else { return Err(EditorError::UnknownEdit(id)) };
        blocking(move || Ok(book.revert(id)?)).await
    }
}
