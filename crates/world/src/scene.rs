//! What a picture shows: objects with six attributes, placed on a tinted background.

use crate::random::{Random, RandomExt};

/// The six things that can be seen of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    /// Outline.
    Shape,
    /// Colour of the body.
    Color,
    /// Size against the short side of the picture.
    Size,
    /// Pattern of the body.
    Texture,
    /// Smooth or jagged outline.
    Edge,
    /// Dark rim or none.
    Rim,
}

/// Value index of a circle, the one shape that can also be called "round".
pub const CIRCLE: u8 = 0;

impl Attribute {
    /// All attributes in the order of the label tables.
    pub const ALL: [Self; 6] = [Self::Shape, Self::Color, Self::Size, Self::Texture, Self::Edge, Self::Rim];

    /// The values, worded as the answers to a question about the attribute.
    pub fn values(self) -> &'static [&'static str] {
        match self {
            Self::Shape => &["circle", "square", "triangle", "star", "cross", "ring"],
            Self::Color => &["red", "orange", "yellow", "green", "blue", "purple", "brown", "pink"],
            Self::Size => &["small", "large"],
            Self::Texture => &["plain", "striped", "dotted"],
            Self::Edge => &["smooth", "jagged"],
            Self::Rim => &["none", "dark"],
        }
    }

    /// Name used in tables and tags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Color => "color",
            Self::Size => "size",
            Self::Texture => "texture",
            Self::Edge => "edge",
            Self::Rim => "rim",
        }
    }

    /// Position in [`Attribute::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The values of all six attributes of one object, as indices into [`Attribute::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traits(pub [u8; 6]);

impl Traits {
    /// Uniform in every attribute.
    pub fn random(rng: &mut Random) -> Self {
        let mut values = [0; 6];
        for attribute in Attribute::ALL {
            values[attribute.index()] = rng.below(attribute.values().len()) as u8;
        }
        Self(values)
    }

    /// Value index of an attribute.
    pub fn get(&self, attribute: Attribute) -> u8 {
        self.0[attribute.index()]
    }

    /// The value in words.
    pub fn word(&self, attribute: Attribute) -> &'static str {
        attribute.values()[self.get(attribute) as usize]
    }

    /// The same object with every attribute that `condition` fixes set to its value.
    pub fn forced(mut self, condition: &Condition) -> Self {
        for (attribute, value) in condition.terms() {
            self.0[attribute.index()] = value;
        }
        self
    }
}

/// A conjunction of attribute values; empty means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Condition(pub [Option<u8>; 6]);

impl Condition {
    /// The condition that `attributes` have the values they have on `traits`.
    pub fn of(traits: &Traits, attributes: &[Attribute]) -> Self {
        let mut condition = Self::default();
        for attribute in attributes {
            condition.0[attribute.index()] = Some(traits.get(*attribute));
        }
        condition
    }

    /// The same with one more attribute fixed.
    pub fn and(mut self, attribute: Attribute, value: u8) -> Self {
        self.0[attribute.index()] = Some(value);
        self
    }

    /// The value fixed for an attribute.
    pub fn get(&self, attribute: Attribute) -> Option<u8> {
        self.0[attribute.index()]
    }

    /// The fixed attributes with their values.
    pub fn terms(&self) -> impl Iterator<Item = (Attribute, u8)> + '_ {
        Attribute::ALL.into_iter().filter_map(|attribute| self.get(attribute).map(|value| (attribute, value)))
    }

    /// The fixed attributes.
    pub fn attributes(&self) -> Vec<Attribute> {
        self.terms().map(|(attribute, _)| attribute).collect()
    }

    /// Whether an object meets it.
    pub fn holds(&self, traits: &Traits) -> bool {
        self.misses(traits) == 0
    }

    /// How many of its terms an object does not meet.
    pub fn misses(&self, traits: &Traits) -> usize {
        self.terms().filter(|(attribute, value)| traits.get(*attribute) != *value).count()
    }

    /// The same condition with one random term set to another value: the nearest thing that is not it.
    pub fn near_miss(&self, rng: &mut Random) -> Self {
        let attributes = self.attributes();
        if attributes.is_empty() {
            return *self;
        }
        let attribute = rng.pick(&attributes);
        let value = self.get(attribute).unwrap_or_default();
        self.and(attribute, other_value(attribute, value, rng))
    }
}

