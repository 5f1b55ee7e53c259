//! What bears on a question (method section 5.7): the head and its calibration, kept in step with codebooks.
//!
//! A threshold follows from the live edits. It is found when the first question after a change asks for it;
//! what the model said of a picture meanwhile is remembered, so that another edit costs few looks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use reasonedit_codebook::{CodebookName, ImageId, Relevant, Snapshot};
use reasonedit_imaging::PixelRules;
use reasonedit_inference::SentenceInfo;
use reasonedit_relevance::{Calibration, EditTexts, OpenVerdict, RelevanceError, RelevanceHead, conformal};
use reasonedit_verification::{Grounds, Judged};

use crate::config::RetrievalConfig;
use crate::error::EditorError;
use crate::pictures::{DecodedPicture, PictureDecoder, blocking};
use crate::types::ImageSource;
use crate::visual_entailment::EntailmentJudge;

/// Opinions of the model that are remembered at most, over all codebooks.
const REMEMBERED: usize = 1 << 20;

/// What the model said of a statement on a picture, by both.
type Opinions = HashMap<(ImageId, [u8; 32]), Option<f64>>;

/// Of which state of a codebook a threshold is known.
pub(crate) type CalibrationSlot = Arc<tokio::sync::Mutex<Option<Arc<Calibrated>>>>;

/// Tells what bears on a question.
pub(crate) struct RelevanceGate {
    head: Arc<RelevanceHead>,
    /// Which of the greatest scores is the threshold.
    rank: usize,
    config: RetrievalConfig,
    /// Of the live states, without and with verification.
    books: Mutex<HashMap<(CodebookName, bool), CalibrationSlot>>,
    opinions: Arc<Mutex<Opinions>>,
}

/// How the model is shown pictures of edits.
#[derive(Clone, Copy)]
pub(super) struct Looks<'a> {
    pub(super) judge: EntailmentJudge<'a>,
    pub(super) pictures: &'a Arc<PictureDecoder>,
    /// How their samples are read.
    pub(super) rules: PixelRules,
    /// The picture of an edit that is tried, which is stored nowhere.
    pub(super) tried: Option<&'a DecodedPicture>,
}

/// The state of a codebook whose edits questions are held against.
#[derive(Clone, Copy)]
pub(super) struct AskedTexts<'a> {
    pub(super) codebook: &'a CodebookName,
    pub(super) snapshot: &'a Arc<Snapshot>,
    /// Where what is found is remembered, if it isn't the live one.
    pub(super) own: Option<&'a CalibrationSlot>,
}

/// A state of a codebook, and what bears on questions there.
pub(crate) struct Calibrated {
    snapshot: Arc<Snapshot>,
    texts: Arc<EditTexts>,
    threshold: f64,
}

impl RelevanceGate {
    /// The gate that the configuration asks for; `None` where it asks for none.
    ///
    /// # Errors
    /// No head, one that can't be read or is of another encoder, one with too few questions for the promise.
    pub(crate) fn open(
        retrieval: &RetrievalConfig,
        encoder: &SentenceInfo,
    ) -> Result<Option<Self>, EditorError> {
        let config = &retrieval.relevance;
        if !config.enabled {
            return Ok(None);
        }
        let Some(path) = &config.head else {
            return Err(EditorError::Config(
                "retrieval.relevance is enabled, and neither retrieval.relevance.head nor the model brings a head",
            ));
        };
        let head = RelevanceHead::load(path)?;
        head.check(&encoder.fingerprint)?;
        let (questions, share, confidence) =
            (head.unrelated().len(), config.false_injection, config.confidence);
        let rank = conformal::rank(questions, share, confidence);
        if rank == 0 {
            let needed = conformal::needed(share, confidence);
            return Err(RelevanceError::Promise { questions, share, confidence, needed }.into());
        }
        let head = Arc::new(head);
        let config = retrieval.clone();
        Ok(Some(Self { head, rank, config, books: Mutex::default(), opinions: Arc::default() }))
    }

    /// What bears on a question, by its key; `None` where keys have no text.
    pub(super) async fn relevant(
        &self,
        looks: Looks<'_>,
        state: AskedTexts<'_>,
        (key, verify): (&[f32], bool),
    ) -> Result<Option<Relevant>, EditorError> {
        let calibrated = self.calibrated(looks, state, verify).await?;
        let Some(embedding) = state.snapshot.embedding().filter(|_| !calibrated.texts.is_empty()) else {
            return Ok(None);
        };
        let asked = key.get(embedding.vision_dim as usize..).unwrap_or_default().to_vec();
        let head = Arc::clone(&self.head);
        blocking(move || Ok(Some(calibrated.texts.relevant(&head, &asked, calibrated.threshold)))).await
    }

