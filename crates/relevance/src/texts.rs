//! What a state of a codebook says, as the head sees it: every text once, with the edits that it comes from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use reasonedit_codebook::{
    EditId, EditRecord, EntryKind, GenerationId, ImageId, Member, Relevance, Relevant, RelevantStatement,
    Snapshot,
};

use crate::head::{RelevanceHead, dot};

/// Below this cosine nothing bears on anything, whatever was calibrated.
pub const FLOOR: f64 = 0.2;

/// A text by the bits of its sentence embedding: equal texts have equal ones.
type TextId = [u8; 32];

/// A text that edits have in common.
#[derive(Debug)]
struct Text {
    image: Vec<f32>,
    /// The unrelated questions that come near it, each with its cosine; found when first asked for.
    near: OnceLock<Vec<(u32, f32)>>,
}

/// What one edit says: the first of its members that says each of it.
#[derive(Debug)]
struct Said {
    picture: ImageId,
    question: (TextId, Arc<Member>),
    statements: Vec<Arc<Member>>,
}

/// A text, and the edits that it comes from, in their order.
#[derive(Clone, Debug)]
struct Spoken {
    text: Arc<Text>,
    edits: Vec<EditId>,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct EditTexts {
    generation: Option<GenerationId>,
    edits: BTreeMap<EditId, Arc<Said>>,
    /// The edits' questions.
    questions: HashMap<TextId, Spoken>,
    /// Their statements, as they are written.
    statements: HashMap<String, Spoken>,
}

/// An edit whose question an unrelated one comes near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) score: f32,
    pub(crate) unrelated: u32,
    pub(crate) edit: EditId,
}

impl EditTexts {
    /// The texts of a state of the codebook; what `self` has of the same generation is taken over. Empty
    /// where keys have no text half.
    pub fn follow(&self, head: &RelevanceHead, snapshot: &Snapshot) -> Self {
        let Some(embedding) = snapshot.embedding() else { return Self::default() };
        if embedding.sentence_dim as usize != head.inputs() || embedding.lambda == 0.0 {
            return Self::default();
        }
        let nothing = Self::default();
        let known = if self.generation == Some(embedding.id) { self } else { &nothing };
        let mut next = Self { generation: Some(embedding.id), ..Self::default() };
        let half = HalfOf { head, from: embedding.vision_dim as usize };
        // What an edit says that an older one says too is there by that one.
        for record in snapshot.edits().filter(|record| snapshot.carries(record.id)) {
            let said = match known.edits.get(&record.id) {
                Some(said) => Arc::clone(said),
                None => match said(record, snapshot, half) {
                    Some(said) => Arc::new(said),
                    None => continue,
                },
            };
            next.add(record.id, said, known, half);
        }
        next
    }

    fn add(&mut self, edit: EditId, said: Arc<Said>, known: &Self, half: HalfOf<'_>) {
        let (id, member) = &said.question;
        let spoken = self.questions.entry(*id).or_insert_with(|| {
            let known = known.questions.get(id);
            Spoken {
                text: known.map_or_else(|| half.image(member), |known| Arc::clone(&known.text)),
                edits: vec![],
            }
        });
        spoken.edits.push(edit);
        for member in &said.statements {
            if let Some(spoken) = self.statements.get_mut(&member.sentence) {
                spoken.edits.push(edit);
                continue;
            }
            let known = known.statements.get(&member.sentence);
            let text = known.map_or_else(|| half.image(member), |known| Arc::clone(&known.text));
            self.statements.insert(member.sentence.clone(), Spoken { text, edits: vec![edit] });
        }
        self.edits.insert(edit, said);
    }

    /// Whether nothing is known of any edit.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The pictures of the edits, each once.
    pub(crate) fn pictures(&self) -> BTreeSet<ImageId> {
        self.edits.values().map(|said| said.picture).collect()
    }

    pub(crate) fn picture_of(&self, edit: EditId) -> Option<ImageId> {
        self.edits.get(&edit).map(|said| said.picture)
    }

    /// What bears on a question, by its sentence embedding: edits whose question is above `threshold`, and
    /// statements above the head's own. An edit of the very question bears on it whatever the head makes of
    /// it.
    pub fn relevant(&self, head: &RelevanceHead, embedding: &[f32], threshold: f64) -> Relevant {
        let (question, asked) = (head.question(embedding), text_id(embedding));
        let statement_threshold = head.statement_threshold();
        let mut relevant = Relevant::default();
        let mut best = None::<f64>;
        for (id, spoken) in &self.questions {
            let score = if *id == asked { 1.0 } else { f64::from(dot(&question, &spoken.text.image)) };
            best = Some(best.map_or(score, |best| best.max(score)));
            if score > threshold {
                relevant.edits.extend(spoken.edits.iter().map(|edit| (*edit, score)));
            }
        }
        for (sentence, spoken) in &self.statements {
            let score = f64::from(dot(&question, &spoken.text.image));
            if score > statement_threshold {
                let edits = spoken.edits.iter().copied().collect();
                relevant.statements.insert(sentence.clone(), RelevantStatement { score, edits });
            }
        }
        relevant.held_against =
            Relevance { question: best, question_threshold: threshold, statement_threshold };
        relevant
    }

    /// Every edit with every unrelated question (by their images) whose cosine is above [`FLOOR`].
    pub(crate) fn near(&self, unrelated: &[Vec<f32>]) -> Vec<Near> {
        let mut near = Vec::new();
        for Spoken { text, edits } in self.questions.values() {
            let found = text.near.get_or_init(|| {
                let scores = unrelated.iter().map(|question| dot(question, &text.image));
                (0..).zip(scores).filter(|(_, score)| f64::from(*score) > FLOOR).collect()
            });
            let of_edit = |edit: &EditId| {
                let edit = *edit;
                found.iter().map(move |(unrelated, score)| Near {
                    score: *score,
                    unrelated: *unrelated,
                    edit,
                })
            };
            near.extend(edits.iter().flat_map(of_edit));
        }
        near
    }
}

/// Where the text half of a key begins, and the head that it is seen with.
#[derive(Clone, Copy)]
struct HalfOf<'a> {
    head: &'a RelevanceHead,
    from: usize,
}

impl HalfOf<'_> {
    fn of(self, member: &Member) -> &[f32] {
        member.key.get(self.from..).unwrap_or_default()
    }

    fn image(self, member: &Member) -> Arc<Text> {
        Arc::new(Text { image: self.head.fact(self.of(member)), near: OnceLock::new() })
    }
}

/// What an edit says; `None` for one without an answer.
fn said(record: &EditRecord, snapshot: &Snapshot, half: HalfOf<'_>) -> Option<Said> {
    let (mut question, mut statements) = (None, Vec::<Arc<Member>>::new());
    for member in snapshot.members_of(record.id) {
        match member.kind {
            EntryKind::Answer => question = Some((text_id(half.of(member)), Arc::clone(member))),
            EntryKind::Statement if statements.iter().any(|own| own.sentence == member.sentence) => {}
            EntryKind::Statement => statements.push(Arc::clone(member)),
        }
    }
    Some(Said { picture: record.image.id, question: question?, statements })
}

fn text_id(half: &[f32]) -> TextId {
    let bytes: Vec<u8> = half.iter().flat_map(|number| number.to_le_bytes()).collect();
    *blake3::hash(&bytes).as_bytes()
}
