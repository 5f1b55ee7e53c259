//! Named sets of pictures and texts that layers can be measured on, besides a codebook's own. Who starts the
//! service says which there are: nothing that a request names is ever opened as a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use reasonedit_editor::SampleSet;

/// Opens a set: at least so many samples if it has them, from this seed if it is made. The error is told to
/// the client.
type Open = Arc<dyn Fn(usize, u64) -> Result<SampleSet, String> + Send + Sync>;

/// The sets by name; cheap to clone.
#[derive(Clone, Default)]
pub struct Sources(BTreeMap<String, Open>);

impl Sources {
    /// Adds a set, in place of one of the same name. `codebook` is the codebook's own and can't be given
    /// away.
    #[must_use]
    pub fn with(
        mut self,
        name: impl Into<String>,
        open: impl Fn(usize, u64) -> Result<SampleSet, String> + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(name.into(), Arc::new(open));
        self
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Open> {
        self.0.get(name).cloned()
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
