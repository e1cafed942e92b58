//! How long things took, and how figures are written.

use std::time::{Duration, Instant};

const WARM: Duration = Duration::from_millis(300);
const SPAN: Duration = Duration::from_secs(1);
const ROUNDS: usize = 4;

/// Times of things that went on for a while.
pub(crate) struct Sample {
    times: Vec<Duration>,
    elapsed: Duration,
}

impl Sample {
    /// What was measured since `began`.
    pub(crate) fn new(mut times: Vec<Duration>, began: Instant) -> Self {
        times.sort_unstable();
        Self {
            times,
            elapsed: began.elapsed(),
        }
    }

    /// Does something again and again for so long.
    pub(crate) fn repeat(span: Duration, mut what: impl FnMut()) -> Self {
        let began = Instant::now();
        let mut times = Vec::new();
        while began.elapsed() < span {
            let start = Instant::now();
            what();
            times.push(start.elapsed());
        }
        Self::new(times, began)
    }

    /// Measures things in turn, several times each, and keeps each one's best round: whatever
    /// else the machine does disturbs some rounds, and all things alike.
    pub(crate) fn best<const N: usize>(
        mut things: [&mut dyn FnMut(Duration) -> Self; N],
    ) -> [Self; N] {
        let mut best: [Option<Self>; N] = std::array::from_fn(|_| None);
        for thing in &mut things {
            thing(WARM);
        }
        for _ in 0..ROUNDS {
            for (thing, best) in things.iter_mut().zip(&mut best) {
                let round = thing(SPAN);
                if best.as_ref().is_none_or(|best| round.rate() > best.rate()) {
                    *best = Some(round);
                }
            }
        }
        best.map(Option::unwrap)
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.times.len()
    }

    /// How many in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time that so many of a hundred stayed within.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let at = self.times.len() * percent / 100;
        let last = self.times.len().saturating_sub(1);
        self.times.get(at.min(last)).copied().unwrap_or_default()
    }

    /// p50, p99, and p99 as a multiple of p50 beside its aim.
    pub(crate) fn spread(&self) -> String {
        let (half, most) = (self.percentile(50), self.percentile(99));
        let times = most.as_secs_f64() / half.as_secs_f64().max(1e-9);
        format!(
            "p50 {:>8}  p99 {:>8} = {times:>4.1} x p50 {}",
            millis(half),
            millis(most),
            verdict(times <= 5.0),
        )
    }
}

/// A duration in milliseconds.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// A rate as a part of its limit.
pub(crate) fn part(ours: f64, limit: f64) -> String {
    let part = ours / limit;
    format!(
        "{limit:>8.0}/s: {:>4.0} % {}",
        part * 100.0,
        verdict(part >= 0.75)
    )
}

/// Whether an aim was reached.
pub(crate) const fn verdict(reached: bool) -> &'static str {
    if reached { "ok  " } else { "MISS" }
}
