//! Work on the model that no request describes.

use std::sync::{Arc, Mutex};

use crate::compute::Compute;
use crate::units::VisitUnit;
use reasonedit_models::model::VisionLanguageModel;
use reasonedit_nn::error::Result;

impl Compute<'_> {
    pub(super) fn visit(&mut self, units: &[&VisitUnit]) -> Result<Vec<()>> {
        units.iter().map(|unit| (unit.call)(&*self.models.vlm)).collect()
    }
}
