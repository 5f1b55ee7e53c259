//! Work on the model that no request describes.

use std::sync::{Arc, Mutex};

use crate::compute::Compute;
use crate::error::Result;
use crate::units::ModelCallUnit;
use reasonedit_models::model::VisionLanguageModel;

impl Compute<'_> {
    pub(super) fn call_model(&mut self, units: &[&ModelCallUnit]) -> Result<Vec<()>> {
        units.iter().map(|unit| Ok((unit.call)(&*self.models.vlm)?)).collect()
    }
}
