//! Rotation about the centre with bilinear sampling.

use image::RgbImage;

/// Rotates `image` counter-clockwise by `angle` radians about its centre, keeping its size.
///
/// What turns in from outside is the picture mirrored at its edge: black corners would be a mark of
/// augmentation that the vision tower sees and that no photograph has.
pub(super) fn rotate(image: &RgbImage, angle: f32) -> RgbImage {
    let (width, height) = image.dimensions();
    let (sin, cos) = angle.sin_cos();
    let (centre_x, centre_y) = ((width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0);
    let mut rotated = RgbImage::new(width, height);
    let samples: &[u8] = image;
    for (y, row) in rotated.chunks_exact_mut(width as usize * 3).enumerate() {
        let dy = y as f32 - centre_y;
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let dx = x as f32 - centre_x;
            let source_x = centre_x + dx * cos - dy * sin;
            let source_y = centre_y + dx * sin + dy * cos;
            let (x0, x1, fx) = neighbours(source_x, width);
            let (y0, y1, fy) = neighbours(source_y, height);
            let at = |x: usize, y: usize| (y * width as usize + x) * 3;
            let corners = [at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1)];
            for (channel, value) in pixel.iter_mut().enumerate() {
                let [a, b, c, d] = corners.map(|corner| f32::from(samples[corner + channel]));
                let top = a + (b - a) * fx;
                let bottom = c + (d - c) * fx;
                *value = (top + (bottom - top) * fy).round() as u8;
            }
        }
    }
    rotated
}

/// The two samples around a coordinate and the weight of the second.
fn neighbours(at: f32, side: u32) -> (usize, usize, f32) {
    let floor = at.floor();
    let first = floor as i64;
    (mirror(first, side), mirror(first + 1, side), at - floor)
}

/// Reflects an index at the edges of a side, each edge sample being doubled.
fn mirror(index: i64, side: u32) -> usize {
    let side = i64::from(side);
    // Nearly every sample lies inside, and the remainder below is the dearest step of a rotation.
    if (0..side).contains(&index) {
        return index as usize;
    }
    let folded = index.rem_euclid(2 * side);
    folded.min(2 * side - 1 - folded) as usize
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, PI};

    use super::*;

    fn corner() -> RgbImage {
        RgbImage::from_fn(5, 5, |x, y| image::Rgb([x as u8 * 50, y as u8 * 50, 7]))
    }

    fn close(a: &RgbImage, b: &RgbImage) -> bool {
        a.iter().zip(b.iter()).all(|(a, b)| a.abs_diff(*b) <= 1)
    }

    #[test]
    fn quarter_and_half_turns_are_exact() {
        assert_eq!(rotate(&corner(), 0.0), corner());
        assert!(close(&rotate(&corner(), FRAC_PI_2), &image::imageops::rotate270(&corner())));
        assert!(close(&rotate(&corner(), PI), &image::imageops::rotate180(&corner())));
    }

    #[test]
    fn a_plain_picture_keeps_its_colour_to_the_corners() {
        let plain = RgbImage::from_pixel(31, 17, image::Rgb([200, 100, 50]));
        assert_eq!(rotate(&plain, 0.17), plain);
    }

    #[test]
    fn indices_fold_back_at_both_edges() {
        let folded: Vec<usize> = (-4..8).map(|index| mirror(index, 3)).collect();
        assert_eq!(folded, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
        assert_eq!(mirror(-9, 1), 0);
    }
}
