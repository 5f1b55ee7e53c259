//! Draws a [`Scene`]: anti-aliased outlines, patterns, rims, then noise.

use std::sync::LazyLock;

use image::RgbImage;
use reasonedit_imaging::PixelBox;
use tiny_skia::{FillRule, LineJoin, Mask, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

use crate::WorldError;
use crate::random::{RandomExt, stream};
use crate::scene::{Attribute, Object, Scene};

/// Which pixels of the canvas one object covers.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// Row-major over the canvas, true where the object is.
    pub covered: Vec<bool>,
    /// Canvas width.
    pub width: u32,
    /// Tight bounding box of the covered pixels.
    pub bounds: PixelBox,
    /// Number of covered pixels.
    pub area: u32,
}

impl Coverage {
    /// How many covered pixels lie in `[left, right) × [top, bottom)`.
    pub fn count(&self, left: u32, top: u32, right: u32, bottom: u32) -> u32 {
        let (left, right) = (left.max(self.bounds.x), right.min(self.bounds.x + self.bounds.width));
        let (top, bottom) = (top.max(self.bounds.y), bottom.min(self.bounds.y + self.bounds.height));
        if left >= right {
            return 0;
        }
        (top..bottom)
            .map(|y| {
                let row = (y * self.width) as usize;
                let pixels = &self.covered[row + left as usize..row + right as usize];
                pixels.iter().filter(|covered| **covered).count() as u32
            })
            .sum()
    }
}

/// A drawn scene.
#[derive(Clone, Debug)]
pub struct RenderedScene {
    /// The picture.
    pub image: RgbImage,
    /// One per object, in the scene's order.
    pub coverage: Vec<Coverage>,
}

const INNER_RING: f32 = 0.48;
const RIM_RGB: [u8; 3] = [25, 20, 25];

fn corners(shape: u8) -> Vec<(f32, f32)> {
    use std::f32::consts::{FRAC_PI_2, PI, TAU};
    let polar = |angle: f32, radius: f32| (angle.cos() * radius, angle.sin() * radius);
    match shape {
        1 => vec![(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)],
        2 => [-PI / 2.0, PI / 6.0, 5.0 * PI / 6.0].map(|angle| polar(angle, 1.1)).to_vec(),
        3 => (0..10)
            .map(|i| polar(-FRAC_PI_2 + i as f32 * PI / 5.0, if i % 2 == 0 { 1.12 } else { 0.5 }))
            .collect(),
        4 => {
            let (a, b) = (0.34, 1.0);
            let cross = [
                (-a, -b),
                (a, -b),
                (a, -a),
                (b, -a),
                (b, a),
                (a, a),
                (a, b),
                (-a, b),
                (-a, a),
                (-b, a),
                (-b, -a),
                (-a, -a),
            ];
            cross.to_vec()
        }
        _ => (0..72).map(|i| polar(i as f32 * TAU / 72.0, 1.0)).collect(),
    }
}

