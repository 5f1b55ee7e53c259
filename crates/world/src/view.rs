//! A view is a picture, or a cut of it, as the vision tower receives it, together with what can be judged on
//! it.

use image::RgbImage;
use reasonedit_imaging::{Filter, PixelBox, crop, resize, smart_resize};

use crate::WorldError;
use crate::random::{Random, RandomExt};
use crate::render::RenderedScene;
use crate::scene::{Attribute, Scene, Traits};

/// Side of a merged cell in pixels: two patches of 14.
pub const CELL: u32 = 28;
/// Side of a patch in pixels.
pub const PATCH: u32 = 14;
/// The demo processor's smallest area.
pub const MIN_PIXELS: u64 = 12_544;
/// The demo processor's largest area.
pub const MAX_PIXELS: u64 = 15_680;
/// Merged cells a stored view has room for.
pub const MAX_CELLS: usize = 20;
/// Bytes of one merged cell: 4 patches × 3 channels × 14 × 14.
pub const CELL_BYTES: usize = 4 * 3 * (PATCH * PATCH) as usize;
/// Bytes of one stored view.
pub const VIEW_BYTES: usize = MAX_CELLS * CELL_BYTES;
/// Label of what is not to be judged.
pub const IGNORED: i8 = -100;

/// Part of an object's area that must be inside a cut for its shape to be judged there.
const SHAPE_VISIBLE: f64 = 0.6;
/// The same for edge and rim.
const OUTLINE_VISIBLE: f64 = 0.4;
/// Part of a cell an object must cover to give it its label.
const CELL_COVERED: f64 = 0.12;

/// Pixels and labels of a view, in the layout of the training files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewPixels {
    /// `VIEW_BYTES` bytes: merged cells row-major, in a cell its 2×2 patches row-major, in a patch channel
    /// first.
    pub bytes: Vec<u8>,
    /// Rows and columns of merged cells.
    pub grid: [u8; 2],
    /// Per merged cell the label of each attribute: 1 + value, 0 for background, [`IGNORED`].
    pub labels: Vec<i8>,
}

/// One object as far as a view shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The object.
    pub traits: Traits,
    /// What can be judged of it here.
    pub judged: Vec<Attribute>,
}

/// What a view shows, for the questions about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Whether it is the whole picture.
    pub whole: bool,
    /// Objects that can be asked about.
    pub seen: Vec<Seen>,
    /// Objects of which a bit is visible: neither to be asked about nor to be denied.
    pub doubtful: Vec<Traits>,
}

impl View {
    /// The view of a whole picture of these objects.
    pub fn whole(objects: &[Traits]) -> Self {
        let seen =
            objects.iter().map(|traits| Seen { traits: *traits, judged: Attribute::ALL.to_vec() }).collect();
        Self { whole: true, seen, doubtful: Vec::new() }
    }

    /// What `bounds` shows of a picture.
    pub fn cut(scene: &Scene, picture: &RenderedScene, bounds: PixelBox) -> Self {
        let mut view = Self { whole: false, seen: Vec::new(), doubtful: Vec::new() };
        for (object, (visible, share)) in scene.objects.iter().zip(visibility(picture, bounds)) {
            use Attribute::{Color, Edge, Rim, Shape, Texture};
            let judged = if visible >= 0.75 && share > 0.008 {
                vec![Shape, Color, Texture, Edge, Rim]
            } else if visible >= OUTLINE_VISIBLE && share > 0.1 {
                vec![Color, Texture, Edge, Rim]
            } else if visible >= 0.2 && share > 0.1 {
                vec![Color, Texture]
            } else {
                if visible > 0.01 && share > 0.002 {
                    view.doubtful.push(object.traits);
                }
                continue;
            };
            view.seen.push(Seen { traits: object.traits, judged });
        }
        view
    }

    /// Whether exactly one object is there and nothing doubtful, so that "the thing" is clear.
    pub fn single(&self) -> bool {
        self.seen.len() == 1 && self.doubtful.is_empty()
    }

    /// Whether nothing at all is there.
    pub fn empty(&self) -> bool {
        self.seen.is_empty() && self.doubtful.is_empty()
    }

    /// All objects that might be meant by a description.
    pub fn present(&self) -> impl Iterator<Item = &Traits> {
        self.seen.iter().map(|seen| &seen.traits).chain(&self.doubtful)
    }
}

