use super::*;
use crate::testing;

fn pictures(folder: &std::path::Path) -> Arc<PictureDecoder> {
    let store = Arc::new(ImageStore::open(folder).unwrap());
    Arc::new(PictureDecoder::new(store, DecodeLimits::default(), 1 << 20, 1 << 24))
}

#[tokio::test]
async fn memory_of_pixels_is_taken_as_long_as_a_request_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(ImageStore::open(folder.path()).unwrap());
    // No cache.
    let pictures = Arc::new(PictureDecoder::new(store, DecodeLimits::default(), 0, 1 << 24));
    let all = pictures.decoding.free();
    let picture = pictures.resolve(&testing::picture(1), PixelRules::CURRENT).await.unwrap();
    let bytes = picture.pixels.as_raw().len() as u64;
    let taken = all - pictures.decoding.free();
    assert!((bytes..bytes + 4096).contains(&taken), "{taken} for {bytes}");
    let shared = picture.clone();
    drop(picture);
    assert_eq!(all - pictures.decoding.free(), taken);
    drop(shared);
    assert_eq!(pictures.decoding.free(), all);
    // One that can't be decoded gives back what it took.
    let ImageSource::Bytes(whole) = testing::picture(2) else { panic!("bytes") };
    let cut = ImageSource::from(whole.bytes().slice(..whole.bytes().len() / 2));
    assert!(pictures.resolve(&cut, PixelRules::CURRENT).await.is_err());
    assert_eq!(pictures.decoding.free(), all);
}

#[tokio::test]
async fn a_picture_read_by_other_rules_is_another_to_whoever_keeps_what_was_computed() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path());
    let now = pictures.resolve(&testing::picture(1), PixelRules::CURRENT).await.unwrap();
    let before = pictures.resolve(&testing::picture(1), PixelRules::First).await.unwrap();
    assert_eq!(now.info(), before.info());
    assert_eq!(now.key(), now.id.0, "what was cached by id stays so");
    assert_ne!(now.key(), before.key());
    assert_ne!(now.input(None).key, before.input(None).key);
    // Both are at hand, each under its rules.
    assert!(pictures.recent(now.id, PixelRules::First).is_some());
    assert!(pictures.recent(now.id, PixelRules::CURRENT).is_some());
    let again = pictures.under(&before, PixelRules::CURRENT).await.unwrap();
    assert!(Arc::ptr_eq(&again.pixels, &now.pixels));
    assert_eq!((again.rules, again.upload.is_some()), (PixelRules::CURRENT, true));
}

#[tokio::test]
async fn what_was_done_to_samples_is_told_of_the_place_it_came_in() {
    let folder = tempfile::tempdir().unwrap();
    let picture = pictures(folder.path()).resolve(&testing::picture(1), PixelRules::CURRENT).await.unwrap();
    assert_eq!(picture.warnings("/image").count(), 0);
    let notes = [DecodeNote { code: "depth_scaled", detail: "Its greys were scaled.".to_owned() }];
    let picture = DecodedPicture { notes: notes.into(), ..picture };
    let told: Vec<Warning> = picture.warnings("/messages/1/content/0").collect();
    assert_eq!(told, [Warning::new("depth_scaled", "/messages/1/content/0", "Its greys were scaled.")]);
}

#[tokio::test]
async fn who_holds_many_pictures_leaves_room_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(ImageStore::open(folder.path()).unwrap());
    let pictures = Arc::new(PictureDecoder::new(store, DecodeLimits::default(), 0, 1 << 20));
    let mut held = Vec::new();
    let soon = Duration::from_millis(500);
    for seed in 0.. {
        let source = testing::picture(seed);
        let resolving = pictures.resolve_for(Flow(1), &source, PixelRules::CURRENT);
        match tokio::time::timeout(soon, resolving).await {
            Ok(picture) => held.push(picture.unwrap()),
            Err(_) => break,
        }
    }
    assert!(!held.is_empty());
    let free = pictures.decoding.free();
    assert!(free >= 1 << 18, "{free} bytes are left to others");
    let waiting = {
        let (pictures, source) = (Arc::clone(&pictures), testing::picture(200));
        tokio::spawn(async move { pictures.resolve_for(Flow(1), &source, PixelRules::CURRENT).await })
    };
    tokio::task::yield_now().await;
    let source = testing::picture(201);
    let other = pictures.resolve_for(Flow(2), &source, PixelRules::CURRENT);
    tokio::time::timeout(soon, other).await.unwrap().unwrap();
    drop(held);
    waiting.await.unwrap().unwrap();
    assert_eq!(pictures.decoding.free(), 1 << 20);
    pictures.share(Flow(3));
    assert_eq!(pictures.flows.lock().len(), 1, "nothing is remembered of who holds nothing");
}
