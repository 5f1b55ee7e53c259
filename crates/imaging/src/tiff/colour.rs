//! Samples of a TIFF to 8-bit red, green and blue.

use image::RgbImage;

use super::directory::{Directory, tag};
use super::faults::malformed;
use super::layout::{Colour, Layout};
use super::samples::{Raster, Samples, colour_of_samples};
use crate::depth::{self, Range, SampleKind};
use crate::{DecodeNote, ImagingError, flatten};

/// White of the light D50, to which CIELAB refers unless it says otherwise (X, Y, Z).
const D50: [f64; 3] = [0.964_22, 1.0, 0.825_21];

/// From XYZ under D50 to linear sRGB, with Bradford's adaptation to its D65.
const XYZ_TO_SRGB: [[f64; 3]; 3] = [
    [3.133_856_1, -1.616_866_7, -0.490_614_6],
    [-0.978_768_4, 1.916_141_5, 0.033_454_0],
    [0.071_945_3, -0.228_991_4, 1.405_242_7],
];

/// Scales samples, turns their colours into RGB and puts transparency on a ground.
pub(super) fn to_rgb8(
    layout: &Layout,
    directory: &Directory<'_>,
    raster: Raster,
) -> Result<(RgbImage, Vec<DecodeNote>), ImagingError> {
    let (width, height) = (layout.width as u32, layout.height as u32);
    let colour = colour_of_samples(layout);
    let (mut pixels, mut notes) = match colour {
        Colour::Palette => (palette(layout, directory, &raster)?, Vec::new()),
        Colour::CieLab | Colour::IccLab => (lab(layout, colour, &raster), Vec::new()),
        _ => {
            let (range, notes) = depth::choose(layout.kind, &raster.extent, layout.declared)?;
            let scaled = scale(layout, raster.samples, raster.channels, range);
            (device_colours(directory, colour, layout.alpha.is_some(), scaled), notes)
        }
    };
    let Some(alpha) = layout.alpha else {
        let flat =
            RgbImage::from_raw(width, height, pixels).ok_or_else(|| malformed("its size is impossible"))?;
        return Ok((flat, notes));
    };
    if alpha.associated {
        // The colours were multiplied by their opacity.
        for pixel in pixels.chunks_exact_mut(4) {
            let opacity = u32::from(pixel[3]);
            for channel in pixel.iter_mut().take(3) {
                let straight = (u32::from(*channel) * 255 + opacity / 2).checked_div(opacity);
                *channel = straight.map_or(*channel, |straight| straight.min(255) as u8);
            }
        }
    }
    let (flat, ground) = flatten::flatten(width, height, &pixels);
    notes.extend(ground);
    Ok((flat, notes))
}

/// All samples in 8 bits; opacity has the range of its type, unless it was written in as few bits as the
/// colours.
fn scale(layout: &Layout, samples: Samples, channels: usize, range: Range) -> Vec<u8> {
    let colours = channels - usize::from(layout.alpha.is_some());
    let opacity_range = |most: f64| match layout.kind {
        SampleKind::Unsigned(bits) if most > range.high => {
            Range { low: 0.0, high: 2f64.powi(bits as i32) - 1.0 }
        }
        SampleKind::Unsigned(_) => Range { low: 0.0, ..range },
        SampleKind::Signed(_) | SampleKind::Float => range,
    };
    match samples {
        Samples::U8(samples) if layout.bits == 8 => samples,
        Samples::U8(samples) => samples.iter().map(|&sample| range.to_u8(f64::from(sample))).collect(),
        Samples::U16(samples) => {
            let table = range.table();
            let mut scaled: Vec<u8> = samples.iter().map(|&sample| table[usize::from(sample)]).collect();
            if colours < channels {
                let most =
                    samples.chunks_exact(channels).map(|pixel| pixel[colours]).max().unwrap_or_default();
                let range = opacity_range(f64::from(most));
                for (target, source) in scaled.chunks_exact_mut(channels).zip(samples.chunks_exact(channels))
                {
                    target[colours] = range.to_u8(f64::from(source[colours]));
                }
            }
            scaled
        }
        Samples::F32(samples) => {
            let opacities = samples.chunks_exact(channels).filter_map(|pixel| pixel.get(colours));
            let opacity = opacity_range(opacities.copied().fold(0.0f32, f32::max).into());
            samples
                .iter()
                .enumerate()
                .map(|(at, &sample)| {
                    let range = if at % channels < colours { range } else { opacity };
                    range.to_u8(f64::from(sample))
                })
                .collect()
        }
    }
}

