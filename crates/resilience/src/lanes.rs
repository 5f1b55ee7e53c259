//! Work of which several pieces are done at a time.

use std::future::Future;

use futures::future::try_join_all;
use parking_lot::Mutex;

/// Does `work` with every number below `count`, `lanes` of them at a time, and returns the results in the
/// order of the numbers. Those that are `together` are done one after another, by the first lane, before it
/// takes others.
///
/// # Errors
/// The first error; what is under way elsewhere is dropped then.
pub async fn in_lanes<T, E, F, W>(
    count: usize,
    lanes: usize,
    together: impl Fn(usize) -> bool,
    work: F,
) -> Result<Vec<T>, E>
where
    F: Fn(usize) -> W,
    W: Future<Output = Result<T, E>>,
{
    // In one lane everything is done in order.
    let apart = lanes > 1;
    let (own, others): (Vec<usize>, Vec<usize>) = (0..count).partition(|number| apart && together(*number));
    let (own, others) = (Mutex::new(own.into_iter()), Mutex::new(others.into_iter()));
    let done: Mutex<Vec<Option<T>>> = Mutex::new((0..count).map(|_| None).collect());
    let lane = async |lane: usize| {
        loop {
            let from_own = if lane == 0 { own.lock().next() } else { None };
            let Some(number) = from_own.or_else(|| others.lock().next()) else { return Ok(()) };
            let result = work(number).await?;
            done.lock()[number] = Some(result);
        }
    };
    try_join_all((0..lanes.max(1)).map(lane)).await?;
    Ok(done.into_inner().into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::executor::block_on;

    use super::*;

    #[test]
    fn results_stand_in_order_and_what_belongs_together_is_never_done_at_once() {
        let (under_way, most, together, most_together) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let is_together = |number: usize| number % 3 == 1;
        let work = async |number: usize| {
            most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            if is_together(number) {
                most_together.fetch_max(together.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            for _ in 0..number % 4 {
                yield_once().await;
            }
            if is_together(number) {
                together.fetch_sub(1, Ordering::Relaxed);
            }
            under_way.fetch_sub(1, Ordering::Relaxed);
            if number == 40 { Err(number) } else { Ok(number * 10) }
        };
        for lanes in [1, 2, 3] {
            let done = block_on(in_lanes(20, lanes, is_together, work)).unwrap();
            assert_eq!(done, (0..20).map(|number| number * 10).collect::<Vec<_>>());
        }
        assert_eq!((most.into_inner(), most_together.into_inner()), (3, 1));
        assert_eq!(
            block_on(in_lanes(50, 2, is_together, async |number| if number == 40 {
                Err(40)
            } else {
                Ok(())
            })),
            Err(40)
        );
    }

    async fn yield_once() {
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}
