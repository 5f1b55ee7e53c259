use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};

use super::*;

const SCHEDULE: Schedule = Schedule { steps: 40, rate: 0.05, patience: 50, good_enough: -10.0 };

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
}

fn error(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn adam_is_that_of_candle() {
    let (begin, input, target) = (random(&[7, 5]), random(&[3, 7]), random(&[3, 5]));
    let loss = |variable: &Var| {
        let off = (input.matmul(variable.as_tensor()).unwrap() - &target).unwrap();
        off.sqr().unwrap().mean_all().unwrap()
    };
    let theirs = Var::from_tensor(&begin).unwrap();
    let parameters = ParamsAdamW { lr: SCHEDULE.rate, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimiser = AdamW::new(vec![theirs.clone()], parameters).unwrap();
    for step in 0..SCHEDULE.steps {
        optimiser.set_learning_rate(SCHEDULE.rate_at(step));
        optimiser.backward_step(&loss(&theirs)).unwrap();
    }
    let ours = Var::from_tensor(&begin).unwrap();
    let outcome = minimise(std::slice::from_ref(&ours), &SCHEDULE, |_| Ok(loss(&ours))).unwrap();
    assert_eq!(outcome.steps, SCHEDULE.steps);
    assert!(outcome.best < outcome.first);
    assert!(error(ours.as_tensor(), theirs.as_tensor()) < 1e-5);
    // A variable that isn't in one piece is trained by tensor operations.
    let mut elsewhere =
        Stepped::new(&Var::from_tensor(&begin.t().unwrap()).unwrap(), Optimiser::Adam).unwrap();
    let mut here = Stepped::new(&Var::from_tensor(&begin).unwrap(), Optimiser::Adam).unwrap();
    for number in 1..9 {
        let gradient = random(&[7, 5]);
        here.step(&gradient, 0.1, number).unwrap();
        elsewhere.step(&gradient.t().unwrap(), 0.1, number).unwrap();
    }
    assert!(error(here.value(), &elsewhere.value().t().unwrap()) < 1e-5);
}

#[test]
fn the_least_loss_is_what_is_left() {
    // From step 3 on the loss is worse.
    let variable = Var::new(0f32, &Device::Cpu).unwrap();
    let schedule = Schedule { steps: 100, rate: 0.1, patience: 4, good_enough: -10.0 };
    let mut seen = Vec::new();
    let outcome = minimise(std::slice::from_ref(&variable), &schedule, |step| {
        seen.push(variable.to_scalar::<f32>()?);
        Ok(if step < 3 { variable.neg()? } else { (variable.neg()? + 1.0)? })
    })
    .unwrap();
    // Steps without a better loss: patience and the one that is too many.
    assert_eq!((outcome.steps, seen.len()), (7, 8));
    assert_eq!(variable.to_scalar::<f32>().unwrap(), seen[2]);
    assert!((outcome.best + f64::from(seen[2])).abs() < 1e-6);
}

#[test]
fn a_loss_that_is_no_number_leaves_the_variables_as_they_were() {
    for optimiser in [Optimiser::Adam, Optimiser::Sgd] {
        let variable = Var::new(&[1f32, 2.0], &Device::Cpu).unwrap();
        let result = descend(std::slice::from_ref(&variable), &SCHEDULE, optimiser, |step| {
            let value = if step == 2 { f64::NAN } else { -(step as f64) };
            Ok((value, || Ok(vec![Some(Tensor::new(&[1f32, 1.0], &Device::Cpu)?)])))
        });
        assert!(matches!(result, Err(TuningError::NonFiniteLoss { steps: 2 })), "{result:?}");
        assert_eq!(variable.to_vec1::<f32>().unwrap(), [1.0, 2.0]);
    }
}
