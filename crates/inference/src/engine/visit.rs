//! Work on the model that no request describes.

use std::sync::{Arc, Mutex};

use super::compute::Compute;
use super::lock;
use reasonedit_models::model::VisionLanguageModel;
use reasonedit_nn::error::Result;

/// What is done with the model.
type Call = dyn Fn(&dyn VisionLanguageModel) -> Result<()> + Send + Sync;

/// A call with the model; it leaves its result behind.
pub(super) struct VisitUnit {
    pub(super) cost: usize,
    call: Box<Call>,
}

impl VisitUnit {
    /// The unit, and where its result will be.
    pub(super) fn new<T: Send + 'static>(
        cost: usize,
        visit: impl Fn(&dyn VisionLanguageModel) -> Result<T> + Send + Sync + 'static,
    ) -> (Self, Arc<Mutex<Option<T>>>) {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let call = Box::new(move |model: &dyn VisionLanguageModel| {
            let value = visit(model)?;
            *lock(&slot) = Some(value);
            Ok(())
        });
        (Self { cost, call }, result)
    }
}

impl Compute<'_> {
    pub(super) fn visit(&mut self, units: &[&VisitUnit]) -> Result<Vec<()>> {
        units.iter().map(|unit| (unit.call)(&*self.models.vlm)).collect()
    }
}