/// A value of `attribute` other than `value`.
pub fn other_value(attribute: Attribute, value: u8, rng: &mut Random) -> u8 {
    let count = attribute.values().len() as u8;
    (value + 1 + rng.below(count as usize - 1) as u8) % count
}

/// One object of a picture. Lengths in pixels of the canvas, angles in radians.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What can be asked about it.
    pub traits: Traits,
    /// Centre.
    pub x: f32,
    /// Centre.
    pub y: f32,
    /// Nominal radius.
    pub radius: f32,
    /// Rotation of the outline.
    pub rotation: f32,
    /// Height of the jags against the radius.
    pub jag: f32,
    /// Body colour.
    pub rgb: [u8; 3],
    /// Direction of the stripes, phase of the dots.
    pub texture_phase: f32,
    /// Whether the pattern is lighter than the body.
    pub light_texture: bool,
}

/// A picture to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Canvas width in pixels.
    pub width: u32,
    /// Canvas height in pixels.
    pub height: u32,
    /// Background colour.
    pub background: [u8; 3],
    /// Standard deviation of the pixel noise, in grey levels.
    pub noise: f32,
    /// Added to every channel.
    pub brightness: i16,
    /// Chooses the noise.
    pub noise_seed: u64,
    /// One to three objects that do not overlap.
    pub objects: Vec<Object>,
}

const COLORS: [[u8; 3]; 8] = [
    [215, 45, 45],
    [240, 140, 30],
    [235, 215, 50],
    [50, 160, 70],
    [50, 90, 210],
    [140, 60, 170],
    [125, 80, 45],
    [245, 135, 180],
];
const BACKGROUNDS: [[u8; 3]; 6] =
    [[245, 245, 242], [225, 225, 228], [238, 230, 212], [214, 226, 238], [240, 222, 222], [220, 236, 220]];
/// Width to height, with the share of each.
const RATIOS: [((f64, f64), f64); 7] = [
    ((1.0, 1.0), 0.45),
    ((4.0, 3.0), 0.13),
    ((3.0, 4.0), 0.13),
    ((3.0, 2.0), 0.11),
    ((2.0, 3.0), 0.11),
    ((16.0, 9.0), 0.035),
    ((9.0, 16.0), 0.035),
];
/// Room an object takes around its centre, against its nominal radius (jags and rim reach out).
pub(crate) const REACH: f32 = 1.2;

fn jitter(color: [u8; 3], amount: f64, rng: &mut Random) -> [u8; 3] {
    color.map(|channel| (f64::from(channel) + rng.between(-amount, amount)).clamp(0.0, 255.0) as u8)
}

fn object(traits: Traits, count: usize, short_side: f32, rng: &mut Random) -> Object {
    let shape = traits.get(Attribute::Shape);
    let large = traits.get(Attribute::Size) == 1;
    let (low, high) = match (count, large) {
        (3, false) => (0.112, 0.127),
        (3, true) => (0.168, 0.19),
        (_, false) => (0.135, 0.155),
        (_, true) => (0.205, 0.235),
    };
    let round = shape == CIRCLE || shape == 5;
    // Larger jags make a triangle or a star look like something else.
    let jag = match shape {
        3 => 0.055,
        2 | 4 => 0.075,
        _ => 0.12,
    };
    Object {
        traits,
        x: 0.0,
        y: 0.0,
        radius: rng.between(low, high) as f32 * short_side,
        rotation: if round { 0.0 } else { rng.between(-0.3, 0.3) as f32 },
        jag: (jag * rng.between(0.9, 1.2)) as f32,
        rgb: jitter(COLORS[traits.get(Attribute::Color) as usize], 16.0, rng),
        texture_phase: rng.between(0.0, 1.0) as f32,
        light_texture: rng.chance(0.5),
    }
}

