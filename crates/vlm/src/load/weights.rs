//! Weights of a checkpoint: safetensors files read in place, every tensor asked for by name and shape.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::SafeTensors;

use crate::blocks::linear::Linear;
use crate::{Result, VlmError};

/// Where one tensor lies.
#[derive(Debug)]
struct Entry {
    file: usize,
    bytes: Range<usize>,
    dtype: DType,
    shape: Vec<usize>,
}

#[derive(Debug)]
enum Source {
    Files {
        maps: Vec<Mmap>,
        entries: BTreeMap<String, Entry>,
        used: RefCell<BTreeSet<String>>,
    },
    /// No weights at all: what is asked for is written down (for comparing with published lists of parameters).
    Names(RefCell<Vec<(String, Vec<usize>)>>),
}

/// Opened weights, and the type and device that tensors are wanted in.
#[derive(Debug)]
pub(crate) struct Weights {
    source: Source,
    dtype: DType,
    device: Device,
}

impl Weights {
    /// Maps the files of a checkpoint into memory.
    pub(crate) fn open(files: &[impl AsRef<Path>], dtype: DType, device: Device) -> Result<Self> {
        let mut maps = Vec::new();
        let mut entries = BTreeMap::new();
        for (file, path) in files.iter().enumerate() {
            let map = map_file(path.as_ref())?;
            let name =
                path.as_ref().file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let malformed = |e: safetensors::SafeTensorError| {
                VlmError::load(&name, format!("not a whole safetensors file ({e}); download it again"))
            };
            SafeTensors::deserialize(&map).map_err(malformed)?;
            let (header, metadata) = SafeTensors::read_metadata(&map).map_err(malformed)?;
            for (tensor, info) in metadata.tensors() {
                let dtype = stored_type(&tensor, info.dtype)?;
                let bytes = 8 + header + info.data_offsets.0..8 + header + info.data_offsets.1;
                let entry = Entry { file, bytes, dtype, shape: info.shape.clone() };
                if entries.insert(tensor.clone(), entry).is_some() {
                    return Err(VlmError::load(tensor, "it stands in more than one file"));
                }
            }
            maps.push(map);
        }
        Ok(Self { source: Source::Files { maps, entries, used: RefCell::default() }, dtype, device })
    }

    /// Weights without content that note what is asked for.
    pub(crate) fn names_only() -> Self {
        Self { source: Source::Names(RefCell::default()), dtype: DType::F32, device: Device::Cpu }
    }

    /// What was asked for so far, in that order; empty unless [`Self::names_only`].
    pub(crate) fn asked(&self) -> Vec<(String, Vec<usize>)> {
        match &self.source {
            Source::Names(names) => names.borrow().clone(),
            Source::Files { .. } => Vec::new(),
        }
    }

    /// Bytes of every file, for fingerprints.
    pub(crate) fn maps(&self) -> &[Mmap] {
        match &self.source {
            Source::Files { maps, .. } => maps,
            Source::Names(_) => &[],
        }
    }

    /// Type of the tensors handed out.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Device of the tensors handed out.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Parameters in all tensors that were asked for.
    pub(crate) fn parameters(&self) -> u64 {
        match &self.source {
            Source::Files { entries, used, .. } => {
                used.borrow().iter().map(|n| entries[n].shape.iter().product::<usize>() as u64).sum()
            }
            Source::Names(names) => names.borrow().iter().map(|n| n.1.iter().product::<usize>() as u64).sum(),
        }
    }

