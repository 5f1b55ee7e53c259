//! Work on the model that no request describes.

use crate::compute::Compute;
use crate::error::Result;
use crate::units::ModelCallUnit;

impl Compute<'_> {
    pub(super) fn call_model(&mut self, units: &[&ModelCallUnit]) -> Result<Vec<()>> {
        units.iter().map(|unit| Ok((unit.call)(&*self.models.vlm)?)).collect()
    }
}
