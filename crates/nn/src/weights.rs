//! Weights of a checkpoint: every tensor asked for by name and shape, in the form it is computed with.

mod convert;
pub mod file;
mod low_rank;
mod scope;
#[cfg(test)]
mod tests;
mod tied;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};

use self::convert::{Half, narrow_into, widen};
use self::file::WeightFile;
pub use self::low_rank::LowRankUpdate;
pub use self::scope::Scope;
use crate::blocks::linear::Weight;
use crate::blocks::quantised::QuantisedRows;
use crate::blocks::transpose::transpose_into;
use crate::error::{NnError, Result};
use crate::precision::{BlockType, Precision, dtype_name};

/// Where one tensor lies.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: usize,
    pub(super) bytes: Range<usize>,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum Source {
    Files {
        files: Vec<WeightFile>,
        entries: BTreeMap<String, Entry>,
        used: RefCell<BTreeSet<String>>,
    },
    /// No weights at all: what is asked for is written down (for comparing with published lists of
    /// parameters).
    Names(RefCell<Vec<(String, Vec<usize>)>>),
}

/// Opened weights, and the types and device that they are wanted in.
#[derive(Debug)]
pub struct Weights {
    pub(super) source: Source,
    /// What is added to tensors, by name.
    updates: BTreeMap<String, LowRankUpdate>,
    pub(super) precision: Precision,
    device: Device,
}

impl Weights {
    /// Opens the files of a checkpoint; tensors are read when they are asked for.
    pub fn open(files: &[impl AsRef<Path>], precision: impl Into<Precision>, device: Device) -> Result<Self> {
        let mut opened = Vec::new();
        let mut entries = BTreeMap::new();
        for (file, path) in files.iter().enumerate() {
            let (weights, tensors) = WeightFile::open(path.as_ref())?;
            for (name, info) in tensors {
                let dtype = stored_type(&name, info.dtype)?;
                let entry =
                    Entry { file, bytes: info.data_offsets.0..info.data_offsets.1, dtype, shape: info.shape };
                if entries.insert(name.clone(), entry).is_some() {
                    return Err(NnError::load(name, "it stands in more than one file"));
                }
            }
            opened.push(weights);
        }
        let source = Source::Files { files: opened, entries, used: RefCell::default() };
        Ok(Self { source, updates: BTreeMap::new(), precision: precision.into(), device })
    }

    /// The same tensors with something added to some, by their names.
    ///
    /// # Errors
    /// [`NnError::Load`] for the first tensor that there is not, or that has another shape.
    pub fn with_updates(self, updates: BTreeMap<String, LowRankUpdate>) -> Result<Self> {
        for (name, update) in &updates {
            match self.shape(name) {
                Some(shape) if shape == update.shape() => {}
                Some(shape) => {
                    let reason =
                        format!("its shape is {shape:?}, what is to be added has {:?}", update.shape());
                    return Err(NnError::load(name, reason));
                }
                None => return Err(NnError::load(name, "there is no such tensor to be added to")),
            }
        }
        Ok(Self { updates, ..self })
    }

    /// Weights without content that note what is asked for.
    pub fn names_only() -> Self {
        Self {
            source: Source::Names(RefCell::default()),
            updates: BTreeMap::new(),
            precision: DType::F32.into(),
            device: Device::Cpu,
        }
    }

    /// What was asked for so far, in that order; empty unless [`Self::names_only`].
    pub fn asked(&self) -> Vec<(String, Vec<usize>)> {
        match &self.source {
            Source::Names(names) => names.borrow().clone(),
            Source::Files { .. } => Vec::new(),
        }
    }

    pub(super) fn is_names_only(&self) -> bool {
        matches!(self.source, Source::Names(_))
    }

