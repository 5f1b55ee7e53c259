//! Embeds the draws of a measurement and measures them. Pictures are embedded once per picture and view,
//! whatever number of nodes they belong to; what sees picture and text, once per node.

use std::collections::HashSet;
use std::sync::Arc;

use reasonedit_imaging::augment::{augment, textures};
use reasonedit_imaging::{PixelRules, RgbImage};
use reasonedit_inference::{CallOptions, FeatureKey, KeyedImage, PooledTaps, TapName};
use reasonedit_topology::{
    Draw, Embeddings, Item, Measures, Network, NetworkSample, Pooling, SquaredDistances, TapKey, TapMeasures,
    TopologyError, WeightMeasures, measure,
};

use super::plan::{Plan, Tap};
use super::samples::plain_facts;
use super::{ModularityRequest, ModularityWatch, SampleSet};
use crate::editor::Editor;
use crate::entries::bounded;
use crate::error::EditorError;
use crate::paraphrase::paraphrases;
use crate::pictures::{DecodedPicture, blocking};
use crate::retry::retry_when_full;

/// Pictures or pairs handed to the engine at once. A question that comes waits for what is being computed:
/// with one, questions took 1.3 times as long beside a job; with sixteen, of which the engine computes two at
/// a time (`background_batch_tokens`), 1.55 (`tools/bench_during_job.py`).
const CHUNK: usize = 1;
/// Pairs in the network that is drawn.
const DRAWN: usize = 6;
/// Side of a texture that stands in for a foreign picture, in pixels.
const TEXTURE_SIDE: u32 = 256;

/// Embeds and measures draws.
pub(super) struct Measurer<'a> {
    editor: &'a Editor,
    samples: &'a SampleSet,
    request: &'a ModularityRequest,
    plan: &'a Plan,
    watch: &'a dyn ModularityWatch,
}

/// Pictures and texts of one draw, in the draw's order.
struct Materials {
    pictures: Vec<KeyedImage>,
    texts: Vec<String>,
}

impl<'a> Measurer<'a> {
    pub(super) fn new(
        editor: &'a Editor,
        samples: &'a SampleSet,
        request: &'a ModularityRequest,
        plan: &'a Plan,
        watch: &'a dyn ModularityWatch,
    ) -> Self {
        Self { editor, samples, request, plan, watch }
    }

    /// Every tap and pooling on draw `run`, in forward order.
    pub(super) async fn taps(&self, run: usize) -> Result<Vec<TapMeasures>, EditorError> {
        let (draw, hand) = (self.plan.tap_draw, &self.plan.tap_hands[run]);
        let mut steps = Steps {
            watch: self.watch,
            stage: "taps",
            done: self.plan.steps_of_tap_run() * run as u64,
            total: self.plan.steps_of_tap_run() * self.request.runs as u64,
        };
        steps.tell();
        let materials = self.materials(&draw, hand, run as u64).await?;
        let mut measured = self.picture_taps(&draw, &materials, &mut steps).await?;
        measured.extend(self.pair_taps(&draw, &materials, &mut steps).await?);
        Ok(measured)
    }

