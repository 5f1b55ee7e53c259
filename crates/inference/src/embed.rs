//! Embeddings: pooled taps of pictures and of pictures with texts.

use std::collections::BTreeSet;
use std::sync::Arc;

use reasonedit_nn::sequence::{LogitsAt, Piece, Sequence};
use reasonedit_nn::taps::{Pooled, PooledTaps, TapName};

use crate::compute::{Compute, past_len};
use crate::error::{EngineError, Result};
use crate::picture::Picture;
use crate::prepare::check_length;
use crate::units::{ImageUnit, PairUnit, SentenceUnit};

impl Compute<'_> {
    pub(super) fn embed_images(&mut self, units: &[&ImageUnit]) -> Result<Vec<PooledTaps>> {
        let taps = union(units.iter().map(|u| u.taps.vision.as_slice()));
        let pictures: Vec<&Picture> = units.iter().map(|u| &*u.picture).collect();
        let features = self.features(&pictures, &taps)?;
        units
            .iter()
            .map(|unit| {
                let features = features.get(&unit.picture.key).ok_or_else(no_features)?;
                select(&features.taps, &unit.taps.vision)
            })
            .collect()
    }

    pub(super) fn embed_pairs(&mut self, units: &[&PairUnit]) -> Result<Vec<PooledTaps>> {
        let vision = union(units.iter().map(|u| u.taps.vision.as_slice()));
        let language = union(units.iter().map(|u| u.taps.language.as_slice()));
        let mut results = vec![PooledTaps::new(); units.len()];
        if !vision.is_empty() {
            let pictures: Vec<&Picture> = units.iter().map(|u| &*u.picture).collect();
            let features = self.features(&pictures, &vision)?;
            for (unit, result) in units.iter().zip(&mut results) {
                let features = features.get(&unit.picture.key).ok_or_else(no_features)?;
                result.extend(select(&features.taps, &unit.taps.vision)?);
            }
        }
        if language.is_empty() {
            return Ok(results);
        }
        let asked: Vec<_> = units.iter().map(|u| (std::slice::from_ref(&u.picture), &*u.prompt)).collect();
        let prefixes = self.prefixes(&asked, &language)?;
        let mut sequences = Vec::with_capacity(units.len());
        for (unit, prefix) in units.iter().zip(&prefixes) {
            let past = prefix.as_ref().map(|p| Arc::clone(&p.kv));
            let tokens = unit.prompt.suffix.clone();
            check_length(past_len(past.as_deref()) + tokens.len(), self.loaded.info.max_positions)?;
            sequences.push(Sequence {
                past,
                pieces: vec![Piece::Tokens(tokens)],
                logits: LogitsAt::None,
                keep_cache: false,
            });
        }
        self.run_all(&sequences, &language, |at, output| {
            let unit = units[at];
            let whole = match &prefixes[at] {
                Some(prefix) => joined(&prefix.taps, output.taps, (prefix.kv.len, unit.prompt.suffix.len())),
                None => output.taps,
            };
            results[at].extend(select(&whole, &unit.taps.language)?);
            Ok(())
        })?;
        Ok(results)
    }

    pub(super) fn embed_sentences(&mut self, units: &[&SentenceUnit]) -> Result<Vec<Vec<f32>>> {
        let texts: Vec<String> = units.iter().map(|u| u.0.clone()).collect();
        let vectors = self.models.sentences.encode(&texts)?;
        if vectors.len() == texts.len() {
            Ok(vectors)
        } else {
            Err(EngineError::Shape(format!("{} sentences gave {} vectors", texts.len(), vectors.len())))
        }
    }
}

/// Pooled taps of a sequence from those of its two parts, of so many tokens each. What only the first part
/// passes, as a Q-Former with its picture, it has from there.
fn joined(first: &PooledTaps, second: PooledTaps, (n, m): (usize, usize)) -> PooledTaps {
    let (n, m) = (n as f64, m as f64);
    let alone: Vec<_> = first.iter().filter(|(name, _)| !second.contains_key(*name)).collect();
    let alone = alone.into_iter().map(|(name, pooled)| (name.clone(), pooled.clone())).collect::<Vec<_>>();
    second
        .into_iter()
        .map(|(name, mut pooled)| {
            if let Some(before) = first.get(&name) {
                for (b, a) in pooled.mean.iter_mut().zip(&before.mean) {
                    *b = ((n * f64::from(*a) + m * f64::from(*b)) / (n + m)) as f32;
                }
            }
            (name, pooled)
        })
        .chain(alone)
        .collect()
}

/// The named taps alone.
pub(super) fn select(taps: &PooledTaps, names: &[TapName]) -> Result<PooledTaps> {
    names
        .iter()
        .map(|name| {
            let pooled: &Pooled = taps.get(name).ok_or_else(|| {
                EngineError::Unsupported(format!("the model gave nothing for the tap {name}"))
            })?;
            Ok((name.clone(), pooled.clone()))
        })
        .collect()
}

fn union<'a>(sets: impl Iterator<Item = &'a [TapName]>) -> Vec<TapName> {
    sets.flatten().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

fn no_features() -> EngineError {
    EngineError::Image("the picture's features are not available".into())
}