    /// Names of all tensors of the files, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let entries = match &self.source {
            Source::Files { entries, .. } => Some(entries),
            Source::Names(_) => None,
        };
        entries.into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// The shape of a tensor, if there is one of that name in the files.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match &self.source {
            Source::Files { entries, .. } => entries.get(name).map(|entry| entry.shape.as_slice()),
            Source::Names(_) => None,
        }
    }

    /// Hashes every file, its length first, and what is added to tensors.
    pub fn hash_into(&self, hasher: &mut blake3::Hasher) -> Result<()> {
        let Source::Files { files, .. } = &self.source else { return Ok(()) };
        for file in files {
            hasher.update(&file.len().to_le_bytes());
            file.all(|bytes| {
                hasher.update_rayon(bytes);
            })?;
        }
        for (name, update) in &self.updates {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            update.hash_into(hasher);
        }
        Ok(())
    }

    /// Type that is computed in: that of the tensors handed out.
    pub fn dtype(&self) -> DType {
        self.precision.computed
    }

    /// Device of the tensors handed out.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What weights are held in, in words.
    pub fn held(&self) -> String {
        let held = dtype_name(self.precision.held);
        match self.precision.blocks {
            None => held.into(),
            Some(blocks) => format!("{held}, language layers {}", blocks.name()),
        }
    }

    /// Parameters in all tensors that were asked for.
    pub fn parameters(&self) -> u64 {
        match &self.source {
            Source::Files { entries, used, .. } => {
                used.borrow().iter().map(|n| entries[n].shape.iter().product::<usize>() as u64).sum()
            }
            Source::Names(names) => names.borrow().iter().map(|n| n.1.iter().product::<usize>() as u64).sum(),
        }
    }

    /// Names below a prefix.
    pub fn scope(&self, prefix: impl Into<String>) -> Scope<'_> {
        Scope::new(self, prefix.into())
    }

    /// Whether a tensor of that name exists (always true for [`Self::names_only`]).
    pub fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Files { entries, .. } => entries.contains_key(name),
            Source::Names(_) => true,
        }
    }

    /// Checks that nothing is left over: a tensor that nobody asked for means another architecture than the
    /// code's.
    pub fn finish(&self, may_remain: impl Fn(&str) -> bool) -> Result<()> {
        let Source::Files { entries, used, .. } = &self.source else { return Ok(()) };
        let used = used.borrow();
        let surplus: Vec<&str> =
            entries.keys().filter(|n| !used.contains(*n) && !may_remain(n)).map(String::as_str).collect();
        match surplus.first() {
            None => Ok(()),
            Some(first) => Err(NnError::load(
                *first,
                format!(
                    "the checkpoint has {} tensors that its config.json has no place for; is this config.json \
                     the one of these weights?",
                    surplus.len()
                ),
            )),
        }
    }

    /// Where a tensor lies; `None` for [`Self::names_only`].
    fn entry(&self, name: &str, shape: &[usize]) -> Result<Option<(&WeightFile, &Entry)>> {
        match &self.source {
            Source::Names(names) => {
                names.borrow_mut().push((name.to_owned(), shape.to_vec()));
                Ok(None)
            }
            Source::Files { files, entries, used } => {
                let entry = entries.get(name).ok_or_else(|| {
                    NnError::load(
                        name,
                        "the checkpoint has no such tensor; is a file of it missing, or config.json another model's?",
                    )
                })?;
                if entry.shape != shape {
                    let reason = format!(
                        "its shape is {:?}, config.json asks for {shape:?}; is this config.json the one of these weights?",
                        entry.shape
                    );
                    return Err(NnError::load(name, reason));
                }
                if !matches!(entry.dtype, DType::F32 | DType::BF16 | DType::F16 | DType::F64) {
                    return Err(not_floating(name, &format!("{:?}", entry.dtype)));
                }
                used.borrow_mut().insert(name.to_owned());
                Ok(Some((&files[entry.file], entry)))
            }
        }
    }

    /// The type that a tensor is stored in, if there is one of that name.
    pub(super) fn stored(&self, name: &str) -> Option<DType> {
        match &self.source {
            Source::Files { entries, .. } => entries.get(name).map(|e| e.dtype),
            Source::Names(_) => None,
        }
    }

    /// Calls `f` with a tensor's values as f32, in pieces of whole rows of `width`, each with its first row.
    fn wide_rows(
        &self,
        name: &str,
        shape: &[usize],
        width: usize,
        mut f: impl FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let Some((file, entry)) = self.entry(name, shape)? else { return Ok(()) };
        let mut wide = Vec::new();
        let Some(update) = self.updates.get(name) else {
            return file.rows(&entry.bytes, width * entry.dtype.size_in_bytes(), |row, bytes| {
                widen(entry.dtype, bytes, &mut wide);
                f(row, &wide)
            });
        };
        // Whole rows of the matrix, however few values are asked for at a time.
        let [_, inputs] = update.shape();
        file.rows(&entry.bytes, inputs * entry.dtype.size_in_bytes(), |row, bytes| {
            widen(entry.dtype, bytes, &mut wide);
            update.add_to(row, &mut wide);
            f(row * inputs / width, &wide)
        })
    }

    /// A tensor's values as f32.
    pub(super) fn wide(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        if self.is_names_only() {
            self.entry(name, shape)?;
            return Ok(Vec::new());
        }
        let mut values = Vec::with_capacity(shape.iter().product());
        self.wide_rows(name, shape, 1, |_, piece| {
            values.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(values)
    }

    /// Appends a tensor's values in half precision.
    fn narrow<T: Half>(&self, name: &str, shape: &[usize], to: &mut Vec<T>) -> Result<()> {
        if self.updates.contains_key(name) {
            return self.wide_rows(name, shape, 1, |_, piece| {
                to.extend(piece.iter().map(|value| T::of_f32(*value)));
                Ok(())
            });
        }
        let Some((file, entry)) = self.entry(name, shape)? else { return Ok(()) };
        let mut wide = Vec::new();
        file.rows(&entry.bytes, entry.dtype.size_in_bytes(), |_, bytes| {
            narrow_into(entry.dtype, bytes, &mut wide, to);
            Ok(())
        })
    }

    /// Tensors of (rows, width) one behind the other, in a type.
    fn stacked(&self, parts: &[(String, Vec<usize>)], width: usize, dtype: DType) -> Result<Tensor> {
        let rows =
            parts.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>() / width.max(1);
        if self.is_names_only() {
            parts.iter().try_for_each(|(name, shape)| self.entry(name, shape).map(drop))?;
            return self.nothing(&[rows, width]);
        }
        match dtype {
            DType::BF16 => self.stacked_halves::<half::bf16>(parts, (rows, width)),
            DType::F16 => self.stacked_halves::<half::f16>(parts, (rows, width)),
            _ => {
                let mut values = Vec::with_capacity(rows * width);
                for (name, shape) in parts {
                    self.wide_rows(name, shape, 1, |_, piece| {
                        values.extend_from_slice(piece);
                        Ok(())
                    })?;
                }
                Ok(Tensor::from_vec(values, (rows, width), &self.device)?)
            }
        }
    }

    fn stacked_halves<T: Half>(
        &self,
        parts: &[(String, Vec<usize>)],
        shape: (usize, usize),
    ) -> Result<Tensor> {
        let mut values = Vec::<T>::with_capacity(shape.0 * shape.1);
        for (name, shape) in parts {
            self.narrow(name, shape, &mut values)?;
        }
        Ok(Tensor::from_vec(values, shape, &self.device)?)
    }

    pub(super) fn tensor(&self, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let width = shape.iter().product();
        Ok(self.stacked(&[(name.to_owned(), shape.to_vec())], width, dtype)?.reshape(shape)?)
    }

    /// A tensor of that shape without memory.
    pub(super) fn nothing(&self, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::zeros(1, self.precision.computed, &self.device)?.broadcast_as(shape)?)
    }

    /// A weight matrix of parts that lie one behind the other in the outputs, each (outputs, `width`).
    pub(super) fn matrix(
        &self,
        parts: &[(String, Vec<usize>)],
        width: usize,
        blocks: Option<BlockType>,
    ) -> Result<Weight> {
        let outputs: usize = parts.iter().map(|(_, shape)| shape[0]).sum();
        let Precision { computed, held, .. } = self.precision;
        if self.is_names_only() {
            self.stacked(parts, width, held)?;
            return Ok(Weight::Dense(self.nothing(&[width, outputs])?));
        }
        if let Some(kind) = blocks.and_then(|blocks| blocks.of_width(width)) {
            return self.quantised(parts, width, kind);
        }
        if held != computed {
            return Ok(Weight::Rows(self.stacked(parts, width, held)?));
        }
        if !self.device.is_cpu() || held != DType::F32 {
            return Ok(Weight::Dense(self.stacked(parts, width, held)?.t()?));
        }
        let mut transposed = vec![0f32; width * outputs];
        let mut column = 0;
        for (name, shape) in parts {
            self.wide_rows(name, shape, width, |row, rows| {
                transpose_into(rows, width, &mut transposed, outputs, column + row);
                Ok(())
            })?;
            column += shape[0];
        }
        Ok(Weight::Dense(Tensor::from_vec(transposed, (width, outputs), &self.device)?))
    }

    pub(super) fn quantised(
        &self,
        parts: &[(String, Vec<usize>)],
        width: usize,
        kind: GgmlDType,
    ) -> Result<Weight> {
        let mut rows = QuantisedRows::new(width);
        for (name, shape) in parts {
            self.wide_rows(name, shape, width, |_, piece| Ok(rows.append(kind, piece, &self.device)?))?;
        }
        Ok(Weight::Quantised(rows))
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
        other => Err(not_floating(name, &format!("{other:?}"))),
    }
}

fn not_floating(name: &str, stored: &str) -> NnError {
    NnError::load(
        name,
        format!(
            "it is stored as {stored}; known are f32, bf16, f16 and f64. Take the checkpoint that is not \
             quantised: model.quantize does that while loading"
        ),
    )
}