    /// Names below a prefix.
    pub(crate) fn scope(&self, prefix: impl Into<String>) -> Scope<'_> {
        Scope { weights: self, prefix: prefix.into() }
    }

    /// Whether a tensor of that name exists (always true for [`Self::names_only`]).
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Files { entries, .. } => entries.contains_key(name),
            Source::Names(_) => true,
        }
    }

    /// Checks that nothing is left over: a tensor that nobody asked for means another architecture than the code's.
    pub(crate) fn finish(&self, may_remain: impl Fn(&str) -> bool) -> Result<()> {
        let Source::Files { entries, used, .. } = &self.source else { return Ok(()) };
        let used = used.borrow();
        let surplus: Vec<&str> =
            entries.keys().filter(|n| !used.contains(*n) && !may_remain(n)).map(String::as_str).collect();
        match surplus.first() {
            None => Ok(()),
            Some(first) => Err(VlmError::load(
                *first,
                format!(
                    "the checkpoint has {} tensors that its config.json has no place for; is this config.json \
                     the one of these weights?",
                    surplus.len()
                ),
            )),
        }
    }

    fn entry(&self, name: &str, shape: &[usize]) -> Result<Option<(&Entry, &[u8])>> {
        match &self.source {
            Source::Names(names) => {
                names.borrow_mut().push((name.to_owned(), shape.to_vec()));
                Ok(None)
            }
            Source::Files { maps, entries, used } => {
                let entry = entries.get(name).ok_or_else(|| {
                    VlmError::load(
                        name,
                        "the checkpoint has no such tensor; is a file of it missing, or config.json another model's?",
                    )
                })?;
                if entry.shape != shape {
                    let reason = format!(
                        "its shape is {:?}, config.json asks for {shape:?}; is this config.json the one of these weights?",
                        entry.shape
                    );
                    return Err(VlmError::load(name, reason));
                }
                used.borrow_mut().insert(name.to_owned());
                Ok(Some((entry, &maps[entry.file][entry.bytes.clone()])))
            }
        }
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let Some((entry, bytes)) = self.entry(name, shape)? else { return self.nothing(shape) };
        if self.device.is_cpu() && self.dtype == DType::F32 {
            return Ok(Tensor::from_vec(to_f32(name, entry.dtype, bytes)?, shape, &self.device)?);
        }
        let tensor = Tensor::from_raw_buffer(bytes, entry.dtype, shape, &self.device)?;
        Ok(tensor.to_dtype(self.dtype)?)
    }

    /// A tensor of that shape without memory.
    fn nothing(&self, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::zeros(1, self.dtype, &self.device)?.broadcast_as(shape)?)
    }
}

/// Maps a file into memory, read only.
pub(crate) fn map_file(path: &Path) -> Result<Mmap> {
    let read = |source| VlmError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(read)?;
    // SAFETY: the map is only read. The one hazard of mapping is another process that changes or cuts the file
    // meanwhile; checkpoints are written once, and the documentation asks that they stay as they are while a
    // service has them loaded.
    #[allow(unsafe_code)]
    unsafe { Mmap::map(&file) }.map_err(read)
}

/// Names below a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Scope<'w> {
    weights: &'w Weights,
    prefix: String,
}

