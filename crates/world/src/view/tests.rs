//! Layout, labels and cuts of views.

use proptest::prelude::*;

use super::*;
use crate::random::stream;
use crate::render::render;

fn scene(seed: u64) -> (Scene, RenderedScene) {
    let scene = Scene::random(&mut stream(seed, "test", 0));
    let picture = render(&scene).unwrap();
    (scene, picture)
}

fn all(scene: &Scene) -> PixelBox {
    PixelBox { x: 0, y: 0, width: scene.width, height: scene.height }
}

#[test]
fn patches_come_in_the_processors_order() {
    // Every pixel says where it is: 112 × 140 needs no resizing.
    let image = RgbImage::from_fn(140, 112, |x, y| image::Rgb([x as u8, y as u8, 7]));
    let (bytes, grid) = patches(&image).unwrap().unwrap();
    assert_eq!((grid, bytes.len()), ([4, 5], VIEW_BYTES));
    let at = |cell: usize, patch: usize, channel: usize, y: usize, x: usize| {
        bytes[cell * CELL_BYTES + ((patch * 3 + channel) * 14 + y) * 14 + x]
    };
    for (cell, patch, y, x) in [(0, 0, 0, 0), (0, 1, 3, 5), (0, 2, 13, 13), (6, 3, 2, 1), (19, 0, 9, 4)] {
        let (column, row) = (cell % 5 * 28 + patch % 2 * 14 + x, cell / 5 * 28 + patch / 2 * 14 + y);
        assert_eq!(at(cell, patch, 0, y, x) as usize, column);
        assert_eq!(at(cell, patch, 1, y, x) as usize, row);
        assert_eq!(at(cell, patch, 2, y, x), 7);
    }
}

#[test]
fn too_many_cells_are_refused() {
    // 56 × 280 pixels are enlarged to 2 × 10 cells or more by the rule for small pictures.
    let image = RgbImage::new(60, 60 * 30);
    let cells = patches(&image).unwrap().map(|(_, grid)| usize::from(grid[0]) * usize::from(grid[1]));
    assert!(cells.is_none_or(|cells| cells <= MAX_CELLS));
    let crowded =
        (1..40).filter(|height| patches(&RgbImage::new(40, 40 + height * 20)).unwrap().is_none()).count();
    assert!(crowded > 0);
}

#[test]
fn labels_name_the_object_of_a_cell() {
    let mut found = 0;
    for seed in 0..60 {
        let (scene, picture) = scene(seed);
        let Some(pixels) = pixels(&scene, &picture, all(&scene), None).unwrap() else { continue };
        let cells = usize::from(pixels.grid[0]) * usize::from(pixels.grid[1]);
        assert_eq!(pixels.labels.len(), MAX_CELLS * 6);
        assert!(pixels.labels[cells * 6..].iter().all(|label| *label == IGNORED));
        for label in pixels.labels[..cells * 6].chunks_exact(6) {
            if label[0] == 0 {
                assert!(label.iter().all(|value| *value == 0));
                continue;
            }
            let known = scene
                .objects
                .iter()
                .any(|object| (0..6).all(|index| label[index] == object.traits.0[index] as i8 + 1));
            assert!(known, "seed {seed}: {label:?}");
            found += 1;
        }
    }
    assert!(found > 100);
}

#[test]
fn a_cut_judges_only_what_it_shows() {
    let (scene, picture) = (0..100).map(scene).find(|(scene, _)| scene.objects.len() == 1).unwrap();
    let bounds = picture.coverage[0].bounds;
    let full = View::cut(&scene, &picture, bounds);
    assert!(full.single() && full.seen[0].judged.contains(&Attribute::Shape));
    let half = PixelBox { width: bounds.width / 2, ..bounds };
    let view = View::cut(&scene, &picture, half);
    assert!(view.seen.iter().all(|seen| !seen.judged.contains(&Attribute::Shape)));
    let sliver = PixelBox { x: 0, width: bounds.x.max(1), ..bounds };
    assert!(View::cut(&scene, &picture, sliver).seen.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn cuts_lie_inside_the_picture(seed in any::<u64>()) {
        let mut rng = stream(seed, "test", 1);
        let scene = Scene::random(&mut rng);
        for _ in 0..5 {
            let grid = grid_cut(&scene, &mut rng);
            let free = free_cut(&scene, &mut rng);
            for bounds in [grid, free] {
                prop_assert!(bounds.validate(scene.width, scene.height).is_ok());
            }
            let (xs, ys) = (thirds(scene.width), thirds(scene.height));
            prop_assert!(xs.contains(&grid.x) && xs.contains(&(grid.x + grid.width)));
            prop_assert!(ys.contains(&grid.y) && ys.contains(&(grid.y + grid.height)));
            prop_assert!(grid != all(&scene));
        }
    }
}
