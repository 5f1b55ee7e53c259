//! Pictures: bytes to pixels, and pixels to other sizes.

use reasonedit_imaging::augment::{AugmentConfig, augment};
use reasonedit_imaging::grid::{GridConfig, Kernel, candidates};
use reasonedit_imaging::{
    DecodeLimits, DrawnBox, Filter, ImageFormat, PixelBox, PixelRules, RgbImage, crop, decode_cost,
    decode_under, encode_png, plain_format, smart_resize,
};

use crate::input::Input;
use crate::limits::{MIB, peak};

/// Longest side of a picture that is resized here.
const SIDE: u32 = 200;

/// What is decoded is within limits, and takes no more memory than was said before it was decoded.
pub(crate) fn decode(data: &[u8]) {
    let limits = DecodeLimits { max_bytes: 200_000, max_pixels: 250_000, max_side: 4096 };
    let cost = decode_cost(data, &limits);
    let plain = plain_format(data);
    for rules in [PixelRules::First, PixelRules::CURRENT] {
        let mut decoded = None;
        let taken = peak(|| decoded = decode_under(data, &limits, rules).ok()) as u64;
        let Some(decoded) = decoded else { continue };
        let (width, height) = decoded.image.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        assert!(width.max(height) <= limits.max_side && (1..=limits.max_pixels).contains(&pixels));
        assert_eq!(Some(decoded.format), ImageFormat::sniff(data));
        assert!(plain.is_none_or(|plain| plain == decoded.format));
        // A file of a few bytes has tables and buffers beside its pixels.
        let beside = 4 * MIB as u64 + 4 * data.len() as u64;
        assert!(taken <= cost + beside, "{taken} bytes for a picture that was said to cost {cost}");
    }
}

/// Any picture to any size, cut, framed, and stored again.
pub(crate) fn resize(data: &[u8]) {
    let mut input = Input(data);
    let side = |value: u16| u32::from(value) % SIDE + 1;
    let (width, height) = (side(input.u16()), side(input.u16()));
    let (to_width, to_height) = (u32::from(input.u16()) % (3 * SIDE), u32::from(input.u16()) % (3 * SIDE));
    let filter = input.pick(&[Filter::Bicubic, Filter::Bilinear]);

    let sides =
        (input.u32(), input.u32(), u32::from(input.u16()), u64::from(input.u32()), u64::from(input.u32()));
    let (high, wide, factor, least, most) = sides;
    if let Ok((h, w)) = smart_resize(high, wide, factor, least, most) {
        assert!(h > 0 && w > 0 && h % factor == 0 && w % factor == 0);
    }

    let drawn = DrawnBox { x: input.f64(), y: input.f64(), width: input.f64(), height: input.f64() };
    let config = AugmentConfig {
        area_kept: input.f32(),
        // The operator's choice: more tiles than these are slow, and nobody else can ask for them.
        tiles_per_side: input.u32() % 9,
        noise_share: input.f32(),
        rotation_degrees: input.f32(),
        brightness: input.f32(),
        contrast: input.f32(),
        saturation: input.f32(),
        hue: input.f32(),
    };
    let kernels = (0..input.byte() % 4)
        .map(|_| Kernel { rows: input.byte().into(), columns: input.byte().into() })
        .collect();
    let grid =
        GridConfig { rows: u32::from(input.byte()) % 24, columns: u32::from(input.byte()) % 24, kernels };
    let seed = u64::from(input.u32());

    let rest = input.0;
    let image = RgbImage::from_fn(width, height, |x, y| {
        let at = (y * width + x) as usize * 3;
        let byte = |n: usize| if rest.is_empty() { 0 } else { rest[(at + n) % rest.len()] };
        [byte(0), byte(1), byte(2)].into()
    });
    let resized = reasonedit_imaging::resize(&image, to_width, to_height, filter);
    assert_eq!(resized.dimensions(), (to_width.max(1), to_height.max(1)));
    if let Some(area) = drawn.to_pixels(width, height) {
        assert!(area.validate(width, height).is_ok(), "{drawn:?} became {area} of {width}x{height}");
        let cut = crop(&image, area).expect("a box on the picture");
        assert_eq!(cut.dimensions(), (area.width, area.height));
    }
    let whole = PixelBox::whole(width, height);
    for area in candidates(width, height, &grid) {
        assert!(area.validate(width, height).is_ok() && area != whole);
    }
    assert_eq!(augment(&image, &config, &[resized], seed).dimensions(), (width, height));
    let stored = encode_png(&image).expect("a picture with pixels");
    let again = decoded(&stored);
    assert!(again == image, "a picture that was stored reads back as another");
}

fn decoded(bytes: &[u8]) -> RgbImage {
    reasonedit_imaging::decode(bytes, &DecodeLimits::default()).expect("a picture that was just made").image
}