    /// Every weight on draw `run` with the pictures embedded at `tap`, and the network of some of its pairs.
    pub(super) async fn weights(
        &self,
        run: usize,
        tap: &TapKey,
    ) -> Result<(Vec<WeightMeasures>, NetworkSample), EditorError> {
        let (draw, hand) = (self.plan.weight_draw, &self.plan.weight_hands[run]);
        let mut steps = Steps {
            watch: self.watch,
            stage: "weights",
            done: self.plan.steps_of_weight_run() * run as u64,
            total: self.plan.steps_of_weight_run() * self.request.weight_runs as u64,
        };
        steps.tell();
        let materials = self.materials(&draw, hand, u64::MAX - run as u64).await?;
        let name = TapName(tap.tap.clone());
        let embedded = self.embed_pictures(&materials, std::slice::from_ref(&name), &mut steps).await?;
        let images = rows(&embedded, &name, tap.pooling);
        let texts = self.embed_texts(&materials.texts).await?;
        let weights = self.plan.weights.clone();
        blocking(move || {
            let (images, texts) = (squared_distances(&images)?, squared_distances(&texts)?);
            let nodes = draw.node_indices();
            let one = |weight: f64| -> Result<WeightMeasures, TopologyError> {
                let network = Network::of_pairs(&images, &texts, &nodes, weight)?;
                Ok(WeightMeasures { weight, measures: measure(&draw, &network)? })
            };
            let measured = weights.into_iter().map(one).collect::<Result<_, _>>()?;
            let drawn = DRAWN.min(draw.pairs());
            let part = |whole: &SquaredDistances| {
                let values =
                    (0..drawn).flat_map(|a| (0..drawn).map(move |b| (a, b))).map(|(a, b)| whole.get(a, b));
                SquaredDistances::from_values(values.collect(), drawn)
            };
            // No captions: questions about patients stay out of reports.
            let network = part(&images).and_then(|i| NetworkSample::new(&i, &part(&texts)?, Vec::new()));
            Ok((measured, network?))
        })
        .await
    }

    /// The taps that see the picture alone: one embedding per picture and view serves all nodes.
    async fn picture_taps(
        &self,
        draw: &Draw,
        materials: &Materials,
        steps: &mut Steps<'_>,
    ) -> Result<Vec<TapMeasures>, EditorError> {
        let taps: Vec<Tap> = self.plan.picture_taps().into_iter().cloned().collect();
        let names: Vec<TapName> = taps.iter().map(|tap| tap.name.clone()).collect();
        let embedded = self.embed_pictures(materials, &names, steps).await?;
        let (draw, poolings) = (*draw, self.request.pooling.clone());
        blocking(move || {
            let nodes = draw.node_indices();
            let texts = SquaredDistances::zero(draw.items());
            measure_each(&taps, &poolings, |tap, pooling| {
                let images = squared_distances(&rows(&embedded, &tap.name, pooling))?;
                measure(&draw, &Network::of_pairs(&images, &texts, &nodes, 0.0)?)
            })
        })
        .await
    }

    /// The taps that see picture and text: one embedding per node.
    async fn pair_taps(
        &self,
        draw: &Draw,
        materials: &Materials,
        steps: &mut Steps<'_>,
    ) -> Result<Vec<TapMeasures>, EditorError> {
        let taps: Vec<Tap> = self.plan.pair_taps().into_iter().cloned().collect();
        if taps.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<TapName> = taps.iter().map(|tap| tap.name.clone()).collect();
        let nodes = draw.node_indices();
        let mut embedded = Vec::with_capacity(nodes.len());
        for chunk in nodes.chunks(CHUNK) {
            let pair = |&(image, text): &(u32, u32)| {
                (materials.pictures[image as usize].clone(), materials.texts[text as usize].clone())
            };
            let pairs: Vec<_> = chunk.iter().map(pair).collect();
            let engine = self.editor.core.engine();
            let embed = || async {
                Ok(engine.embed_pairs(pairs.clone(), names.clone(), CallOptions::background()).await?)
            };
            embedded.extend(retry_when_full(embed).await?.0);
            steps.advance(chunk.len());
        }
        let (draw, poolings) = (*draw, self.request.pooling.clone());
        blocking(move || {
            measure_each(&taps, &poolings, |tap, pooling| {
                let rows = rows(&embedded, &tap.name, pooling);
                let width = rows.first().map_or(0, Vec::len);
                let flat: Vec<f32> = rows.concat();
                measure(&draw, &Network::of_rows(Embeddings::new(&flat, width)?)?)
            })
        })
        .await
    }

