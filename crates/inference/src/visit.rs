//! Work on the model that no request describes.

use std::sync::{Arc, Mutex};

use crate::compute::Compute;
use crate::error::Result;
use crate::units::VisitUnit;
use reasonedit_models::model::VisionLanguageModel;

impl Compute<'_> {
    pub(super) fn visit(&mut self, units: &[&VisitUnit]) -> Result<Vec<()>> {
        units.iter().map(|unit| Ok((unit.call)(&*self.models.vlm)?)).collect()
    }
}
