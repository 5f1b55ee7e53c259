use super::*;
use crate::store::conformance::{self, StoreUnderTest};

impl StoreUnderTest for MemoryStore {
    fn store(&self) -> &dyn CodebookStore {
        self
    }

    fn restart(&mut self) {}
}

#[test]
fn memory_conforms() {
    conformance::run(MemoryStore::new);
}