impl Scope<'_> {
    /// A deeper prefix.
    pub(crate) fn scope(&self, name: impl std::fmt::Display) -> Self {
        Self { weights: self.weights, prefix: self.full(name) }
    }

    fn full(&self, name: impl std::fmt::Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// A tensor in the wanted type on the wanted device.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.weights.tensor(&self.full(name), shape)
    }

    /// A tensor's values as f32.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = self.full(name);
        match self.weights.entry(&name, shape)? {
            Some((entry, bytes)) => to_f32(&name, entry.dtype, bytes),
            None => Ok(Vec::new()),
        }
    }

    /// Linear layers over the same input, one behind the other in the output: (name, outputs) each.
    pub(crate) fn linear(&self, parts: &[(&str, usize)], inputs: usize, bias: bool) -> Result<Linear> {
        self.linear_shaped(parts, &[inputs], bias)
    }

    /// As [`Self::linear`], for a weight whose inputs have several dimensions (a convolution over whole patches).
    pub(crate) fn linear_shaped(
        &self,
        parts: &[(&str, usize)],
        inputs: &[usize],
        bias: bool,
    ) -> Result<Linear> {
        let weights = self.weights;
        let (device, dtype) = (&weights.device, weights.dtype);
        let width: usize = inputs.iter().product();
        let total: usize = parts.iter().map(|p| p.1).sum();
        let fast = device.is_cpu() && dtype == DType::F32;
        let mut transposed = Vec::new();
        let mut tensors = Vec::new();
        let mut biases = Vec::new();
        let mut column = 0;
        for (part, outputs) in parts {
            let name = self.full(format_args!("{part}.weight"));
            let shape: Vec<usize> = std::iter::once(*outputs).chain(inputs.iter().copied()).collect();
            if fast {
                if let Some((entry, bytes)) = weights.entry(&name, &shape)? {
                    if transposed.is_empty() {
                        transposed = vec![0f32; width * total];
                    }
                    transpose_into(&name, entry.dtype, bytes, width, &mut transposed, total, column)?;
                }
            } else {
                tensors.push(weights.tensor(&name, &shape)?.reshape((*outputs, width))?);
            }
            column += outputs;
            if bias {
                biases.push(self.tensor(&format!("{part}.bias"), &[*outputs])?);
            }
        }
        let names_only = matches!(weights.source, Source::Names(_));
        let weight = if names_only {
            weights.nothing(&[width, total])?
        } else if fast {
            Tensor::from_vec(transposed, (width, total), device)?
        } else {
            Tensor::cat(&tensors, 0)?.t()?
        };
        let bias = match biases.len() {
            0 => None,
            _ if names_only => Some(weights.nothing(&[total])?),
            _ => Some(Tensor::cat(&biases, 0)?),
        };
        Ok(Linear::new(weight, bias))
    }
}

/// candle's name of a stored type.
fn stored_type(name: &str, dtype: safetensors::Dtype) -> Result<DType> {
    match dtype {
        safetensors::Dtype::F32 => Ok(DType::F32),
        safetensors::Dtype::BF16 => Ok(DType::BF16),
        safetensors::Dtype::F16 => Ok(DType::F16),
        safetensors::Dtype::F64 => Ok(DType::F64),
        // Buffers such as position ids; nobody asks for them.
        safetensors::Dtype::I64 => Ok(DType::I64),
        safetensors::Dtype::I32 => Ok(DType::I32),
        safetensors::Dtype::U8 | safetensors::Dtype::BOOL => Ok(DType::U8),
        other => Err(VlmError::load(
            name,
            format!(
                "it is stored as {other:?}; known are f32, bf16, f16 and f64 (quantised weights are not)"
            ),
        )),
    }
}

/// Little-endian bytes of a floating-point tensor to f32.
fn to_f32(name: &str, dtype: DType, bytes: &[u8]) -> Result<Vec<f32>> {
    let convert: fn(&[u8]) -> f32 = converter(name, dtype)?;
    let size = dtype.size_in_bytes();
    Ok(bytes.chunks_exact(size).map(convert).collect())
}

fn converter(name: &str, dtype: DType) -> Result<fn(&[u8]) -> f32> {
    fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.first_chunk::<N>().copied().unwrap_or([0; N])
    }
    match dtype {
        DType::F32 => Ok(|b| f32::from_le_bytes(array(b))),
        DType::BF16 => Ok(|b| half::bf16::from_le_bytes(array(b)).to_f32()),
        DType::F16 => Ok(|b| half::f16::from_le_bytes(array(b)).to_f32()),
        DType::F64 => Ok(|b| f64::from_le_bytes(array(b)) as f32),
        other => Err(VlmError::load(
            name,
            format!(
                "it is stored as {other:?}; known are f32, bf16, f16 and f64 (quantised weights are not)"
            ),
        )),
    }
}

