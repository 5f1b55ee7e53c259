//! Candidate patches for visual evidence (method section 1: patchification).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::PixelBox;

/// Size of a patch in grid cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kernel {
    /// Cells from top to bottom.
    pub rows: u32,
    /// Cells from left to right.
    pub columns: u32,
}

impl Kernel {
    const fn new(rows: u32, columns: u32) -> Self {
        Self { rows, columns }
    }
}

/// The grid laid over a picture and the patches slid over it.
///
/// Defaults are those of the authors' code for the paper's appendix C ("Visual Evidence Patchification"): a
/// 3×3 grid with kernels 1×1, 1×2, 2×1, 2×2, 2×3 and 3×2 (rows×columns).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GridConfig {
    /// Rows of the grid.
    pub rows: u32,
    /// Columns of the grid.
    pub columns: u32,
    /// Patch sizes, each placed at every position where it fits.
    pub kernels: Vec<Kernel>,
}

impl Default for GridConfig {
    fn default() -> Self {
        let kernels = [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2)];
        Self {
            rows: 3,
            columns: 3,
            kernels: kernels.into_iter().map(|(rows, columns)| Kernel::new(rows, columns)).collect(),
        }
    }
}

/// Candidate patches of a picture of `width`×`height` pixels: kernel by kernel, each row by row.
///
/// Wide kernels are left out on landscape pictures and tall ones on portrait pictures; the whole picture is
/// never a candidate. That makes 29 boxes on a square picture and 21 on any other. Cell edges are
/// `round(i·side/cells)`, so that the cells cover every pixel (the authors' code floors and loses up to two
/// rows and columns).
///
/// Every box has an area and no two are equal. A picture with fewer pixels than cells along a side has empty
/// cells and so fewer boxes; a picture of one pixel, or none, has no candidate.
pub fn candidates(width: u32, height: u32, config: &GridConfig) -> Vec<PixelBox> {
    let xs = edges(width, config.columns);
    let ys = edges(height, config.rows);
    let whole = PixelBox::whole(width, height);
    let mut seen = BTreeSet::new();
    let mut boxes = Vec::new();
    for kernel in &config.kernels {
        let wide = kernel.columns > kernel.rows;
        let tall = kernel.rows > kernel.columns;
        if kernel.rows == 0 || kernel.columns == 0 || (wide && width > height) || (tall && height > width) {
            continue;
        }
        for rows in ys.windows(kernel.rows as usize + 1) {
            for columns in xs.windows(kernel.columns as usize + 1) {
                let (x, y) = (columns[0], rows[0]);
                let patch = PixelBox {
                    x,
                    y,
                    width: columns[columns.len() - 1] - x,
                    height: rows[rows.len() - 1] - y,
                };
                if patch.area() > 0 && patch != whole && seen.insert(patch) {
                    boxes.push(patch);
                }
            }
        }
    }
    boxes
}

/// The `cells + 1` edges of equal cells along a side, rounded to whole pixels (halves up).
pub(crate) fn edges(side: u32, cells: u32) -> Vec<u32> {
    let (side, cells) = (u64::from(side), u64::from(cells));
    if cells == 0 {
        return Vec::new();
    }
    // The quotient is at most `side`, so the cast back loses nothing.
    (0..=cells).map(|i| ((2 * i * side + cells) / (2 * cells)) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_are_those_of_the_method() {
        let config = GridConfig::default();
        assert_eq!(candidates(112, 112, &config).len(), 29);
        assert_eq!(candidates(640, 480, &config).len(), 21);
        assert_eq!(candidates(480, 640, &config).len(), 21);
    }

    #[test]
    fn orientation_decides_which_kernels_are_left_out() {
        let config = GridConfig::default();
        // On 90×30, cells are 30×10: a wide patch of 1×2 cells would be 60×10.
        let landscape = candidates(90, 30, &config);
        assert!(!landscape.iter().any(|b| (b.width, b.height) == (60, 10)));
        assert!(landscape.iter().any(|b| (b.width, b.height) == (30, 20)));
        let portrait = candidates(30, 90, &config);
        assert!(!portrait.iter().any(|b| (b.width, b.height) == (10, 60)));
        assert!(portrait.iter().any(|b| (b.width, b.height) == (20, 30)));
    }

    #[test]
    fn edges_round_and_lose_no_pixel() {
        assert_eq!(edges(100, 3), [0, 33, 67, 100]);
        assert_eq!(edges(2, 3), [0, 1, 1, 2]);
        assert_eq!(edges(u32::MAX, 1), [0, u32::MAX]);
        assert!(edges(9, 0).is_empty());
    }

    #[test]
    fn tiny_pictures_have_fewer_candidates() {
        let config = GridConfig::default();
        assert_eq!(candidates(0, 0, &config), []);
        assert_eq!(candidates(1, 1, &config), []);
        // Four pixels by themselves; the pairs next to each other; not the whole.
        assert_eq!(candidates(2, 2, &config).len(), 8);
        assert_eq!(candidates(3, 3, &config).len(), 29);
    }

    #[test]
    fn odd_configurations_do_no_harm() {
        for (rows, columns, kernel) in
            [(0, 3, (1, 1)), (3, 0, (1, 1)), (3, 3, (0, 1)), (3, 3, (4, 1)), (1, 1, (1, 1))]
        {
            let config = GridConfig { rows, columns, kernels: vec![Kernel::new(kernel.0, kernel.1)] };
            assert_eq!(candidates(30, 30, &config), []);
        }
    }

    #[test]
    fn configuration_reads_with_defaults() {
        let config: GridConfig = serde_json::from_str(r#"{"rows": 4}"#).unwrap();
        assert_eq!(config, GridConfig { rows: 4, ..GridConfig::default() });
        assert!(serde_json::from_str::<GridConfig>(r#"{"row": 4}"#).is_err());
    }

    proptest! {
        #[test]
        fn boxes_are_distinct_parts_and_cells_tile_the_picture(width in 1u32..200, height in 1u32..200) {
            let boxes = candidates(width, height, &GridConfig::default());
            let distinct: BTreeSet<_> = boxes.iter().collect();
            prop_assert_eq!(distinct.len(), boxes.len());
            for patch in &boxes {
                prop_assert_eq!(patch.validate(width, height), Ok(()));
                prop_assert!(patch.area() < u64::from(width) * u64::from(height));
            }
            let cells = GridConfig { kernels: vec![Kernel::new(1, 1)], ..GridConfig::default() };
            let covered: u64 = candidates(width, height, &cells).iter().map(PixelBox::area).sum();
            let whole = u64::from(width) * u64::from(height);
            // A picture of one pixel is its own only cell, and the whole is no candidate.
            prop_assert!(covered == whole || whole == 1);
        }
    }
}
