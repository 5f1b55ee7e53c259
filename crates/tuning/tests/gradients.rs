//! Losses and gradients beside PyTorch's, for the demo model and two tiny checkpoints of other architectures
//! (`tests/goldens`, made by `tools/gradients.py`).

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]
#![allow(clippy::print_stdout, reason = "the errors themselves are shown with --nocapture")]

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use reasonedit_models::{
    Adaptation, Cut, HiddenStates, LoadOptions, LogitsAt, NnResult, Piece, PixelInput, Projection, Sequence,
    Unadapted, VisionLanguageModel,
};
use reasonedit_tuning::{Example, WeightPatch, cross_entropy};
use serde::Deserialize;

/// Of a gradient: length of what it differs by over its own. Of a loss: over the loss.
const GRADIENTS: f64 = 1e-4;
/// Of logits and hidden states: greatest difference over greatest magnitude.
const FORWARD: f64 = 1e-5;

const FEED_FORWARD: [Projection; 3] = [Projection::Gate, Projection::Up, Projection::Down];
const ATTENTION: [Projection; 4] =
    [Projection::Query, Projection::Key, Projection::Value, Projection::Output];

/// `example.json`.
#[derive(Deserialize)]
struct About {
    checkpoint: String,
    image: Option<String>,
    pixels: Option<String>,
    prompt_ids: Vec<u32>,
    reply_ids: Vec<u32>,
    middle: usize,
    alpha: f64,
    rank: usize,
}

type Tensors = HashMap<String, Tensor>;

/// A model with a prompt and a reply.
struct Golden {
    folder: PathBuf,
    about: About,
    model: Box<dyn VisionLanguageModel>,
    sequence: Sequence,
    layers: usize,
}

