//! Transparency: what a picture stands on.

use image::RgbImage;

use crate::DecodeNote;

/// Below this difference from the ground, in levels of 255, something is not seen.
const UNSEEN: u8 = 32;
/// Below this opacity a pixel is no part of a drawing.
const FAINT: u8 = 32;

/// Puts pixels of red, green, blue and (straight) alpha on a ground.
///
/// The ground is white. It is black for a drawing that would vanish: one whose visible pixels are nearly
/// white, 98 of 100 of them, with something to see through beside them. Where alpha is zero everywhere it is
/// no transparency (clipboards and converters leave it so), and the colours are taken as they are.
pub(crate) fn flatten(width: u32, height: u32, rgba: &[u8]) -> (RgbImage, Vec<DecodeNote>) {
    let (pixels, _) = rgba.as_chunks::<4>();
    let mut flat = RgbImage::new(width, height);
    let mut notes = Vec::new();
    if pixels.iter().all(|pixel| pixel[3] == 0) {
        for (target, source) in flat.chunks_exact_mut(3).zip(pixels) {
            target.copy_from_slice(&source[..3]);
        }
        notes.push(DecodeNote {
            code: "alpha_ignored",
            detail: "the picture is transparent everywhere; its colours were taken as opaque".to_owned(),
        });
        return (flat, notes);
    }
    let ground = if vanishes_on_white(pixels) { 0 } else { 255 };
    if ground == 0 {
        notes.push(DecodeNote {
            code: "ground_changed",
            detail:
                "a light drawing on a transparent ground was put on black, because it can't be seen on white"
                    .to_owned(),
        });
    }
    onto(&mut flat, pixels, ground);
    (flat, notes)
}

/// Puts pixels on white, as the first releases did with all of them.
pub(crate) fn over_white(width: u32, height: u32, rgba: &[u8]) -> RgbImage {
    let mut flat = RgbImage::new(width, height);
    onto(&mut flat, rgba.as_chunks::<4>().0, 255);
    flat
}

fn onto(flat: &mut RgbImage, pixels: &[[u8; 4]], ground: u8) {
    for (target, source) in flat.chunks_exact_mut(3).zip(pixels) {
        for (target, &channel) in target.iter_mut().zip(source) {
            *target = blend(channel, source[3], ground);
        }
    }
}

/// A channel over the ground, rounded to the nearest.
fn blend(channel: u8, alpha: u8, ground: u8) -> u8 {
    let alpha = u32::from(alpha);
    // At most 255·255 + 127, so the quotient fits a byte.
    ((u32::from(channel) * alpha + u32::from(ground) * (255 - alpha) + 127) / 255) as u8
}

fn vanishes_on_white(pixels: &[[u8; 4]]) -> bool {
    let (mut visible, mut unseen, mut clear) = (0u64, 0u64, 0u64);
    for pixel in pixels {
        let alpha = pixel[3];
        clear += u64::from(alpha < 128);
        if alpha >= FAINT {
            visible += 1;
            let darkest = pixel[..3].iter().copied().min().unwrap_or_default();
            unseen += u64::from(255 - blend(darkest, alpha, 255) < UNSEEN);
        }
    }
    // One pixel in a hundred to see through: rounded corners of a window are no ground.
    visible > 0 && unseen * 100 >= visible * 98 && clear * 100 >= pixels.len() as u64
        // Something faint on white can be fainter on black.
        && pixels.iter().any(|pixel| {
            let lightest = pixel[..3].iter().copied().max().unwrap_or_default();
            blend(lightest, pixel[3], 0) >= UNSEEN
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 × 10 pixels with a square of 4 × 4.
    fn drawing(ground: [u8; 4], square: [u8; 4]) -> Vec<u8> {
        (0..100u32)
            .flat_map(|at| {
                if (3..7).contains(&(at % 10)) && (3..7).contains(&(at / 10)) { square } else { ground }
            })
            .collect()
    }

    #[test]
    fn the_ground_is_the_one_on_which_a_drawing_is_seen() {
        let clear = [0, 0, 0, 0];
        for (ground, square, middle, corner, code) in [
            (clear, [0, 0, 0, 255], [0; 3], [255; 3], ""),
            (clear, [255, 255, 255, 255], [255; 3], [0; 3], "ground_changed"),
            (clear, [240, 245, 230, 255], [240, 245, 230], [0; 3], "ground_changed"),
            (clear, [255, 255, 128, 255], [255, 255, 128], [255; 3], ""),
            (clear, [255, 0, 0, 255], [255, 0, 0], [255; 3], ""),
            ([255, 255, 255, 0], [255, 255, 255, 128], [128; 3], [0; 3], "ground_changed"),
            (clear, [0, 0, 0, 40], [215; 3], [255; 3], ""),
            // Too faint to be seen on either.
            (clear, [0, 0, 0, 20], [235; 3], [255; 3], ""),
            ([10, 20, 30, 255], [255, 255, 255, 255], [255; 3], [10, 20, 30], ""),
            ([255, 255, 255, 255], [255, 255, 255, 255], [255; 3], [255; 3], ""),
            ([10, 20, 30, 0], [40, 50, 60, 0], [40, 50, 60], [10, 20, 30], "alpha_ignored"),
        ] {
            let (flat, notes) = flatten(10, 10, &drawing(ground, square));
            assert_eq!(flat.get_pixel(5, 5).0, middle, "{square:?} on {ground:?}");
            assert_eq!(flat.get_pixel(0, 0).0, corner, "{square:?} on {ground:?}");
            assert_eq!(notes.first().map_or("", |note| note.code), code, "{square:?} on {ground:?}");
        }
    }
}
