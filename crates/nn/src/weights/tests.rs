use super::*;
use std::collections::HashMap;

fn file(tensors: &[(&str, Tensor)]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let map: HashMap<String, Tensor> = tensors.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
    candle_core::safetensors::save(&map, file.path()).unwrap();
    file
}

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
}

#[test]
fn fused_linear_equals_separate_ones_in_every_stored_type() {
    let (a, b, bias) = (random(&[5, 70]), random(&[3, 70]), random(&[5]));
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        let [a, b] = [&a, &b].map(|t| t.to_dtype(dtype).unwrap());
        let saved = file(&[
            ("m.a.weight", a.clone()),
            ("m.b.weight", b.clone()),
            ("m.a.bias", bias.clone()),
            ("m.b.bias", random(&[3])),
        ]);
        let weights = Weights::open(&[saved.path()], DType::F32, Device::Cpu).unwrap();
        let x = random(&[4, 70]);
        let linear = weights.scope("m").linear(&[("a", 5), ("b", 3)], 70, true).unwrap();
        let y = linear.forward(&x).unwrap().narrow(1, 0, 5).unwrap();
        let want = x.matmul(&a.to_dtype(DType::F32).unwrap().t().unwrap()).unwrap();
        let want = want.broadcast_add(&bias).unwrap();
        let error = (y - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(error < 1e-4);
        weights.finish(|_| false).unwrap();
        assert_eq!(weights.parameters(), 8 * 70 + 8);
    }
}

#[test]
fn what_is_added_is_added_in_every_form() {
    let (plain, a, b) = (random(&[6, 5]), random(&[2, 5]), random(&[6, 2]));
    let merged = (&plain + b.matmul(&a).unwrap()).unwrap();
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let saved = file(&[("m.a.weight", plain.clone()), ("m.b.weight", plain.clone())]);
    let open = |precision: DType| Weights::open(&[saved.path()], precision, Device::Cpu).unwrap();
    let update = || LowRankUpdate::new(2, 5, values(&a), values(&b)).unwrap();
    let updated = |precision| open(precision).with_updates([("m.b.weight".into(), update())].into()).unwrap();
    let error = |a: &Tensor, b: &Tensor| {
        let difference = (a - b).unwrap().abs().unwrap();
        difference.max_all().unwrap().to_scalar::<f32>().unwrap()
    };

    let weights = updated(DType::F32);
    let scope = weights.scope("m");
    assert!(error(&scope.tensor("b.weight", &[6, 5]).unwrap(), &merged) < 1e-6);
    assert_eq!(error(&scope.tensor("a.weight", &[6, 5]).unwrap(), &plain), 0.0);
    let x = random(&[3, 5]);
    let y = scope.linear(&[("a", 6), ("b", 6)], 5, false).unwrap().forward(&x).unwrap();
    let want = Tensor::cat(&[plain.clone(), merged.clone()], 0).unwrap();
    assert!(error(&y, &x.matmul(&want.t().unwrap()).unwrap()) < 1e-5);
    let halves = updated(DType::BF16);
    let half = halves.scope("m").tensor("b.weight", &[6, 5]).unwrap().to_dtype(DType::F32).unwrap();
    assert!(error(&half, &merged) < 0.05);

    let hash = |weights: &Weights| {
        let mut hasher = blake3::Hasher::new();
        weights.hash_into(&mut hasher).unwrap();
        hasher.finalize()
    };
    assert_eq!(hash(&open(DType::F32)), hash(&open(DType::F32).with_updates(BTreeMap::new()).unwrap()));
    assert_ne!(hash(&open(DType::F32)), hash(&weights));
    let wrong = |name: &str| open(DType::F32).with_updates([(name.to_owned(), update())].into());
    assert!(wrong("m.c.weight").unwrap_err().to_string().contains("m.c.weight"));
    let narrow = LowRankUpdate::new(2, 4, vec![0.0; 8], vec![0.0; 12]).unwrap();
    let narrow = open(DType::F32).with_updates([("m.a.weight".into(), narrow)].into());
    assert!(narrow.unwrap_err().to_string().contains("[6, 4]"));
    assert!(LowRankUpdate::new(2, 4, vec![0.0; 8], vec![0.0; 11]).is_err());
}

#[test]
fn errors_name_the_tensor() {
    let saved = file(&[("a.weight", random(&[2, 3])), ("left.over", random(&[1]))]);
    let weights = Weights::open(&[saved.path()], DType::F32, Device::Cpu).unwrap();
    let says = |e: NnError, words: [&str; 2]| {
        let text = e.to_string();
        assert!(words.iter().all(|w| text.contains(w)), "{text}");
    };
    says(weights.scope("").tensor("b.weight", &[2]).unwrap_err(), ["b.weight", "no such tensor"]);
    says(weights.scope("").tensor("a.weight", &[3, 2]).unwrap_err(), ["a.weight", "[2, 3]"]);
    weights.scope("").tensor("a.weight", &[2, 3]).unwrap();
    says(weights.finish(|_| false).unwrap_err(), ["left.over", "1 tensors"]);
    weights.finish(|n| n == "left.over").unwrap();
}

#[test]
fn truncated_files_are_refused() {
    let saved = file(&[("a", random(&[20, 30]))]);
    let bytes = std::fs::read(saved.path()).unwrap();
    for len in [0, 4, 60, bytes.len() - 1] {
        let cut = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(cut.path(), &bytes[..len]).unwrap();
        assert!(Weights::open(&[cut.path()], DType::F32, Device::Cpu).is_err(), "{len}");
    }
}

#[test]
fn names_are_noted_without_memory() {
    let weights = Weights::names_only();
    // 4·10¹² values would not fit anywhere.
    weights.scope("x").linear(&[("big", 2_000_000)], 2_000_000, true).unwrap();
    assert_eq!(
        weights.asked(),
        [("x.big.weight".into(), vec![2_000_000, 2_000_000]), ("x.big.bias".into(), vec![2_000_000])]
    );
}
