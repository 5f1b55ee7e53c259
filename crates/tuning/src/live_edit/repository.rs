//! The experts of all edits, and what they are found by.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::dimensions::Dimensions;
use crate::error::Result;
use crate::method::file;

const FILE: &str = "experts.safetensors";

/// Several experts, one behind the other.
#[derive(Clone)]
pub(super) struct Experts {
    /// What they are found by in texts, (experts, queries, `d_m`).
    pub(super) textual: Tensor,
    /// What they are found by in pictures, (experts, queries, `d_m`).
    pub(super) visual: Tensor,
    /// U, (experts, rank, width).
    pub(super) inwards: Tensor,
    /// V, (experts, rank, width).
    pub(super) outwards: Tensor,
}

impl Experts {
    fn parts(&self) -> [(&'static str, &Tensor); 4] {
        [
            ("textual", &self.textual),
            ("visual", &self.visual),
            ("inwards", &self.inwards),
            ("outwards", &self.outwards),
        ]
    }

    fn count(&self) -> Result<usize> {
        Ok(self.textual.dim(0)?)
    }

    fn each(&self, of: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self {
            textual: of(&self.textual)?,
            visual: of(&self.visual)?,
            inwards: of(&self.inwards)?,
            outwards: of(&self.outwards)?,
        })
    }

    fn joined(all: &[Self]) -> Result<Self> {
        let cat = |of: &dyn Fn(&Self) -> &Tensor| Tensor::cat(&all.iter().map(of).collect::<Vec<_>>(), 0);
        Ok(Self {
            textual: cat(&|one| &one.textual)?,
            visual: cat(&|one| &one.visual)?,
            inwards: cat(&|one| &one.inwards)?,
            outwards: cat(&|one| &one.outwards)?,
        })
    }

    pub(super) fn is_finite(&self) -> Result<bool> {
        for (_, tensor) in self.parts() {
            if !tensor.abs()?.sum_all()?.to_scalar::<f32>()?.is_finite() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The experts of all edits, in their order.
#[derive(Default)]
pub(super) struct ExpertRepository {
    /// Each at least twice as many as the next once edits were made one by one, so that an edit copies little
    /// and a question looks at few.
    stretches: Vec<Experts>,
}

impl ExpertRepository {
    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Adds an edit's expert.
    pub(super) fn push(&mut self, expert: Experts) -> Result<()> {
        // Joined beside first: a failure leaves everything as it was.
        let mut last = expert;
        let mut kept = self.stretches.len();
        while let Some(before) = kept.checked_sub(1).and_then(|at| self.stretches.get(at)) {
            if before.count()? > last.count()? {
                break;
            }
            last = Experts::joined(&[before.clone(), last])?;
            kept -= 1;
        }
        self.stretches.truncate(kept);
        self.stretches.push(last);
        Ok(())
    }

    /// What all edits are found by in pictures, stretch by stretch.
    pub(super) fn visual(&self) -> impl Iterator<Item = &Tensor> {
        self.stretches.iter().map(|stretch| &stretch.visual)
    }

    /// Those of some edits, by their numbers in ascending order.
    pub(super) fn of(&self, edits: &[u32]) -> Result<Experts> {
        let mut found = Vec::new();
        let mut first = 0;
        for stretch in &self.stretches {
            let after = first + stretch.count()? as u32;
            let own: Vec<u32> =
                edits.iter().filter(|at| (first..after).contains(at)).map(|at| at - first).collect();
            if !own.is_empty() {
                let own = Tensor::new(own, &Device::Cpu)?;
                found.push(stretch.each(|tensor| Ok(tensor.index_select(&own, 0)?))?);
            }
            first = after;
        }
        Experts::joined(&found)
    }

    /// Bytes of all experts.
    pub(super) fn bytes(&self) -> u64 {
        let of = |experts: &Experts| -> u64 {
            experts.parts().into_iter().map(|(_, tensor)| tensor.elem_count() as u64 * 4).sum()
        };
        self.stretches.iter().map(of).sum()
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let mut named: HashMap<&str, Tensor> = HashMap::new();
        if !self.is_empty() {
            let all = Experts::joined(&self.stretches)?;
            named.extend(all.parts().map(|(name, tensor)| (name, tensor.clone())));
        }
        candle_core::safetensors::save(&named, &path).map_err(|error| file(&path, error))
    }

    /// Reads what [`Self::write`] wrote for networks of these dimensions.
    pub(super) fn read(folder: &Path, d: &Dimensions) -> Result<Self> {
        let path = folder.join(FILE);
        let named =
            candle_core::safetensors::load(&path, &Device::Cpu).map_err(|error| file(&path, error))?;
        if named.is_empty() {
            return Ok(Self::default());
        }
        let part = |name: &str, rows: usize, width: usize| {
            let tensor = named.get(name).ok_or_else(|| file(&path, format!("{name} is missing")))?;
            match tensor.dims3() {
                Ok((_, own, wide)) if (own, wide) == (rows, width) => Ok(tensor.clone()),
                _ => Err(file(&path, format!("{name} is {:?}, not (edits, {rows}, {width})", tensor.dims()))),
            }
        };
        let all = Experts {
            textual: part("textual", d.queries, d.module)?,
            visual: part("visual", d.queries, d.module)?,
            inwards: part("inwards", d.rank, d.width)?,
            outwards: part("outwards", d.rank, d.width)?,
        };
        let count = all.count()?;
        if all.parts().iter().any(|(_, tensor)| tensor.dim(0).ok() != Some(count)) {
            return Err(file(&path, "its parts are of different numbers of edits"));
        }
        Ok(Self { stretches: vec![all] })
    }
}
