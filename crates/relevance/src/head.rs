//! The head: two linear maps on sentence embeddings, one for what is asked and one for what is said. A
//! sentence bears on a question as much as the cosine of their images says.
//!
//! An encoder of sentences puts "What is the name of this?" near "What is the shape of this?", and a question
//! no nearer to the fact that answers it than to its own topic's other questions. The maps are trained to
//! know what is asked *about* ([`crate::train`]); they belong to one encoder, whose fingerprint they bear.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::error::RelevanceError;

/// What the file says that it is.
const FORMAT: &str = "reasonedit-relevance-head-1";
/// A file above this many bytes is none.
const LARGEST: u64 = 256 << 20;

/// A linear map: rows of the outputs, and what is added to them.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearMap {
    /// `outputs × inputs` numbers, row by row.
    pub weight: Vec<f32>,
    /// `outputs` numbers.
    pub bias: Vec<f32>,
}

/// See the module's description.
#[derive(Clone, Debug, PartialEq)]
pub struct RelevanceHead {
    encoder: String,
    inputs: usize,
    question: LinearMap,
    fact: LinearMap,
    /// Sentence embeddings of questions that no edit concerns, `inputs` numbers each.
    unrelated_embeddings: Vec<Vec<f32>>,
    /// Their images.
    unrelated: Vec<Vec<f32>>,
    /// Above this cosine a statement bears on a question by itself.
    statement_threshold: f64,
}

impl LinearMap {
    fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The image of a sentence embedding, of length 1; zeros where the embedding is none.
    fn of(&self, embedding: &[f32]) -> Vec<f32> {
        let unit = unit(embedding);
        let rows = self.weight.chunks_exact(unit.len().max(1)).zip(&self.bias);
        let image: Vec<f32> = rows.map(|(row, bias)| dot(row, &unit) + bias).collect();
        if unit.iter().all(|x| *x == 0.0) { vec![0.0; image.len()] } else { self::unit(&image) }
    }
}