/// `count` points at equal distances along the closed outline.
fn resample(outline: &[(f32, f32)], count: usize) -> Vec<(f32, f32)> {
    let next = |i: usize| outline[(i + 1) % outline.len()];
    let length = |i: usize| (next(i).0 - outline[i].0).hypot(next(i).1 - outline[i].1);
    let total: f32 = (0..outline.len()).map(length).sum();
    let (mut side, mut before) = (0, 0.0);
    (0..count)
        .map(|i| {
            let at = total * i as f32 / count as f32;
            while side + 1 < outline.len() && before + length(side) < at {
                before += length(side);
                side += 1;
            }
            let share = ((at - before) / length(side)).clamp(0.0, 1.0);
            let (from, to) = (outline[side], next(side));
            (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
        })
        .collect()
}

/// The outline in canvas pixels.
fn outline(object: &Object) -> Vec<(f32, f32)> {
    let shape = object.traits.get(Attribute::Shape);
    let mut points = corners(shape);
    if object.traits.get(Attribute::Edge) == 1 {
        let teeth = match shape {
            1 => 16,
            3 => 20,
            4 => 24,
            _ => 15,
        };
        let base = resample(&points, 2 * teeth);
        let count = base.len();
        points = (0..count)
            .map(|i| {
                let (previous, next) = (base[(i + count - 1) % count], base[(i + 1) % count]);
                let (along_x, along_y) = (next.0 - previous.0, next.1 - previous.1);
                let step =
                    if i % 2 == 0 { object.jag } else { -object.jag } / (along_x.hypot(along_y) + 1e-6);
                (base[i].0 + along_y * step, base[i].1 - along_x * step)
            })
            .collect();
    }
    let (sin, cos) = object.rotation.sin_cos();
    points
        .into_iter()
        .map(|(x, y)| {
            (object.x + (x * cos - y * sin) * object.radius, object.y + (x * sin + y * cos) * object.radius)
        })
        .collect()
}

fn closed_path(points: &[(f32, f32)], hole: Option<f32>, object: &Object) -> Result<Path, WorldError> {
    let mut path = PathBuilder::new();
    for (index, (x, y)) in points.iter().enumerate() {
        if index == 0 {
            path.move_to(*x, *y);
        } else {
            path.line_to(*x, *y);
        }
    }
    path.close();
    if let Some(radius) = hole {
        path.push_circle(object.x, object.y, radius);
    }
    path.finish().ok_or(WorldError::Drawing("empty outline"))
}

fn paint(rgb: [u8; 3]) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(rgb[0], rgb[1], rgb[2], 255);
    paint.anti_alias = true;
    paint
}

fn texture_color(object: &Object) -> [u8; 3] {
    object.rgb.map(|channel| {
        let channel = f32::from(channel);
        (if object.light_texture { channel + (255.0 - channel) * 0.75 } else { channel * 0.38 }) as u8
    })
}

fn draw_texture(canvas: &mut Pixmap, object: &Object, mask: &Mask, short_side: f32) {
    let reach = object.radius * 1.3;
    let paint = paint(texture_color(object));
    let mut path = PathBuilder::new();
    if object.traits.get(Attribute::Texture) == 1 {
        let step = (object.radius * 0.36).max(short_side * 0.046);
        let (across_y, across_x) = (object.texture_phase * std::f32::consts::PI).sin_cos();
        let mut offset = -(reach / step).ceil() * step;
        while offset < reach {
            let (x, y) = (object.x + across_x * offset, object.y + across_y * offset);
            path.move_to(x - across_y * reach * 1.5, y + across_x * reach * 1.5);
            path.line_to(x + across_y * reach * 1.5, y - across_x * reach * 1.5);
            offset += step;
        }
        if let Some(path) = path.finish() {
            let stroke = Stroke { width: step * 0.42, ..Stroke::default() };
            canvas.stroke_path(&path, &paint, &stroke, Transform::identity(), Some(mask));
        }
    } else {
        let step = (object.radius * 0.38).max(short_side * 0.048);
        let mut y = object.y - reach + object.texture_phase * step;
        let mut odd = false;
        while y < object.y + reach {
            let mut x = object.x - reach + if odd { step / 2.0 } else { 0.0 };
            while x < object.x + reach {
                path.push_circle(x, y, step * 0.27);
                x += step;
            }
            y += step * 0.87;
            odd = !odd;
        }
        if let Some(path) = path.finish() {
            canvas.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), Some(mask));
        }
    }
}