    async fn embed_pictures(
        &self,
        materials: &Materials,
        taps: &[TapName],
        steps: &mut Steps<'_>,
    ) -> Result<Vec<PooledTaps>, EditorError> {
        let mut embedded = Vec::with_capacity(materials.pictures.len());
        for chunk in materials.pictures.chunks(CHUNK) {
            let engine = self.editor.core.engine();
            let embed = || async {
                Ok(engine.embed_images_taps(chunk.to_vec(), taps.to_vec(), CallOptions::background()).await?)
            };
            embedded.extend(retry_when_full(embed).await?.0);
            steps.advance(chunk.len());
        }
        Ok(embedded)
    }

    async fn embed_texts(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EditorError> {
        let mut embedded = Vec::with_capacity(texts.len());
        for chunk in texts.chunks(CHUNK) {
            let engine = self.editor.core.engine();
            let embed =
                || async { Ok(engine.embed_sentences(chunk.to_vec(), CallOptions::background()).await?) };
            embedded.extend(retry_when_full(embed).await?.0);
        }
        Ok(embedded)
    }

    /// Pictures and texts of a draw: the originals, their views, and foreign ones. The same whenever they are
    /// made.
    async fn materials(&self, draw: &Draw, hand: &[usize], run: u64) -> Result<Materials, EditorError> {
        let editor = self.editor;
        let mut originals = Vec::with_capacity(hand.len());
        for &at in hand {
            // What is chosen is moved to by today's rules, whatever those of the keys that are there.
            let source = &self.samples.samples[at].image;
            originals.push(editor.core.pictures().resolve(source, PixelRules::CURRENT).await?);
        }
        let texts: Vec<String> = hand.iter().map(|&at| self.samples.samples[at].text.clone()).collect();
        let config = editor.core.config();
        let (first, count) = (self.seed("paraphrase", run), draw.views());
        let seed = |text: usize, view: usize| first.wrapping_add((text * count + view) as u64);
        let views = paraphrases(
            editor.core.paraphraser(),
            &config.radius,
            &config.prompts,
            &texts,
            count,
            seed,
            CallOptions::background(),
        )
        .await?;
        let facts: Vec<&str> = plain_facts().collect();
        let offset = self.seed("facts", run) as usize % facts.len();
        let text = |item: &Item| match *item {
            Item::Original { pair } => texts[pair].clone(),
            Item::View { pair, view } => views[pair][view].clone(),
            // A stride without common factor with the number of facts: all different.
            Item::Foreign { index } => facts[(offset + index * 7) % facts.len()].to_owned(),
        };
        let all_texts = draw.texts().iter().map(text).collect();
        let foreign = self.foreign_pictures(draw.foreign(), hand, run).await?;
        let pictures = self.pictures_of(draw, originals, foreign, run).await?;
        Ok(Materials { pictures, texts: all_texts })
    }

    /// Pictures that belong to no sample of the draw: backgrounds if the user gave some, else other samples'
    /// pictures, else textures.
    async fn foreign_pictures(
        &self,
        count: usize,
        hand: &[usize],
        run: u64,
    ) -> Result<Vec<KeyedImage>, EditorError> {
        let input = |picture: Arc<RgbImage>, index: usize, what: &str| KeyedImage {
            key: FeatureKey {
                image: identity(&[what.as_bytes(), &run.to_le_bytes(), &index.to_le_bytes()]),
                area: None,
            },
            picture,
        };
        let backgrounds = self.editor.core.backgrounds(PixelRules::CURRENT);
        let mut foreign: Vec<KeyedImage> = (0..count.min(backgrounds.len()))
            .map(|at| input(Arc::new(backgrounds[at].clone()), at, "background"))
            .collect();
        let drawn: HashSet<usize> = hand.iter().copied().collect();
        let mut others: Vec<usize> = (0..self.samples.len()).filter(|at| !drawn.contains(at)).collect();
        let start = self.seed("foreign", run) as usize % others.len().max(1);
        others.rotate_left(start);
        for at in others.into_iter().take(count - foreign.len()) {
            let source = &self.samples.samples[at].image;
            let picture = self.editor.core.pictures().resolve(source, PixelRules::CURRENT).await?;
            foreign.push(picture.input(None));
        }
        let (seed, left) = (self.seed("texture", run), count - foreign.len());
        let made = blocking(move || Ok(textures(seed, left as u32, TEXTURE_SIDE))).await?;
        foreign.extend(made.into_iter().enumerate().map(|(at, made)| input(Arc::new(made), at, "texture")));
        Ok(foreign)
    }

    /// The draw's pictures in its order; views are augmented from the originals.
    async fn pictures_of(
        &self,
        draw: &Draw,
        originals: Vec<DecodedPicture>,
        foreign: Vec<KeyedImage>,
        run: u64,
    ) -> Result<Vec<KeyedImage>, EditorError> {
        let radius = &self.editor.core.config().radius;
        let (settings, limit) = (radius.augment.clone(), radius.augment_pixels);
        let backgrounds = Arc::clone(self.editor.core.backgrounds(PixelRules::CURRENT));
        let (items, seed) = (draw.images(), self.seed("augment", run));
        blocking(move || {
            let small: Vec<RgbImage> =
                originals.iter().map(|picture| bounded(picture.pixels.as_ref().clone(), limit)).collect();
            let input = |item: Item| match item {
                Item::Original { pair } => originals[pair].input(None),
                Item::Foreign { index } => foreign[index].clone(),
                Item::View { pair, view } => {
                    let seed = seed.wrapping_add((pair * 1000 + view) as u64);
                    let id = originals[pair].key();
                    KeyedImage {
                        key: FeatureKey { image: identity(&[b"view", &id, &seed.to_le_bytes()]), area: None },
                        picture: Arc::new(augment(&small[pair], &settings, &backgrounds, seed)),
                    }
                }
            };
            Ok(items.into_iter().map(input).collect())
        })
        .await
    }

    /// Seed of one random choice of one run.
    fn seed(&self, what: &str, run: u64) -> u64 {
        let hash = identity(&[what.as_bytes(), &self.request.seed.to_le_bytes(), &run.to_le_bytes()]);
        u64::from_le_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
    }
}

/// Counts what is embedded.
struct Steps<'a> {
    watch: &'a dyn ModularityWatch,
    stage: &'static str,
    done: u64,
    total: u64,
}