impl RelevanceHead {
    /// A head of these maps for embeddings of the encoder with this fingerprint.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn new(
        encoder: String,
        (question, fact): (LinearMap, LinearMap),
        unrelated_embeddings: Vec<Vec<f32>>,
        statement_threshold: f64,
    ) -> Result<Self, String> {
        let outputs = question.outputs();
        let inputs = question.weight.len() / outputs.max(1);
        if outputs == 0 || inputs == 0 || question.weight.len() != outputs * inputs {
            return Err("its question map has no shape".to_owned());
        }
        if fact.outputs() != outputs || fact.weight.len() != outputs * inputs {
            return Err("its two maps have different shapes".to_owned());
        }
        if unrelated_embeddings.iter().any(|one| one.len() != inputs) {
            return Err("an unrelated question is of another width".to_owned());
        }
        let numbers = [&question.weight, &question.bias, &fact.weight, &fact.bias];
        let numbers = numbers.into_iter().chain(&unrelated_embeddings).flatten();
        if !numbers.into_iter().all(|x| x.is_finite()) || !(-1.0..=1.0).contains(&statement_threshold) {
            return Err("it has a number that is none, or a threshold beyond 1".to_owned());
        }
        let unrelated = unrelated_embeddings.iter().map(|embedding| question.of(embedding)).collect();
        Ok(Self { encoder, inputs, question, fact, unrelated_embeddings, unrelated, statement_threshold })
    }

    /// Reads a head.
    ///
    /// # Errors
    /// A file that can't be read, or is no head.
    pub fn load(path: &Path) -> Result<Self, RelevanceError> {
        let file = |source| RelevanceError::File { path: path.to_owned(), source };
        let wrong = |what: String| RelevanceError::Head { path: path.to_owned(), what };
        if std::fs::metadata(path).map_err(file)?.len() > LARGEST {
            return Err(wrong("it is too large".to_owned()));
        }
        let bytes = std::fs::read(path).map_err(file)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| wrong(error.to_string()))?;
        let said = header.metadata().clone().unwrap_or_default();
        let said = |name: &str| said.get(name).cloned().ok_or_else(|| format!("it does not say its {name}"));
        if said("format").map_err(wrong)? != FORMAT {
            return Err(wrong("it is of another kind".to_owned()));
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
        let tensor = |name: &str| numbers(&tensors, name);
        let read = || {
            let map = |name: &str| {
                let weight = tensor(&format!("{name}.weight"))?.1;
                Ok::<_, String>(LinearMap { weight, bias: tensor(&format!("{name}.bias"))?.1 })
            };
            let (shape, all) = tensor("unrelated")?;
            let width = shape.last().copied().unwrap_or(0).max(1);
            let unrelated = all.chunks_exact(width).map(<[f32]>::to_vec).collect();
            let threshold = said("statement_threshold")?;
            let threshold =
                threshold.parse().map_err(|_| "its statement_threshold is no number".to_owned())?;
            Self::new(said("encoder")?, (map("question")?, map("fact")?), unrelated, threshold)
        };
        read().map_err(wrong)
    }

    /// The file that [`Self::load`] reads.
    ///
    /// # Errors
    /// What of it can't be told in such a file: a defect.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let (outputs, inputs) = (self.question.outputs(), self.inputs);
        let unrelated: Vec<f32> = self.unrelated_embeddings.iter().flatten().copied().collect();
        let parts = [
            ("question.weight", vec![outputs, inputs], bytes(&self.question.weight)),
            ("question.bias", vec![outputs], bytes(&self.question.bias)),
            ("fact.weight", vec![outputs, inputs], bytes(&self.fact.weight)),
            ("fact.bias", vec![outputs], bytes(&self.fact.bias)),
            ("unrelated", vec![self.unrelated_embeddings.len(), inputs], bytes(&unrelated)),
        ];
        let view = |(name, shape, data)| TensorView::new(Dtype::F32, shape, data).map(|view| (name, view));
        let views = parts.iter().map(|(name, shape, data)| view((*name, shape.clone(), data.as_slice())));
        let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let said = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("encoder".to_owned(), self.encoder.clone()),
            ("statement_threshold".to_owned(), self.statement_threshold.to_string()),
        ]);
        serialize(views, Some(said)).map_err(|error| error.to_string())
    }

    /// Whether it is of the encoder with this fingerprint.
    ///
    /// # Errors
    /// `OtherEncoder`.
    pub fn check(&self, encoder: &str) -> Result<(), RelevanceError> {
        if self.encoder == encoder {
            return Ok(());
        }
        Err(RelevanceError::OtherEncoder { head: self.encoder.clone(), loaded: encoder.to_owned() })
    }

    /// Numbers of a sentence embedding.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Above this cosine a statement bears on a question by itself.
    pub fn statement_threshold(&self) -> f64 {
        self.statement_threshold
    }

    /// The image of what is asked, of length 1; the length of the embedding (λ) says nothing.
    pub fn question(&self, embedding: &[f32]) -> Vec<f32> {
        self.question.of(embedding)
    }

    /// The image of what is said: a statement, or the question that an edit answers. Of length 1.
    pub fn fact(&self, embedding: &[f32]) -> Vec<f32> {
        self.fact.of(embedding)
    }

    /// The images of the questions that no edit concerns.
    pub fn unrelated(&self) -> &[Vec<f32>] {
        &self.unrelated
    }
}

/// Shape and numbers of a tensor of f32.
fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let view = tensors.tensor(name).map_err(|_| format!("it has no {name}"))?;
    if view.dtype() != Dtype::F32 {
        return Err(format!("{name} is not of f32"));
    }
    let (words, _) = view.data().as_chunks::<4>();
    Ok((view.shape().to_vec(), words.iter().map(|word| f32::from_le_bytes(*word)).collect()))
}

/// A vector of length 1 in the same direction; zeros for one that has no direction.
pub fn unit(vector: &[f32]) -> Vec<f32> {
    let length = dot(vector, vector).sqrt();
    if length.is_finite() && length > 0.0 {
        vector.iter().map(|x| x / length).collect()
    } else {
        vec![0.0; vector.len()]
    }
}

/// Inner product, always in the same order.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0f32; LANES];
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            lanes[i] += x[i] * y[i];
        }
    }
    for (i, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[i] += x * y;
    }
    lanes.iter().sum()
}