fn draw_object(canvas: &mut Pixmap, object: &Object) -> Result<Coverage, WorldError> {
    let short_side = canvas.width().min(canvas.height()) as f32;
    let hole = (object.traits.get(Attribute::Shape) == 5).then_some(INNER_RING * object.radius);
    let path = closed_path(&outline(object), hole, object)?;
    let mut mask = Mask::new(canvas.width(), canvas.height()).ok_or(WorldError::Drawing("empty canvas"))?;
    mask.fill_path(&path, FillRule::EvenOdd, true, Transform::identity());
    canvas.fill_path(&path, &paint(object.rgb), FillRule::EvenOdd, Transform::identity(), None);
    if object.traits.get(Attribute::Texture) != 0 {
        draw_texture(canvas, object, &mask, short_side);
    }
    if object.traits.get(Attribute::Rim) == 1 {
        let width = (object.radius * 0.13).max(short_side * 0.021);
        let stroke = Stroke { width, line_join: LineJoin::Round, ..Stroke::default() };
        canvas.stroke_path(&path, &paint(RIM_RGB), &stroke, Transform::identity(), None);
    }
    coverage(&mask)
}

fn coverage(mask: &Mask) -> Result<Coverage, WorldError> {
    let width = mask.width();
    let covered: Vec<bool> = mask.data().iter().map(|alpha| *alpha > 127).collect();
    let (mut left, mut right, mut top, mut bottom, mut area) = (u32::MAX, 0, u32::MAX, 0, 0);
    for (y, row) in covered.chunks_exact(width as usize).enumerate() {
        let Some(first) = row.iter().position(|covered| *covered) else { continue };
        let last = row.iter().rposition(|covered| *covered).unwrap_or(first);
        left = left.min(first as u32);
        right = right.max(last as u32 + 1);
        top = top.min(y as u32);
        bottom = y as u32 + 1;
        area += row.iter().filter(|covered| **covered).count() as u32;
    }
    if area == 0 {
        return Err(WorldError::Drawing("object outside the canvas"));
    }
    let bounds = PixelBox { x: left, y: top, width: right - left, height: bottom - top };
    Ok(Coverage { covered, width, bounds, area })
}

const GAUSSIANS: usize = 1 << 16;

/// Standard normal draws, reused from random offsets: drawing a million of them anew would cost more than all
/// the rest.
fn gaussians() -> &'static [f32] {
    static TABLE: LazyLock<Vec<f32>> = LazyLock::new(|| {
        let mut rng = stream(0, "noise table", 0);
        let mut pair = || {
            let radius = (-2.0 * (1.0 - rng.between(0.0, 1.0)).ln()).sqrt();
            let (sin, cos) = (rng.between(0.0, std::f64::consts::TAU)).sin_cos();
            [(radius * cos) as f32, (radius * sin) as f32]
        };
        (0..GAUSSIANS / 2).flat_map(|_| pair()).collect()
    });
    &TABLE
}

/// The pixels of `canvas` without alpha, with noise and brightness added.
fn finish(canvas: &Pixmap, scene: &Scene) -> RgbImage {
    let table = gaussians();
    let mut rng = stream(scene.noise_seed, "noise", 0);
    let mut image = RgbImage::new(scene.width, scene.height);
    let row_bytes = scene.width as usize * 3;
    let brightness = f32::from(scene.brightness) + 0.5;
    let rows = canvas.data().chunks_exact(scene.width as usize * 4);
    for (source, target) in rows.zip(image.chunks_exact_mut(row_bytes)) {
        let offset = rng.below(GAUSSIANS - row_bytes);
        let noise = table[offset..offset + row_bytes].chunks_exact(3);
        for ((from, to), noise) in source.chunks_exact(4).zip(target.chunks_exact_mut(3)).zip(noise) {
            for channel in 0..3 {
                // The cast saturates: below 0 is black, above 255 white.
                to[channel] = (f32::from(from[channel]) + noise[channel] * scene.noise + brightness) as u8;
            }
        }
    }
    image
}