    /// Texts and threshold of a state of the codebook.
    async fn calibrated(
        &self,
        looks: Looks<'_>,
        AskedTexts { codebook, snapshot, own }: AskedTexts<'_>,
        verify: bool,
    ) -> Result<Arc<Calibrated>, EditorError> {
        let live = Arc::clone(self.books.lock().entry((codebook.clone(), verify)).or_default());
        let mut slot = own.unwrap_or(&live).lock().await;
        if let Some(known) = slot.as_ref().filter(|known| Arc::ptr_eq(&known.snapshot, snapshot)) {
            return Ok(Arc::clone(known));
        }
        let mut known = slot.take();
        if own.is_some() {
            // What the two have in common is taken over, unless the live one is just being looked at.
            known = live.try_lock().ok().and_then(|known| known.clone());
        }
        let (head, state) = (Arc::clone(&self.head), Arc::clone(snapshot));
        let rank = self.rank;
        let begun = blocking(move || {
            let nothing = EditTexts::default();
            let known = known.as_deref().map_or(&nothing, |known| &known.texts);
            let texts = Arc::new(known.follow(&head, &state));
            Ok((Arc::clone(&texts), Calibration::new(texts, &head, rank)))
        });
        let (texts, mut calibration) = begun.await?;
        let threshold = loop {
            let found;
            (calibration, found) = self.go_on(calibration, snapshot, verify).await?;
            match found {
                Ok(threshold) => break threshold,
                Err(missing) => self.ask(looks, snapshot, &missing).await?,
            }
        };
        let calibrated = Arc::new(Calibrated { snapshot: Arc::clone(snapshot), texts, threshold });
        *slot = Some(Arc::clone(&calibrated));
        Ok(calibrated)
    }

    /// The threshold, or the verdicts that it lacks; with the calibration, to be gone on with.
    async fn go_on(
        &self,
        mut calibration: Calibration,
        snapshot: &Arc<Snapshot>,
        verify: bool,
    ) -> Result<(Calibration, Result<f64, Vec<OpenVerdict>>), EditorError> {
        let (snapshot, opinions) = (Arc::clone(snapshot), Arc::clone(&self.opinions));
        let config = self.config.clone();
        blocking(move || {
            let opinions = opinions.lock();
            let verdict =
                |open| if verify { stands(&config, &snapshot, open, &opinions) } else { Some(true) };
            let found = calibration.threshold(verdict);
            Ok((calibration, found))
        })
        .await
    }

    /// Has the model look at pictures for the statements that verdicts lack.
    async fn ask(
        &self,
        looks: Looks<'_>,
        snapshot: &Snapshot,
        missing: &[OpenVerdict],
    ) -> Result<(), EditorError> {
        let min_support = self.config.verify.min_support;
        let mut asked: BTreeMap<ImageId, BTreeSet<&str>> = BTreeMap::new();
        {
            let opinions = self.opinions.lock();
            for open in missing {
                let Some(record) = snapshot.edit(open.edit) else { continue };
                let grounds = Grounds::new(record, min_support);
                let unknown = grounds.statements.iter().map(|ground| ground.text);
                let unknown = unknown.filter(|text| !opinions.contains_key(&opinion_of(open.picture, text)));
                asked.entry(open.picture).or_default().extend(unknown);
            }
        }
        for (picture, statements) in asked {
            let statements: Vec<&str> = statements.into_iter().collect();
            if statements.is_empty() {
                continue;
            }
            let seen = match looks.tried.filter(|tried| tried.id == picture) {
                Some(tried) => looks.pictures.under(tried, looks.rules).await?,
                None => looks.pictures.resolve(&ImageSource::Known(picture), looks.rules).await?,
            };
            let (answers, _) = looks.judge.row(seen.input(None), &statements).await?;
            let mut opinions = self.opinions.lock();
            if opinions.len() + answers.len() > REMEMBERED {
                opinions.clear();
            }
            let answers = statements.iter().zip(answers);
            opinions.extend(answers.map(|(text, p)| (opinion_of(picture, text), p)));
        }
        Ok(())
    }
}

/// Whether an edit holds on a picture; `None` where the model has not been asked about all it rests on. One
/// of which nothing can be judged is taken to hold.
fn stands(
    config: &RetrievalConfig,
    snapshot: &Snapshot,
    open: OpenVerdict,
    opinions: &Opinions,
) -> Option<bool> {
    let Some(record) = snapshot.edit(open.edit) else { return Some(false) };
    let grounds = Grounds::new(record, config.verify.min_support);
    let mut judged = Judged::new();
    for ground in &grounds.statements {
        judged.insert(ground.text, *opinions.get(&opinion_of(open.picture, ground.text))?);
    }
    Some(grounds.mean(&judged).is_none_or(|mean| mean > config.verify.min_edit_support))
}

fn opinion_of(picture: ImageId, statement: &str) -> (ImageId, [u8; 32]) {
    (picture, *blake3::hash(statement.as_bytes()).as_bytes())
}