/// Per object the part of it that lies in `bounds`, and the part of `bounds` that it covers.
fn visibility(picture: &RenderedScene, bounds: PixelBox) -> Vec<(f64, f64)> {
    let area = f64::from(bounds.width) * f64::from(bounds.height);
    picture
        .coverage
        .iter()
        .map(|coverage| {
            let inside =
                coverage.count(bounds.x, bounds.y, bounds.x + bounds.width, bounds.y + bounds.height);
            (f64::from(inside) / f64::from(coverage.area), f64::from(inside) / area)
        })
        .collect()
}

/// Edges of a grid of three, as patchification cuts them (method section 1): `round(i · length / 3)`.
pub fn thirds(length: u32) -> [u32; 4] {
    [0, 1, 2, 3].map(|i| (f64::from(i * length) / 3.0).round() as u32)
}

/// A cut such as evidence search makes: a kernel of the 3×3 grid, mostly where an object is.
pub fn grid_cut(scene: &Scene, rng: &mut Random) -> PixelBox {
    let (width, height) = (scene.width, scene.height);
    let mut kernels = vec![(1, 1), (1, 1), (1, 1), (2, 2)];
    if width <= height {
        kernels.extend([(1, 2), (2, 3)]);
    }
    if height <= width {
        kernels.extend([(2, 1), (3, 2)]);
    }
    let (rows, columns) = rng.pick(&kernels);
    let (xs, ys) = (thirds(width), thirds(height));
    let place = |wanted: f64, span: usize, length: u32, rng: &mut Random| {
        let cell = (wanted / f64::from(length) * 3.0).floor().clamp(0.0, 2.0) as usize;
        // Any placement of the kernel that holds the cell.
        let (first, last) = (cell.saturating_sub(span - 1), cell.min(3 - span));
        first + rng.below(last.saturating_sub(first) + 1)
    };
    let (column, row) = if rng.chance(0.75) {
        let object = rng.pick(&scene.objects);
        let near = |center: f32, rng: &mut Random| {
            f64::from(center) + rng.between(-0.5, 0.5) * f64::from(object.radius)
        };
        let (x, y) = (near(object.x, rng), near(object.y, rng));
        (place(x, columns, width, rng), place(y, rows, height, rng))
    } else {
        (rng.below(4 - columns), rng.below(4 - rows))
    };
    PixelBox {
        x: xs[column],
        y: ys[row],
        width: xs[column + columns] - xs[column],
        height: ys[row + rows] - ys[row],
    }
}

/// A cut of .33 to .75 of each side (of the short side, within a ratio of 1.5), mostly around an object.
pub fn free_cut(scene: &Scene, rng: &mut Random) -> PixelBox {
    let short = f64::from(scene.width.min(scene.height));
    let side = rng.between(0.33, 0.75) * short;
    let stretch = rng.between(1.0, 1.5);
    let (width, height) = match rng.below(3) {
        0 => (side * stretch, side),
        1 => (side, side * stretch),
        _ => (side, side),
    };
    let (width, height) = ((width as u32).min(scene.width), (height as u32).min(scene.height));
    let object = rng.pick(&scene.objects);
    let around = rng.chance(0.8);
    let mut corner = |center: f32, span: u32, length: u32| {
        let free = f64::from(length - span);
        let wanted = if around {
            f64::from(center) + (rng.between(-0.3, 0.3) - 0.5) * f64::from(span)
        } else {
            rng.between(0.0, 1.0) * free
        };
        wanted.clamp(0.0, free) as u32
    };
    let (x, y) = (corner(object.x, width, scene.width), corner(object.y, height, scene.height));
    PixelBox { x, y, width, height }
}

/// Bytes of a view in the layout of the training files, and its rows and columns of merged cells.
pub type Patches = (Vec<u8>, [u8; 2]);