impl Steps<'_> {
    fn tell(&self) {
        self.watch.progress(self.stage, self.done, self.total);
    }

    fn advance(&mut self, by: usize) {
        self.done += by as u64;
        self.tell();
    }
}

/// Every tap with every pooling, in order.
fn measure_each(
    taps: &[Tap],
    poolings: &[Pooling],
    one: impl Fn(&Tap, Pooling) -> Result<Measures, TopologyError>,
) -> Result<Vec<TapMeasures>, EditorError> {
    let mut measured = Vec::with_capacity(taps.len() * poolings.len());
    for tap in taps {
        for &pooling in poolings {
            let measures = one(tap, pooling)?;
            measured.push(TapMeasures { tap: tap.name.0.clone(), stage: tap.stage, pooling, measures });
        }
    }
    Ok(measured)
}

/// The vectors of one tap and pooling.
fn rows(embedded: &[PooledTaps], tap: &TapName, pooling: Pooling) -> Vec<Vec<f32>> {
    let of = |taps: &PooledTaps| {
        taps.get(tap).map(|pooled| match pooling {
            Pooling::Mean => pooled.mean.clone(),
            Pooling::Last => pooled.last.clone(),
        })
    };
    // The engine returns every tap that was asked for.
    embedded.iter().map(|taps| of(taps).unwrap_or_default()).collect()
}

fn squared_distances(rows: &[Vec<f32>]) -> Result<SquaredDistances, TopologyError> {
    let width = rows.first().map_or(0, Vec::len);
    let flat: Vec<f32> = rows.concat();
    Ok(SquaredDistances::of(Embeddings::new(&flat, width)?))
}

/// Identity of something made from these parts.
fn identity(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}
