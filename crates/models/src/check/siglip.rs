//! The comparison for SigLIP: embeddings of pictures and texts, taps of the vision tower, logits.

use std::path::Path;

use reasonedit_nn::taps::TapName;

use super::{CheckReport, Reference, TapErrors, Tensors, reference_pixels, relative_error, values};
use crate::error::Result;
use crate::load::LoadOptions;
use crate::siglip::Siglip;

pub(super) fn check(folder: &Path, reference: &Reference, tensors: &Tensors) -> Result<CheckReport> {
    let model = Siglip::load(&folder.to_string_lossy(), &LoadOptions::default())?;
    let taps: Vec<TapName> = model.info().taps.iter().map(|t| t.name.clone()).collect();
    let (pixels, pixel_steps) = reference_pixels(folder, reference, tensors, model.preprocessor().as_ref())?;
    let images = model.encode_images(&pixels.iter().collect::<Vec<_>>(), &taps)?;
    let texts = model.encode_texts(&reference.texts)?;
    let mut errors = TapErrors::default();
    let mut batch_error = 0f64;
    for (i, (pixels, together)) in pixels.iter().zip(&images).enumerate() {
        errors.compare(tensors, &format!("image.{i}"), &together.taps)?;
        let alone = model.encode_images(&[pixels], &[])?;
        batch_error = batch_error.max(relative_error(&together.embedding, &alone[0].embedding));
    }
    let mut tokens_equal = reference.texts.len() == reference.text_ids.len();
    for ((text, ids), together) in reference.texts.iter().zip(&reference.text_ids).zip(&texts) {
        tokens_equal &= model.tokens(text)? == *ids;
        let alone = model.encode_texts(std::slice::from_ref(text))?;
        batch_error = batch_error.max(relative_error(together, &alone[0]));
    }
    let mut logits = Vec::new();
    for image in &images {
        for text in &texts {
            logits.push(model.logit(&image.embedding, text)?);
        }
    }
    let embeddings: Vec<f32> = images.iter().flat_map(|i| i.embedding.iter().copied()).collect();
    let mut compared = errors.in_order(&taps);
    compared
        .push(("image_embedding".into(), relative_error(&embeddings, &values(tensors, "image_embeddings")?)));
    compared.push((
        "text_embedding".into(),
        relative_error(&texts.concat(), &values(tensors, "text_embeddings")?),
    ));
    Ok(CheckReport {
        architecture: reference.architecture.clone(),
        cases: reference.texts.len(),
        tokens_equal,
        pixel_steps,
        logits_error: relative_error(&logits, &values(tensors, "logits")?),
        taps: compared,
        greedy_equal: true,
        batch_error,
        cached_error: 0.0,
    })
}