/// The processor's own resizing and patch order. `None` if the view needs more than [`MAX_CELLS`] cells.
///
/// # Errors
/// [`WorldError::Imaging`] for pictures of an extreme aspect ratio.
pub fn patches(image: &RgbImage) -> Result<Option<Patches>, WorldError> {
    let (height, width) = smart_resize(image.height(), image.width(), CELL, MIN_PIXELS, MAX_PIXELS)?;
    let (rows, columns) = ((height / CELL) as usize, (width / CELL) as usize);
    if rows * columns > MAX_CELLS {
        return Ok(None);
    }
    let resized = resize(image, width, height, Filter::Bicubic);
    let (pixels, stride) = (resized.as_raw(), width as usize * 3);
    let mut bytes = Vec::with_capacity(VIEW_BYTES);
    let side = PATCH as usize;
    for patch in 0..rows * columns * 4 {
        let (cell, within) = (patch / 4, patch % 4);
        let top = (cell / columns * 2 + within / 2) * side;
        let left = (cell % columns * 2 + within % 2) * side;
        for channel in 0..3 {
            for y in top..top + side {
                let start = y * stride + left * 3 + channel;
                bytes.extend(pixels[start..].iter().step_by(3).take(side));
            }
        }
    }
    bytes.resize(VIEW_BYTES, 0);
    Ok(Some((bytes, [rows as u8, columns as u8])))
}

/// Labels of the merged cells of a view, see [`ViewPixels::labels`].
fn labels(scene: &Scene, picture: &RenderedScene, bounds: PixelBox, whole: bool, grid: [u8; 2]) -> Vec<i8> {
    let (rows, columns) = (u32::from(grid[0]), u32::from(grid[1]));
    let visible = visibility(picture, bounds);
    let mut labels = vec![IGNORED; MAX_CELLS * Attribute::ALL.len()];
    let edge = |start: u32, length: u32, index: u32, count: u32| start + length * index / count;
    for (cell, label) in labels.chunks_exact_mut(6).take((rows * columns) as usize).enumerate() {
        let (row, column) = (cell as u32 / columns, cell as u32 % columns);
        let (left, right) = (
            edge(bounds.x, bounds.width, column, columns),
            edge(bounds.x, bounds.width, column + 1, columns),
        );
        let (top, bottom) =
            (edge(bounds.y, bounds.height, row, rows), edge(bounds.y, bounds.height, row + 1, rows));
        let area = f64::from((right - left) * (bottom - top)).max(1.0);
        let mut best = (CELL_COVERED, None);
        for (index, coverage) in picture.coverage.iter().enumerate() {
            let share = f64::from(coverage.count(left, top, right, bottom)) / area;
            if share >= best.0 {
                best = (share, Some(index));
            }
        }
        label.fill(0);
        let Some(index) = best.1 else { continue };
        for attribute in Attribute::ALL {
            let judged = match attribute {
                Attribute::Size => whole,
                Attribute::Shape => visible[index].0 >= SHAPE_VISIBLE,
                Attribute::Edge | Attribute::Rim => visible[index].0 >= OUTLINE_VISIBLE,
                Attribute::Color | Attribute::Texture => true,
            };
            let value = 1 + scene.objects[index].traits.get(attribute) as i8;
            label[attribute.index()] = if judged { value } else { IGNORED };
        }
    }
    labels
}

/// The pixels and labels of a cut (or of the whole, `bounds` then being all of it). With `low_resolution` the
/// picture is first scaled so that its short side has that many pixels, as small originals are.
///
/// # Errors
/// [`WorldError::Imaging`] if the cut lies outside the picture.
pub fn pixels(
    scene: &Scene,
    picture: &RenderedScene,
    bounds: PixelBox,
    low_resolution: Option<u32>,
) -> Result<Option<ViewPixels>, WorldError> {
    let whole = bounds.width == scene.width && bounds.height == scene.height;
    let cut = match low_resolution {
        None if whole => patches(&picture.image)?,
        None => patches(&crop(&picture.image, bounds)?)?,
        Some(short) => {
            let factor = f64::from(short) / f64::from(scene.width.min(scene.height));
            let scale = |length: u32| (f64::from(length) * factor).round() as u32;
            let (width, height) = (scale(scene.width).max(1), scale(scene.height).max(1));
            let small = resize(&picture.image, width, height, Filter::Bicubic);
            let (x, y) = (scale(bounds.x).min(width - 1), scale(bounds.y).min(height - 1));
            let bounds = PixelBox {
                x,
                y,
                width: scale(bounds.width).clamp(1, width - x),
                height: scale(bounds.height).clamp(1, height - y),
            };
            patches(&crop(&small, bounds)?)?
        }
    };
    Ok(cut.map(|(bytes, grid)| ViewPixels {
        bytes,
        grid,
        labels: labels(scene, picture, bounds, whole, grid),
    }))
}

#[cfg(test)]
mod tests;
