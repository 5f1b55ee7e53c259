//! Where pictures are, and what can be read of them.

use reasonedit_codebook::{ImageInfo, ImageStore};

/// Pictures as whoever reads an archive takes them.
pub trait Pictures {
    /// Where they are stored.
    fn store(&self) -> &ImageStore;

    /// Most bytes of one.
    fn max_bytes(&self) -> u64;

    /// The size of a picture; `None` for what is no picture that can be read here.
    fn info(&self, bytes: &[u8]) -> Option<ImageInfo>;

    /// Told when a picture of an archive was checked and lies beside the stored ones, which it did not
    /// before.
    fn taken(&self) {}
}