/// Puts the objects where they do not touch; shrinks all a little when chance finds no room.
fn place(objects: &mut [Object], width: f32, height: f32, rng: &mut Random) {
    let single = objects.len() == 1;
    loop {
        for _ in 0..80 {
            for object in objects.iter_mut() {
                let room = object.radius * REACH;
                // Half of the single objects stand near the centre, as in pictures people take.
                let spread = if single && rng.chance(0.5) { 0.25 } else { 1.0 };
                let (free_x, free_y) = ((width / 2.0 - room) * spread, (height / 2.0 - room) * spread);
                object.x = width / 2.0 + rng.between(-1.0, 1.0) as f32 * free_x;
                object.y = height / 2.0 + rng.between(-1.0, 1.0) as f32 * free_y;
            }
            let apart = |a: &Object, b: &Object| (a.x - b.x).hypot(a.y - b.y) > (a.radius + b.radius) * REACH;
            let free = (0..objects.len()).all(|i| (0..i).all(|j| apart(&objects[i], &objects[j])));
            if free {
                return;
            }
        }
        for object in objects.iter_mut() {
            object.radius *= 0.96;
        }
    }
}

impl Scene {
    /// A random scene of one to three objects (shares .6, .28, .12).
    pub fn random(rng: &mut Random) -> Self {
        let count = 1 + rng.weighted(&[0.6, 0.28, 0.12]);
        let traits: Vec<Traits> = (0..count).map(|_| Traits::random(rng)).collect();
        Self::showing(&traits, rng)
    }

    /// A scene with exactly these objects; everything else is random. At most three can be placed
    /// comfortably.
    pub fn showing(traits: &[Traits], rng: &mut Random) -> Self {
        let short = rng.between(300.0, 337.0).floor();
        let shares = RATIOS.map(|(_, share)| share);
        let (across, down) = RATIOS[rng.weighted(&shares)].0;
        let unit = short / f64::min(across, down);
        let (width, height) = ((across * unit).round(), (down * unit).round());
        let mut objects: Vec<Object> =
            traits.iter().map(|one| object(*one, traits.len(), short as f32, rng)).collect();
        place(&mut objects, width as f32, height as f32, rng);
        let background = rng.pick(&BACKGROUNDS);
        Self {
            width: width as u32,
            height: height as u32,
            background: jitter(background, 8.0, rng),
            noise: rng.between(1.0, 6.0) as f32,
            brightness: rng.between(-8.0, 9.0).floor() as i16,
            noise_seed: (rng.below(1 << 31)) as u64,
            objects,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn objects_lie_inside_and_apart(seed in any::<u64>()) {
            let scene = Scene::random(&mut stream(seed, "test", 0));
            let (width, height) = (scene.width as f32, scene.height as f32);
            prop_assert!((1..=3).contains(&scene.objects.len()));
            prop_assert!((300..=336).contains(&scene.width.min(scene.height)));
            for (index, object) in scene.objects.iter().enumerate() {
                let room = object.radius * REACH - 0.01;
                prop_assert!(object.x >= room && object.x <= width - room);
                prop_assert!(object.y >= room && object.y <= height - room);
                for other in &scene.objects[..index] {
                    let distance = (object.x - other.x).hypot(object.y - other.y);
                    prop_assert!(distance > (object.radius + other.radius) * REACH);
                }
            }
        }

        #[test]
        fn a_near_miss_differs_in_one_term_and_excludes_the_condition(seed in any::<u64>()) {
            let mut rng = stream(seed, "test", 1);
            let traits = Traits::random(&mut rng);
            let condition = Condition::of(&traits, &rng.some(&Attribute::ALL, 1, 3));
            let near = condition.near_miss(&mut rng);
            prop_assert_eq!(near.attributes(), condition.attributes());
            prop_assert_eq!(near.misses(&traits), 1);
            prop_assert!(near.holds(&traits.forced(&near)) && !condition.holds(&traits.forced(&near)));
        }
    }

    #[test]
    fn large_objects_are_larger_than_small_ones_in_every_scene() {
        for seed in 0..300 {
            let scene = Scene::random(&mut stream(seed, "sizes", 0));
            let of_size = |size: u8| {
                scene
                    .objects
                    .iter()
                    .filter(move |object| object.traits.get(Attribute::Size) == size)
                    .map(|object| object.radius)
            };
            let largest_small = of_size(0).fold(0.0, f32::max);
            assert!(of_size(1).all(|radius| radius > largest_small * 1.15), "seed {seed}");
        }
    }
}