/// Draws a scene. About a millisecond for a canvas of 320 pixels a side.
///
/// # Errors
/// [`WorldError::Drawing`] if the canvas has no area or an object lies outside it; neither happens for scenes
/// made by this crate.
pub fn render(scene: &Scene) -> Result<RenderedScene, WorldError> {
    let longest = scene.width.max(scene.height);
    if longest as usize * 3 >= GAUSSIANS {
        return Err(WorldError::Drawing("canvas too wide"));
    }
    let mut canvas = Pixmap::new(scene.width, scene.height).ok_or(WorldError::Drawing("empty canvas"))?;
    let [red, green, blue] = scene.background;
    canvas.fill(tiny_skia::Color::from_rgba8(red, green, blue, 255));
    let coverage =
        scene.objects.iter().map(|object| draw_object(&mut canvas, object)).collect::<Result<_, _>>()?;
    Ok(RenderedScene { image: finish(&canvas, scene), coverage })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Traits;

    fn picture(traits: Traits, seed: u64) -> RenderedScene {
        render(&Scene::showing(&[traits], &mut stream(seed, "test", 0))).unwrap()
    }

    #[test]
    fn the_same_scene_gives_the_same_pixels() {
        let scene = Scene::random(&mut stream(5, "test", 0));
        let (first, second) = (render(&scene).unwrap(), render(&scene).unwrap());
        assert_eq!(first.image, second.image);
        assert_ne!(first.image, picture(Traits([0; 6]), 6).image);
    }

    #[test]
    fn coverage_counts_agree_with_its_bounds() {
        for seed in 0..40 {
            let scene = Scene::random(&mut stream(seed, "test", 1));
            let picture = render(&scene).unwrap();
            assert_eq!(picture.image.dimensions(), (scene.width, scene.height));
            for coverage in &picture.coverage {
                let bounds = coverage.bounds;
                assert!(bounds.x + bounds.width <= scene.width && bounds.y + bounds.height <= scene.height);
                assert_eq!(coverage.count(0, 0, scene.width, scene.height), coverage.area);
                let half = bounds.x + bounds.width / 2;
                let sides = coverage.count(0, 0, half, scene.height)
                    + coverage.count(half, 0, scene.width, scene.height);
                assert_eq!(sides, coverage.area);
                assert_eq!(coverage.count(0, 0, bounds.x, scene.height), 0);
            }
        }
    }

    #[test]
    fn jags_do_not_change_how_much_a_shape_covers() {
        for shape in 0..6 {
            let area = |edge: u8| {
                let mut object =
                    Scene::showing(&[Traits([shape, 0, 1, 0, edge, 0])], &mut stream(9, "test", 2)).objects
                        [0]
                    .clone();
                object.radius = 70.0;
                let points = outline(&object);
                let doubled: f32 = (0..points.len())
                    .map(|i| {
                        let (from, to) = (points[i], points[(i + 1) % points.len()]);
                        from.0 * to.1 - to.0 * from.1
                    })
                    .sum();
                (doubled / 2.0).abs()
            };
            let (smooth, jagged) = (area(0), area(1));
            assert!((jagged / smooth - 1.0).abs() < 0.1, "shape {shape}: {smooth} and {jagged}");
        }
    }

    #[test]
    fn the_body_has_the_colour_and_the_rim_is_dark() {
        let with_rim = picture(Traits([1, 4, 1, 0, 0, 1]), 3);
        let bounds = with_rim.coverage[0].bounds;
        let at = |x: u32, y: u32| with_rim.image.get_pixel(x, y).0;
        let [red, green, blue] = at(bounds.x + bounds.width / 2, bounds.y + bounds.height / 2);
        assert!(blue > 150 && red < 120 && green < 150, "{red} {green} {blue}");
        let dark = |picture: &RenderedScene| {
            picture.image.pixels().filter(|pixel| pixel.0.iter().all(|channel| *channel < 60)).count()
        };
        assert!(dark(&with_rim) > 500);
        assert!(dark(&picture(Traits([1, 4, 1, 0, 0, 0]), 3)) < 20);
    }

    #[test]
    fn impossible_canvases_are_errors() {
        let mut scene = Scene::random(&mut stream(1, "test", 3));
        scene.width = 0;
        assert!(render(&scene).is_err());
        scene.width = 1 << 20;
        assert!(render(&scene).is_err());
    }
}