/// Grey, RGB, CMYK or YCbCr of 8 bits to RGB, opacity untouched behind it.
fn device_colours(directory: &Directory<'_>, colour: Colour, alpha: bool, scaled: Vec<u8>) -> Vec<u8> {
    if colour == Colour::Rgb {
        return scaled;
    }
    let colours = colour.channels();
    let ycbcr = YCbCr::of(directory);
    let stride = colours + usize::from(alpha);
    let mut pixels = Vec::with_capacity(scaled.len() / stride * (3 + usize::from(alpha)));
    for pixel in scaled.chunks_exact(stride) {
        pixels.extend_from_slice(&match (colour, &pixel[..colours]) {
            (Colour::WhiteIsZero, &[grey, ..]) => [255 - grey; 3],
            (Colour::Cmyk, &[cyan, magenta, yellow, black]) => cmyk([cyan, magenta, yellow], black),
            (Colour::YCbCr, &[y, blue, red]) => ycbcr.to_rgb([y, blue, red]),
            (_, grey) => [grey.first().copied().unwrap_or_default(); 3],
        });
        pixels.extend_from_slice(&pixel[colours..]);
    }
    pixels
}

/// Inks multiplied out, cut to whole numbers as the `image` crate does.
fn cmyk(inks: [u8; 3], black: u8) -> [u8; 3] {
    let light = 1.0 - f32::from(black) / 255.0;
    inks.map(|ink| ((255.0 - f32::from(ink)) * light) as u8)
}

/// The colour difference signals of section 21 of TIFF 6.0.
struct YCbCr {
    /// Weights of red, green and blue in lightness.
    weights: [f64; 3],
    /// Black and white of each signal.
    reference: [f64; 6],
}

impl YCbCr {
    fn of(directory: &Directory<'_>) -> Self {
        let mut found =
            Self { weights: [0.299, 0.587, 0.114], reference: [0.0, 255.0, 128.0, 255.0, 128.0, 255.0] };
        if let Some(&[red, green, blue]) = directory.reals(tag::YCBCR_COEFFICIENTS, 3).as_deref()
            && [red, green, blue].iter().all(|weight| weight.is_finite() && *weight > 0.0)
        {
            found.weights = [red, green, blue];
        }
        if let Some(all) = directory.reals(tag::REFERENCE_BLACK_WHITE, 6)
            && let Ok(reference) = <[f64; 6]>::try_from(all)
            && reference
                .chunks_exact(2)
                .all(|pair| pair[0].is_finite() && pair[1].is_finite() && pair[0] < pair[1])
        {
            found.reference = reference;
        }
        found
    }

    fn to_rgb(&self, signals: [u8; 3]) -> [u8; 3] {
        let reference = &self.reference;
        let level = |index: usize, full: f64| {
            (f64::from(signals[index]) - reference[2 * index]) * full
                / (reference[2 * index + 1] - reference[2 * index])
        };
        let (y, blue, red) = (level(0, 255.0), level(1, 127.0), level(2, 127.0));
        let [of_red, of_green, of_blue] = self.weights;
        let r = red * (2.0 - 2.0 * of_red) + y;
        let b = blue * (2.0 - 2.0 * of_blue) + y;
        let g = (y - of_blue * b - of_red * r) / of_green;
        [r, g, b].map(|channel| (channel + 0.5).clamp(0.0, 255.0) as u8)
    }
}

