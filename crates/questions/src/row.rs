//! The rows of a question: its key (generation, then numbers, little-endian), then what was asked, as JSON.
//! Without the latter there is no question.

use std::sync::Arc;

use reasonedit_codebook::{GenerationId, Journal, Result};
use ulid::Ulid;

use crate::{KeptQuestion, QuestionKey};

const ASKED: u64 = 0;
const KEY: u64 = 1;
/// Bytes of a generation's id.
const ID: usize = 16;

/// The rows of one question, as they are read.
#[derive(Default)]
pub(crate) struct Rows {
    asked: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Rows {
    pub(crate) fn take(&mut self, number: u64, value: Vec<u8>) {
        match number {
            ASKED => self.asked = Some(value),
            KEY => self.key = Some(value),
            _ => {}
        }
    }

    /// The question; one whose key can't be read has none.
    pub(crate) fn read(self, id: Ulid) -> Option<KeptQuestion> {
        let question: KeptQuestion = serde_json::from_slice(&self.asked?).ok()?;
        let key = self.key.as_deref().and_then(read_key);
        (question.id == id).then_some(KeptQuestion { key, ..question })
    }
}

/// # Errors
/// `InvalidRecord` for one that is too large, `Store`, `Unwritable`.
pub(crate) fn write(journal: &Journal, question: &KeptQuestion) -> Result<()> {
    let asked = serde_json::to_vec(question)
        .map_err(|error| reasonedit_codebook::CodebookError::store("write a question", error))?;
    if let Some(QuestionKey { generation, vector }) = &question.key {
        let numbers = vector.iter().flat_map(|number| number.to_le_bytes());
        let bytes: Vec<u8> = generation.to_bytes().into_iter().chain(numbers).collect();
        journal.put(question.id, KEY, &bytes)?;
    }
    journal.put(question.id, ASKED, &asked)
}

fn read_key(bytes: &[u8]) -> Option<QuestionKey> {
    let (id, numbers) = bytes.split_first_chunk::<ID>()?;
    let (numbers, rest) = numbers.as_chunks::<4>();
    let vector: Arc<[f32]> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    (rest.is_empty() && !vector.is_empty())
        .then_some(QuestionKey { generation: GenerationId::from_bytes(*id), vector })
}