fn tensors(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

impl Golden {
    fn open(name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
        let about: About =
            serde_json::from_slice(&std::fs::read(folder.join("example.json")).unwrap()).unwrap();
        let checkpoint = root.join(&about.checkpoint);
        let model = reasonedit_models::load(&checkpoint.to_string_lossy(), &LoadOptions::default()).unwrap();
        let pixels = match (&about.image, &about.pixels) {
            (Some(image), _) => {
                let bytes = std::fs::read(folder.join(image)).unwrap();
                let limits = reasonedit_imaging::DecodeLimits::default();
                let decoded = reasonedit_imaging::decode(&bytes, &limits).unwrap();
                model.preprocessor().preprocess(&decoded.image).unwrap()
            }
            (None, Some(name)) => stored(&tensors(&checkpoint.join("reference.safetensors")), name),
            (None, None) => panic!("{name} has no picture"),
        };
        let features = model.encode_images(&[&pixels], &[]).unwrap().remove(0);
        let placeholder = model.tokenizer().image_token().unwrap();
        let (prompt, reply) = (&about.prompt_ids, &about.reply_ids);
        let first = prompt.iter().position(|id| *id == placeholder).unwrap();
        let behind = first + features.len();
        assert!(prompt[first..behind].iter().all(|id| *id == placeholder));
        let rest = [&prompt[behind..], &reply[..reply.len() - 1]].concat();
        let pieces =
            vec![Piece::Tokens(prompt[..first].to_vec()), Piece::Image(features), Piece::Tokens(rest)];
        let logits = LogitsAt::From(prompt.len() - 1);
        let sequence = Sequence { past: None, pieces, logits, keep_cache: false };
        let layers = model.differentiable(Cut::Layer(0)).unwrap().layers();
        Self { folder, about, model, sequence, layers }
    }

    fn tensors(&self, file: &str) -> Tensors {
        tensors(&self.folder.join(file))
    }

    fn last(&self) -> Cut {
        Cut::FeedForward(self.layers - 1)
    }

    fn states(&self, cut: Cut) -> HiddenStates {
        self.model.hidden_states(std::slice::from_ref(&self.sequence), cut).unwrap().remove(0)
    }

    fn loss(&self, states: HiddenStates, adaptation: &dyn Adaptation) -> Tensor {
        let suffix = self.model.differentiable(states.cut).unwrap();
        let example = Example { states, targets: self.about.reply_ids.clone() };
        cross_entropy(&suffix, &[&example], adaptation).unwrap()
    }

    fn logits(&self, cut: Cut, adaptation: &dyn Adaptation) -> Tensor {
        self.model.differentiable(cut).unwrap().logits(&[&self.states(cut)], adaptation).unwrap()
    }

    fn fast_logits(&self) -> Vec<f32> {
        self.model.run(std::slice::from_ref(&self.sequence), &[]).unwrap().remove(0).logits
    }
}

/// The pixels that the reference has of a picture.
fn stored(reference: &Tensors, name: &str) -> PixelInput {
    let grid = floats(&reference[&format!("{name}.grid")]);
    let grid = (grid[0] as usize, grid[1] as usize, grid[2] as usize);
    PixelInput { values: floats(&reference[&format!("{name}.pixels")]), grid }
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn length(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Length of the difference over the length of `want`.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let of = |x: &f32| f64::from(*x);
    let whole = length(want.iter().map(of));
    assert!(whole > 0.0);
    length(got.iter().zip(want).map(|(a, b)| of(a) - of(b))) / whole
}

/// Greatest difference over the greatest magnitude of `want`.
fn forward_error(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let greatest = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |a, b| a.max(b.abs()));
    let difference = greatest(&mut got.iter().zip(want).map(|(a, b)| a - b));
    f64::from(difference / greatest(&mut want.iter().copied()))
}

/// Asserts that a gradient is the golden's, of which a large one is written by its norm, some of its entries
/// and its products with a vector on either side.
fn assert_gradient(golden: &Tensors, name: &str, gradient: &Tensor) {
    let mut errors = Vec::new();
    if let Some(whole) = golden.get(name) {
        assert_eq!(gradient.dims(), whole.dims(), "{name}");
        errors.push(distance(&floats(gradient), &floats(whole)));
    } else {
        let part = |part: &str| &golden[&format!("{name}.{part}")];
        let got = floats(gradient);
        let norm = f64::from(floats(part("norm"))[0]);
        errors.push((length(got.iter().map(|x| f64::from(*x))) / norm - 1.0).abs());
        let indices: Vec<i64> = part("indices").to_vec1().unwrap();
        let entries: Vec<f32> = indices.iter().map(|i| got[*i as usize]).collect();
        errors.push(distance(&entries, &floats(part("entries"))));
        let (rows, columns) = gradient.dims2().unwrap();
        let vector = |length: usize| golden[&format!("vector.{length}")].clone();
        let left = vector(rows).unsqueeze(0).unwrap().matmul(gradient).unwrap();
        errors.push(distance(&floats(&left), &floats(part("left"))));
        let right = gradient.matmul(&vector(columns).unsqueeze(1).unwrap()).unwrap();
        errors.push(distance(&floats(&right), &floats(part("right"))));
    }
    println!("{name}: {errors:?}");
    assert!(errors.iter().all(|error| *error < GRADIENTS), "{name}: {errors:?}");
}

fn assert_loss(golden: &Tensors, loss: &Tensor) {
    let (got, want) = (loss.to_scalar::<f32>().unwrap(), floats(&golden["loss"])[0]);
    assert!(f64::from((got - want).abs() / want) < GRADIENTS, "{got} for {want}");
}

/// Copies of weights of one layer, as they are.
fn copies(golden: &Golden, cut: Cut, projections: &[Projection]) -> (Vec<Var>, WeightPatch) {
    let suffix = golden.model.differentiable(cut).unwrap();
    let layer = cut.layer();
    let variables: Vec<Var> = projections
        .iter()
        .map(|projection| Var::from_tensor(&suffix.weight(layer, *projection).unwrap()).unwrap())
        .collect();
    let patch = projections.iter().zip(&variables).map(|(p, v)| ((layer, *p), v.as_tensor().clone()));
    let patch = WeightPatch(patch.collect());
    (variables, patch)
}

/// Low-rank factors beside the attention's projections.
struct LowRank {
    factors: BTreeMap<(usize, Projection), (Var, Var)>,
    scale: f64,
}

impl LowRank {
    fn read(golden: &Golden, tensors: &Tensors) -> Self {
        let variable = |layer: usize, projection: Projection, factor: &str| {
            let stored = &tensors[&format!("layers.{layer}.{}.{factor}", projection.name())];
            Var::from_tensor(&stored.to_dtype(DType::F32).unwrap()).unwrap()
        };
        let factors = (0..golden.layers).flat_map(|layer| ATTENTION.map(|projection| (layer, projection)));
        let factors = factors
            .map(|(layer, p)| ((layer, p), (variable(layer, p, "lora_A"), variable(layer, p, "lora_B"))))
            .collect();
        Self { factors, scale: golden.about.alpha / golden.about.rank as f64 }
    }
}

impl Adaptation for LowRank {
    fn projects(&self, layer: usize, projection: Projection) -> bool {
        self.factors.contains_key(&(layer, projection))
    }

    fn projected(
        &self,
        layer: usize,
        projection: Projection,
        input: &Tensor,
        output: Tensor,
        _rows: &[Range<usize>],
    ) -> NnResult<Tensor> {
        let Some((a, b)) = self.factors.get(&(layer, projection)) else { return Ok(output) };
        let change = input.matmul(&a.as_tensor().t()?)?.matmul(&b.as_tensor().t()?)?;
        Ok((output + (change * self.scale)?)?)
    }
}

fn forward_equals_the_fast_path_and_pytorch(name: &str) {
    let golden = Golden::open(name);
    let fast = golden.fast_logits();
    let want = golden.tensors("feed_forward.safetensors");
    assert!(forward_error(&fast, &floats(&want["logits"])) < GRADIENTS);
    for cut in [golden.last(), Cut::FeedForward(golden.about.middle), Cut::Layer(0)] {
        // Copies of the weights go through the operations that track gradients.
        let (_variables, patch) = copies(&golden, cut, &FEED_FORWARD);
        for adaptation in [&Unadapted as &dyn Adaptation, &patch] {
            let error = forward_error(&floats(&golden.logits(cut, adaptation)), &fast);
            println!("{name}, {cut:?}: {error:.1e}");
            assert!(error < FORWARD, "{cut:?}: {error}");
        }
    }
    let hidden = golden.states(golden.last()).states;
    assert!(forward_error(&floats(&hidden), &floats(&want["hidden"])) < GRADIENTS);
}

fn feed_forwards_have_pytorchs_gradients(name: &str) {
    let golden = Golden::open(name);
    let want = golden.tensors("feed_forward.safetensors");
    let check = |cut: Cut, projections: &[Projection], states: HiddenStates, hidden: Option<&Var>| {
        let (variables, patch) = copies(&golden, cut, projections);
        let loss = golden.loss(states, &patch);
        assert_loss(&want, &loss);
        let gradients = loss.backward().unwrap();
        for (projection, variable) in projections.iter().zip(&variables) {
            let name = format!("gradient.layers.{}.{}.weight", cut.layer(), projection.name());
            assert_gradient(&want, &name, gradients.get(variable).unwrap());
        }
        if let Some(hidden) = hidden {
            assert_gradient(&want, "hidden.gradient", gradients.get(hidden).unwrap());
        }
    };
    let mut states = golden.states(golden.last());
    let hidden = Var::from_tensor(&states.states).unwrap();
    states.states = hidden.as_tensor().clone();
    check(golden.last(), &FEED_FORWARD, states, Some(&hidden));
    let middle = Cut::FeedForward(golden.about.middle);
    check(middle, &[Projection::Down], golden.states(middle), None);
    // The same from further below.
    let (variables, patch) = copies(&golden, middle, &[Projection::Down]);
    let gradients = golden.loss(golden.states(Cut::Layer(0)), &patch).backward().unwrap();
    let name = format!("gradient.layers.{}.mlp.down_proj.weight", golden.about.middle);
    assert_gradient(&want, &name, gradients.get(&variables[0]).unwrap());
}

fn low_rank_factors_have_pytorchs_gradients(name: &str) {
    let golden = Golden::open(name);
    let want = golden.tensors("low_rank.safetensors");
    let adapted = LowRank::read(&golden, &want);
    let cut = Cut::Layer(0);
    let logits = golden.logits(cut, &adapted);
    let last = logits.get(golden.about.reply_ids.len() - 1).unwrap();
    assert!(forward_error(&floats(&last), &floats(&want["logits"])) < GRADIENTS);
    let loss = golden.loss(golden.states(cut), &adapted);
    assert_loss(&want, &loss);
    let gradients = loss.backward().unwrap();
    for ((layer, projection), (a, b)) in &adapted.factors {
        for (factor, variable) in [("lora_A", a), ("lora_B", b)] {
            let name = format!("gradient.layers.{layer}.{}.{factor}", projection.name());
            assert_gradient(&want, &name, gradients.get(variable).unwrap());
        }
    }
}

macro_rules! goldens {
    ($($module:ident: $name:literal),*) => {$(
        mod $module {
            #[test]
            fn forward_equals_the_fast_path_and_pytorch() {
                super::forward_equals_the_fast_path_and_pytorch($name);
            }

            #[test]
            fn feed_forwards_have_pytorchs_gradients() {
                super::feed_forwards_have_pytorchs_gradients($name);
            }

            #[test]
            fn low_rank_factors_have_pytorchs_gradients() {
                super::low_rank_factors_have_pytorchs_gradients($name);
            }
        }
    )*};
}

goldens!(demo: "demo", qwen2_5_vl: "qwen2_5_vl-2", llava: "llava-4");