/// Indices to the colours of the map.
fn palette(layout: &Layout, directory: &Directory<'_>, raster: &Raster) -> Result<Vec<u8>, ImagingError> {
    let size = 1usize << layout.bits;
    let map = directory.list(tag::COLOR_MAP, 3 * size as u64)?.unwrap_or_default();
    if map.len() != 3 * size {
        return Err(malformed("its palette is missing or too short"));
    }
    // The standard has 16 bits; some writers put 8 there.
    let shift = if map.iter().all(|&value| value < 256) { 0 } else { 8 };
    let whole = Range { low: 0.0, high: size as f64 - 1.0 };
    let index = |at: usize| match &raster.samples {
        Samples::U8(samples) => usize::from(samples[at]),
        Samples::U16(samples) => usize::from(samples[at]),
        // No index is anything else: see `Layout::read`.
        Samples::F32(_) => 0,
    };
    let count = layout.width * layout.height;
    let mut pixels = Vec::with_capacity(count * (3 + usize::from(layout.alpha.is_some())));
    for at in (0..count).map(|pixel| pixel * raster.channels) {
        let colour = index(at);
        pixels.extend([0, 1, 2].map(|channel| (map[channel * size + colour] >> shift) as u8));
        if layout.alpha.is_some() {
            pixels.push(whole.to_u8(index(at + 1) as f64));
        }
    }
    Ok(pixels)
}

/// CIELAB under D50 to sRGB.
fn lab(layout: &Layout, colour: Colour, raster: &Raster) -> Vec<u8> {
    let wide = layout.bits == 16;
    let (steps, most) = if wide { (256.0, 65535.0) } else { (1.0, 255.0) };
    // Lightness 100 is 0xFF00 in 16 bits of the ICC's form.
    let hundred = if wide && colour == Colour::IccLab { 65280.0 } else { most };
    let sample = |at: usize| match &raster.samples {
        Samples::U8(samples) => f64::from(samples[at]),
        Samples::U16(samples) => f64::from(samples[at]),
        Samples::F32(samples) => f64::from(samples[at]).rem_euclid(most + 1.0),
    };
    let difference = |at: usize| {
        let stored = sample(at);
        let half = f64::midpoint(most, 1.0);
        match colour {
            Colour::IccLab => (stored - half) / steps,
            _ if stored >= half => (stored - most - 1.0) / steps,
            _ => stored / steps,
        }
    };
    let count = layout.width * layout.height;
    let mut pixels = Vec::with_capacity(count * (3 + usize::from(layout.alpha.is_some())));
    for at in (0..count).map(|pixel| pixel * raster.channels) {
        pixels.extend(lab_to_srgb(sample(at) * 100.0 / hundred, difference(at + 1), difference(at + 2)));
        if layout.alpha.is_some() {
            pixels.push(Range { low: 0.0, high: most }.to_u8(sample(at + 3)));
        }
    }
    pixels
}

fn lab_to_srgb(lightness: f64, a: f64, b: f64) -> [u8; 3] {
    let y = (lightness + 16.0) / 116.0;
    let cube =
        |t: f64| if t > 6.0 / 29.0 { t.powi(3) } else { 3.0 * (6.0f64 / 29.0).powi(2) * (t - 4.0 / 29.0) };
    let xyz = [D50[0] * cube(y + a / 500.0), D50[1] * cube(y), D50[2] * cube(y - b / 200.0)];
    XYZ_TO_SRGB.map(|row| {
        let linear: f64 = row.iter().zip(xyz).map(|(factor, part)| factor * part).sum();
        let encoded =
            if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
        (encoded * 255.0 + 0.5).clamp(0.0, 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cielab_gives_the_colours_of_the_standard() {
        // Lightness and differences of sRGB's corners under D50, as the ICC's profile of it has them.
        for (lab, rgb) in [
            ([0.0, 0.0, 0.0], [0, 0, 0]),
            ([100.0, 0.0, 0.0], [255, 255, 255]),
            ([53.585, 0.0, 0.0], [128, 128, 128]),
            ([54.29, 80.81, 69.89], [255, 0, 0]),
            ([87.82, -79.29, 80.99], [0, 255, 0]),
            ([29.57, 68.30, -112.03], [0, 0, 255]),
        ] {
            let found = lab_to_srgb(lab[0], lab[1], lab[2]);
            let off = found.iter().zip(rgb).map(|(a, b)| a.abs_diff(b)).max();
            assert!(off <= Some(2), "{lab:?}: {found:?} instead of {rgb:?}");
        }
    }
}
