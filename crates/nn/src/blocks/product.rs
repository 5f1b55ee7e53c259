//! What kinds of matrix products there are, and the general one.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Shape, Tensor};

use super::is_fast;

/// What the rows of a product are. Each kind has a kernel of its own, which sums in an order of its own;
/// within a kind a row gives the same bits whatever rows stand beside it, so that nobody's answer depends on
/// who else asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowKind {
    /// Of prompts, pictures and texts: mostly many, so that a general matrix product is made even of one.
    #[default]
    Prompt,
    /// The next token of each of a few generations: what counts is how fast weights come from memory.
    Step,
}

/// x·W for x of (rows, inputs) and W of (inputs, outputs), by the kernel that more than one row take: a
/// general product has another for one row, whose sums run in another order.
pub(super) fn product(x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    if x.dim(0)? == 1 && is_fast(x) {
        return Tensor::cat(&[x, x], 0)?.matmul(weight)?.narrow(0, 0, 1);
    }
    tracked(x, weight)
}

/// x·W for x of (rows, inputs) and W of (inputs, outputs), and its gradients by that of them which is
/// trained: candle's own product computes both, which for constant weights is half of a backward pass.
pub fn tracked(x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    if x.track_op() || weight.track_op() {
        return x.apply_op2(weight, Product { transposed: false });
    }
    x.matmul(weight)
}

/// The same with W of (outputs, inputs).
pub fn tracked_rows(x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    if x.track_op() || weight.track_op() {
        return x.apply_op2(weight, Product { transposed: true });
    }
    x.matmul(&weight.t()?)
}

/// A product whose gradients are computed for trained arguments alone.
struct Product {
    /// Whether the weight is (outputs, inputs).
    transposed: bool,
}

impl Product {
    fn forward<S: BackendStorage>(
        &self,
        x: &S,
        x_layout: &Layout,
        weight: &S,
        weight_layout: &Layout,
    ) -> candle_core::Result<(S, Shape)> {
        let weight_layout =
            if self.transposed { weight_layout.transpose(0, 1)? } else { weight_layout.clone() };
        let ((rows, inputs), (_, outputs)) = (x_layout.shape().dims2()?, weight_layout.shape().dims2()?);
        let y = x.matmul(weight, (1, rows, outputs, inputs), x_layout, &weight_layout)?;
        Ok((y, (rows, outputs).into()))
    }
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward(x, x_layout, weight, weight_layout)
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        self.forward(x, x_layout, weight, weight_layout)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let by_x = if !x.track_op() {
            None
        } else if self.transposed {
            Some(gradient.matmul(weight)?)
        } else {
            Some(gradient.matmul(&weight.t()?)?)
        };
        let by_weight = if !weight.track_op() {
            None
        } else if self.transposed {
            Some(gradient.t()?.matmul(x)?)
        } else {
            Some(x.t()?.matmul(gradient)?)
        };
        Ok((by_x, by_weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn gradients_are_those_of_candle_and_of_what_is_trained_alone() {
        let device = Device::Cpu;
        let x = Var::randn(0f32, 1.0, (5, 7), &device).unwrap();
        let w = Var::randn(0f32, 1.0, (7, 3), &device).unwrap();
        let rows = Var::from_tensor(&w.t().unwrap().contiguous().unwrap()).unwrap();
        let error = |a: &Tensor, b: &Tensor| {
            (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
        };
        let loss = |y: Tensor| y.sqr().unwrap().sum_all().unwrap();
        let want = loss(x.matmul(&w).unwrap()).backward().unwrap();
        let (by_x, by_w) = (want.get(&x).unwrap(), want.get(&w).unwrap());

        let got = loss(tracked(&x, &w).unwrap()).backward().unwrap();
        assert!(error(got.get(&x).unwrap(), by_x) < 1e-4 && error(got.get(&w).unwrap(), by_w) < 1e-4);
        let got = loss(tracked_rows(&x, &rows).unwrap()).backward().unwrap();
        assert!(error(got.get(&x).unwrap(), by_x) < 1e-4);
        assert!(error(&got.get(&rows).unwrap().t().unwrap(), by_w) < 1e-4);

        let constant = w.as_detached_tensor();
        let got = loss(tracked(&x, &constant).unwrap()).backward().unwrap();
        assert!(got.get(&constant).is_none() && error(got.get(&x).unwrap(), by_x) < 1e-4);
        let constant = x.as_detached_tensor();
        let got = loss(tracked_rows(&constant, &rows).unwrap()).backward().unwrap();
        assert!(got.get(&constant).is_none());
        assert!(error(&got.get(&rows).unwrap().t().unwrap(), by_w) < 1e-4);
    }
}