/// Writes an (outputs, inputs) matrix into columns of an (inputs, `total`) one, in blocks that stay in the cache.
fn transpose_into(
    name: &str,
    dtype: DType,
    bytes: &[u8],
    inputs: usize,
    to: &mut [f32],
    total: usize,
    column: usize,
) -> Result<()> {
    const BLOCK: usize = 32;
    let convert = converter(name, dtype)?;
    let size = dtype.size_in_bytes();
    to.par_chunks_mut(BLOCK * total).enumerate().for_each(|(block, to)| {
        let first = block * BLOCK;
        let count = to.len() / total;
        for (output, row) in bytes.chunks_exact(inputs * size).enumerate() {
            let row = &row[first * size..(first + count) * size];
            for (i, value) in row.chunks_exact(size).enumerate() {
                to[i * total + column + output] = convert(value);
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn file(tensors: &[(&str, Tensor)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let map: HashMap<String, Tensor> =
            tensors.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
        candle_core::safetensors::save(&map, file.path()).unwrap();
        file
    }

    fn random(shape: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn fused_linear_equals_separate_ones_in_every_stored_type() {
        let (a, b, bias) = (random(&[5, 70]), random(&[3, 70]), random(&[5]));
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let [a, b] = [&a, &b].map(|t| t.to_dtype(dtype).unwrap());
            let saved = file(&[
                ("m.a.weight", a.clone()),
                ("m.b.weight", b.clone()),
                ("m.a.bias", bias.clone()),
                ("m.b.bias", random(&[3])),
            ]);
            let weights = Weights::open(&[saved.path()], DType::F32, Device::Cpu).unwrap();
            let x = random(&[4, 70]);
            let linear = weights.scope("m").linear(&[("a", 5), ("b", 3)], 70, true).unwrap();
            let y = linear.forward(&x).unwrap().narrow(1, 0, 5).unwrap();
            let want = x.matmul(&a.to_dtype(DType::F32).unwrap().t().unwrap()).unwrap();
            let want = want.broadcast_add(&bias).unwrap();
            let error = (y - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(error < 1e-4);
            weights.finish(|_| false).unwrap();
            assert_eq!(weights.parameters(), 8 * 70 + 8);
        }
    }

    #[test]
    fn errors_name_the_tensor() {
        let saved = file(&[("a.weight", random(&[2, 3])), ("left.over", random(&[1]))]);
        let weights = Weights::open(&[saved.path()], DType::F32, Device::Cpu).unwrap();
        let says = |e: VlmError, words: [&str; 2]| {
            let text = e.to_string();
            assert!(words.iter().all(|w| text.contains(w)), "{text}");
        };
        says(weights.scope("").tensor("b.weight", &[2]).unwrap_err(), ["b.weight", "no such tensor"]);
        says(weights.scope("").tensor("a.weight", &[3, 2]).unwrap_err(), ["a.weight", "[2, 3]"]);
        weights.scope("").tensor("a.weight", &[2, 3]).unwrap();
        says(weights.finish(|_| false).unwrap_err(), ["left.over", "1 tensors"]);
        weights.finish(|n| n == "left.over").unwrap();
    }

    #[test]
    fn truncated_files_are_refused() {
        let saved = file(&[("a", random(&[20, 30]))]);
        let bytes = std::fs::read(saved.path()).unwrap();
        for len in [0, 4, 60, bytes.len() - 1] {
            let cut = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(cut.path(), &bytes[..len]).unwrap();
            assert!(Weights::open(&[cut.path()], DType::F32, Device::Cpu).is_err(), "{len}");
        }
    }

    #[test]
    fn names_are_noted_without_memory() {
        let weights = Weights::names_only();
        // 4·10¹² values would not fit anywhere.
        weights.scope("x").linear(&[("big", 2_000_000)], 2_000_000, true).unwrap();
        assert_eq!(
            weights.asked(),
            [("x.big.weight".into(), vec![2_000_000, 2_000_000]), ("x.big.bias".into(), vec![2_000_000])]
        );
    }
}
